package localaws_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
)

func TestThrottle(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	image := randomImage(t)
	push(t, server, "shop:one", image)
	fault := server.Inject(localaws.Fault{
		Route: localaws.RouteManifest, Method: http.MethodGet, Times: 5, Do: localaws.Throttle(2 * time.Second),
	})
	for range 5 {
		got := ask(t, server, http.MethodGet, "/v2/shop/manifests/one", "", nil)
		if got.status != 429 || got.header.Get("Retry-After") != "2" || !strings.Contains(got.body, "TOOMANYREQUESTS") {
			t.Errorf("got %d %v %s, want 429", got.status, got.header, got.body)
		}
	}
	if got := ask(t, server, http.MethodGet, "/v2/shop/manifests/one", "", nil); got.status != 200 || fault.Hits() != 5 {
		t.Errorf("the sixth got %d after %d hits, want 200 after 5", got.status, fault.Hits())
	}
}

func TestThrottlingException(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	fault := server.Inject(localaws.Fault{Route: localaws.RouteGetAuthorizationToken, Do: localaws.ThrottlingException()})
	_, err := ecrClient(server).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	wantAPIError(t, err, "ThrottlingException", "Rate exceeded")
	fault.Remove()
	fault.Remove()
	if _, err = ecrClient(server).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{}); err != nil {
		t.Errorf("after the fault: %v", err)
	}
}

// TestFaultsByPlace hits the third manifest request, and no other route or method.
func TestFaultsByPlace(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	push(t, server, "shop:one", randomImage(t))
	server.Inject(localaws.Fault{
		Route: localaws.RouteManifest, Method: http.MethodHead, Skip: 2, Times: 1,
		Match: func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/shop/") },
		Do:    localaws.RegistryError(500, "UNKNOWN", "broken"),
	})
	var statuses []int
	for range 4 {
		statuses = append(statuses, ask(t, server, http.MethodHead, "/v2/shop/manifests/one", "", nil).status)
		if got := ask(t, server, http.MethodGet, "/v2/shop/manifests/one", "", nil); got.status != 200 {
			t.Errorf("GET: got %d, want 200", got.status)
		}
	}
	if got := fmt.Sprint(statuses); got != "[200 200 500 200]" {
		t.Errorf("got %s, want [200 200 500 200]", got)
	}
	server.Inject(localaws.Fault{Do: localaws.Unauthorized()})
	if got := ask(t, server, http.MethodGet, "/v2/", "", nil); got.status != 401 || got.header.Get("Www-Authenticate") == "" {
		t.Errorf("got %d %v, want 401 with a challenge", got.status, got.header)
	}
	server.ClearFaults()
	server.Inject(localaws.Fault{Do: localaws.Expired()})
	if got := ask(t, server, http.MethodGet, "/v2/", "", nil); got.status != 403 || got.header.Get("Www-Authenticate") != "" {
		t.Errorf("got %d %v, want 403 without a challenge", got.status, got.header)
	}
	server.ClearFaults()
	server.Inject(localaws.Fault{Do: localaws.Answer(418, http.Header{"X-Pot": {"tea"}}, "short")})
	if got := ask(t, server, http.MethodGet, "/v2/", "", nil); got.status != 418 || got.header.Get("X-Pot") != "tea" || got.body != "short" {
		t.Errorf("got %+v, want the given answer", got)
	}
}

// TestLoseAnswer: the put takes effect, and the caller gets no answer.
func TestLoseAnswer(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	image := randomImage(t)
	fault := server.Inject(localaws.Fault{
		Route: localaws.RouteManifest, Method: http.MethodPut, Times: 1, Do: localaws.LoseAnswer(),
	})
	err := remote.Write(reference(t, server, "shop:one"), image, options(server)...)
	var answered *transport.Error
	if err == nil || errors.As(err, &answered) || fault.Hits() != 1 {
		t.Fatalf("got %v after %d hits, want a lost connection", err, fault.Hits())
	}
	seen, err := remote.Head(reference(t, server, "shop:one"), options(server)...)
	if err != nil || seen.Digest.String() != digestOf(t, image) {
		t.Errorf("the tag holds %v (%v), want the image", seen, err)
	}
}

// TestResetUpload: the connection is reset after n bytes; the upload continues after the bytes that arrived.
func TestResetUpload(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	blob := []byte(strings.Repeat("0123456789", 100_000))
	server.Inject(localaws.Fault{
		Route: localaws.RouteUpload, Method: http.MethodPatch, Times: 1, Do: localaws.ResetUpload(300_000),
	})
	location := ask(t, server, http.MethodPost, "/v2/shop/blobs/uploads/", "", nil).header.Get("Location")
	_, err := try(server, http.MethodPatch, location, "", blob)
	broken := func(cause error) bool { return errors.Is(err, cause) }
	if !slices.ContainsFunc([]error{syscall.ECONNRESET, syscall.EPIPE, io.EOF, net.ErrClosed}, broken) {
		t.Fatalf("got error %v, want a reset connection", err)
	}
	state := ask(t, server, http.MethodGet, location, "", nil)
	if got := state.header.Get("Range"); got != "0-299999" {
		t.Errorf("after the reset the upload has %q, want 0-299999", got)
	}
	if got := ask(t, server, http.MethodPut, location+"?digest=sha256:"+hash(string(blob)), "", blob[300_000:]); got.status != 201 {
		t.Errorf("going on: got %d %s, want 201", got.status, got.body)
	}
}

// TestPushResetOnce: a client that retries sends only that blob again, and no manifest before its blobs.
func TestPushResetOnce(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	image := randomImage(t)
	fault := server.Inject(localaws.Fault{
		Route: localaws.RouteUpload, Method: http.MethodPatch, Skip: 1, Times: 1, Do: localaws.ResetUpload(100),
	})
	retrying := append(options(server), remote.WithRetryBackoff(remote.Backoff{Duration: time.Millisecond, Steps: 3}))
	if err := remote.Write(reference(t, server, "shop:one"), image, retrying...); err != nil {
		t.Fatal(err)
	}
	if fault.Hits() != 1 || server.Count(localaws.RouteUpload, http.MethodPatch) != 5 {
		t.Errorf("got %d hits and %d patches, want 1 and 5 (four blobs and one again)",
			fault.Hits(), server.Count(localaws.RouteUpload, http.MethodPatch))
	}
	requests := server.Requests()
	if last := requests[len(requests)-1]; last.Route != localaws.RouteManifest || last.Method != http.MethodPut {
		t.Errorf("the last request is %+v, want the manifest's", last)
	}
}

func TestAnswerWrongBytes(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	image := randomImage(t)
	push(t, server, "shop:one", image)
	at := reference(t, server, "shop@"+digestOf(t, image))
	for _, body := range [][]byte{nil, []byte("wrong ")} {
		server.ClearFaults()
		server.Inject(localaws.Fault{Route: localaws.RouteManifest, Method: http.MethodGet, Do: localaws.AnswerWrongBytes(body)})
		got := ask(t, server, http.MethodGet, "/v2/shop/manifests/one", "", nil)
		if got.status != 200 || got.header.Get("Docker-Content-Digest") != digestOf(t, image) ||
			"sha256:"+hash(got.body) == digestOf(t, image) {
			t.Errorf("got %d with digest %q and body %q, want other bytes under the right digest",
				got.status, got.header.Get("Docker-Content-Digest"), got.body)
		}
		if _, err := remote.Get(at, options(server)...); err == nil {
			t.Error("a client that checks took the wrong bytes")
		}
	}
}

func TestAnswerHugeManifest(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	server.Inject(localaws.Fault{Route: localaws.RouteManifest, Do: localaws.AnswerHugeManifest(10 << 20)})
	got := ask(t, server, http.MethodGet, "/v2/shop/manifests/one", "", nil)
	if got.status != 200 || len(got.body) < 10<<20 || len(got.body) > 10<<20+1024 {
		t.Errorf("got %d with %d bytes, want 200 with 10 MiB", got.status, len(got.body))
	}
	if requests := server.Requests(); requests[len(requests)-1].Out != int64(len(got.body)) {
		t.Errorf("counted %d bytes out, read %d", requests[len(requests)-1].Out, len(got.body))
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	const wait = 30 * time.Millisecond
	server.Inject(localaws.Fault{Route: localaws.RoutePing, Do: localaws.Delay(wait)})
	started := time.Now()
	if got := ask(t, server, http.MethodGet, "/v2/", "", nil); got.status != 200 {
		t.Errorf("got %d, want 200", got.status)
	}
	if took := time.Since(started); took < wait {
		t.Errorf("answered after %s, want %s at least", took, wait)
	}
}

// TestRequests: the log has every request of a push as soon as it is answered, with the bytes that were sent.
func TestRequests(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	server.Repository("shop")
	image := randomImage(t)
	push(t, server, "shop:one", image)
	server.ResetRequests()
	var sent atomic.Int64
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			body := strings.Repeat("x", 1000)
			got, err := try(server, http.MethodPost, "/v2/shop/blobs/uploads/?digest=sha256:"+hash(body), "", []byte(body))
			if err == nil && got.status == 201 {
				sent.Add(1000)
			}
		})
	}
	wait.Wait()
	var in int64
	for _, request := range server.Requests() {
		in += request.In
		if request.Status != 201 || request.Route != localaws.RouteUpload || request.Method != http.MethodPost {
			t.Errorf("got %+v, want an upload answered 201", request)
		}
	}
	if in != sent.Load() || in != 20_000 {
		t.Errorf("counted %d bytes in, sent %d, want 20000", in, sent.Load())
	}
	if server.Count("", "") != 20 || server.Count(localaws.RouteUpload, "PUT") != 0 {
		t.Errorf("counted %d requests, want 20", server.Count("", ""))
	}
}
