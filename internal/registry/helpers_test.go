package registry

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/release"
)

const commit = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"

// testRegistry is a plain OCI registry on loopback: go-containerregistry's, with a password, a list of its requests, and
// an interceptor of requests.
type testRegistry struct {
	*httptest.Server
	t *testing.T

	mu          sync.Mutex
	password    string // "" for none
	requests    []string
	interceptor func(w http.ResponseWriter, r *http.Request) bool // true: it answered
}

func newTestRegistry(t *testing.T) *testRegistry {
	t.Helper()
	h := &testRegistry{t: t, password: "first"}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.requests = append(h.requests, r.Method+" "+r.URL.Path)
		password, interceptor := h.password, h.interceptor
		h.mu.Unlock()
		if interceptor != nil && interceptor(w, r) {
			return
		}
		if _, got, _ := r.BasicAuth(); password != "" && got != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="hub"`)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "who are you")
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

// intercept answers those requests in the place of the registry for which the interceptor returns true.
func (h *testRegistry) intercept(interceptor func(w http.ResponseWriter, r *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.interceptor = interceptor
}

func (h *testRegistry) setPassword(password string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.password = password
}

// requested are the requests since the last call.
func (h *testRegistry) requested() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := h.requests
	h.requests = nil
	return requests
}

func (h *testRegistry) host() string { return strings.TrimPrefix(h.URL, "http://") }

func (h *testRegistry) repo(path string) release.Repository {
	h.t.Helper()
	repo, err := release.ParseRepository(h.host() + "/" + path)
	if err != nil {
		h.t.Fatal(err)
	}
	return repo
}

// client uses the first password of the registry.
func (h *testRegistry) client() *Client {
	return New(Options{Credentials: staticPassword("first")})
}

func staticPassword(password string) Credentials {
	return func(context.Context, string) (string, string, error) { return "user", password, nil }
}

// writeLayout writes an image or an index as an OCI layout.
func writeLayout(t *testing.T, one any) release.Layout {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	var hash v1.Hash
	switch one := one.(type) {
	case v1.ImageIndex:
		err = path.AppendIndex(one)
		if err == nil {
			hash, err = one.Digest()
		}
	case v1.Image:
		err = path.AppendImage(one)
		if err == nil {
			hash, err = one.Digest()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	digest, err := release.ParseDigest(hash.String())
	if err != nil {
		t.Fatal(err)
	}
	return release.Layout{Dir: dir, Digest: digest}
}

// randomImage is an image of so many layers of 1 KiB, annotated with the commit.
func randomImage(t *testing.T, layers int64) v1.Image {
	t.Helper()
	image, err := random.Image(1024, layers)
	if err != nil {
		t.Fatal(err)
	}
	image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	annotated, ok := mutate.Annotations(image, map[string]string{release.AnnotationRevision: commit}).(v1.Image)
	if !ok {
		t.Fatal("annotating an image gave no image")
	}
	return annotated
}

// randomIndex is an index of so many random images.
func randomIndex(t *testing.T, images int, annotations map[string]string) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        randomImage(t, 2),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: []string{"amd64", "arm64", "arm", "s390x"}[i%4]}},
		})
	}
	if annotations == nil {
		return index
	}
	annotated, ok := mutate.Annotations(index, annotations).(v1.ImageIndex)
	if !ok {
		t.Fatal("annotating an index gave no index")
	}
	return annotated
}

// pushTo pushes an image to a repository and returns its name there.
func pushTo(t *testing.T, c *Client, one any, repo release.Repository, tag release.Tag) release.Image {
	t.Helper()
	from := writeLayout(t, one)
	if err := c.Push(t.Context(), from, repo, tag, nil); err != nil {
		t.Fatal(err)
	}
	return repo.At(from.Digest)
}
