package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// The sides of a Fault.
const (
	sideRegistry = "registry"
	sideSource   = "source registry"
	sideBase     = "base's registry"
	sideTarget   = "target registry"
)

const (
	maxErrorBody = 64 << 10 // bytes of an error response that are read
	maxMessage   = 400      // bytes of what a registry says that are shown
)

// statusError is a response with an unexpected status, and the registry's error in its body.
// Source: OCI distribution-spec, "Error Codes".
type statusError struct {
	Status  int
	Code    string // "NAME_UNKNOWN", or "" if the registry gave none
	Message string // sanitized

	from *url.URL // the address that answered, after redirects; nil if unknown
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("HTTP %d %s", e.Status, http.StatusText(e.Status))
	for _, part := range []string{e.Code, e.Message} {
		if part != "" {
			text += ": " + part
		}
	}
	return text
}

// readStatusError reads an error response and closes it.
func readStatusError(response *http.Response) *statusError {
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	result := &statusError{Status: response.StatusCode}
	if response.Request != nil {
		result.from = response.Request.URL
	}
	var body struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
		Type    string `json:"__type"` // the form of AWS's APIs
		Message string `json:"message"`
	}
	switch err := json.Unmarshal(text, &body); {
	case err == nil && len(body.Errors) > 0:
		result.Code, result.Message = sanitize(body.Errors[0].Code), sanitize(body.Errors[0].Message)
	case err == nil && body.Type != "":
		result.Code, result.Message = sanitize(body.Type), sanitize(body.Message)
	case strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain"), err == nil:
		result.Message = sanitize(string(text))
	}
	return result
}

// loginError reports that getting credentials for a host failed.
type loginError struct {
	host string
	err  error
}

func (e *loginError) Error() string {
	return fmt.Sprintf("getting credentials for %q: %v", e.host, e.err)
}
func (e *loginError) Unwrap() error { return e.err }

// blockedError reports that a request was not sent, because its target is not allowed.
type blockedError struct{ from, to, why string }

func (e *blockedError) Error() string {
	if e.from == "" {
		return fmt.Sprintf("connecting to %q: refused, it is %s", e.to, e.why)
	}
	return fmt.Sprintf("following %q to %q: refused, it is %s", e.from, sanitize(e.to), e.why)
}

// mismatchError is the error for bytes whose digest is not the requested one.
type mismatchError struct{ wanted, got release.Digest }

func (e *mismatchError) Error() string {
	if e.got.IsZero() {
		return fmt.Sprintf("the registry served another number of bytes than those of %s", e.wanted)
	}
	return fmt.Sprintf("the registry served bytes of %s as %s", e.got, e.wanted)
}

// fault makes a *release.Fault that says what was attempted and how to fix it. It returns a Fault of the credentials and a
// *release.TagTakenError unchanged.
func (r *repository) fault(err error, doing string) error {
	var (
		inner *release.Fault
		taken *release.TagTakenError
	)
	switch {
	case errors.As(err, &inner):
		return inner
	case errors.As(err, &taken):
		return taken
	}
	err = toStatusError(err)
	return &release.Fault{Side: r.side, Err: fmt.Errorf("%s: %w", doing, err), Do: r.advice(err), Unanswered: isUnanswered(err)}
}

// isUnanswered reports whether a registry gave no answer, or one that says nothing about the request: 429 and 5xx.
func isUnanswered(err error) bool {
	var (
		answer *statusError
		name   *net.DNSError
	)
	if errors.As(err, &answer) {
		return answer.Status == http.StatusTooManyRequests || answer.Status >= http.StatusInternalServerError
	}
	return errors.As(err, &name) || isTransient(err)
}

// toStatusError replaces an error of ggcr, which prints the raw response, by a statusError.
func toStatusError(err error) error {
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return err
	}
	result := &statusError{Status: answer.StatusCode}
	if len(answer.Errors) > 0 {
		result.Code, result.Message = sanitize(string(answer.Errors[0].Code)), sanitize(answer.Errors[0].Message)
	}
	return result
}

// advice describes how to fix an error, "" if the error itself says so.
func (r *repository) advice(err error) string {
	var (
		answer      *statusError
		login       *loginError
		blocked     *blockedError
		mismatch    *mismatchError
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
	)
	host := r.name.Host()
	switch {
	case errors.Is(err, context.Canceled):
		return ""
	case errors.Is(err, context.DeadlineExceeded):
		return "it took too long; run again, what was pushed is kept"
	case errors.As(err, &answer):
		return r.adviceFor(answer)
	case errors.As(err, &login):
		return fmt.Sprintf("give credentials for %s", host)
	case errors.As(err, &blocked):
		return fmt.Sprintf("nothing was sent there; find out why %s redirects to it", host)
	case errors.As(err, &mismatch):
		return "do not use this image; find out who changed the registry's storage"
	case errors.As(err, &name):
		return fmt.Sprintf("check the registry's name %q", host)
	case errors.As(err, &certificate):
		return fmt.Sprintf("check that %q is the registry and that its certificate's authority is trusted here", host)
	}
	return fmt.Sprintf("check that %s can be reached from here", host)
}

// adviceFor describes how to fix an error response of the registry.
func (r *repository) adviceFor(answer *statusError) string {
	host := r.name.Host()
	switch {
	case answer.Status == http.StatusUnauthorized && r.session.isAnonymous():
		return fmt.Sprintf("log in to %s: there are no credentials for it", host)
	case answer.Status == http.StatusUnauthorized:
		return fmt.Sprintf("log in to %s again: it refused the credentials, twice", host)
	case answer.Status == http.StatusForbidden:
		return fmt.Sprintf("allow these credentials to pull from and push to %q "+
			"(on ECR: ecr:BatchGetImage, ecr:GetDownloadUrlForLayer, ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, "+
			"ecr:UploadLayerPart, ecr:CompleteLayerUpload, ecr:PutImage)", r.name)
	case answer.Status == http.StatusNotFound && answer.Code == "NAME_UNKNOWN":
		return fmt.Sprintf("create the repository %q or correct its name", r.name)
	case answer.Status == http.StatusNotFound:
		return fmt.Sprintf("check that %q is the repository meant", r.name)
	case answer.Status == http.StatusTooManyRequests:
		return "the registry throttled every attempt; run again later, what was pushed is kept"
	case answer.Status >= http.StatusInternalServerError:
		return fmt.Sprintf("%s failed; run again, what was pushed is kept", host)
	}
	return ""
}

// isAnonymous reports whether requests have no credentials.
func (s *session) isAnonymous() bool {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	return s.login.known == nil || *s.login.known == (secret{})
}

// sanitize makes text from a registry one printable line of at most maxMessage bytes.
func sanitize(s string) string { return text.Line(s, maxMessage) }

// withoutURL removes the address from net/http's error: after a redirect it contains a signature that permits reading the blob.
func withoutURL(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		return withURL.Err
	}
	return err
}
