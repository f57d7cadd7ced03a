package kubeconfig

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

// tokenServer is an API server and the source of its tokens. Both use one clock, which stands still until
// advance moves it.
type tokenServer struct {
	t     *testing.T
	web   *httptest.Server
	inner http.HandlerFunc

	mu       sync.Mutex
	now      time.Time
	issued   int
	accepted map[string]time.Time // token to the time until which the server accepts it
	early    time.Duration        // by which the server stops to accept a token before the time that the client is given
	issueErr error                // of issuing a token
	refused  int
	bodies   []string // of accepted requests
}

const tokenLife = 14 * time.Minute

func newTokenServer(t *testing.T, inner http.HandlerFunc) *tokenServer {
	t.Helper()
	g := &tokenServer{t: t, inner: inner, now: time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC), accepted: map[string]time.Time{}}
	g.web = httptest.NewTLSServer(g)
	t.Cleanup(func() {
		g.web.CloseClientConnections()
		g.web.Close()
	})
	return g
}

func (g *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	ends, known := g.accepted[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	good := known && g.now.Before(ends)
	if good {
		g.bodies = append(g.bodies, string(body))
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

func (g *tokenServer) token(context.Context) (string, time.Time, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.issueErr != nil {
		return "", time.Time{}, g.issueErr
	}
	g.issued++
	token := fmt.Sprintf("token-%d", g.issued)
	g.accepted[token] = g.now.Add(tokenLife - g.early)
	return token, g.now.Add(tokenLife), nil
}

func (g *tokenServer) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *tokenServer) advance(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = g.now.Add(d)
}

// revoke makes the server refuse every token issued so far.
func (g *tokenServer) revoke() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.accepted = map[string]time.Time{}
}

// wantCounts checks the number of tokens issued and of requests refused.
func (g *tokenServer) wantCounts(issued, refused int) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.issued != issued || g.refused != refused {
		g.t.Errorf("issued %d tokens and refused %d requests, want %d and %d", g.issued, g.refused, issued, refused)
	}
}

func (g *tokenServer) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.web.Certificate().Raw})
}

// config is that of Bearer, on the server's clock.
func (g *tokenServer) config() *rest.Config { return g.configTo(g.web.URL, g.authority()) }

func (g *tokenServer) configTo(endpoint string, authority []byte) *rest.Config {
	config := Bearer(endpoint, authority, g.token)
	wrap := config.WrapTransport
	config.WrapTransport = func(base http.RoundTripper) http.RoundTripper {
		made := wrap(base).(*bearerTransport)
		made.tokens.now = g.clock
		return made
	}
	return config
}

func (g *tokenServer) client() *http.Client {
	g.t.Helper()
	client, err := rest.HTTPClientFor(g.config())
	if err != nil {
		g.t.Fatal(err)
	}
	return client
}

func (g *tokenServer) send(client *http.Client, method string, body io.Reader) (int, error) {
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

func (g *tokenServer) mustSend(client *http.Client, method string, body io.Reader, want int) {
	g.t.Helper()
	if got, err := g.send(client, method, body); err != nil || got != want {
		g.t.Errorf("got %d, %v, want %d", got, err, want)
	}
}

func acceptAll(http.ResponseWriter, *http.Request) {}

// otherAuthority is the certificate of an authority that has signed no server's.
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

// namespaceWatch serves a watch of namespaces that are created one by one: ns-1 in version 1 and so on.
type namespaceWatch struct {
	mu      sync.Mutex
	changed *sync.Cond
	count   int
	round   int // of watches: a cut begins another
}

func newNamespaceWatch() *namespaceWatch {
	e := &namespaceWatch{}
	e.changed = sync.NewCond(&e.mu)
	return e
}

func (e *namespaceWatch) add() {
	e.mu.Lock()
	e.count++
	e.mu.Unlock()
	e.changed.Broadcast()
}

// drop ends all watches.
func (e *namespaceWatch) drop() {
	e.mu.Lock()
	e.round++
	e.mu.Unlock()
	e.changed.Broadcast()
}

func (e *namespaceWatch) serve(w http.ResponseWriter, r *http.Request) {
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
	for round := e.round; round == e.round; e.changed.Wait() {
		for ; after < e.count; after++ {
			_, _ = fmt.Fprintf(w, `{"type":"ADDED","object":{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"ns-%d","resourceVersion":"%d"}}}`, after+1, after+1)
			_ = http.NewResponseController(w).Flush()
		}
	}
}
