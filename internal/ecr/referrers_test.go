package ecr

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/internal/release"
)

// TestReferrers lists what is attached page by page, also what is archived, and reads it in one request.
func TestReferrers(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	repo := server.Repository("shop")
	image := repo.At(put(t, c, repo, "image", "one"))
	attach := func(artifactType, name string) release.Digest {
		t.Helper()
		text := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":%q,"manifests":[],"subject":{"mediaType":%q,"digest":%q,"size":1},"annotations":{"name":%q}}`,
			mediaType, artifactType, mediaType, image.Digest, name)
		if err := c.PutTag(t.Context(), repo, text, mediaType, release.DigestOf(text), release.Tag("r"+name)); err != nil {
			t.Fatal(err)
		}
		return release.DigestOf(text)
	}
	var digests []release.Digest
	for i := range maxReferrers + 3 {
		digests = append(digests, attach("application/vnd.wanted", fmt.Sprint(i)))
	}
	attach("application/vnd.other", "other")
	if err := server.ArchiveImage("shop", digests[0]); err != nil {
		t.Fatal(err)
	}
	listed := map[string]release.Descriptor{}
	for page, err := range c.Referrers(t.Context(), image, []string{"application/vnd.wanted"}) {
		if err != nil || len(page) > maxReferrers {
			t.Fatalf("got %d, %v", len(page), err)
		}
		for _, each := range page {
			listed[each.Digest] = each
		}
	}
	if got := listed[digests[0].String()]; len(listed) != len(digests) || got.Annotations["name"] != "0" || got.MediaType != mediaType || got.ArtifactType != "application/vnd.wanted" || got.Size == 0 {
		t.Errorf("got %d referrers, and of the archived one %+v", len(listed), got)
	}
	if pages := server.Count(localaws.RouteListImageReferrers, ""); pages != 2 {
		t.Errorf("%d pages, want 2", pages)
	}
	read, err := c.Manifests(t.Context(), repo, digests)
	if _, archived := read[digests[0]]; err != nil || len(read) != len(digests)-1 || archived || release.DigestOf(read[digests[1]]) != digests[1] {
		t.Errorf("got %d manifests, %v", len(read), err)
	}
	for _, err := range c.Referrers(t.Context(), release.Repository(server.Address()+"/none").At(image.Digest), nil) {
		if err == nil || CannotList(err) || release.ExitCode(err) != release.ExitFault {
			t.Errorf("no repository: got %v", err)
		}
	}
}

// TestDelete deletes more manifests than one request takes, some of which are gone, and leaves the others.
func TestDelete(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	repo := server.Repository("shop")
	kept := put(t, c, repo, "kept", "kept")
	digests := []release.Digest{release.DigestOf([]byte("gone"))}
	for i := range 3 {
		digests = append(digests, put(t, c, repo, fmt.Sprint(i), release.Tag(fmt.Sprint(i))))
	}
	for i := range MaxManifests {
		digests = append(digests, release.DigestOf(fmt.Append(nil, i)))
	}
	if err := c.Delete(t.Context(), repo, digests); err != nil {
		t.Fatal(err)
	}
	left, err := c.Manifests(t.Context(), repo, append(digests[:4:4], kept))
	if _, found := left[kept]; err != nil || len(left) != 1 || !found {
		t.Errorf("%d are left, %v", len(left), err)
	}
	if requests := server.Count(localaws.RouteBatchDeleteImage, ""); requests != 2 {
		t.Errorf("%d requests, want 2", requests)
	}
	if err := c.Delete(t.Context(), release.Repository(server.Address()+"/none"), digests); release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "none") {
		t.Errorf("no repository: got %v", err)
	}
}
