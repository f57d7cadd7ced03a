package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// gate is an API server that knows its tokens, and whoever gives them out: both read one clock, which stands still until
// it is moved.
type gate struct {
	t     *testing.T
	web   *httptest.Server
	inner http.HandlerFunc

	mu      sync.Mutex
	now     time.Time
	given   int
	ends    map[string]time.Time // when the server stops taking a token
	early   time.Duration        // by which that is before what the client is told
	broken  error                // of giving out
	refused int
	seen    []string // bodies of requests let in
}

const gateLife = 14 * time.Minute

func newGate(t *testing.T, inner http.HandlerFunc) *gate {
	t.Helper()
	g := &gate{t: t, inner: inner, now: time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC), ends: map[string]time.Time{}}
	g.web = httptest.NewTLSServer(g)
	t.Cleanup(func() {
		g.web.CloseClientConnections()
		g.web.Close()
	})
	return g
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	ends, known := g.ends[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	good := known && g.now.Before(ends)
	if good {
		g.seen = append(g.seen, string(body))
	} else {
		g.refused++
	}
	g.mu.Unlock()
	if !good {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`)
		return
	}
	g.inner(w, r)
}

func (g *gate) token(context.Context) (string, time.Time, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken != nil {
		return "", time.Time{}, g.broken
	}
	g.given++
	token := fmt.Sprintf("token-%d", g.given)
	g.ends[token] = g.now.Add(gateLife - g.early)
	return token, g.now.Add(gateLife), nil
}

func (g *gate) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *gate) pass(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = g.now.Add(d)
}

// revoke ends every token at the server; the client is not told.
func (g *gate) revoke() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ends = map[string]time.Time{}
}

// want holds the gate to what it has seen: tokens given out and requests refused.
func (g *gate) want(given, refused int) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.given != given || g.refused != refused {
		g.t.Errorf("gave %d tokens and refused %d requests, want %d and %d", g.given, g.refused, given, refused)
	}
}

func (g *gate) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.web.Certificate().Raw})
}

// config is Bearer's, on the gate's clock.
func (g *gate) config() *rest.Config { return g.configTo(g.web.URL, g.authority()) }

func (g *gate) configTo(endpoint string, authority []byte) *rest.Config {
	config := Bearer(endpoint, authority, g.token)
	wrap := config.WrapTransport
	config.WrapTransport = func(base http.RoundTripper) http.RoundTripper {
		made := wrap(base).(*bearerTransport)
		made.tokens.now = g.clock
		return made
	}
	return config
}

func (g *gate) client() *http.Client {
	g.t.Helper()
	client, err := rest.HTTPClientFor(g.config())
	if err != nil {
		g.t.Fatal(err)
	}
	return client
}

func (g *gate) ask(client *http.Client, method string, body io.Reader) (int, error) {
	request, err := http.NewRequestWithContext(g.t.Context(), method, g.web.URL+"/x", body)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func (g *gate) mustAsk(client *http.Client, method string, body io.Reader, want int) {
	g.t.Helper()
	if got, err := g.ask(client, method, body); err != nil || got != want {
		g.t.Errorf("got %d, %v, want %d", got, err, want)
	}
}

func welcome(http.ResponseWriter, *http.Request) {}

// otherAuthority is a certificate that vouches for nobody here.
func otherAuthority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "other"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// events are namespaces that come into being, ns-1 in version 1 and so on, as a watch tells of them.
type events struct {
	mu    sync.Mutex
	turn  *sync.Cond
	count int
	round int // of watches: a cut begins another
}

func newEvents() *events {
	e := &events{}
	e.turn = sync.NewCond(&e.mu)
	return e
}

func (e *events) add() {
	e.mu.Lock()
	e.count++
	e.mu.Unlock()
	e.turn.Broadcast()
}

func (e *events) cut() {
	e.mu.Lock()
	e.round++
	e.mu.Unlock()
	e.turn.Broadcast()
}

func (e *events) serve(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil || r.URL.Query().Get("watch") != "true" {
		http.Error(w, "this is a watch", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	e.mu.Lock()
	defer e.mu.Unlock()
	for round := e.round; round == e.round; e.turn.Wait() {
		for ; after < e.count; after++ {
			_, _ = fmt.Fprintf(w, `{"type":"ADDED","object":{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"ns-%d","resourceVersion":"%d"}}}`, after+1, after+1)
			_ = http.NewResponseController(w).Flush()
		}
	}
}
