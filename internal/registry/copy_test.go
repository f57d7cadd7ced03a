package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/release"
)

func TestCopy(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]any{"image": randomImage(t, 5), "index of 3": randomIndex(t, 3, nil)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := localawstest.Start(t), localawstest.Start(t)
			image := pushTo(t, at(t, from), one, from.Repository("shop"), commit)
			target := to.RepositoryWith("live/shop", immutable)
			// One client for both, as the verb has it: each host has its own password.
			c := between(t, from, to)
			for range 2 {
				if err := c.Copy(t.Context(), image, target, nil); err != nil {
					t.Fatal(err)
				}
			}
			holdsUntagged(t, c, target.At(image.Digest), commit)
		})
	}
}

// holdsUntagged checks that the repository has the image, and does not have a tag that the image has elsewhere.
func holdsUntagged(t *testing.T, c *Client, image release.Image, tag release.Tag) {
	t.Helper()
	looked, err := c.Inspect(t.Context(), image.Repository, image.Digest, tag)
	if err != nil || !looked.Found || !looked.TagDigest.IsZero() {
		t.Errorf("the image is there: %t, the tag %q holds %q, %v", looked.Found, tag, looked.TagDigest, err)
	}
}

// between is a client with the tokens of several.
func between(t *testing.T, servers ...*localawstest.Server) *Client {
	t.Helper()
	transport := defaultTransport()
	t.Cleanup(transport.CloseIdleConnections)
	return New(Options{Transport: transport, Credentials: func(_ context.Context, host string) (string, string, error) {
		for _, server := range servers {
			if server.Address() == host {
				return "AWS", server.IssueToken(), nil
			}
		}
		return "", "", nil
	}})
}

// Inside one registry no blob goes over the wire.
func TestCopyMounts(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	c := at(t, server)
	image := pushTo(t, c, randomIndex(t, 2, nil), server.Repository("shop"), commit)
	target := server.Repository("live/shop")
	server.ResetRequests()
	if err := c.Copy(t.Context(), image, target, nil); err != nil {
		t.Fatal(err)
	}
	holdsUntagged(t, c, target.At(image.Digest), commit)
	if got := server.Count(localaws.RouteBlob, http.MethodGet) + server.Count(localaws.RouteUpload, http.MethodPatch); got > 0 {
		t.Errorf("%d blobs went over the wire", got)
	}
}

func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	from, to := localawstest.Start(t), localawstest.Start(t)
	image := pushTo(t, at(t, from), randomImage(t, 3), from.Repository("shop"), commit)
	target := to.RepositoryWith("shop", immutable)
	c := between(t, from, to)
	var fault *release.Fault
	gone := image.Repository.At(release.DigestOf([]byte("gone")))
	if err := c.Copy(t.Context(), gone, target, nil); !errors.As(err, &fault) || fault.Side != sideSource || !strings.Contains(err.Error(), "is not in") {
		t.Errorf("no image: got %v", err)
	}
	nowhere := release.Repository(to.Address() + "/nowhere")
	if err := c.Copy(t.Context(), image, nowhere, nil); !errors.As(err, &fault) || fault.Side != sideTarget || !strings.Contains(err.Error(), "create the repository") {
		t.Errorf("no repository: got %v", err)
	}
	fresh := to.Repository("fresh")
	from.Inject(localaws.Fault{Route: localaws.RouteBlob, Method: http.MethodGet, Do: localaws.AnswerWrongBytes(nil)})
	if err := c.Copy(t.Context(), image, fresh, nil); !errors.As(err, &fault) || fault.Side != sideSource || !strings.Contains(err.Error(), "do not use this image") {
		t.Errorf("changed blobs: got %v, want a fault of the source", err)
	}
	if got := to.Count(localaws.RouteManifest, http.MethodPut); got != 0 {
		t.Errorf("%d manifests were put", got)
	}
}

// What is attached to an image keeps its digest in another registry, and is listed there. A second copy changes nothing.
func TestCopyReferrer(t *testing.T) {
	t.Parallel()
	from, to := localawstest.Start(t), localawstest.Start(t)
	image := pushTo(t, at(t, from), randomImage(t, 1), from.Repository("shop"), commit)
	target := to.RepositoryWith("live/shop", immutable)
	c := between(t, from, to)
	if err := c.Copy(t.Context(), image, target, nil); err != nil {
		t.Fatal(err)
	}
	attached, err := c.Attach(t.Context(), image, kind, media, []byte("proof"), map[string]string{"environment": "staging"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.CopyReferrer(t.Context(), image, attached, target); err != nil {
			t.Fatal(err)
		}
		got, skipped, err := read(t, c, target.At(image.Digest), map[string]string{"environment": "staging"})
		if err != nil || len(skipped) > 0 || len(got) != 1 || got[0].Digest != attached || string(got[0].Content) != "proof" {
			t.Errorf("got %v, %v, %v", got, skipped, err)
		}
	}
	h := newTestRegistry(t)
	h.intercept(withoutReferrers)
	h.setPassword("")
	if err := c.Copy(t.Context(), image, h.repo("shop"), nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.CopyReferrer(t.Context(), image, attached, h.repo("shop")); err != nil {
			t.Fatalf("to a registry without the API: got %v", err)
		}
	}
	got, skipped, err := read(t, c, h.repo("shop").At(image.Digest), map[string]string{"environment": "staging"})
	if err != nil || len(skipped) > 0 || len(got) != 1 || got[0].Digest != attached {
		t.Errorf("in a registry without the API: got %v, %v, %v", got, skipped, err)
	}
}

// An index may list what is no manifest: a build cache lists layers and its own config.
func TestCopyOfABuildCache(t *testing.T) {
	t.Parallel()
	from, to := newTestRegistry(t), newTestRegistry(t)
	c := from.client()
	image := pushTo(t, c, randomImage(t, 1), from.repo("cache"), "image")
	r, err := c.open(sideRegistry, image.Repository, true)
	if err != nil {
		t.Fatal(err)
	}
	layer := release.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: release.DigestOf([]byte("layer")).String(), Size: 5}
	config := release.Descriptor{MediaType: "application/vnd.buildkit.cacheconfig.v0", Digest: release.DigestOf([]byte("config")).String(), Size: 6}
	blobs := map[string][]byte{layer.Digest: []byte("layer"), config.Digest: []byte("config")}
	if err := r.upload(t.Context(), []release.Descriptor{layer, config}, blobsInMemory(blobs), "", newMeter(0, nil)); err != nil {
		t.Fatal(err)
	}
	f := forest{}
	cache := f.plant(t, map[string]any{"mediaType": indexType, "manifests": []release.Descriptor{layer, {MediaType: imageType, Digest: image.Digest.String()}, config}})
	digest, err := release.ParseDigest(cache.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.putManifest(t.Context(), f[digest], "cache"); err != nil {
		t.Fatal(err)
	}
	if got, found, err := c.Find(t.Context(), image.Repository, "cache"); err != nil || !found || got.Revision != commit {
		t.Errorf("found %v, %t, %v, want the revision of the image in it", got, found, err)
	}
	target := to.repo("cache")
	if err := c.Copy(t.Context(), image.Repository.At(digest), target, nil); err != nil {
		t.Fatal(err)
	}
	holdsUntagged(t, c, target.At(digest), "cache")
	copied, err := c.open(sideRegistry, target, false)
	if err != nil {
		t.Fatal(err)
	}
	for digest, want := range blobs {
		parsed, err := release.ParseDigest(digest)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := copied.getBlob(t.Context(), parsed, 100); err != nil || !bytes.Equal(got, want) {
			t.Errorf("blob %s: got %q, %v", digest, got, err)
		}
	}
}

// A read that breaks off starts the one blob again.
func TestCopySurvivesFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		source bool
		localaws.Fault
	}{
		"source throttles":     {true, localaws.Fault{Route: localaws.RouteBlob, Method: http.MethodGet, Times: 2, Do: localaws.Throttle(0)}},
		"source forgets login": {true, localaws.Fault{Route: localaws.RouteBlob, Method: http.MethodGet, Skip: 1, Times: 1, Do: localaws.Unauthorized()}},
		"source resets":        {true, localaws.Fault{Route: localaws.RouteBlob, Method: http.MethodGet, Times: 1, Do: localaws.LoseAnswer()}},
		"target resets":        {false, localaws.Fault{Route: localaws.RouteUpload, Method: http.MethodPatch, Times: 1, Do: localaws.ResetUpload(10)}},
		"target's put is lost": {false, localaws.Fault{Route: localaws.RouteManifest, Method: http.MethodPut, Times: 1, Do: localaws.LoseAnswer()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := localawstest.Start(t), localawstest.Start(t)
			image := pushTo(t, at(t, from), randomImage(t, 3), from.Repository("shop"), commit)
			target := to.RepositoryWith("shop", immutable)
			c := between(t, from, to)
			server := to
			if fault.source {
				server = from
			}
			injected := server.Inject(fault.Fault)
			if err := c.Copy(t.Context(), image, target, nil); err != nil {
				t.Fatal(err)
			}
			if got := injected.Hits(); got != fault.Times {
				t.Errorf("the fault hit %d times, want %d", got, fault.Times)
			}
			holdsUntagged(t, between(t, from, to), target.At(image.Digest), commit)
		})
	}
}

// A blob that breaks off goes on where the target says: what has arrived is neither read nor sent again.
func TestCopyContinuesABlob(t *testing.T) {
	t.Parallel()
	const layer, breaksAt = 4 << 20, 3 << 20
	for name, where := range map[string]struct {
		atSource bool
		do       localaws.Action
	}{
		"the target's connection breaks": {false, localaws.ResetUpload(breaksAt)},
		"the source's connection breaks": {true, cutAfter(breaksAt)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := localawstest.Start(t), localawstest.Start(t)
			big, err := random.Image(layer, 1)
			if err != nil {
				t.Fatal(err)
			}
			image := pushTo(t, at(t, from), big, from.Repository("shop"), commit)
			target := to.Repository("shop")
			isBig := func(r *http.Request) bool { return r.Method == http.MethodGet || r.ContentLength > breaksAt }
			fault := localaws.Fault{Route: localaws.RouteUpload, Method: http.MethodPatch, Match: isBig, Times: 1, Do: where.do}
			server := to
			if where.atSource {
				server, fault.Route, fault.Method, fault.Match = from, localaws.RouteBlob, http.MethodGet, isLayer(t, big)
			}
			injected := server.Inject(fault)
			from.ResetRequests()
			var last release.Progress
			c := between(t, from, to)
			if err := c.Copy(t.Context(), image, target, func(p release.Progress) { last = p }); err != nil {
				t.Fatal(err)
			}
			if injected.Hits() != 1 {
				t.Fatal("nothing broke")
			}
			if last.Total < layer || last.Complete != last.Total {
				t.Errorf("progress ended at %d of %d bytes", last.Complete, last.Total)
			}
			// The kernel's buffers may hold what one side has written and the other has not read.
			const slack = 1 << 20
			if sent := bodies(to, localaws.RouteUpload, http.MethodPatch); sent > layer+slack {
				t.Errorf("%d bytes were sent for a blob of %d", sent, layer)
			}
			if where.atSource {
				if got := bodies(from, localaws.RouteBlob, http.MethodGet); got > layer+slack {
					t.Errorf("%d bytes were read for a blob of %d", got, layer)
				}
			}
			holdsUntagged(t, c, target.At(image.Digest), commit)
		})
	}
}

// isLayer matches reads of an image's only layer.
func isLayer(t *testing.T, image v1.Image) func(*http.Request) bool {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("got %d layers, %v", len(layers), err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, digest.String()) }
}

// cutAfter closes the connection after some bytes of the answer.
func cutAfter(n int) localaws.Action {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&cutWriter{ResponseWriter: w, left: n}, r)
			panic(http.ErrAbortHandler)
		})
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	c.left -= n
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// bodies adds up the bodies of the requests to a route, read and written.
func bodies(server *localawstest.Server, route localaws.Route, method string) (total int64) {
	for _, request := range server.Requests() {
		if request.Route == route && request.Method == method {
			total += request.In + request.Out
		}
	}
	return total
}
