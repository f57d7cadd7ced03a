package build

import (
	"context"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/text"
)

// found are adapters that find a commit and images.
type found struct {
	build.WorkTree
	build.Builder
	build.Registry
	image release.ImageInfo
}

func (found) Inspect(context.Context, string, string) (release.Source, error) {
	return release.Source{Commit: releasetest.Commit}, nil
}

func (f found) Build(context.Context, string, release.Recipe, string) (release.Layout, error) {
	return release.Layout{Digest: f.image.Digest}, nil
}

func (f found) Find(context.Context, release.Repository, release.Tag) (release.ImageInfo, bool, error) {
	return f.image, true, nil
}

func (f found) Describe(context.Context, release.Image) (release.ImageInfo, bool, error) {
	return f.image, true, nil
}

// TestWhatIsBuiltIsNoSecret: a build argument or an environment variable that equals the commit or a digest hides neither.
func TestWhatIsBuiltIsNoSecret(t *testing.T) {
	t.Parallel()
	f := found{image: release.ImageInfo{Digest: releasetest.Digest(t, "d"), Revision: releasetest.Another.String()}}
	digest, another := f.image.Digest.String(), releasetest.Another.String()
	for name, test := range map[string]struct {
		do    func(markPublic publicMarker)
		shown []string
	}{
		"work tree": {func(p publicMarker) { _, _ = markingTree{f.only(), p}.Inspect(t.Context(), "", "") }, []string{releasetest.Commit.String()}},
		"builder":   {func(p publicMarker) { _, _ = markingBuilder{f, p}.Build(t.Context(), "", release.Recipe{}, "") }, []string{digest}},
		"found":     {func(p publicMarker) { _, _, _ = markingRegistry{f.registry(), p}.Find(t.Context(), "", "") }, []string{digest, another}},
		"adopted": {func(p publicMarker) {
			_, _, _ = markingRegistry{f.registry(), p}.Describe(t.Context(), release.Image{})
		}, []string{digest, another}},
	} {
		secrets := new(text.Secrets)
		for _, one := range test.shown {
			secrets.AddPossible(one, strings.TrimPrefix(one, "sha256:")[:12])
		}
		test.do(secrets.MarkPublicIdentities)
		for _, one := range test.shown {
			if got := secrets.Redact("at " + one); got != "at "+one {
				t.Errorf("%s: got %q", name, got)
			}
		}
	}
}

type onlyTree struct {
	build.WorkTree
	found found
}

func (o onlyTree) Inspect(ctx context.Context, dir, commit string) (release.Source, error) {
	return o.found.Inspect(ctx, dir, commit)
}

type onlyRegistry struct {
	build.Registry
	found found
}

func (o onlyRegistry) Find(ctx context.Context, r release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	return o.found.Find(ctx, r, tag)
}

func (o onlyRegistry) Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error) {
	return o.found.Describe(ctx, image)
}

func (f found) only() build.WorkTree     { return onlyTree{found: f} }
func (f found) registry() build.Registry { return onlyRegistry{found: f} }
