package probe

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onedigest/onedigest/internal/release"
)

// exampleService is the service that the example of docs/checks.md is about.
func exampleService() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, status int, contentType, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	page("/{$}", 200, "text/html", "staging")
	page("/configs", 200, "application/json", `{"environment":"staging","replicas":2,"features":{"search":true},"owner":null,"limits":{"cpu":"500m","memory":"64Mi"},"hosts":[]}`)
	page("/version", 200, "application/json", `{"commit": "`+strings.Repeat("a1", 20)+`"}`)
	page("/style.css", 200, "text/css", "body { margin: 0 }\n")
	mux.HandleFunc("/shop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusMovedPermanently) })
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "c00kie", Path: "/", Secure: true, HttpOnly: true})
		w.Header().Set("X-Token", "t0ken-of-this-session")
		w.Header().Set("Location", "/orders")
		w.WriteHeader(http.StatusSeeOther)
	})
	loggedIn := func(r *http.Request) bool {
		cookie, err := r.Cookie("session")
		return err == nil && cookie.Value == "c00kie"
	}
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case string(body) == "{}":
			w.WriteHeader(http.StatusUnprocessableEntity)
		case !loggedIn(r) || r.Header.Get("X-Token") != "t0ken-of-this-session":
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"id": 1007}`)
		}
	})
	mux.HandleFunc("/orders/1007", func(w http.ResponseWriter, r *http.Request) {
		if !loggedIn(r) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"item": 1}`)
	})
	mux.HandleFunc(healthMethod, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		message := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), serving)
		_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)) //nolint:gosec // two bytes
		w.Header().Set("Grpc-Status", "0")
	})
	return mux
}

// TestTheExampleRuns sends every check of docs/checks.md to a service that has TLS, and to a pod behind a gateway that has it.
func TestTheExampleRuns(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/checks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	checks, err := LoadChecks("testdata/checks.yaml", content)
	if err != nil {
		t.Fatal(err)
	}
	outside := httptest.NewUnstartedServer(exampleService())
	outside.EnableHTTP2 = true
	outside.StartTLS()
	t.Cleanup(outside.Close)
	pod := httptest.NewUnstartedServer(exampleService())
	pod.Config.Protocols = new(http.Protocols)
	pod.Config.Protocols.SetHTTP1(true)
	pod.Config.Protocols.SetUnencryptedHTTP2(true)
	pod.Start()
	t.Cleanup(pod.Close)
	roots := x509.NewCertPool()
	roots.AddCert(outside.Certificate())
	for name, to := range map[string]Target{
		"outside": {Base: outside.URL},
		"pod": {Base: "http://shop.example", Proto: "https", Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(pod.URL, "http://"))
		}},
	} {
		session := New(Options{RootCAs: roots}).Session(to)
		for _, check := range checks {
			if answer := session.Probe(t.Context(), check); !answer.OK() || answer.FromPod != (name == "pod") {
				t.Errorf("%s: %s: %s %v", name, check.Name, answer.Stage, answer.Wrong)
			}
		}
	}
}

func TestCaptures(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/give" {
			http.SetCookie(w, &http.Cookie{Name: "s", Value: "cookie value"})
			w.Header().Set("X-Next", "/next/7?a=b")
			fmt.Fprint(w, `{"id": 7, "name": "a b/c?d", "none": null, "empty": "", "list": [1,2], "long": "`+strings.Repeat("x", maxCapture+1)+`"}`)
			return
		}
		fmt.Fprintf(w, "%s %s", r.URL.RequestURI(), r.Header.Get("X-A"))
	})
	give := release.Check{Name: "give", Path: "/give", Captures: []release.Capture{
		{Name: "id", From: "json", Value: "$.id"}, {Name: "name", From: "json", Value: "$.name"}, {Name: "list", From: "json", Value: "$.list"},
		{Name: "next", From: "header", Value: "X-Next"}, {Name: "re", From: "body-regex", Value: `"id": (\d)`}}}
	var shown []string
	session := New(Options{Captured: func(values ...string) { shown = append(shown, values...) }}).Session(Target{Base: base})
	if got := session.Probe(t.Context(), give); !got.OK() || strings.Join(got.Captures, " ") != "id name list next re" {
		t.Fatalf("got %+v", got)
	}
	for path, want := range map[string]string{
		"/o/${id}":             "/o/7 h7",
		"/o/${name}?q=${name}": "/o/a%20b%2Fc%3Fd?q=a+b%2Fc%3Fd h7",
		"${next}":              "/next/7?a=b h7",
		"/l/${list}":           "/l/%5B1%2C2%5D h7",
		"/$${re}/${re}":        "/$%7Bre%7D/7 h7",
	} {
		check := release.Check{Name: path, Path: path, Headers: map[string]string{"X-A": "h${re}"}, BodyContains: []string{want}}
		if got := session.Probe(t.Context(), check); !got.OK() || got.URL != base+path {
			t.Errorf("%s: %s %v", path, got.URL, got.Wrong)
		}
	}
	if len(shown) != 0 {
		t.Errorf("values of sessions without a wrong answer are collected: %q", shown)
	}
	for name, capture := range map[string]release.Capture{
		"the response has no json":            {Name: "a", From: "json", Value: "$.absent"},
		`no json "$.none"`:                    {Name: "b", From: "json", Value: "$.none"},
		"is empty":                            {Name: "c", From: "json", Value: "$.empty"},
		"8193 bytes long":                     {Name: "d", From: "json", Value: "$.long"},
		"the response has no header \"X-No\"": {Name: "e", From: "header", Value: "X-No"},
		"the response has no cookie \"no\"":   {Name: "f", From: "cookie", Value: "no"},
		"the response has no body-regex":      {Name: "g", From: "body-regex", Value: "(no such text)"},
	} {
		session := New(Options{}).Session(Target{Base: base})
		got := session.Probe(t.Context(), release.Check{Name: "give", Path: "/give", Captures: []release.Capture{capture}})
		if got.OK() || got.Stage != release.StageCheck || !strings.Contains(fmt.Sprint(got.Wrong), "capture "+capture.Name+": ") || !strings.Contains(fmt.Sprint(got.Wrong), name) {
			t.Errorf("%s: got %+v", name, got)
		}
		next := session.Probe(t.Context(), release.Check{Name: "next", Path: "/o/${" + capture.Name + "}"})
		if next.OK() || next.Stage != release.StageCheck || !strings.Contains(fmt.Sprint(next.Wrong), `not sent: ${`+capture.Name+`} has no value, because check "give" did not give one`) {
			t.Errorf("%s: the check after it: %+v", name, next)
		}
	}
}

// TestAValueOfAServerThatIsNotReached: the check that needs it was not reached either, so that a round waits for the service.
func TestAValueOfAServerThatIsNotReached(t *testing.T) {
	t.Parallel()
	session := New(Options{}).Session(Target{Base: "http://127.0.0.1:1"})
	session.Probe(t.Context(), release.Check{Name: "give", Path: "/", Captures: []release.Capture{{Name: "id", From: "json", Value: "$.id"}}})
	if got := session.Probe(t.Context(), release.Check{Name: "next", Path: "/${id}"}); got.Stage != release.StageConnect {
		t.Errorf("got %+v, want the stage of the connection", got)
	}
}

// TestWhatAServerGivesStaysOnItsHost: a captured path may lead nowhere else, and a captured header breaks no request.
func TestWhatAServerGivesStaysOnItsHost(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"http://169.254.169.254/latest": "is not a URL of the host",
		"//evil.example/x":              "starts with //",
		"http://u:p@127.0.0.1/":         "is not a URL of the host",
		"evil":                          "does not start with /",
	} {
		base := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Next", value) })
		session := New(Options{}).Session(Target{Base: base})
		session.Probe(t.Context(), release.Check{Name: "give", Path: "/", Captures: []release.Capture{{Name: "next", From: "header", Value: "X-Next"}}})
		if got := session.Probe(t.Context(), release.Check{Name: "next", Path: "${next}"}); got.Stage != release.StageCheck || !strings.Contains(fmt.Sprint(got.Wrong), want) {
			t.Errorf("%s: got %+v, want %s", value, got, want)
		}
	}
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a": "b\r\nX-Evil: 1"}`) })
	session := New(Options{}).Session(Target{Base: base})
	session.Probe(t.Context(), release.Check{Name: "give", Path: "/", Captures: []release.Capture{{Name: "a", From: "json", Value: "$.a"}}})
	if got := session.Probe(t.Context(), release.Check{Name: "next", Path: "/", Headers: map[string]string{"X-A": "${a}"}}); got.Stage != release.StageCheck || !strings.Contains(fmt.Sprint(got.Wrong), "header") {
		t.Errorf("a line end in a header: %+v", got)
	}
}

func TestRedirectsAndLocations(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/old":
			http.Redirect(w, r, "/new?a=1", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "https://login.example.com/?next=%2F", http.StatusFound)
		case "/nowhere":
			w.WriteHeader(http.StatusFound)
		}
	})
	for name, test := range map[string]struct {
		check release.Check
		wrong string
	}{
		"followed":                {release.Check{Path: "/old", Location: "/new?a=1"}, ""},
		"followed elsewhere":      {release.Check{Path: "/old", Location: "/new"}, `location: expected "/new", got "` + base + `/new?a=1"`},
		"not followed":            {release.Check{Path: "/old", Status: 302, Location: "/new?a=1"}, ""},
		"forbidden":               {release.Check{Path: "/old", NoRedirects: true}, "status: expected 200, got 302"},
		"to another host":         {release.Check{Path: "/away", Status: 302, Location: "https://login.example.com/?next=%2F"}, ""},
		"a path of another host":  {release.Check{Path: "/away", Status: 302, Location: "/?next=%2F"}, "location: expected"},
		"without a Location":      {release.Check{Path: "/nowhere", Status: 302, Location: "/"}, "got no Location header"},
		"no redirect, same place": {release.Check{Path: "/x", Location: "/x"}, ""},
	} {
		got := New(Options{}).Probe(t.Context(), Target{Base: base}, test.check)
		if got.OK() != (test.wrong == "") || !strings.Contains(fmt.Sprint(got.Wrong), test.wrong) {
			t.Errorf("%s: got %s %q, want %q", name, got.Stage, got.Wrong, test.wrong)
		}
	}
}

func TestCertificatesAndBodies(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	left := int(time.Until(server.Certificate().NotAfter).Hours() / 24)
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	for name, test := range map[string]struct {
		base  string
		check release.Check
		wrong string
	}{
		"valid for long":    {server.URL, release.Check{Path: "/", CertificateDays: 14}, ""},
		"not for that long": {server.URL, release.Check{Path: "/", CertificateDays: left + 1}, fmt.Sprintf("certificate: expected to be valid for %d more days, got", left+1)},
		"no TLS":            {plain, release.Check{Path: "/", CertificateDays: 1}, "certificate: expected one, got a response without TLS"},
		"the body's digest": {plain, release.Check{Path: "/", BodyDigest: digestOf(t, "hello")}, ""},
		"another digest":    {plain, release.Check{Path: "/", BodyDigest: digestOf(t, "other")}, "of 5 bytes"},
		"a gRPC service's":  {server.URL, release.Check{Kind: release.CheckGRPC, CertificateDays: 1}, ""},
	} {
		got := New(Options{RootCAs: roots}).Probe(t.Context(), Target{Base: test.base}, test.check)
		if test.check.Kind == release.CheckGRPC { // this server speaks HTTP/1.1 only
			if got.OK() {
				t.Errorf("%s: got %+v", name, got)
			}
			continue
		}
		if got.OK() != (test.wrong == "") || !strings.Contains(fmt.Sprint(got.Wrong), test.wrong) {
			t.Errorf("%s: got %s %q, want %q", name, got.Stage, got.Wrong, test.wrong)
		}
	}
	short := New(Options{MaxBody: 3}).Probe(t.Context(), Target{Base: plain}, release.Check{Path: "/", BodyDigest: digestOf(t, "hel")})
	if short.OK() || !strings.Contains(fmt.Sprint(short.Wrong), "is not read whole") {
		t.Errorf("a body that is longer than what is read: %+v", short)
	}
	expired := &url.Error{Op: "Get", URL: server.URL, Err: x509.CertificateInvalidError{Cert: server.Certificate(), Reason: x509.Expired}}
	if stage, wrong := New(Options{}).describeFailure(t.Context(), &url.URL{Host: "shop.example"}, release.StageTLS, expired, release.Check{CertificateDays: 1}); stage != release.StageCheck {
		t.Errorf("an expired certificate is %s, %v", stage, wrong)
	}
	if stage, _ := New(Options{}).describeFailure(t.Context(), &url.URL{Host: "shop.example"}, release.StageTLS, expired, release.Check{}); stage != release.StageTLS {
		t.Errorf("without a limit, an expired certificate is %s", stage)
	}
}
