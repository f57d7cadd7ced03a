package images_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/evidence/signed/signedtest"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// newSigner makes a key.
func newSigner(t *testing.T) *signed.KeySigner {
	t.Helper()
	signer, _, _ := signedtest.New(t)
	return signer
}

// TestNewestOfSignedRecords: where keys are trusted, a pass counts only if one of them signed exactly this statement about this image.
func TestNewestOfSignedRecords(t *testing.T) {
	t.Parallel()
	trusted, rotated, stranger := newSigner(t), newSigner(t), newSigner(t)
	sign := func(t *testing.T, found release.Evidence, by *signed.KeySigner) []byte {
		t.Helper()
		content, err := signed.Sign(t.Context(), encoded(t, found), by)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	replacePayload := func(t *testing.T, bundle, payload []byte) []byte {
		t.Helper()
		var read map[string]any
		if err := json.Unmarshal(bundle, &read); err != nil {
			t.Fatal(err)
		}
		read["dsseEnvelope"].(map[string]any)["payload"] = base64.StdEncoding.EncodeToString(payload)
		changed, err := json.Marshal(read)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	type content struct {
		mediaType   string
		bytes       []byte
		annotations map[string]string // nil: those of Record
	}
	for name, test := range map[string]struct {
		attach func(t *testing.T, pass release.Evidence) content
		proves bool
		says   string
	}{
		"signed": {func(t *testing.T, e release.Evidence) content {
			return content{signed.MediaType, sign(t, e, trusted), nil}
		}, true, ""},
		"signed by a key before it": {func(t *testing.T, e release.Evidence) content {
			return content{signed.MediaType, sign(t, e, rotated), nil}
		}, true, ""},
		"as cosign attaches it": {func(t *testing.T, e release.Evidence) content {
			return content{signed.MediaType, sign(t, e, trusted), map[string]string{signed.AnnotationContent: signed.ContentEnvelope, signed.AnnotationPredicateType: evidence.PredicateType}}
		}, true, ""},
		"not signed": {func(t *testing.T, e release.Evidence) content { return content{evidence.MediaType, encoded(t, e), nil} }, false, "not signed"},
		"another's": {func(t *testing.T, e release.Evidence) content {
			return content{signed.MediaType, sign(t, e, stranger), nil}
		}, false, "none of 2 trusted keys"},
		"no bundle": {func(t *testing.T, e release.Evidence) content { return content{signed.MediaType, encoded(t, e), nil} }, false, "media type"},
		"forged signature": {func(t *testing.T, e release.Evidence) content {
			return content{signed.MediaType, replacePayload(t, sign(t, e, stranger), encoded(t, e)), nil}
		}, false, "none of"},
		"a verdict changed": {func(t *testing.T, e release.Evidence) content {
			failed := e
			failed.Verdict = release.Fail
			return content{signed.MediaType, replacePayload(t, sign(t, failed, trusted), encoded(t, e)), nil}
		}, false, "none of"},
		"re-serialized": {func(t *testing.T, e release.Evidence) content {
			return content{signed.MediaType, replacePayload(t, sign(t, e, trusted), append(encoded(t, e), '\n')), nil}
		}, false, "none of"},
		"about another image": {func(t *testing.T, e release.Evidence) content {
			e.Image = e.Image.Repository.At(releasetest.Digest(t, "d"))
			return content{signed.MediaType, sign(t, e, trusted), nil}
		}, false, "it is about"},
		"about another repository": {func(t *testing.T, e release.Evidence) content {
			e.Image = (e.Image.Repository + "-other").At(e.Image.Digest)
			return content{signed.MediaType, sign(t, e, trusted), nil}
		}, false, ""},
		"of another environment": {func(t *testing.T, e release.Evidence) content {
			e.Environment = "preview"
			return content{signed.MediaType, sign(t, e, trusted), nil}
		}, false, "it is from"},
		"of next year": {func(t *testing.T, e release.Evidence) content {
			e.At = e.At.Add(365 * 24 * time.Hour)
			return content{signed.MediaType, sign(t, e, trusted), nil}
		}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connected, told := connect(t, nil)
			image := push(t, connected, registrytest.Repository(t))
			connected.Trust(signed.Verifiers(trusted.Key(), rotated.Key()))
			attached := test.attach(t, record(image, "staging", release.Pass, time.Now()))
			annotations := attached.annotations
			if annotations == nil {
				annotations = map[string]string{evidence.AnnotationEnvironment: "staging", evidence.AnnotationVerdict: string(release.Pass)}
			}
			artifactType := attached.mediaType
			if artifactType == evidence.MediaType {
				artifactType = evidence.ArtifactType
			}
			if _, err := registry.New(registry.Options{}).Attach(t.Context(), image, artifactType, attached.mediaType, attached.bytes, annotations); err != nil {
				t.Fatal(err)
			}
			newest, found, err := connected.Newest(t.Context(), image, "staging")
			proves := err == nil && found && newest.Proves(image, "staging", time.Now(), 0) == nil
			if proves != test.proves || !strings.Contains(told.String(), test.says) {
				t.Errorf("got %+v, %t, %v\n%s", newest, found, err, told)
			}
			if proves && newest.Signer == "" {
				t.Error("the signer is not named")
			}
		})
	}
}

// TestRecordSigns: what Record signs, Newest verifies; a failure that nobody signed outdates it all the same.
func TestRecordSigns(t *testing.T) {
	t.Parallel()
	signer := newSigner(t)
	connected, told := connect(t, nil)
	image := push(t, connected, registrytest.Repository(t))
	connected.SignWith(signer)
	connected.Trust(signed.Verifiers(signer.Key()))
	if _, err := connected.Record(t.Context(), record(image, "staging", release.Pass, time.Now())); err != nil {
		t.Fatal(err)
	}
	newest, found, err := connected.Newest(t.Context(), image, "staging")
	if err != nil || !found || newest.Verdict != release.Pass || newest.Signer != signer.Key().ID {
		t.Fatalf("got %+v, %t, %v\n%s", newest, found, err, told)
	}
	connected.SignWith(nil)
	if _, err := connected.Record(t.Context(), record(image, "staging", release.Fail, time.Now())); err != nil {
		t.Fatal(err)
	}
	if newest, found, err = connected.Newest(t.Context(), image, "staging"); err != nil || !found || newest.Verdict != release.Fail {
		t.Errorf("got %+v, %t, %v", newest, found, err)
	}
}

// TestBundlesOfOthersAreNotRead: another kind of statement in a bundle is passed over by its annotation.
func TestBundlesOfOthersAreNotRead(t *testing.T) {
	t.Parallel()
	connected, told := connect(t, nil)
	image := push(t, connected, registrytest.Repository(t))
	if _, err := registry.New(registry.Options{}).Attach(t.Context(), image, signed.MediaType, signed.MediaType, []byte("not JSON"),
		map[string]string{signed.AnnotationPredicateType: "https://slsa.dev/provenance/v1"}); err != nil {
		t.Fatal(err)
	}
	if newest, found, err := connected.Newest(t.Context(), image, "staging"); err != nil || found || told.String() != "" {
		t.Errorf("got %+v, %t, %v, told %q", newest, found, err, told)
	}
}

// TestCheckSigning: an image with a signature of cosign 2 is refused before anything is attached, if a signer would have to and the setting says so.
func TestCheckSigning(t *testing.T) {
	t.Parallel()
	connected, _ := connect(t, nil)
	image := push(t, connected, registrytest.Repository(t))
	legacy := registrytest.Layout(t, nil)
	if err := connected.Push(t.Context(), legacy, image.Repository, release.Tag(strings.Replace(image.Digest.String(), ":", "-", 1)+".sig"), nil); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ signs, refuses bool }{"warns": {true, false}, "refuses": {true, true}, "signs nothing": {false, true}} {
		other := connected.Signing(nil)
		if test.signs {
			other = connected.Signing(newSigner(t))
		}
		other.RefuseLegacy(test.refuses)
		if err := other.CheckSigning(t.Context(), image); (err != nil) != (test.signs && test.refuses) || err != nil && release.ExitCode(err) != release.ExitFailed {
			t.Errorf("%s: got %v", name, err)
		}
		if err := other.CheckSigning(t.Context(), image.Repository.At(legacy.Digest)); err != nil && legacy.Digest != image.Digest {
			t.Errorf("%s: an image without such a signature: %v", name, err)
		}
	}
	if read, err := connected.Facts(t.Context(), image); err != nil || len(read) > 0 {
		t.Errorf("got %v, %v", read, err)
	}
}
