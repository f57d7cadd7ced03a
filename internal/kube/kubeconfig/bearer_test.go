package kubeconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func TestBearerHasTheDefaultsOfConnect(t *testing.T) {
	t.Parallel()
	got := Bearer("https://example.com", []byte("x"), nil)
	var want rest.Config
	setDefaults(&want)
	if got.QPS != want.QPS || got.Burst != want.Burst || got.UserAgent != "onedigest" || got.WarningHandler != want.WarningHandler ||
		got.QPS < 50 || got.Host != "https://example.com" || got.Insecure {
		t.Errorf("got %+v", got)
	}
}

// A token is used until it expires; the cluster never receives an expired one.
func TestBearerRefreshes(t *testing.T) {
	t.Parallel()
	g := newTokenServer(t, acceptAll)
	client := g.client()
	for range 3 {
		for range 5 {
			g.mustSend(client, http.MethodGet, nil, 200)
		}
		g.advance(tokenLife)
	}
	g.wantCounts(3, 0)
}

// A request that is refused is sent again once, with a new token and the whole body.
func TestBearerAfter401(t *testing.T) {
	t.Parallel()
	g := newTokenServer(t, acceptAll)
	client := g.client()
	g.mustSend(client, http.MethodPost, strings.NewReader("one"), 200)
	g.revoke()
	g.mustSend(client, http.MethodPost, strings.NewReader("two"), 200)
	g.revoke()
	g.mustSend(client, http.MethodGet, nil, 200)
	g.wantCounts(3, 2)
	if got := strings.Join(g.bodies, ","); got != "one,two," {
		t.Errorf("the cluster read %q", got)
	}
}

// The body of a request that is sent again starts from its beginning. The base transport is our own, because net/http's rewinds a
// body by itself and would hide it if the bearer did not.
func TestBearerReplaysTheBody(t *testing.T) {
	t.Parallel()
	var bodies []string
	statuses := []int{http.StatusUnauthorized, http.StatusOK}
	base := roundTripper(func(request *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(request.Body)
		bodies = append(bodies, string(body))
		return &http.Response{StatusCode: statuses[len(bodies)-1], Body: http.NoBody}, err
	})
	fetched := 0
	config := Bearer("https://example.com", []byte("x"), func(context.Context) (string, time.Time, error) {
		fetched++
		return fmt.Sprint(fetched), time.Now().Add(time.Hour), nil
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.com", strings.NewReader("two"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := config.WrapTransport(base).RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", response, err)
	}
	if strings.Join(bodies, ",") != "two,two" {
		t.Errorf("sent %q", bodies)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// A body that cannot be read again is not sent again. The next request has a new token nonetheless.
func TestBearerDoesNotReplayHalfABody(t *testing.T) {
	t.Parallel()
	g := newTokenServer(t, acceptAll)
	client := g.client()
	g.mustSend(client, http.MethodGet, nil, 200)
	g.revoke()
	g.mustSend(client, http.MethodPost, io.MultiReader(strings.NewReader("one")), 401)
	g.wantCounts(2, 1)
	g.mustSend(client, http.MethodPost, io.MultiReader(strings.NewReader("two")), 200)
	g.wantCounts(2, 1)
}

// A request is sent at most twice.
func TestBearerStaysRefused(t *testing.T) {
	t.Parallel()
	g := newTokenServer(t, acceptAll)
	g.early = 2 * tokenLife
	g.mustSend(g.client(), http.MethodGet, nil, 401)
	g.wantCounts(2, 2)
}

// If the source returns the same token again, the request is not repeated.
func TestBearerWithOneToken(t *testing.T) {
	t.Parallel()
	g := newTokenServer(t, acceptAll)
	asked := 0
	client, err := rest.HTTPClientFor(Bearer(g.web.URL, g.authority(), func(context.Context) (string, time.Time, error) {
		asked++
		return "always", time.Now().Add(time.Hour), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	g.mustSend(client, http.MethodGet, nil, 401)
	g.wantCounts(0, 1)
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

func TestBearerWithoutAToken(t *testing.T) {
	t.Parallel()
	g := newTokenServer(t, acceptAll)
	client := g.client()
	g.issueErr = &release.Fault{Side: "AWS", Err: errors.New("the credentials have expired")}
	var fault *release.Fault
	if _, err := g.send(client, http.MethodPost, strings.NewReader("x")); !errors.As(err, &fault) || fault.Side != "AWS" {
		t.Errorf("got %v", err)
	}
	g.issueErr = nil
	g.mustSend(client, http.MethodGet, nil, 200)
	g.revoke()
	g.issueErr = errors.New("no more")
	if _, err := g.send(client, http.MethodGet, nil); err == nil || !strings.Contains(err.Error(), "no more") || strings.Contains(err.Error(), "token-1") {
		t.Errorf("got %v", err)
	}
	empty, err := rest.HTTPClientFor(Bearer(g.web.URL, g.authority(), func(context.Context) (string, time.Time, error) { return "", time.Time{}, nil }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.send(empty, http.MethodGet, nil); !errors.As(err, &fault) {
		t.Errorf("an empty token: got %v", err)
	}
}

// Concurrent requests fetch one token, and one more when it is refused; clients made from one configuration share it.
func TestBearerConcurrently(t *testing.T) {
	t.Parallel()
	g := newTokenServer(t, acceptAll)
	config := g.config()
	var clients []*http.Client
	for range 4 {
		client, err := rest.HTTPClientFor(rest.CopyConfig(config))
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, client)
	}
	for round := range 3 {
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() { g.mustSend(clients[i%len(clients)], http.MethodPost, bytes.NewReader([]byte("x")), 200) })
		}
		all.Wait()
		g.mu.Lock()
		if g.issued != round+1 {
			t.Errorf("issued %d tokens in %d rounds", g.issued, round+1)
		}
		g.mu.Unlock()
		if round == 0 {
			g.revoke()
		} else {
			g.advance(tokenLife)
		}
	}
}

// A caller that waits for another's fetch stops when its own context ends, and fetches itself if the other gives up.
func TestBearerWaitsWithItsOwnContext(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 2)
	answer := make(chan string)
	source := &tokenSource{now: time.Now, mutex: make(chan struct{}, 1), fetch: func(ctx context.Context) (string, time.Time, error) {
		asked <- struct{}{}
		select {
		case token := <-answer:
			return token, time.Now().Add(time.Hour), nil
		case <-ctx.Done():
			return "", time.Time{}, ctx.Err()
		}
	}}
	first, giveUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := source.get(first, "")
		ended <- err
	}()
	<-asked
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.get(late, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting without time: got %v", err)
	}
	got := make(chan string, 1)
	go func() {
		token, err := source.get(t.Context(), "")
		if err != nil {
			token = err.Error()
		}
		got <- token
	}()
	giveUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("giving up: got %v", err)
	}
	<-asked
	answer <- "second"
	if token := <-got; token != "second" {
		t.Errorf("got %q", token)
	}
}

// H8: the token is sent to the endpoint only, and only if its certificate is of the authority given.
func TestBearerKeepsTheToken(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	stolen := 0
	thief := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		stolen++
	}
	plain, tls := httptest.NewServer(http.HandlerFunc(thief)), httptest.NewUnstartedServer(http.HandlerFunc(thief))
	tls.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are broken off
	tls.StartTLS()
	defer plain.Close()
	defer tls.Close()
	for name, target := range map[string]string{"plain HTTP": plain.URL, "TLS": tls.URL, "metadata": "http://169.254.169.254/latest"} {
		g := newTokenServer(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, target, http.StatusTemporaryRedirect)
		})
		if _, err := g.send(g.client(), http.MethodGet, nil); err == nil || !strings.Contains(err.Error(), "must not receive the token") {
			t.Errorf("redirected to %s: got %v", name, err)
		}
	}
	g := newTokenServer(t, acceptAll)
	for name, test := range map[string]struct {
		config *rest.Config
		want   string
	}{
		"no TLS":            {g.configTo(plain.URL, g.authority()), "not an https URL"},
		"no authority":      {g.configTo(tls.URL, nil), "no certificate authority to verify it with"},
		"another authority": {g.configTo(tls.URL, otherAuthority(t)), "certificate signed by unknown authority"},
		"no URL":            {g.configTo("https://", g.authority()), ""},
	} {
		client, err := kubernetes.NewForConfig(test.config)
		if err == nil {
			_, err = client.CoreV1().Namespaces().List(t.Context(), meta.ListOptions{})
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if stolen > 0 {
		t.Errorf("the token was sent %d times", stolen)
	}
}

// R9: a token that ends while a watch is open. The watch is cut; taken up again where it ended, it goes on with the next
// token and misses nothing, and no request comes back as an error. Where the cluster's clock is ahead of ours, its 401 is
// no error either.
func TestWatchResumesAfterATokenExpires(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]time.Duration{"clocks agree": 0, "the cluster's is ahead": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespaces := newNamespaceWatch()
			g := newTokenServer(t, namespaces.serve)
			g.early = early
			client, err := kubernetes.NewForConfig(g.config())
			if err != nil {
				t.Fatal(err)
			}
			const rounds = 4
			for i := range rounds {
				open, err := client.CoreV1().Namespaces().Watch(t.Context(), meta.ListOptions{ResourceVersion: strconv.Itoa(i)})
				if err != nil {
					t.Fatalf("round %d: %v", i, err)
				}
				namespaces.add()
				event := <-open.ResultChan()
				if got, ok := event.Object.(*core.Namespace); !ok || event.Type != watch.Added || got.Name != fmt.Sprintf("ns-%d", i+1) {
					t.Errorf("round %d: got %+v", i, event)
				}
				g.advance(tokenLife - early)
				namespaces.drop()
				if event, more := <-open.ResultChan(); more {
					t.Errorf("round %d: the watch was cut, and said %+v", i, event)
				}
			}
			if early > 0 {
				g.wantCounts(rounds, rounds-1)
			} else {
				g.wantCounts(rounds, 0)
			}
		})
	}
}
