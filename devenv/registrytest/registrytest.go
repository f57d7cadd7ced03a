// Package registrytest gives tests a registry that is not ECR, and images to push.
package registrytest

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/onedigest/onedigest/internal/release"
)

// Repository starts a registry with the referrers API on loopback, and returns a repository in it.
func Repository(t testing.TB) release.Repository {
	t.Helper()
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)))
	t.Cleanup(server.Close)
	return release.Repository(strings.TrimPrefix(server.URL, "http://") + "/shop")
}

// Layout writes an image of random content with the annotations, which may be nil.
func Layout(t testing.TB, annotations map[string]string) release.Layout {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if annotations != nil {
		annotated, isImage := mutate.Annotations(image, annotations).(v1.Image)
		if !isImage {
			t.Fatal("annotating an image returned something else")
		}
		image = annotated
	}
	dir := t.TempDir()
	on, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := on.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	hash, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := release.ParseDigest(hash.String())
	if err != nil {
		t.Fatal(err)
	}
	return release.Layout{Dir: dir, Digest: digest}
}
