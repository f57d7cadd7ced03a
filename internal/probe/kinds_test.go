package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onedigest/onedigest/internal/release"
)

// healthServer answers as a gRPC server does, over plain HTTP/2.
func healthServer(t *testing.T, answer func(service string) (status uint64, code string)) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) < 5 || r.URL.Path != "/grpc.health.v1.Health/Check" || r.Header.Get("Content-Type") != "application/grpc" || r.ProtoMajor != 2 {
			t.Errorf("the request is %s %s %q, %v", r.Proto, r.URL, body, err)
			return
		}
		service := ""
		if message := body[5:]; len(message) > 0 {
			_, _, n := protowire.ConsumeTag(message)
			service, _ = protowire.ConsumeString(message[n:])
		}
		status, code := answer(service)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		if code == "0" {
			message := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), status)
			_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)) //nolint:gosec // two bytes
		}
		w.Header().Set("Grpc-Status", code)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// TestGRPCBehindAGateway: the status of a gateway's own error is known, and a load balancer without a target has its own stage.
func TestGRPCBehindAGateway(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]release.Stage{"awselb/2.0": release.StageTarget, "nginx": release.StageCheck} {
		gateway := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", server)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		gateway.Config.Protocols = new(http.Protocols)
		gateway.Config.Protocols.SetUnencryptedHTTP2(true)
		gateway.Start()
		t.Cleanup(gateway.Close)
		got := New(Options{}).Probe(t.Context(), Target{Base: gateway.URL}, release.Check{Name: "health", Kind: release.CheckGRPC})
		if got.Stage != want || got.Status != http.StatusServiceUnavailable || len(got.Wrong) != 1 {
			t.Errorf("%s: got stage %s, status %d, %q; want stage %s", server, got.Stage, got.Status, got.Wrong, want)
		}
	}
}

func TestGRPCHealth(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status uint64
		code   string
		wrong  string
	}{
		"serving":     {1, "0", ""},
		"not serving": {2, "0", "expected SERVING, got NOT_SERVING (2)"},
		"unknown":     {0, "5", "not_found"},
	} {
		base := healthServer(t, func(service string) (uint64, string) {
			if service != "shop" {
				t.Errorf("%s: service %q is asked for", name, service)
			}
			return test.status, test.code
		})
		got := New(Options{}).Probe(t.Context(), Target{Base: base}, release.Check{Name: "health", Kind: release.CheckGRPC, GRPCService: "shop"})
		if got.OK() != (test.wrong == "") || !strings.Contains(fmt.Sprint(got.Wrong), test.wrong) || got.Check != "health" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	if got := New(Options{}).Probe(t.Context(), Target{Base: plain}, release.Check{Kind: release.CheckGRPC}); got.OK() {
		t.Errorf("a server of HTTP/1.1 passes: %+v", got)
	}
}

// refusing is a forwarded connection that the pod has refused.
type refusing struct{ net.Conn }

type refusedError struct{}

func (refusedError) Error() string      { return "connection refused inside the pod" }
func (refusedError) NotConnected() bool { return true }

func (refusing) Refusal(time.Duration) error { return refusedError{} }
func (refusing) Read([]byte) (int, error)    { return 0, refusedError{} }

// TestWhatAPodRefuses was opened before: it is not reached, whatever kind of check asks it.
func TestWhatAPodRefuses(t *testing.T) {
	t.Parallel()
	dial := func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		return refusing{ours}, nil
	}
	for _, kind := range []release.CheckKind{release.CheckHTTP, release.CheckTCP} {
		got := New(Options{}).Probe(t.Context(), Target{Base: "http://10.0.0.7:8080", Dial: dial}, release.Check{Kind: kind, Path: "/"})
		if got.Stage != release.StageConnect || !strings.Contains(fmt.Sprint(got.Wrong), "refused inside the pod") {
			t.Errorf("%q: got %+v", kind, got)
		}
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	base := serve(t, func(http.ResponseWriter, *http.Request) {})
	if got := New(Options{}).Probe(t.Context(), Target{Base: base}, release.Check{Kind: release.CheckTCP}); !got.OK() {
		t.Errorf("got %+v", got)
	}
	failing := func(context.Context) (net.Conn, error) { return nil, errors.New("no route") }
	if got := New(Options{}).Probe(t.Context(), Target{Base: base, Dial: failing}, release.Check{Kind: release.CheckTCP}); got.Stage != release.StageConnect {
		t.Errorf("got %+v, want the stage of the connection", got)
	}
}

// TestAConnectionHasToStayOpen: a load balancer accepts one for a target that nothing listens on. A server that waits, or speaks first, is
// there.
func TestAConnectionHasToStayOpen(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		serve func(net.Conn)
		want  release.Stage
	}{
		"closes": {func(net.Conn) {}, release.StageHTTP},
		"resets": {func(c net.Conn) {
			_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
		}, release.StageHTTP},
		"waits":  {func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, release.StageDone},
		"speaks": {func(c net.Conn) { _, _ = c.Write([]byte("220 ready\r\n")) }, release.StageDone},
	} {
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
				test.serve(conn)
				_ = conn.Close()
			}
		}()
		got := New(Options{}).Probe(t.Context(), Target{Base: "http://" + listener.Addr().String()}, release.Check{Kind: release.CheckTCP})
		if got.Stage != test.want || got.OK() != (test.want == release.StageDone) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// TestReadinessAsTheKubeletSeesIt: any status below a limit, a redirect is not followed, and a pod's certificate is not verified.
func TestReadinessAsTheKubeletSeesIt(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		case "/absent":
			http.NotFound(w, r)
		case "/named":
			_, _ = fmt.Fprint(w, `{"build":{"commit":"0123456789abcdef"}}`)
		}
	}))
	defer server.Close()
	to := Target{Base: "https://shop.staging.svc", Proto: "https", Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
	}}
	for path, below := range map[string]int{"/": 400, "/moved": 400, "/absent": 500} {
		if got := New(Options{}).Probe(t.Context(), to, release.Check{Path: path, StatusBelow: below}); !got.OK() {
			t.Errorf("%s: got %+v", path, got)
		}
	}
	if got := New(Options{}).Probe(t.Context(), to, release.Check{Path: "/absent", StatusBelow: 400}); got.OK() || !strings.Contains(fmt.Sprint(got.Wrong), "expected below 400, got 404") {
		t.Errorf("got %+v", got)
	}
	if got := New(Options{}).Probe(t.Context(), to, release.Check{Path: "/named", CommitField: "$['build']['commit']"}); got.Commit != "0123456789abcdef" {
		t.Errorf("got commit %q", got.Commit)
	}
}

// accepting is a forwarded connection that keeps how long it may take to be refused.
type accepting struct {
	net.Conn
	within *time.Duration
}

func (a accepting) Refusal(within time.Duration) error {
	*a.within = within
	return nil
}

// TestARefusalMayBeSlow, as through an API server that is far away, and never exceeds the timeout.
func TestARefusalMayBeSlow(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{0: 3 * time.Second, time.Second: time.Second} {
		var within time.Duration
		dial := func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			_ = theirs.Close()
			return accepting{ours, &within}, nil
		}
		got := New(Options{Timeout: timeout}).Probe(t.Context(), Target{Base: "http://10.0.0.7:8080", Dial: dial}, release.Check{Kind: release.CheckTCP})
		if !got.OK() || within != want {
			t.Errorf("timeout %s: waited %s, want %s; got %+v", timeout, within, want, got)
		}
	}
}

// TestAServerOfHTTP2Alone: checks are sent in HTTP/1.1, so the failure says what the server speaks. Another protocol is not taken for it.
func TestAServerOfHTTP2Alone(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Read(make([]byte, 1024))
			_, _ = connection.Write([]byte("-ERR unknown command\r\n"))
			_ = connection.Close()
		}
	}()
	for url, want := range map[string]bool{server.URL: true, "http://" + listener.Addr().String(): false} {
		got := New(Options{}).Probe(t.Context(), Target{Base: url}, release.Check{Path: "/", Status: 200})
		if got.OK() || slices.ContainsFunc(got.Wrong, func(wrong string) bool { return strings.Contains(wrong, "HTTP/2 without TLS (h2c)") }) != want {
			t.Errorf("%s: got %q, want the protocol named: %t", url, got.Wrong, want)
		}
	}
}

// TestHTTP2WithoutTLS: a check that asks for it is sent in HTTP/2 to a server that speaks nothing else, with all that a check can do; to a pod in nothing but HTTP/2, and to a gateway as that speaks.
func TestHTTP2WithoutTLS(t *testing.T) {
	t.Parallel()
	start := func(http1, http2 bool) string {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/moved" {
				http.Redirect(w, r, "/", http.StatusFound)
				return
			}
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Commit", "0123456789abcdef")
			fmt.Fprintf(w, "%s %s %s %s %s", r.Proto, r.Method, r.Host, r.Header.Get("X-A"), body)
		}))
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetHTTP1(http1)
		server.Config.Protocols.SetUnencryptedHTTP2(http2)
		server.Start()
		t.Cleanup(server.Close)
		return server.URL
	}
	pod := func(url string) Target {
		return Target{Base: "http://shop.example:8080", Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(url, "http://"))
		}}
	}
	alone, old, both := start(false, true), start(true, false), start(true, true)
	posted := release.Check{Name: "a", Path: "/x", Method: "POST", Body: "sent", Headers: map[string]string{"X-A": "given"}, HTTP2: true}
	for name, test := range map[string]struct {
		to    Target
		check release.Check
		want  string // of the body; "" if the check fails
		wrong string
	}{
		"a URL":                              {Target{Base: alone}, posted, "HTTP/2.0 POST " + strings.TrimPrefix(alone, "http://") + " given sent", ""},
		"a pod":                              {pod(alone), posted, "HTTP/2.0 POST shop.example:8080 given sent", ""},
		"a redirect":                         {Target{Base: alone}, release.Check{Path: "/moved", HTTP2: true, Location: "/"}, "HTTP/2.0 GET", ""},
		"a URL that speaks both":             {Target{Base: both}, posted, "HTTP/2.0 POST", ""},
		"a pod that speaks both":             {pod(both), posted, "HTTP/2.0 POST", ""},
		"a gateway without HTTP/2":           {Target{Base: old}, posted, "HTTP/1.1 POST", ""},
		"a pod without HTTP/2":               {pod(old), posted, "", notHTTP2},
		"a pod of HTTP/2 that is not asked":  {pod(alone), release.Check{Path: "/"}, "", onlyHTTP2},
		"a pod of both that is not asked":    {pod(both), release.Check{Path: "/"}, "HTTP/1.1 GET", ""},
		"another status than the check says": {pod(alone), release.Check{Path: "/", HTTP2: true, Status: 204}, "", "status: expected 204, got 200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.want != "" {
				test.check.BodyContains = []string{test.want}
			}
			got := New(Options{}).Probe(t.Context(), test.to, test.check)
			if got.OK() != (test.want != "") || !strings.Contains(strings.Join(got.Wrong, "\n"), test.wrong) {
				t.Errorf("got %s %q, want %q", got.Stage, got.Wrong, test.wrong)
			}
			if test.want != "" && (got.Commit != "0123456789abcdef" || got.Latency <= 0 || got.Status != 200) {
				t.Errorf("got %+v", got)
			}
		})
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	if got := New(Options{}).Probe(t.Context(), Target{Base: "http://" + closed.Addr().String()}, posted); got.Stage != release.StageConnect || len(got.Wrong) != 1 {
		t.Errorf("nobody listens: got %+v", got)
	}
	if got := New(Options{}).Probe(t.Context(), pod("http://"+closed.Addr().String()), posted); got.Stage != release.StageConnect || len(got.Wrong) != 1 {
		t.Errorf("no pod listens: got %+v", got)
	}
}

// TestAnotherProtocolIsNotHTTP, whether it speaks first, answers with bytes of its own or hangs up; a failure of HTTP is none of these.
func TestAnotherProtocolIsNotHTTP(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		serve func(net.Conn)
		want  bool
	}{
		"speaks first": {func(c net.Conn) {
			_, _ = c.Write([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"))
		}, true},
		"answers": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			_, _ = c.Write([]byte("-ERR unknown command\r\n"))
		}, true},
		"hangs up": {func(c net.Conn) { _, _ = c.Read(make([]byte, 1024)) }, true},
		"resets": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
		}, true},
		"a short body": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"))
		}, false},
		"an error": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			_, _ = c.Write([]byte("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))
		}, false},
	} {
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
				test.serve(conn)
				_ = conn.Close()
			}
		}()
		for range 20 {
			got := New(Options{}).Probe(t.Context(), Target{Base: "http://" + listener.Addr().String()}, release.Check{Path: "/", StatusBelow: 500})
			if got.OK() || got.NotHTTP != test.want {
				t.Fatalf("%s: got %+v", name, got)
			}
		}
	}
}
