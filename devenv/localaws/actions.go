package localaws

import (
	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/registry"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"bytes"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"
)

// Answer answers with a status, headers and a body; the request has no effect.
func Answer(status int, header http.Header, body string) Action {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			maps.Copy(w.Header(), header)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
}

// RegistryError answers a registry request with a status and an error in the registry's form.
// Source: OCI distribution-spec, "Error Codes".
func RegistryError(status int, code, message string) Action {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			registry.WriteError(w, &registry.Error{Status: status, Code: code, Message: message})
		})
	}
}

// APIError answers an API request with a status and an error in the JSON protocol's form.
func APIError(status int, name, message string) Action {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			awsapi.WriteError(w, &awsapi.Error{Status: status, Name: name, Message: message})
		})
	}
}

// Throttle answers 429 TOOMANYREQUESTS with Retry-After in whole seconds, as a registry over its quota does. A
// retryAfter below one second leaves the header out.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html, and OCI distribution-spec,
// "Error Codes".
func Throttle(retryAfter time.Duration) Action {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if seconds := int(retryAfter / time.Second); seconds > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(seconds))
			}
			registry.WriteError(w, &registry.Error{
				Status: http.StatusTooManyRequests, Code: "TOOMANYREQUESTS", Message: "Rate exceeded",
			})
		})
	}
}

// ThrottlingException answers HTTP 400 ThrottlingException, as the API of an account over its quota does.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
func ThrottlingException() Action {
	return APIError(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
}

// Unauthorized answers a registry request 401 with the challenge, as if its token were unknown.
func Unauthorized() Action {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(registry.WriteChallenge)
	}
}

// Expired answers a registry request as ECR answers one whose token has expired: 403 DENIED, without a challenge.
func Expired() Action {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { registry.WriteError(w, registry.ErrTokenExpired) })
	}
}

// Delay waits before it serves the request, or until the caller disconnects.
func Delay(wait time.Duration) Action {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			select {
			case <-timer.C:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
		})
	}
}

// LoseAnswer serves the request, which takes effect, and closes the connection without an answer.
func LoseAnswer() Action {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(httptest.NewRecorder(), r)
			resetConnection(w)
		})
	}
}

// ResetUpload reads the first n bytes of the request's body and resets the connection. The upload keeps those bytes; for a body of n
// bytes or fewer the connection is reset at its end.
func ResetUpload(n int64) Action {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, n), awsapi.FailingReader{}))
			next.ServeHTTP(httptest.NewRecorder(), r)
			resetConnection(w)
		})
	}
}

// AnswerWrongBytes serves the request but answers with a wrong body of the same length and the right headers. The wrong body is
// body, repeated or truncated; for nil it is the right body with its last byte changed.
func AnswerWrongBytes(body []byte) Action {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			next.ServeHTTP(recorder, r)
			wrong := recorder.Body.Bytes()
			switch {
			case len(wrong) == 0:
			case len(body) == 0:
				wrong[len(wrong)-1] ^= 1
			default:
				wrong = bytes.Repeat(body, len(wrong)/len(body)+1)[:len(wrong)]
			}
			maps.Copy(w.Header(), recorder.Header())
			w.WriteHeader(recorder.Code)
			_, _ = w.Write(wrong)
		})
	}
}

// AnswerHugeManifest answers with a valid JSON manifest of about size bytes.
func AnswerHugeManifest(size int64) Action {
	const head, tail = `{"schemaVersion":2,"mediaType":"` + string(types.OCIManifestSchema1) + `","annotations":{"padding":"`, `"}}`
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			if _, err := io.WriteString(w, head); err != nil {
				return
			}
			block := bytes.Repeat([]byte("a"), 64<<10)
			for left := size; left > 0 && r.Context().Err() == nil; left -= int64(len(block)) {
				if _, err := w.Write(block[:min(int64(len(block)), left)]); err != nil {
					return
				}
			}
			_, _ = io.WriteString(w, tail)
		})
	}
}

// resetConnection closes the connection without an answer, with a TCP reset where possible.
func resetConnection(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}
