package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

// credentialSequence returns the next password at each call, and the number of calls.
func credentialSequence(passwords ...string) (Credentials, *atomic.Int32) {
	var asked atomic.Int32
	return func(context.Context, string) (string, string, error) {
		i := int(asked.Add(1)) - 1
		return "user", passwords[min(i, len(passwords)-1)], nil
	}, &asked
}

func TestPasswordIsSentWithTheFirstRequest(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	h.requested()
	tagged, found, err := c.Find(t.Context(), image.Repository, "one")
	if err != nil || !found || tagged.Digest != image.Digest {
		t.Fatalf("got %v, %t, %v", tagged, found, err)
	}
	if diff := cmp.Diff([]string{"GET /v2/shop/manifests/one"}, h.requested()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// R5: the credentials expire in the middle of a push.
func TestExpiredCredentialsAreRenewed(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]func(http.ResponseWriter, *http.Request){
		"401 with a challenge": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="hub"`)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "expired")
		},
		"403 in ECR's words": func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusForbidden, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
		},
	} {
		for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodPut} {
			t.Run(name+" on "+method, func(t *testing.T) {
				t.Parallel()
				h := newTestRegistry(t)
				h.setPassword("")
				var expired atomic.Bool
				h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == method {
						expired.Store(true)
					}
					wanted := "first"
					if expired.Load() {
						wanted = "second"
					}
					if _, password, _ := r.BasicAuth(); password == wanted {
						return false
					}
					_, _ = io.Copy(io.Discard, r.Body)
					refusal(w, r)
					return true
				})
				credentials, asked := credentialSequence("first", "second")
				var refused atomic.Int32
				c := New(Options{Credentials: credentials, Refused: func(string) { refused.Add(1) }})
				image := pushTo(t, c, randomImage(t, 4), h.repo("shop"), "one")
				if got := asked.Load(); got != 2 {
					t.Errorf("asked for credentials %d times, want 2", got)
				}
				if got := refused.Load(); got != 1 {
					t.Errorf("%d refusals were reported, want 1", got)
				}
				tagged, found, err := c.Find(t.Context(), image.Repository, "one")
				if err != nil || !found || tagged.Digest != image.Digest {
					t.Errorf("the tag names %v, %t, %v", tagged, found, err)
				}
			})
		}
	}
}

func TestCredentialsRefusedTwice(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	credentials, asked := credentialSequence("wrong", "wrong too")
	_, _, err := New(Options{Credentials: credentials}).Find(t.Context(), h.repo("shop"), "one")
	var fault *release.Fault
	if !errors.As(err, &fault) || fault.Side != "registry" || !strings.Contains(err.Error(), "log in to "+h.host()+" again") {
		t.Errorf("got %v", err)
	}
	if got := asked.Load(); got != 2 {
		t.Errorf("asked for credentials %d times, want 2", got)
	}
	if got := len(h.requested()); got != 2 {
		t.Errorf("made %d requests, want 2", got)
	}
}

func TestForbiddenHeadRenewsCredentialsOnce(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	h.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	credentials, asked := credentialSequence("first")
	c := New(Options{Credentials: credentials})
	for range 3 {
		_, err := c.Inspect(t.Context(), h.repo("shop"), release.DigestOf([]byte("x")), "one")
		if err == nil || !strings.Contains(err.Error(), "HTTP 403 Forbidden") || !strings.Contains(err.Error(), "allow these credentials") {
			t.Errorf("got %v", err)
		}
	}
	if got := asked.Load(); got != 2 {
		t.Errorf("asked for credentials %d times, want 2", got)
	}
	if got := len(h.requested()); got != 4 {
		t.Errorf("made %d requests, want 4", got)
	}
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	_, _, err := New(Options{}).Find(t.Context(), h.repo("shop"), "one")
	if err == nil || !strings.Contains(err.Error(), "there are no credentials for it") {
		t.Errorf("got %v", err)
	}
	h.setPassword("")
	if _, found, err := New(Options{}).Find(t.Context(), h.repo("shop"), "one"); err != nil || found {
		t.Errorf("got %t, %v", found, err)
	}
}

func TestCredentialsFail(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	cause := errors.New("vault is sealed")
	c := New(Options{Credentials: func(context.Context, string) (string, string, error) { return "", "", cause }})
	_, _, err := c.Find(t.Context(), h.repo("shop"), "one")
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "give credentials for "+h.host()) {
		t.Errorf("got %v", err)
	}
	own := &release.Fault{Side: "AWS", Err: cause, Do: "open the vault"}
	c = New(Options{Credentials: func(context.Context, string) (string, string, error) { return "", "", own }})
	if _, _, err = c.Find(t.Context(), h.repo("shop"), "one"); err == nil || err.Error() != own.Error() {
		t.Errorf("got %v, want %v", err, own)
	}
	if got := h.requested(); len(got) > 0 {
		t.Errorf("requests were made without credentials: %q", got)
	}
}

// A registry that wants tokens (ghcr.io, Docker Hub) gets ggcr's handshake, and a fresh token when one expires.
func TestBearer(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	h.setPassword("")
	var mu sync.Mutex
	issued, scopes := 0, []string{}
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/token" {
			if _, password, _ := r.BasicAuth(); password != "first" {
				refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "no")
				return true
			}
			issued++
			scopes = append(scopes, r.URL.Query()["scope"]...)
			_, _ = fmt.Fprintf(w, `{"token":"t%d"}`, issued)
			return true
		}
		if issued > 0 && r.Header.Get("Authorization") == fmt.Sprintf("Bearer t%d", issued) {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="hub"`, h.host()))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "get a token")
		return true
	})
	c := h.client()
	image := pushTo(t, c, randomImage(t, 2), h.repo("shop"), "one")
	tagged, found, err := c.Find(t.Context(), image.Repository, "one")
	if err != nil || !found || tagged.Digest != image.Digest {
		t.Errorf("got %v, %t, %v", tagged, found, err)
	}
	if diff := cmp.Diff([]string{"repository:shop:push,pull", "repository:shop:pull"}, scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
	wrong := New(Options{Credentials: staticPassword("wrong")})
	if _, _, err := wrong.Find(t.Context(), image.Repository, "one"); err == nil || !strings.Contains(err.Error(), "HTTP 401") {
		t.Errorf("got %v", err)
	}
}

// TestATokenThatEndsBeforeABody: a request with a body is sent again from the start with the next token, whatever was read of it.
func TestATokenThatEndsBeforeABody(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	h.setPassword("")
	var mu sync.Mutex
	issued, ended := 0, map[string]bool{}
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/token" {
			issued++
			_, _ = fmt.Fprintf(w, `{"token":"t%d"}`, issued)
			return true
		}
		request := r.Method + " " + r.URL.Path
		ends := (r.Method == http.MethodPatch || r.Method == http.MethodPut) && !ended[request]
		if ended[request] = true; !ends && strings.HasPrefix(r.Header.Get("Authorization"), "Bearer t") { // of any age: two blobs are sent at once
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="hub"`, h.host()))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "get a token")
		return true
	})
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	if tagged, found, err := c.Find(t.Context(), image.Repository, "one"); err != nil || !found || tagged.Digest != image.Digest {
		t.Errorf("got %v, %t, %v", tagged, found, err)
	}
}

// H8: credentials go to the registry only, wherever it redirects to.
func TestCredentialsAreNotSentToOtherHosts(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := unannotated(t)
	shop := pushTo(t, c, image, h.repo("shop"), "one")
	var requestsElsewhere atomic.Int32
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requestsElsewhere.Add(1)
		for _, name := range []string{"Authorization", "Cookie"} {
			if value := r.Header.Get(name); value != "" {
				t.Errorf("%s %q was sent to another host", name, value)
			}
		}
		config, err := image.RawConfigFile()
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(config)
	}))
	defer store.Close()
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		http.Redirect(w, r, store.URL+"/signed", http.StatusTemporaryRedirect)
		return true
	})
	if _, found, err := c.Find(t.Context(), shop.Repository, "one"); err != nil || !found {
		t.Errorf("got %t, %v", found, err)
	}
	if requestsElsewhere.Load() != 1 {
		t.Errorf("the store was asked %d times, want once", requestsElsewhere.Load())
	}
}

// H8: a registry that redirects without an end is asked four times.
func TestRedirectsEnd(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	shop := pushTo(t, c, unannotated(t), h.repo("shop"), "one")
	var requests atomic.Int32
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		http.Redirect(w, r, fmt.Sprintf("%s?again=%d", r.URL.Path, requests.Add(1)), http.StatusTemporaryRedirect)
		return true
	})
	if _, _, err := c.Find(t.Context(), shop.Repository, "one"); !strings.Contains(fmt.Sprint(err), "redirected more than three times") || requests.Load() != 4 {
		t.Errorf("got %v after %d requests", err, requests.Load())
	}
}

// H8: nothing is sent to an address inside the network, as that of the metadata service.
func TestRedirectsIntoTheNetworkAreRefused(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	shop := pushTo(t, c, unannotated(t), h.repo("shop"), "one")
	for _, target := range []string{"http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://100.64.0.1/", "http://[fe80::1]/", "http://0.0.0.0/", "http://[::ffff:169.254.169.254]/"} {
		h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			http.Redirect(w, r, target+"?signature=secret", http.StatusTemporaryRedirect)
			return true
		})
		_, _, err := c.Find(t.Context(), shop.Repository, "one")
		var blocked *blockedError
		if !errors.As(err, &blocked) || !strings.Contains(err.Error(), "nothing was sent there") {
			t.Errorf("%s: got %v", target, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the address's query: %v", target, err)
		}
	}
}

// H8: an upload may continue on another host, if a registry keeps its blobs in a cloud's store.
func TestUploadElsewhereCarriesNoCredentials(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	var requestsElsewhere atomic.Int32
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requestsElsewhere.Add(1)
		if value := r.Header.Get("Authorization"); value != "" {
			t.Errorf("Authorization %q was sent to another host", value)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Location", "/upload")
		w.WriteHeader(map[string]int{http.MethodPatch: http.StatusAccepted, http.MethodPut: http.StatusCreated}[r.Method])
	}))
	defer store.Close()
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		w.Header().Set("Location", store.URL+"/upload")
		w.WriteHeader(http.StatusAccepted)
		return true
	})
	if err := h.client().Push(t.Context(), writeLayout(t, randomImage(t, 1)), h.repo("shop"), "one", nil); err != nil {
		t.Fatal(err)
	}
	if requestsElsewhere.Load() != 4 {
		t.Errorf("the store was asked %d times, want 4 (two blobs)", requestsElsewhere.Load())
	}
}

// A Location may write out the port that the scheme implies: credentials go there as before, and no rule for other hosts applies.
func TestTheDefaultPortIsTheSameHost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		registry, target string
		same             bool
	}{
		{"registry.example", "https://registry.example:443/upload", true},
		{"registry.example", "https://Registry.Example/upload", true},
		{"registry.example:443", "https://registry.example/upload", true},
		{"registry.example:5000", "https://registry.example:5000/upload", true},
		{"127.0.0.1", "http://127.0.0.1:80/upload", true},
		{"registry.example", "https://registry.example:80/upload", false},
		{"registry.example", "https://registry.example:5000/upload", false},
		{"registry.example:5000", "https://registry.example/upload", false},
		{"registry.example", "https://registry.example.evil:443/upload", false},
	} {
		sent := make(chan *http.Request, 1)
		client := New(Options{Credentials: staticPassword("secret"), Transport: roundTrip(func(request *http.Request) (*http.Response, error) {
			sent <- request
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: request, Header: http.Header{}}, nil
		})})
		r, err := client.open(sideRegistry, release.Repository(test.registry+"/shop"), false)
		if err != nil {
			t.Fatal(err)
		}
		response, err := r.do(t.Context(), http.MethodPatch, test.target, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if _, _, carried := (<-sent).BasicAuth(); carried != test.same {
			t.Errorf("%s to %s: credentials sent: %t, want %t", test.registry, test.target, carried, test.same)
		}
		next, err := r.nextPage(r.url("referrers", "x"), http.Header{"Link": {"<" + test.target + `>; rel="next"`}})
		if (err == nil) != test.same {
			t.Errorf("%s: next page %s: got %q, %v", test.registry, test.target, next, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func TestCheckTarget(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		registry, target string
		allowed          bool
	}{
		{"registry.example", "https://store.example/x", true},
		{"registry.example", "http://store.example/x", false},
		{"registry.example", "https://127.0.0.1/x", false},
		{"registry.example", "https://localhost/x", false},
		{"registry.example", "https://a.localhost:8080/x", false},
		{"registry.example", "https://192.168.1.1/x", false},
		{"registry.example", "https://93.184.216.34/x", true},
		{"127.0.0.1:5000", "http://127.0.0.1:6000/x", true},
		{"localhost:5000", "http://[::1]:6000/x", true},
		{"127.0.0.1:5000", "http://172.16.0.1/x", false},
	} {
		target, err := url.Parse(test.target)
		if err != nil {
			t.Fatal(err)
		}
		r, err := New(Options{}).open(sideRegistry, release.Repository(test.registry+"/shop"), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.session.checkTarget(target); (err == nil) != test.allowed {
			t.Errorf("%s to %s: got %v, want allowed = %t", test.registry, test.target, err, test.allowed)
		}
	}
}

func TestSchemeOf(t *testing.T) {
	t.Parallel()
	c := New(Options{PlainHTTP: []string{"registry.example:5000"}})
	for address, want := range map[string]string{
		"localhost": "http", "localhost:5000": "http", "registry.localhost:5000": "http", "127.0.0.1:5000": "http",
		"127.8.9.10": "http", "[::1]:5000": "http", "localhost.example": "https", "10.0.0.1:5000": "https", "registry.example:5000": "http", "registry.example": "https", "registry.example:5001": "https",
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com": "https", "notlocalhost:5000": "https",
	} {
		if got := c.schemeOf(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

// Requests to every address of this machine are plain text, also to those that ggcr takes for remote.
func TestOtherLoopbackAddress(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip(err) // systems that have 127.0.0.1 alone
	}
	h := newTestRegistry(t)
	server := httptest.NewUnstartedServer(h.Config.Handler)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	repo := release.Repository(listener.Addr().String() + "/shop")
	image := pushTo(t, h.client(), randomImage(t, 1), repo, "one")
	if _, found, err := h.client().Describe(t.Context(), image); err != nil || !found {
		t.Errorf("got %t, %v", found, err)
	}
}

// It cannot run in parallel, since the environment says where docker's file is.
func TestDockerConfig(t *testing.T) {
	h := newTestRegistry(t)
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	text := fmt.Sprintf(`{"auths":{%q:{"username":"user","password":"first"}}}`, h.host())
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := func(context.Context, string) (string, string, error) { return "", "", nil }
	if _, _, err := New(Options{Credentials: nothing, DockerConfig: true}).Find(t.Context(), h.repo("shop"), "one"); err != nil {
		t.Errorf("with the file: %v", err)
	}
	if _, _, err := New(Options{Credentials: nothing}).Find(t.Context(), h.repo("shop"), "one"); err == nil {
		t.Error("without it: no error")
	}
}

// A registry in the options is spoken to without TLS, and no other.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	h.setPassword("")
	const host = "registry.example:5000"
	transport := roundTrip(func(request *http.Request) (*http.Response, error) {
		if request.URL.Scheme != "http" || request.URL.Host != host {
			return nil, fmt.Errorf("a request to %s://%s", request.URL.Scheme, request.URL.Host)
		}
		sent := request.Clone(request.Context())
		sent.URL.Host, sent.Host = h.host(), host
		response, err := http.DefaultTransport.RoundTrip(sent)
		if err == nil {
			response.Request = request // against which a Location is read
		}
		return response, err
	})
	c := New(Options{Transport: transport, PlainHTTP: []string{host}})
	image := pushTo(t, c, randomImage(t, 1), release.Repository(host+"/shop"), "one")
	if got, found, err := c.Find(t.Context(), image.Repository, "one"); err != nil || !found || got.Digest != image.Digest {
		t.Errorf("got %v, %t, %v", got, found, err)
	}
	if _, _, err := New(Options{Transport: transport}).Find(t.Context(), image.Repository, "one"); err == nil || !strings.Contains(err.Error(), "https://") {
		t.Errorf("without the option: got %v", err)
	}
}
