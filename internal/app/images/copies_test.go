package images_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/copied"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
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
	trusted := signed.Verifiers(staging.Key(), promoter.Key())
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
	attach := func(t *testing.T, image release.Image, of copied.Copy, by *signed.KeySigner) {
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

// TestRejectionsAreCopied: whatever else is beside the image, what speaks against it is at the target, or the copy fails.
func TestRejectionsAreCopied(t *testing.T) {
	t.Parallel()
	against := func(t *testing.T, connected *images.Images, image release.Image) (records []release.Digest) {
		t.Helper()
		read, err := connected.Facts(t.Context(), image, fact.Rejected, fact.Smoked)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range read {
			if each.Kind == fact.Rejected || each.Smoke.Verdict == release.Fail {
				records = append(records, each.Record)
			}
		}
		return records
	}
	lost := new(sync.Map)
	all := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, gone := lost.Load(r.Method + path.Base(r.URL.Path)); gone {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		all.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	connected, told := connect(t, nil)
	image := push(t, connected, release.Repository(strings.TrimPrefix(server.URL, "http://")+"/shop"))
	relied, err := connected.Record(t.Context(), record(image, "staging", release.Pass, time.Now().Add(-time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	rejection := factsAbout(t, image)[fact.Rejected]
	rejection.At = time.Now().Add(-48 * time.Hour)
	if _, _, err := connected.RecordFact(t.Context(), rejection); err != nil {
		t.Fatal(err)
	}
	if _, err := connected.Record(t.Context(), record(image, "production", release.Fail, time.Now().Add(-40*time.Hour))); err != nil {
		t.Fatal(err)
	}
	client := registry.New(registry.Options{})
	for i := range 200 { // the most that are copied, newer than what speaks against the image
		if _, err := client.Attach(t.Context(), image, signed.MediaType, signed.MediaType, fmt.Appendf(nil, `{"other":%d}`, i), map[string]string{
			signed.AnnotationPredicateType: "https://slsa.dev/provenance/v1", release.AnnotationCreated: time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		}); err != nil {
			t.Fatal(err)
		}
	}
	want := against(t, connected, image)
	to := image.Repository + "-live"
	if err := connected.Copy(t.Context(), image, to, nil); err != nil || len(want) != 2 {
		t.Fatalf("got %v, %v", want, err)
	}
	if err := connected.CopyEvidence(t.Context(), image, relied, to, ""); err != nil {
		t.Fatal(err)
	}
	if got := against(t, connected, to.At(image.Digest)); !slices.Equal(got, want) {
		t.Errorf("the target has %v, want %v\n%s", got, want, told)
	}
	other := image.Repository + "-other"
	if err := connected.Copy(t.Context(), image, other, nil); err != nil {
		t.Fatal(err)
	}
	lost.Store(http.MethodGet+want[0].String(), true)
	if err := connected.CopyEvidence(t.Context(), image, relied, other, ""); err == nil {
		t.Errorf("a record that speaks against the image is left out: %s", told)
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
