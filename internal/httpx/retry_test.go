package httpx

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scriptedNetwork gives its answers in order; a request past the last one fails the test.
type scriptedNetwork struct {
	t       *testing.T
	answers []func() (*http.Response, error)
	bodies  []string
	made    int
}

func (s *scriptedNetwork) RoundTrip(request *http.Request) (*http.Response, error) {
	body := ""
	if request.Body != nil {
		text, err := io.ReadAll(request.Body)
		if err != nil {
			s.t.Errorf("reading the body of request %d: %v", s.made+1, err)
		}
		body = string(text)
	}
	s.bodies = append(s.bodies, body)
	if s.made >= len(s.answers) {
		s.t.Errorf("request %d %s %s: the script has only %d answers", s.made+1, request.Method, request.URL, len(s.answers))
		return nil, errors.New("script is over")
	}
	s.made++
	response, err := s.answers[s.made-1]()
	if response != nil {
		response.Request = request
	}
	return response, err
}

func answer(status int, body string, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		response := &http.Response{
			StatusCode: status, Status: http.StatusText(status), Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(body)),
		}
		for i := 0; i+1 < len(header); i += 2 {
			response.Header.Set(header[i], header[i+1])
		}
		return response, nil
	}
}

func broken(err error) func() (*http.Response, error) {
	return func() (*http.Response, error) { return nil, err }
}

func times(n int, one func() (*http.Response, error)) []func() (*http.Response, error) {
	var all []func() (*http.Response, error)
	for range n {
		all = append(all, one)
	}
	return all
}

const throttled = `{"__type":"ThrottlingException","message":"Rate exceeded"}`

// throttledByBody is AWS's second way to ask to slow down.
func throttledByBody(response *http.Response) bool {
	return response.StatusCode == http.StatusBadRequest && strings.Contains(string(Peek(response, 100)), "ThrottlingException")
}

// The tests run on synctest's clock, so that times are exact.
func TestRetryTransport(t *testing.T) {
	t.Parallel()
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	date := func(after time.Duration) string {
		// synctest's clock starts at this instant.
		return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(after).Format(http.TimeFormat)
	}
	tests := map[string]struct {
		method  string
		body    string
		once    bool // the body cannot be read twice
		answers []func() (*http.Response, error)
		status  int // 0: an error
		made    int
		least   time.Duration
		most    time.Duration
	}{
		"R1: 429 five times with Retry-After": {
			method: http.MethodPut, body: "manifest",
			answers: append(times(5, answer(429, "", "Retry-After", "2")), answer(201, "")),
			status:  201, made: 6, least: 10 * time.Second, most: 10 * time.Second,
		},
		"Retry-After as a date": {
			method:  http.MethodGet,
			answers: []func() (*http.Response, error){answer(429, "", "Retry-After", date(7*time.Second)), answer(200, "")},
			status:  200, made: 2, least: 7 * time.Second, most: 7 * time.Second,
		},
		"Retry-After longer than anybody waits": {
			method:  http.MethodGet,
			answers: times(1, answer(429, "", "Retry-After", "3600")),
			status:  429, made: 1,
		},
		"R2: HTTP 400 ThrottlingException": {
			method: http.MethodPut, body: "manifest",
			answers: append(times(3, answer(400, throttled)), answer(201, "")),
			status:  201, made: 4, least: time.Second, most: 3 * time.Second,
		},
		"HTTP 400 of another kind": {
			method: http.MethodPut, body: "manifest",
			answers: times(1, answer(400, `{"errors":[{"code":"MANIFEST_INVALID"}]}`)),
			status:  400, made: 1,
		},
		"throttled without end": {
			method:  http.MethodGet,
			answers: times(MaxThrottled+1, answer(429, throttled)),
			status:  429, made: MaxThrottled + 1, least: 30 * time.Second, most: MaxWait,
		},
		"throttled with a body that is gone": {
			method: http.MethodPatch, body: "blob", once: true,
			answers: times(1, answer(429, "")),
			status:  429, made: 1,
		},
		"503 on a read": {
			method:  http.MethodGet,
			answers: append(times(2, answer(503, "")), answer(200, "")),
			status:  200, made: 3, least: 500 * time.Millisecond, most: 2 * time.Second,
		},
		"503 on a write may have written": {
			method: http.MethodPut, body: "manifest",
			answers: times(1, answer(503, "")),
			status:  503, made: 1,
		},
		"503 without end": {
			method:  http.MethodHead,
			answers: times(MaxUnavailable+1, answer(503, "")),
			status:  503, made: MaxUnavailable + 1, most: 10 * time.Second,
		},
		"connection reset on a read": {
			method:  http.MethodGet,
			answers: []func() (*http.Response, error){broken(reset), broken(io.ErrUnexpectedEOF), answer(200, "")},
			status:  200, made: 3, least: 500 * time.Millisecond, most: 2 * time.Second,
		},
		"connection reset on opening an upload": {
			method:  http.MethodPost,
			answers: []func() (*http.Response, error){broken(reset), answer(202, "")},
			status:  202, made: 2, most: time.Second,
		},
		"R6: connection reset inside a blob": {
			method: http.MethodPatch, body: "blob",
			answers: times(1, broken(reset)),
			made:    1,
		},
		"a name that does not exist": {
			method:  http.MethodGet,
			answers: times(1, broken(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}})),
			made:    1,
		},
		"a name server that does not answer": {
			method:  http.MethodGet,
			answers: []func() (*http.Response, error){broken(&net.DNSError{Err: "timeout", IsTimeout: true}), answer(200, "")},
			status:  200, made: 2, most: time.Second,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				network := &scriptedNetwork{t: t, answers: test.answers}
				waits := 0
				transport := &RetryTransport{Next: network, Throttled: throttledByBody, Log: func(string) { waits++ }}
				request, err := http.NewRequestWithContext(t.Context(), test.method, "https://registry.example/v2/", body(test.body))
				if err != nil {
					t.Fatal(err)
				}
				if test.once {
					request.GetBody = nil
				}
				began := time.Now()
				response, err := transport.RoundTrip(request)
				spent := time.Since(began)
				switch {
				case test.status == 0 && err == nil:
					t.Errorf("got status %d, want an error", response.StatusCode)
				case test.status != 0 && err != nil:
					t.Errorf("got error %v, want status %d", err, test.status)
				case test.status != 0 && response.StatusCode != test.status:
					t.Errorf("got status %d, want %d", response.StatusCode, test.status)
				}
				if network.made != test.made {
					t.Errorf("made %d requests, want %d", network.made, test.made)
				}
				if waits != test.made-1 {
					t.Errorf("logged %d waits, want %d", waits, test.made-1)
				}
				if spent < test.least || test.most > 0 && spent > test.most || test.most == 0 && spent > 0 {
					t.Errorf("took %s, want between %s and %s", spent, test.least, test.most)
				}
				for i, sent := range network.bodies {
					if sent != test.body {
						t.Errorf("request %d carried %q, want %q", i+1, sent, test.body)
					}
				}
			})
		})
	}
}

func body(text string) io.Reader {
	if text == "" {
		return nil
	}
	return strings.NewReader(text)
}

// What the server says in its last answer is what a person reads.
func TestTheLastAnswerIsReturnedWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := &RetryTransport{Next: &scriptedNetwork{t: t, answers: times(MaxThrottled+1, answer(400, throttled))}, Throttled: throttledByBody}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://registry.example/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || string(text) != throttled {
			t.Errorf("got body %q, %v, want %q", text, err, throttled)
		}
	})
}

func TestRetryingStopsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		transport := &RetryTransport{Next: &scriptedNetwork{t: t, answers: times(2, answer(429, "", "Retry-After", "2"))}, Throttled: throttledByBody}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://registry.example/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = transport.RoundTrip(request)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's end", err)
		}
		if spent := time.Since(began); spent != 3*time.Second {
			t.Errorf("took %s, want 3s", spent)
		}
	})
}
