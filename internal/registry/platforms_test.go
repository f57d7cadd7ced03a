package registry

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/onedigest/onedigest/internal/release"
)

// TestPlatforms: what an index stands for are its images, with their configs, and not its attestations.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	hub := newTestRegistry(t)
	c, repo := hub.client(), hub.repo("team/shop")
	amd, attestation := withPlatform(t, randomImage(t, 1), "amd64"), randomImage(t, 1)
	index := mutate.AppendManifests(randomIndex(t, 2, nil),
		mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}},
		mutate.IndexAddendum{Add: mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: amd, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})})
	pushed := pushTo(t, c, index, repo, "v1")
	images, found, err := c.Platforms(t.Context(), pushed)
	if err != nil || !found || len(images) != 3 {
		t.Fatalf("got %+v, %t, %v", images, found, err)
	}
	nested := images[2]
	config, err := amd.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if nested.Platform != (release.Platform{OS: "linux", Architecture: "amd64"}) || nested.Config.String() != config.String() {
		t.Errorf("got %+v", nested)
	}
	alone, found, err := c.Platforms(t.Context(), repo.At(nested.Manifest))
	if err != nil || !found || len(alone) != 1 || alone[0].Manifest != nested.Manifest || alone[0].Config != nested.Config {
		t.Errorf("got %+v, %t, %v", alone, found, err)
	}
	described, err := amd.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if want := (release.Platform{OS: described.OS, Architecture: described.Architecture}); alone[0].Platform != want {
		t.Errorf("the config says %v, got %v", want, alone[0].Platform)
	}
	if _, found, err := c.Platforms(t.Context(), repo.At(release.DigestOf([]byte("nothing")))); found || err != nil {
		t.Errorf("got %t, %v for an image that is not there", found, err)
	}
}

// withPlatform is the image with the platform in its config.
func withPlatform(t *testing.T, image v1.Image, architecture string) v1.Image {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}
