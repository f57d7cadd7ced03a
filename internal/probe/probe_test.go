package probe

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onedigest/onedigest/internal/release"
)

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestProbePassesWhatIsExpected(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.RequestURI() != "/shop/orders?n=1" || string(body) != "{}" ||
			r.Header.Get("Accept") != "application/json" || r.Host != "shop.example" || r.UserAgent() != "tester" {
			t.Errorf("the request is %s %s %s %q %v", r.Method, r.Host, r.URL, body, r.Header)
		}
		w.Header().Set("X-Release", "abc")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"name":"shop","replicas":2,"ratio":0.5,"on":true,"owner":null,"big":18446744073709551615,`+
			`"tags":["a","a"],"limits":{"cpu":"500m","n":[1,2.0]},"huge":1e999999999}`)
	})
	check := release.Check{Name: "order", Path: "/orders?n=1", Method: "POST", Body: "{}", Status: 201,
		Headers:      map[string]string{"Accept": "application/json", "host": "shop.example"},
		Header:       map[string]string{"content-type": "application/json"},
		BodyContains: []string{`"shop"`}, BodyNotContains: []string{"error", "panic"}, BodyRegex: `"replicas":\s*\d`, MaxLatency: time.Minute,
		JSON: map[string]any{"$.name": "shop", "$.replicas": 2.0, "$.ratio": 0.5, "$.on": true, "$.owner": nil,
			"$.big": uint64(18446744073709551615), "$.tags[*]": "a", "$.tags": []any{"a", "a"},
			"$.limits": map[string]any{"cpu": "500m", "n": []any{1, 2}}},
		JSONType: map[string]string{"$": "object", "$.tags": "array", "$.owner": "null", "$.huge": "number"},
	}
	got := New(Options{UserAgent: "tester", CommitHeader: "X-Release"}).Probe(t.Context(), Target{Base: base + "/shop/"}, check)
	if !got.OK() || got.Status != 201 || got.Commit != "abc" || got.Check != "order" || got.URL != base+"/shop/orders?n=1" {
		t.Errorf("answer %+v", got)
	}
	if got.Latency <= 0 || got.Spent[release.StageHTTP] <= 0 || got.Spent[release.StageConnect] <= 0 || len(got.Body) == 0 {
		t.Errorf("latency %v, spent %v, %d bytes of body", got.Latency, got.Spent, len(got.Body))
	}
}

func TestProbeListsEveryExpectationThatIsNotMet(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Mode", "::warning::old")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"n":"3","list":[1,2],"o":{"a":1},"f":0.1}`)
	})
	check := release.Check{Path: "/", Header: map[string]string{"X-Mode": "new", "X-Gone": "1"},
		BodyContains: []string{"ready", `"n"`}, BodyNotContains: []string{"ready", `"list"`}, BodyRegex: `^\[`, MaxLatency: 1,
		JSON:     map[string]any{"$.n": 3, "$.list[*]": 1, "$.o": map[string]any{"a": 2}, "$.no": nil, "$.f": 0.2},
		JSONType: map[string]string{"$": "array", "$.n": "string"}}
	got := New(Options{}).Probe(t.Context(), Target{Base: base}, check)
	const body = `"{"n":"3","list":[1,2],"o":{"a":1},"f":0.1}"`
	want := []string{
		`status: expected 200, got 503 with body ` + body,
		`header X-Gone: expected "1", got none`,
		`header X-Mode: expected "new", got ":\:warning::old"`,
		`body: expected to contain "ready", got ` + body,
		`body: expected not to contain ""list"", got ` + body,
		`body: expected to match "^\[", got ` + body,
		`json $.f: expected 0.2, got 0.1`,
		`json $.list[*]: expected 1, got 2`,
		`json $.n: expected 3, got "3"`,
		`json $.no: expected null, got nothing there`,
		`json $.o: expected {"a":2}, got {"a":1}`,
		`json $: expected a value of type array, got {"n":"3","list":[1,2],"o":{"a":1},"f":0.1}`,
	}
	wrong := got.Wrong
	for i := range wrong {
		wrong[i] = strings.Replace(wrong[i], `{"f":0.1,"list":[1,2],"n":"3","o":{"a":1}}`, `{"n":"3","list":[1,2],"o":{"a":1},"f":0.1}`, 1)
	}
	if len(wrong) == 0 || !strings.HasPrefix(wrong[len(wrong)-1], "latency: expected at most 1ns, took ") {
		t.Fatalf("the latency is missing in %q", wrong)
	}
	if diff := cmp.Diff(want, wrong[:len(wrong)-1]); diff != "" {
		t.Errorf("wrong (-want +got):\n%s", diff)
	}
	if got.Stage != release.StageCheck || got.OK() || got.Status != 503 {
		t.Errorf("stage %q, status %d", got.Stage, got.Status)
	}
}

func TestProbeReportsABodyThatIsNotJSON(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]string{"page": "<html>\x1b[2J\n##[error]no</html>", "nothing": "", "two": "{} {}"} {
		base := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, page) })
		got := New(Options{}).Probe(t.Context(), Target{Base: base}, sampleChecks(t)[1])
		if got.Stage != release.StageCheck || len(got.Wrong) != 2 || !strings.HasPrefix(got.Wrong[0], "body: expected JSON, got ") ||
			strings.ContainsAny(got.Wrong[0], "\x1b\n") || strings.Contains(got.Wrong[0], "##[") {
			t.Errorf("%s: %s %q", name, got.Stage, got.Wrong)
		}
	}
}

func TestDefaultChecksExpectBodies(t *testing.T) {
	t.Parallel()
	var home, configs atomic.Value
	home.Store("hello")
	configs.Store(`{"a":1}`)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			fmt.Fprint(w, home.Load())
		} else {
			fmt.Fprint(w, configs.Load())
		}
	})
	prober, checks := New(Options{}), sampleChecks(t)
	for i, check := range checks {
		if got := prober.Probe(t.Context(), Target{Base: base}, check); !got.OK() {
			t.Errorf("check %d: %v", i, got.Wrong)
		}
	}
	home.Store(" \n")
	configs.Store(`[]`)
	for i, check := range checks {
		if got := prober.Probe(t.Context(), Target{Base: base}, check); got.OK() {
			t.Errorf("check %d passed on %q", i, got.Body)
		}
	}
}

func TestProbeReportsTheStage(t *testing.T) {
	t.Parallel()
	names := resolver(t, nil)
	patient, impatient := New(Options{Timeout: time.Minute, Resolver: names}), New(Options{Timeout: time.Second})
	closed := listen(t, nil)
	hangs := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	breaks := listen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
	})
	floods := listen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 200)+"\r\n")
	})
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs each handshake that we break off
	secure.StartTLS()
	t.Cleanup(secure.Close)

	for name, test := range map[string]struct {
		base  string
		stage release.Stage
		want  string
	}{
		"unknown name":     {"http://gone.test", release.StageDNS, `resolving "gone.test": no such host`},
		"nobody listens":   {"http://" + closed, release.StageConnect, "connection refused"},
		"no TLS there":     {"https://" + hangs, release.StageTLS, "no answer within 1 second"},
		"unknown issuer":   {secure.URL, release.StageTLS, "certificate signed by unknown authority"},
		"silent server":    {"http://" + hangs, release.StageHTTP, "no answer within 1 second"},
		"broken body":      {"http://" + breaks, release.StageHTTP, "the connection ended before the response was complete"},
		"flood of headers": {"http://" + floods, release.StageHTTP, "server response headers exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prober := patient
			if strings.HasPrefix(test.want, "no answer within") {
				prober = impatient
			}
			got := prober.Probe(t.Context(), Target{Base: test.base}, release.Check{Path: "/"})
			if got.Stage != test.stage || len(got.Wrong) != 1 || !strings.Contains(got.Wrong[0], test.want) {
				t.Errorf("stage %s, wrong %q; want %s, %q", got.Stage, got.Wrong, test.stage, test.want)
			}
			if got.Latency <= 0 {
				t.Error("no latency")
			}
		})
	}
}

func TestProbeOverTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hi") }))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	got := New(Options{RootCAs: roots}).Probe(t.Context(), Target{Base: server.URL}, release.Check{Path: "/"})
	if !got.OK() || got.Spent[release.StageTLS] <= 0 {
		t.Errorf("answer %+v", got)
	}
}

func TestProbeStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	got := New(Options{}).Probe(ctx, Target{Base: base}, release.Check{Path: "/"})
	if got.Stage != release.StageHTTP || len(got.Wrong) != 1 || !strings.Contains(got.Wrong[0], "stopped before the response was complete") {
		t.Errorf("%s %q", got.Stage, got.Wrong)
	}
}

// R10: the name does not resolve at first; then the old commit answers among the new. Every probe must resolve and connect
// again.
func TestProbeResolvesAndConnectsEachTime(t *testing.T) {
	t.Parallel()
	var connections, turn atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Commit", []string{"old", "new"}[turn.Add(1)%2])
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)

	names := &names{}
	prober := New(Options{Resolver: resolver(t, names)})
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	base := "http://shop.test:" + port
	if got := prober.Probe(t.Context(), Target{Base: base}, release.Check{Path: "/"}); got.Stage != release.StageDNS || !got.Stage.Inconclusive() {
		t.Fatalf("stage %s before the name is there", got.Stage)
	}
	names.set("shop.test.", "127.0.0.1")
	var commits []string
	for range 4 {
		got := prober.Probe(t.Context(), Target{Base: base}, release.Check{Path: "/"})
		if !got.OK() || got.Spent[release.StageDNS] <= 0 {
			t.Fatalf("answer %+v", got)
		}
		commits = append(commits, got.Commit)
	}
	if diff := cmp.Diff([]string{"new", "old", "new", "old"}, commits); diff != "" {
		t.Errorf("commits (-want +got):\n%s", diff)
	}
	if connections.Load() != 4 {
		t.Errorf("%d connections for 4 probes", connections.Load())
	}
}

func TestProbeNeverDialsMetadata(t *testing.T) {
	t.Parallel()
	names := &names{}
	names.set("metadata.test.", "169.254.169.254")
	names.set("mapped.test.", "::ffff:169.254.170.2")
	names.set("v6.test.", "fd00:ec2::254")
	prober := New(Options{Timeout: 5 * time.Second, Resolver: resolver(t, names)})
	for _, base := range []string{"http://metadata.test", "http://mapped.test", "https://v6.test", "http://169.254.169.254",
		"http://[fd00:ec2::254]", "http://[::ffff:a9fe:a9fe]", "http://[fe80::1%25lo]", "http://0.0.0.0:1", "http://[::]:1",
		"http://224.0.0.1", "http://255.255.255.255", "http://[64:ff9b::a9fe:a9fe]", "http://[2002:a9fe:a9fe::1]",
		"http://168.63.129.16", "http://[::a9fe:a9fe]", "http://[::ffff:0:a9fe:a9fe]", "http://[64:ff9b:1::a9fe:a9fe]", "http://100.100.100.200"} {
		got := prober.Probe(t.Context(), Target{Base: base}, release.Check{Path: "/latest/meta-data/"})
		if got.Stage != release.StageCheck || len(got.Wrong) != 1 || !strings.Contains(got.Wrong[0], "is blocked") {
			t.Errorf("%s: stage %s, %q", base, got.Stage, got.Wrong)
		}
	}
}

func TestProbeBlocksRedirects(t *testing.T) {
	t.Parallel()
	var leaked atomic.Int64
	other := serve(t, func(w http.ResponseWriter, r *http.Request) { leaked.Add(1) })
	var location atomic.Value
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", location.Load().(string))
		w.WriteHeader(http.StatusFound)
	})
	check := release.Check{Path: "/", Headers: map[string]string{"Authorization": "Bearer secret"}}
	for to, want := range map[string]string{
		other + "/steal":                          "a redirect may not go to another port",
		"http://169.254.169.254/latest":           "a redirect may not leave the host",
		"http://user:hush@evil.test/":             "a redirect may not leave the host",
		"//evil.test/":                            "a redirect may not leave the host",
		"file:///etc/passwd":                      "a redirect may only lead to http or https",
		"gopher://127.0.0.1:1/":                   "a redirect may only lead to http or https",
		"/again":                                  "more than 3 redirects",
		strings.Replace(base, "http:", "ftp:", 1): "a redirect may only lead to http or https",
	} {
		location.Store(to)
		got := New(Options{}).Probe(t.Context(), Target{Base: base}, check)
		text := strings.Join(got.Wrong, "\n")
		if got.Stage != release.StageCheck || got.Status != 302 || !strings.Contains(text, want) {
			t.Errorf("to %s: stage %s, status %d, %q", to, got.Stage, got.Status, text)
		}
		if strings.Contains(text, "secret") || strings.Contains(text, "hush") {
			t.Errorf("to %s: a secret is shown: %q", to, text)
		}
	}
	if leaked.Load() != 0 {
		t.Errorf("the other host got %d requests", leaked.Load())
	}
}

// TestProbeFollowsToTheNamedHost: a service that redirects to the host of the Host header is asked at the same address again.
func TestProbeFollowsToTheNamedHost(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/admin" {
			w.Header().Set("Location", "http://"+r.Host+"/admin/")
			w.WriteHeader(http.StatusMovedPermanently)
			return
		}
		fmt.Fprint(w, r.URL.Path, " of ", r.Host)
	})
	for host, want := range map[string]string{"shop.example.com": "/admin/ of shop.example.com", "shop.example.com:8080": "/admin/ of shop.example.com:8080"} {
		check := release.Check{Path: "/admin", Headers: map[string]string{"Host": host}, BodyContains: []string{want}}
		if got := New(Options{}).Probe(t.Context(), Target{Base: base}, check); !got.OK() {
			t.Errorf("%s: %s %q", host, got.Stage, got.Wrong)
		}
	}
}

func TestProbeFollowsOnItsHost(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/home", http.StatusFound)
			return
		}
		fmt.Fprint(w, r.URL.Path, r.Header.Get("Authorization"))
	})
	check := release.Check{Path: "/", Headers: map[string]string{"Authorization": "token"}, BodyContains: []string{"/hometoken"}}
	if got := New(Options{}).Probe(t.Context(), Target{Base: base}, check); !got.OK() {
		t.Errorf("%s %q", got.Stage, got.Wrong)
	}
	itself := release.Check{Path: "/", Status: 302, Header: map[string]string{"Location": "/home"}}
	if got := New(Options{}).Probe(t.Context(), Target{Base: base}, itself); !got.OK() || got.Status != 302 {
		t.Errorf("%s %d %q", got.Stage, got.Status, got.Wrong)
	}
}

func TestProbeLimitsBodies(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	packer := gzip.NewWriter(&bomb)
	for range 64 {
		_, _ = packer.Write(make([]byte, 1<<20))
	}
	_ = packer.Close()
	pack := func(text string) []byte {
		var b bytes.Buffer
		packer := gzip.NewWriter(&b)
		_, _ = io.WriteString(packer, text)
		_ = packer.Close()
		return b.Bytes()
	}
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			_, _ = io.WriteString(w, "start"+strings.Repeat("x", 3<<20)+"end")
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		case "/drips":
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		case "/packed":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(pack(`{"a":1}`))
		case "/forged":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "not gzip, although the header says gzip")
		case "/brotli":
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "x")
		}
	})
	for name, test := range map[string]struct {
		check release.Check
		stage release.Stage
		size  int
		want  string
	}{
		"found at the start":       {release.Check{Path: "/long", BodyContains: []string{"start"}}, release.StageDone, DefaultMaxBody, ""},
		"absent from what is read": {release.Check{Path: "/long", BodyNotContains: []string{"absent"}}, release.StageCheck, DefaultMaxBody, `not to contain "absent"`},
		"beyond the limit":         {release.Check{Path: "/long", BodyContains: []string{"end"}}, release.StageCheck, DefaultMaxBody, "of a longer body"},
		"endless":                  {release.Check{Path: "/endless"}, release.StageDone, DefaultMaxBody, ""},
		"drips":                    {release.Check{Path: "/drips"}, release.StageHTTP, 0, "no answer within 1 second"},
		"bomb":                     {release.Check{Path: "/bomb", JSONType: map[string]string{"$": "object"}}, release.StageCheck, DefaultMaxBody, "got a body of more than 1048576 bytes, which is not read whole"},
		"packed":                   {release.Check{Path: "/packed", JSON: map[string]any{"$.a": 1}}, release.StageDone, 7, ""},
		"forged":                   {release.Check{Path: "/forged"}, release.StageCheck, 0, "gzip that cannot be read"},
		"brotli":                   {release.Check{Path: "/brotli"}, release.StageCheck, 0, `got "br"`},
		"HEAD":                     {release.Check{Path: "/packed", Method: "HEAD"}, release.StageDone, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := time.Minute
			if test.stage == release.StageHTTP {
				timeout = time.Second
			}
			got := New(Options{Timeout: timeout}).Probe(t.Context(), Target{Base: base}, test.check)
			if got.Stage != test.stage || len(got.Body) != test.size || !strings.Contains(strings.Join(got.Wrong, "\n"), test.want) {
				t.Errorf("stage %s, %d bytes, %q", got.Stage, len(got.Body), got.Wrong)
			}
			for _, wrong := range got.Wrong {
				if len([]rune(wrong)) > 3*maxExcerpt {
					t.Errorf("%d characters shown: %q", len([]rune(wrong)), wrong)
				}
			}
		})
	}
}

func TestProbeRefusesBadChecks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		base  string
		check release.Check
		want  string
	}{
		{"127.0.0.1:80", release.Check{Path: "/"}, "has no scheme"},
		{"ftp://127.0.0.1", release.Check{Path: "/"}, `scheme "ftp" is not supported`},
		{"http://127.0.0.1", release.Check{Path: "@evil.test/"}, "does not start with /"},
		{"http://127.0.0.1", release.Check{Path: "//evil.test/"}, "names another host"},
		{"http://127.0.0.1", release.Check{Path: "/", BodyRegex: "("}, "is not a regular expression"},
		{"http://127.0.0.1", release.Check{Path: "/", JSON: map[string]any{"x": 1}}, "is not a JSONPath"},
		{"http://127.0.0.1:1", release.Check{Path: "/", Headers: map[string]string{"A": "b\r\nC: d"}}, "header A has a control character in its value"},
		{"http://127.0.0.1", release.Check{Path: "/", Method: "GET / HTTP/1.1"}, "invalid method"},
	} {
		got := New(Options{}).Probe(t.Context(), Target{Base: test.base}, test.check)
		if got.OK() || len(got.Wrong) != 1 || !strings.Contains(got.Wrong[0], test.want) {
			t.Errorf("%+v: %s %q, want %q", test.check, got.Stage, got.Wrong, test.want)
		}
	}
}

func TestParseBase(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://127.0.0.1:8080":     "http://127.0.0.1:8080",
		"HTTPS://Shop.example/app/": "https://Shop.example/app",
		"http://[::1]:80/":          "http://[::1]:80",
	} {
		if got, err := ParseBase(text); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                             "has no scheme",
		"shop.example":                 "has no scheme",
		"localhost:8080":               "has no scheme",
		"127.0.0.1:80":                 "has no scheme",
		"javascript:alert(1)":          "has no scheme",
		"file:///etc/passwd":           `scheme "file" is not supported`,
		"file:/etc/passwd":             `scheme "file" is not supported`,
		"http://":                      "names no host",
		"http://:80":                   "names no host",
		"http://u:hush@shop.example":   `"http://xxxxx@shop.example" carries credentials`,
		"http://u:hu%zzsh@shop":        "is not a URL",
		"http://shop.example/?a=b":     "carries a query",
		"http://shop.example/#x":       "carries a query or fragment",
		"http://169.254.169.254/":      "is blocked",
		"http://shop.example\n::x::":   "is not a URL",
		"http://$(id)/":                "is not the name or address of a host",
		"http://[fd00:ec2::254]/":      "is blocked",
		"http://shop.example:99999999": "",
	} {
		got, err := ParseBase(text)
		if want == "" {
			continue // the dialer says what is wrong with the port
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		} else if strings.Contains(err.Error(), "hush") || strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%q: the error shows too much: %q", text, err)
		}
	}
}

func TestAllowRedirect(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		from, to string
		want     bool
	}{
		{"http://shop/", "http://SHOP:80/a", true},
		{"http://shop/", "https://shop/", true},
		{"http://shop:8080/", "https://shop/", true},
		{"https://shop/", "http://shop/", false},
		{"http://shop/", "https://shop:8443/", false},
		{"http://shop/", "http://shop.evil.test/", false},
		{"http://shop:8080/", "http://shop:8081/", false},
	} {
		from, err := parseBase(test.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := parseBase(test.to)
		if err != nil {
			t.Fatal(err)
		}
		err = allowRedirect(from, to)
		var blocked *blockedError
		if got := err == nil; got != test.want || !got && !errors.As(err, &blocked) {
			t.Errorf("%s to %s: %v", test.from, test.to, err)
		}
	}
}

func TestExcerptMakesCommandsInert(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain: text":                  "plain: text",
		"::set-output name=a::b":       `:\:set-output name=a::b`,
		"a\r\n::stop-commands::x":      `a :\:stop-commands::x`,
		"##[add-mask]x ###[y] #[z]":    `##\[add-mask]x ###\[y] #[z]`,
		":\u3164:x #\u0301#[y]":        ":\\:x #\u0301#\\[y]",
		"#\ufe0f#\ufe0f[add-mask]":     "#\ufe0f#\ufe0f\\[add-mask]",
		"\x1b[31m\x00\u200b\u202ered":  "red",
		"\xff\xfe":                     "\ufffd\ufffd",
		strings.Repeat("ä", 300):       strings.Repeat("ä", 98) + "…",
		"tab\there\u2028next\u0085end": "tab here next end",
	} {
		if got := excerpt(text); got != want {
			t.Errorf("excerpt(%q) = %q, want %q", text, got, want)
		}
	}
}

// listen serves each connection once with talk; nil: the address is free again, and refuses.
func listen(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if talk == nil {
		_ = listener.Close()
		return address
	}
	var running sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); running.Wait() })
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { defer conn.Close(); talk(conn) })
		}
	})
	return address
}

// TestProbeAsksNoCache, and says how long a response was in one.
func TestProbeAsksNoCache(t *testing.T) {
	t.Parallel()
	for age, want := range map[string]time.Duration{"120": 2 * time.Minute, "": 0, "0": 0, "soon": 0, "-1": 0, "99999999999": 0} {
		asked := ""
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.Header.Get("Cache-Control")
			if age != "" {
				w.Header().Set("Age", age)
			}
		}))
		answer := New(Options{}).Probe(t.Context(), Target{Base: server.URL}, release.Check{Path: "/", Status: 200})
		server.Close()
		if !answer.OK() || answer.CachedFor != want || asked != "no-cache" {
			t.Errorf("age %q: got %+v, asked with %q", age, answer, asked)
		}
	}
}
