package forward

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/client-go/rest"
)

// forwarderOf forwards through an API server that answers as told.
func forwarderOf(t *testing.T, handler http.HandlerFunc) *Forwarder {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	forwarder, err := New(client)
	if err != nil {
		t.Fatal(err)
	}
	return forwarder
}

// echo is a port that sends back what it receives.
func echo(t *testing.T) release.Backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return release.Backend{Namespace: "staging", Pod: "shop-a", IP: "127.0.0.1", Port: number}
}

// TestAPodIsDialledDirectly by a user who may not forward ports, and the API server is not asked again.
func TestAPodIsDialledDirectly(t *testing.T) {
	t.Parallel()
	asked := 0
	forwarder := forwarderOf(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/namespaces/staging/pods/shop-a/portforward" || r.Header.Get("X-Stream-Protocol-Version") != "portforward.k8s.io" {
			t.Errorf("the request is %s %s %v", r.Method, r.URL, r.Header)
		}
		w.WriteHeader(http.StatusForbidden)
	})
	backend := echo(t)
	for range 2 {
		conn, err := forwarder.Dial(t.Context(), backend)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
		_ = conn.Close()
	}
	if asked != 1 {
		t.Errorf("the API server was asked %d times", asked)
	}
}

// TestWhatTheAPIServerRefuses is reported in one line, and an answer that does not come is not waited for longer than the context.
func TestWhatTheAPIServerRefuses(t *testing.T) {
	t.Parallel()
	absent := forwarderOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods \"shop-a\" not found\n::error::x","code":404}`)
	})
	_, err := absent.Dial(t.Context(), echo(t))
	if err == nil || !strings.Contains(err.Error(), `pods "shop-a" not found`) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	release := make(chan struct{})
	silent := forwarderOf(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := silent.Dial(ctx, echo(t)); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
}
