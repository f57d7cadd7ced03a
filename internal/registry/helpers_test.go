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

// hub is a plain OCI registry on loopback: go-containerregistry's, with a password, a list of what it was asked, and
// a place to interfere.
type hub struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	password string // "" for none
	requests []string
	meddle   func(w http.ResponseWriter, r *http.Request) bool // true: it answered
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{t: t, password: "first"}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.requests = append(h.requests, r.Method+" "+r.URL.Path)
		password, meddle := h.password, h.meddle
		h.mu.Unlock()
		if meddle != nil && meddle(w, r) {
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

// interfere answers requests in the registry's place where meddle says true.
func (h *hub) interfere(meddle func(w http.ResponseWriter, r *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.meddle = meddle
}

func (h *hub) setPassword(password string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.password = password
}

// asked is what the hub was asked since the last call.
func (h *hub) asked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := h.requests
	h.requests = nil
	return requests
}

func (h *hub) host() string { return strings.TrimPrefix(h.URL, "http://") }

func (h *hub) repo(path string) release.Repository {
	h.t.Helper()
	repo, err := release.ParseRepository(h.host() + "/" + path)
	if err != nil {
		h.t.Fatal(err)
	}
	return repo
}

// client knows the hub's first password.
func (h *hub) client() *Client {
	return New(Options{Credentials: always("first")})
}

func always(password string) Credentials {
	return func(context.Context, string) (string, string, error) { return "user", password, nil }
}

// onDisk writes an image or an index as an OCI layout.
func onDisk(t *testing.T, one any) release.Layout {
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

// picture is an image of so many layers of 1 KiB, annotated with the commit.
func picture(t *testing.T, layers int64) v1.Image {
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

// album is an index of so many images without annotations of its own.
func album(t *testing.T, images int, annotations map[string]string) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        picture(t, 2),
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

// pushed brings an image into a repository and returns its name there.
func pushed(t *testing.T, c *Client, one any, repo release.Repository, tag release.Tag) release.Image {
	t.Helper()
	from := onDisk(t, one)
	if err := c.Push(t.Context(), from, repo, tag, nil); err != nil {
		t.Fatal(err)
	}
	return repo.At(from.Digest)
}
