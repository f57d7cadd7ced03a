package registry

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/onedigest/onedigest/internal/release"
)

// platforms are spelled as an index may spell them.
func platforms(t *testing.T, texts ...string) (list []release.Platform) {
	t.Helper()
	for _, text := range texts {
		parts := append(strings.Split(text, "/"), "")
		list = append(list, release.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]})
	}
	return list
}

// indexOf is an index of images for platforms, each with its platform in its config.
func indexOf(t *testing.T, texts ...string) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(randomIndex(t, 0, nil), types.OCIImageIndex)
	for _, platform := range platforms(t, texts...) {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: imageFor(t, platform), Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant}}})
	}
	return index
}

func imageFor(t *testing.T, platform release.Platform) v1.Image {
	t.Helper()
	image := randomImage(t, 2)
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant = platform.OS, platform.Architecture, platform.Variant
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	return image
}

func TestFetch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		base   any
		wanted []string
		got    []string // platforms of the configs, in the order of wanted
		says   string
	}{
		"an image":                  {imageFor(t, platforms(t, "linux/amd64")[0]), []string{"linux/amd64"}, []string{"linux/amd64"}, ""},
		"an image of another":       {imageFor(t, platforms(t, "linux/amd64")[0]), []string{"linux/amd64", "linux/arm64"}, nil, `has no image for "linux/arm64", only for linux/amd64`},
		"an index":                  {indexOf(t, "linux/s390x", "linux/amd64", "linux/arm64/v8"), []string{"linux/amd64", "linux/arm64"}, []string{"linux/amd64", "linux/arm64/v8"}, ""},
		"an index without one":      {indexOf(t, "linux/s390x", "unknown/unknown", "linux/arm64/v8"), []string{"linux/amd64"}, nil, `has no image for "linux/amd64", only for linux/s390x, linux/arm64/v8`},
		"another system":            {indexOf(t, "windows/amd64"), []string{"linux/amd64"}, nil, `only for windows/amd64`},
		"the highest that runs":     {indexOf(t, "linux/arm/v5", "linux/arm/v6", "linux/arm/v7"), []string{"linux/arm/v6", "linux/arm"}, []string{"linux/arm/v6", "linux/arm/v7"}, ""},
		"a lower variant will do":   {indexOf(t, "linux/amd64"), []string{"linux/amd64/v3"}, []string{"linux/amd64"}, ""},
		"a higher variant will not": {indexOf(t, "linux/amd64/v3"), []string{"linux/amd64"}, nil, `only for linux/amd64/v3`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestRegistry(t)
			c := h.client()
			image := pushTo(t, c, test.base, h.repo("base"), "one")
			h.requested()
			got, err := c.Fetch(t.Context(), image, platforms(t, test.wanted...), t.TempDir())
			if test.says != "" {
				if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %v, want bad input with %q", err, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			index, err := layout.ImageIndexFromPath(got.Dir)
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := index.IndexManifest()
			if err != nil || len(manifest.Manifests) != len(test.wanted) {
				t.Fatalf("%d entries, %v", len(manifest.Manifests), err)
			}
			for i, each := range manifest.Manifests {
				child, err := index.Image(each.Digest)
				if err != nil {
					t.Fatal(err)
				}
				if err := validate.Image(child); err != nil {
					t.Error(err)
				}
				config, err := child.ConfigFile()
				if err != nil || each.Platform.String() != test.wanted[i] || config.Platform().String() != test.got[i] {
					t.Errorf("under %s is an image for %s (%v), want %s and %s", each.Platform, config.Platform(), err, test.wanted[i], test.got[i])
				}
			}
		})
	}
}

func TestFetchFails(t *testing.T) {
	t.Parallel()
	foreign, err := mutate.Append(imageFor(t, platforms(t, "linux/amd64")[0]), mutate.Addendum{Layer: layers(t, randomImage(t, 1))[0], MediaType: types.OCIRestrictedLayer})
	if err != nil {
		t.Fatal(err)
	}
	h := newTestRegistry(t)
	c := h.client()
	good := pushTo(t, c, imageFor(t, platforms(t, "linux/amd64")[0]), h.repo("base"), "good")
	forbidden := pushTo(t, c, foreign, h.repo("base"), "foreign")
	amd64 := platforms(t, "linux/amd64")

	if _, err := c.Fetch(t.Context(), good.Repository.At(release.DigestOf([]byte("x"))), amd64, t.TempDir()); release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "is not in its repository") {
		t.Errorf("got %v, want bad input", err)
	}
	h.requested()
	if _, err := c.Fetch(t.Context(), forbidden, amd64, t.TempDir()); release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "must not be copied") {
		t.Errorf("got %v, want bad input", err)
	}
	for _, request := range h.requested()[2:] { // the manifest and the config
		t.Errorf("%s was requested of a base that is refused", request)
	}

	// A connection that breaks within a blob: the blob is read again, whole. One that lies is a fault.
	var broken atomic.Int32
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") || broken.Add(1) != 3 {
			return false
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = fmt.Fprint(w, "only this")
		return true
	})
	got, err := c.Fetch(t.Context(), good, amd64, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			_, _ = fmt.Fprint(w, "something else")
			return true
		}
		return false
	})
	if _, err := c.Fetch(t.Context(), good, amd64, t.TempDir()); release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "base's registry: fetching") {
		t.Errorf("got %v, want a fault", err)
	}
}

func layers(t *testing.T, image v1.Image) []v1.Layer {
	t.Helper()
	list, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	return list
}
