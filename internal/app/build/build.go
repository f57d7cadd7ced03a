// Package build wires the build verb: git, the builders and the registry.
package build

import (
	"context"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/release"
)

// Command is the build verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[build.Settings, build.Result]{
		Verb: build.Verb, Declare: (*build.Settings).Declare, Run: Run,
		Outputs: func(r build.Result) map[string]string {
			return map[string]string{"image": r.Image.String(), "digest": r.Digest.String(), "tag": r.Tag.String(), "reused": strconv.FormatBool(r.Reused), "commit": r.Commit.String()}
		},
		Summary: func(r build.Result) []app.Row {
			return []app.Row{{"outcome", string(r.Outcome)}, {"image", r.Image.String()}, {"tag", r.Tag.String()},
				{"commit", r.Commit.String()}, {"reused from", r.From.String()}, {"platforms", strings.Join(r.Platforms, ", ")}}
		},
	})
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *build.Settings, run *app.RunContext) (build.Result, error) {
	registry, err := images.New(ctx, run)
	if err != nil {
		return build.Result{}, err
	}
	for _, secret := range settings.Secrets {
		run.Mask(secret.Value)
	}
	return build.Run(ctx, *settings, build.Deps{
		WorkTree: workTree{environ: run.Process.Environ}, Builder: image.New(image.Options{Environ: run.Process.Environ, Log: run.Reporter.Raw,
			Login: registry.Login, Warn: func(line string) { run.Reporter.Warnf("%s", line) }}),
		Registry: registry, Workspace: run.Workspace(), Reporter: run.Reporter, Now: run.Process.Now,
	})
}

// workTree reads git.
type workTree struct{ environ []string }

func (w workTree) Inspect(ctx context.Context, dir, commit string) (release.Source, error) {
	return git.Inspect(ctx, w.environ, dir, commit)
}

func (w workTree) Object(ctx context.Context, dir string, commit release.Commit) ([32]byte, bool, error) {
	return git.Object(ctx, w.environ, dir, commit)
}

func (w workTree) Fingerprint(ctx context.Context, dir string, commit release.Commit, inputs release.Inputs) (string, error) {
	return git.Fingerprint(ctx, w.environ, dir, commit, inputs)
}

func (w workTree) Ancestors(ctx context.Context, dir string, commit release.Commit, limit int) ([]release.Commit, error) {
	return git.Ancestors(ctx, w.environ, dir, commit, limit)
}

func (w workTree) Differences(ctx context.Context, dir string, commit release.Commit, inputs release.Inputs) ([]release.Difference, error) {
	return git.Differences(ctx, w.environ, dir, commit, inputs)
}
