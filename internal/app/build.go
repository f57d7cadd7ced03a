package app

import (
	"context"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/release"
)

// Build is the build verb as a command.
func Build(ctx context.Context, process Process) int {
	return perform(ctx, process, verb[*build.Settings, build.Result]{
		about: build.Verb, settings: new(build.Settings), run: runBuild,
		outputs: func(r build.Result) map[string]string {
			return map[string]string{"image": r.Image.String(), "digest": r.Digest.String(), "tag": r.Tag.String(), "reused": strconv.FormatBool(r.Reused)}
		},
		summary: func(r build.Result) []row {
			return []row{{"outcome", string(r.Outcome)}, {"image", r.Image.String()}, {"tag", r.Tag.String()},
				{"commit", r.Commit.String()}, {"platforms", strings.Join(r.Platform, ", ")}}
		},
	})
}

func runBuild(ctx context.Context, settings *build.Settings, desk *desk) (build.Result, error) {
	images, err := newImages(ctx, desk)
	if err != nil {
		return build.Result{}, err
	}
	return build.Run(ctx, *settings, build.Deps{
		WorkTree: workTree{environ: desk.process.Environ}, Builder: newBuilders(desk), Registry: images,
		Workspace: newWorkspace(desk.process), Reporter: desk.account, Now: desk.process.Now,
	})
}

// workTree reads git.
type workTree struct{ environ []string }

func (w workTree) Inspect(ctx context.Context, dir, commit string) (release.Source, error) {
	return git.Inspect(ctx, w.environ, dir, commit)
}

func (w workTree) Strays(ctx context.Context, dir string, files []string) ([]string, error) {
	return git.Strays(ctx, w.environ, dir, files)
}
