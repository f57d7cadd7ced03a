package httpx

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// restarting starts a server that answers with one status after another, 0 for a reset connection, and returns the requests that it got.
func restarting(t *testing.T, statuses ...int) (server *httptest.Server, got func() []string) {
	t.Helper()
	var mu sync.Mutex
	var asked []string
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		status := statuses[min(len(asked), len(statuses)-1)]
		asked = append(asked, r.Method+" "+string(body))
		mu.Unlock()
		if status > 0 {
			w.WriteHeader(status)
			return
		}
		connection, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = connection.(*net.TCPConn).SetLinger(0)
		_ = connection.Close()
	}))
	t.Cleanup(server.Close)
	return server, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return asked
	}
}

func TestUnansweredRequestsAreRetried(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method   string
		statuses []int
		asked    int
		status   int // 0: an error
	}{
		"a patch":                           {http.MethodPatch, []int{0, 0, 200}, 3, 200},
		"while the apiserver starts":        {http.MethodPatch, []int{0, 503, 403, 200}, 4, 200},
		"what it forbids":                   {http.MethodPatch, []int{403}, 1, 403},
		"what it will not do after it came": {http.MethodGet, []int{0, 404}, 2, 404},
		"a creation may have been done":     {http.MethodPost, []int{0, 201}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, asked := restarting(t, test.statuses...)
			logged := 0
			transport := RetryUnanswered(t.Context(), time.Minute, func(string) { logged++ })(&http.Transport{DisableKeepAlives: true})
			request, err := http.NewRequestWithContext(t.Context(), test.method, server.URL, strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			response, err := transport.RoundTrip(request)
			status := 0
			if err == nil {
				status = response.StatusCode
				response.Body.Close()
			}
			got := asked()
			if status != test.status || len(got) != test.asked {
				t.Errorf("got %d, %v after %q, want %d", status, err, got, test.status)
			}
			for _, one := range got {
				if one != test.method+" body" {
					t.Errorf("sent %q", one)
				}
			}
			if again := min(1, test.asked-1); logged != again {
				t.Errorf("logged %d times, want %d", logged, again)
			}
		})
	}
}

func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	ask := func(ctx context.Context, maxTime time.Duration) error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+listener.Addr().String(), strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := RetryUnanswered(ctx, maxTime, func(string) {})(http.DefaultTransport).RoundTrip(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	if err := ask(t.Context(), 300*time.Millisecond); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, stop)
	if err := ask(stopped, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
