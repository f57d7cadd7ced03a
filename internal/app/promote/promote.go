// Package promote wires the promote verb: the registry, and the evidence in it.
package promote

import (
	"context"
	"strings"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Command returns the promote verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[promote.Settings, promote.Result]{
		Verb: promote.Verb, Declare: (*promote.Settings).Declare, ResolveCommit: git.ResolveCommit, Run: Run,
		Outputs: func(r promote.Result) map[string]string {
			return map[string]string{"image": r.Image.String(), "digest": r.Digest.String(), "tag": r.Tag.String(),
				"commit": r.Commit.String(), "source": r.Source.String(), "outcome": string(r.Outcome), "images": lines(r.Images), "services": app.JSONOf(r.Services)}
		},
		Page: Page,
	})
}

// lines returns the promoted images in the form of the inputs image and images: [NAME=]REPOSITORY@DIGEST, one a line.
func lines(images []promote.Promoted) string {
	var lines []string
	for _, image := range images {
		line := image.Image.String()
		if image.Name != "" {
			line = image.Name + "=" + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *promote.Settings, run *app.RunContext) (promote.Result, error) {
	registry, err := images.New(ctx, run, settings.PlainHTTP...)
	if err != nil {
		return promote.Result{}, err
	}
	signer, err := keys.Signer(ctx, run, "sign-key", settings.SignKey)
	if err != nil {
		return promote.Result{}, err
	}
	registry.SignWith(signer)
	registry.RefuseLegacy(settings.LegacySignatures == setting.LegacyRefuse)
	rules, err := gates.Load(run, settings.Policy)
	if err != nil {
		return promote.Result{}, err
	}
	gate, err := gates.New(run, registry, rules, settings.VerifyKeys, signer)
	if err != nil {
		return promote.Result{}, err
	}
	deps := promote.Deps{Registry: registry, Evidence: registry, Gate: gate, Rejections: gate, Policy: rules, Actor: run.Actor(), Reporter: run.Reporter, Now: run.Process.Now, Origin: run.Origin(), WatchExpiry: registry.WatchExpiry, Settings: registry.TagSettings,
		WarnSigner: gate.WarnSigner(settings.DryRun),
		KnownRelation: func(ctx context.Context, earlier, commit release.Commit) (release.Relation, bool) {
			return git.KnownRelation(ctx, run.Process.Environ, run.Process.Dir, earlier, commit)
		}}
	defer registry.FinishExpiry()
	if signer != nil {
		deps.Facts = registry
	}
	if settings.Matrix == "" {
		return promote.Run(ctx, *settings, deps)
	}
	content, err := run.Workspace().Read("matrix", settings.Matrix, "name a YAML file (docs/matrix.md)")
	if err != nil {
		return promote.Result{}, err
	}
	return promote.RunMatrix(ctx, content, *settings, deps)
}
