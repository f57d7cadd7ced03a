package images_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/copied"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// proves checks what a gate concludes from the newest record of staging.
func proves(t *testing.T, connected *images.Images, image release.Image) error {
	t.Helper()
	newest, found, err := connected.Newest(t.Context(), image, "staging")
	return release.Proof{Image: image, By: "staging", Signed: true}.Check(newest, found, err, time.Now())
}

// TestEvidenceAtTheTarget: an image that was copied with its evidence is proved in its new place, and in the place after that, if the copies
// are signed as the evidence must be. Nothing else makes evidence about another repository count.
func TestEvidenceAtTheTarget(t *testing.T) {
	t.Parallel()
	staging, promoter, stranger := newSigner(t), newSigner(t), newSigner(t)
	trusted := []signed.Key{staging.Key(), promoter.Key()}
	// copyTo copies the image with what proves it, as promote does.
	copyTo := func(t *testing.T, connected *images.Images, image release.Image, to release.Repository, by signed.Signer) release.Image {
		t.Helper()
		newest, found, err := connected.Newest(t.Context(), image, "staging")
		if err != nil || !found {
			t.Fatalf("got %t, %v", found, err)
		}
		if err := connected.Copy(t.Context(), image, to, nil); err != nil {
			t.Fatal(err)
		}
		connected.SignWith(by)
		if err := connected.CopyEvidence(t.Context(), image, newest.Record, to, "https://ci.example/1"); err != nil {
			t.Fatal(err)
		}
		return to.At(image.Digest)
	}
	attach := func(t *testing.T, image release.Image, of copied.Copy, by signed.Signer) {
		t.Helper()
		statement, err := copied.Encode(of)
		if err != nil {
			t.Fatal(err)
		}
		content, err := signed.Sign(t.Context(), statement, by)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.New(registry.Options{}).Attach(t.Context(), image, signed.MediaType, signed.MediaType, content,
			map[string]string{signed.AnnotationContent: signed.ContentEnvelope, signed.AnnotationPredicateType: copied.PredicateType}); err != nil {
			t.Fatal(err)
		}
	}
	const notHere = "is about the image in"
	for name, test := range map[string]struct {
		move func(t *testing.T, connected *images.Images, image release.Image, to release.Repository) release.Image
		want string // the refusal; "" for a proof
	}{
		"copied": {func(t *testing.T, connected *images.Images, image release.Image, to release.Repository) release.Image {
			return copyTo(t, connected, image, to, promoter)
		}, ""},
		"copied twice": {func(t *testing.T, connected *images.Images, image release.Image, to release.Repository) release.Image {
			return copyTo(t, connected, copyTo(t, connected, image, to, promoter), registrytest.Repository(t), promoter)
		}, ""},
		"the copy is not signed": {func(t *testing.T, connected *images.Images, image release.Image, to release.Repository) release.Image {
			return copyTo(t, connected, image, to, nil)
		}, notHere},
		"a stranger signed the copy": {func(t *testing.T, connected *images.Images, image release.Image, to release.Repository) release.Image {
			return copyTo(t, connected, image, to, stranger)
		}, notHere},
		"a copy to another repository": {func(t *testing.T, connected *images.Images, image release.Image, to release.Repository) release.Image {
			moved := copyTo(t, connected, image, to, nil)
			attach(t, moved, copied.Copy{Digest: image.Digest, From: image.Repository, To: to + "-other", At: time.Now()}, promoter)
			return moved
		}, notHere},
		"a copy from another repository": {func(t *testing.T, connected *images.Images, image release.Image, to release.Repository) release.Image {
			moved := copyTo(t, connected, image, to, nil)
			attach(t, moved, copied.Copy{Digest: image.Digest, From: image.Repository + "-other", To: to, At: time.Now()}, promoter)
			return moved
		}, notHere},
		"a copy of another image": {func(t *testing.T, connected *images.Images, image release.Image, to release.Repository) release.Image {
			moved := copyTo(t, connected, image, to, nil)
			attach(t, moved, copied.Copy{Digest: releasetest.Digest(t, "d"), From: image.Repository, To: to, At: time.Now()}, promoter)
			return moved
		}, notHere},
		"failed before it was copied": {func(t *testing.T, connected *images.Images, image release.Image, to release.Repository) release.Image {
			connected.SignWith(nil)
			if _, err := connected.Record(t.Context(), record(image, "staging", release.Fail, time.Now())); err != nil {
				t.Fatal(err)
			}
			return copyTo(t, connected, image, to, promoter)
		}, `was "fail"`},
		"failed in its new place": {func(t *testing.T, connected *images.Images, image release.Image, to release.Repository) release.Image {
			moved := copyTo(t, connected, image, to, promoter)
			if _, err := connected.Record(t.Context(), record(moved, "staging", release.Fail, time.Now())); err != nil {
				t.Fatal(err)
			}
			return moved
		}, `was "fail"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connected, told := connect(t, nil)
			connected.Trust(trusted)
			connected.SignWith(staging)
			image := push(t, connected, registrytest.Repository(t))
			if _, err := connected.Record(t.Context(), record(image, "staging", release.Pass, time.Now().Add(-time.Hour))); err != nil {
				t.Fatal(err)
			}
			moved := test.move(t, connected, image, registrytest.Repository(t))
			err := proves(t, connected, moved)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q\n%s", err, test.want, told)
			}
			newest, _, _ := connected.Newest(t.Context(), moved, "staging")
			if test.want == "" && newest.Origin != image.Repository {
				t.Errorf("the evidence is said to be from %q, want %q", newest.Origin, image.Repository)
			}
		})
	}
}

// TestCopyEvidence: every record and every bundle goes along with its own bytes, also those of others; again, nothing is written.
func TestCopyEvidence(t *testing.T) {
	t.Parallel()
	signer := newSigner(t)
	connected, told := connect(t, nil)
	connected.SignWith(signer)
	image := push(t, connected, registrytest.Repository(t))
	relied, err := connected.Record(t.Context(), record(image, "staging", release.Pass, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	client := registry.New(registry.Options{})
	for _, each := range []struct{ artifactType, predicate string }{{evidence.ArtifactType, ""}, {signed.MediaType, "https://slsa.dev/provenance/v1"}, {"application/x.other", ""}} {
		annotations := map[string]string{evidence.AnnotationEnvironment: "preview"}
		if each.predicate != "" {
			annotations[signed.AnnotationPredicateType] = each.predicate
		}
		if _, err := client.Attach(t.Context(), image, each.artifactType, each.artifactType, []byte(`{"by":"another tool"}`), annotations); err != nil {
			t.Fatal(err)
		}
	}
	to := registrytest.Repository(t)
	if err := connected.Copy(t.Context(), image, to, nil); err != nil {
		t.Fatal(err)
	}
	types := []string{evidence.ArtifactType, signed.MediaType}
	var before []release.Digest
	for range 2 {
		if err := connected.CopyEvidence(t.Context(), image, relied, to, ""); err != nil {
			t.Fatal(err)
		}
		source, err := client.ListReferrers(t.Context(), image, types, nil)
		if err != nil {
			t.Fatal(err)
		}
		target, err := client.ListReferrers(t.Context(), to.At(image.Digest), types, nil)
		if err != nil || len(source) != 4 || len(target) != 5 || before != nil && !slices.Equal(before, target) {
			t.Errorf("the source lists %v, the target %v, before %v, %v\n%s", source, target, before, err, told)
		}
		for _, each := range source {
			if !slices.Contains(target, each) {
				t.Errorf("%s is not at the target", each)
			}
		}
		before = target
	}
}
