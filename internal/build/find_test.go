package build_test

import (
	"errors"
	"testing"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

func TestFindReturnsTheImageOfATag(t *testing.T) {
	t.Parallel()
	digest := releasetest.Digest(t, "a")
	f := &fakeDeps{pushed: map[release.Tag]release.ImageInfo{"1.0.0-prod": {Digest: digest, Revision: commit.String()}, "by-hand": {Digest: digest, Revision: "1.0"}}}
	for tag, want := range map[release.Tag]release.Commit{"1.0.0-prod": commit, "by-hand": ""} {
		got, err := f.run(t, "--find", string(tag))
		if err != nil || got.Digest != digest || got.Image.String() != "localhost:5000/shop@"+digest.String() || got.Commit != want || got.Tag != tag {
			t.Errorf("%s: %+v, %v", tag, got, err)
		}
	}
	var refusal *release.Refusal
	if _, err := f.run(t, "--find", "2.0.0"); !errors.As(err, &refusal) {
		t.Errorf("a tag that does not exist: %v, want a refusal", err)
	}
	if f.builds != 0 || f.creations != 0 {
		t.Errorf("%d builds, %d repositories were created", f.builds, f.creations)
	}
	if err := settingtest.Apply(new(build.Settings).Declare(), "--repository", "localhost/shop", "--find", "a", "--adopt", "localhost/x@"+digest.String()); err == nil {
		t.Error("find and adopt are accepted together")
	}
}
