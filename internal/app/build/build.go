// Package build wires the build verb: git, the builders and the registry.
package build

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/setting"
)

// Command returns the build verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[build.Settings, build.Result]{
		Verb: build.Verb, Declare: (*build.Settings).Declare, Run: Run, RunsGo: true,
		Outputs: func(r build.Result) map[string]string {
			return map[string]string{"image": r.Image.String(), "digest": r.Digest.String(), "tag": r.Tag.String(), "reused": strconv.FormatBool(r.Reused), "commit": r.Commit.String(),
				"digests": app.JSONOf(r.Digests), "services": app.JSONOf(r.Services)}
		},
		Page: Page,
	})
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *build.Settings, run *app.RunContext) (build.Result, error) {
	registry, err := images.New(ctx, run, settings.PlainHTTP...)
	if err != nil {
		return build.Result{}, err
	}
	signer, err := keys.Signer(ctx, run, "sign-key", settings.SignKey)
	if err != nil {
		return build.Result{}, err
	}
	var facts build.Facts
	if signer != nil {
		registry.RefuseLegacy(settings.LegacySignatures == setting.LegacyRefuse)
		facts = registry.Signing(signer)
	}
	// sbomFacts returns where a job attaches its SBOM; nil if it attaches none.
	sbomFacts := func(settings build.Settings) build.Facts {
		switch {
		case settings.SBOM == build.SBOMOff:
			return nil
		case settings.SBOM == build.SBOMOn || settings.SBOMFile != "":
			return registry.Signing(signer)
		}
		return facts
	}
	markPublic := publicMarker(run.Secrets.MarkPublicIdentities)
	newDeps := func(settings build.Settings, reporter release.Reporter) build.Deps {
		for _, secret := range settings.Secrets {
			run.Mask(secret.Value)
		}
		markPublic(settings.Repository.String(), settings.Adopt.String(), settings.Adopt.Repository.String())
		markPublic.digest(settings.Adopt.Digest)
		builders := image.New(image.Options{Environ: run.Process.Environ, Log: reporter.Raw, Login: registry.Login, Warn: func(line string) { reporter.Warnf("%s", line) }})
		return build.Deps{
			WorkTree: markingTree{workTree{environ: run.Process.Environ}, markPublic}, Builder: markingBuilder{builders, markPublic}, SBOMs: sboms{builders, run}, SBOMFacts: sbomFacts(settings),
			Registry: markingRegistry{registry, markPublic}, Workspace: run.Workspace(), Facts: facts, Origin: run.Origin(), Reporter: reporter, Now: run.Process.Now,
		}
	}
	if settings.Matrix != "" {
		content, err := run.Workspace().Read("matrix", settings.Matrix, "name a YAML file (docs/matrix.md)")
		if err != nil {
			return build.Result{}, err
		}
		result, err := build.RunMatrix(ctx, content, *settings, run.Reporter, newDeps)
		for _, one := range result.Services {
			markResultPublic(markPublic, one)
		}
		return result, err
	}
	result, err := build.Run(ctx, *settings, newDeps(*settings, run.Reporter))
	markResultPublic(markPublic, result)
	return result, err
}

// sboms lists what images contain, or reads what another program listed.
type sboms struct {
	*image.Builders
	run *app.RunContext
}

func (s sboms) ReadSBOM(file string) (fact.SBOM, time.Time, error) {
	content, err := s.run.Workspace().Read("sbom-file", file, "name a file with CycloneDX in JSON")
	if err != nil {
		return fact.SBOM{}, time.Time{}, err
	}
	read, at, err := evidence.ReadSBOM(content)
	if err != nil {
		return fact.SBOM{}, at, release.BadSetting("sbom-file", fmt.Sprintf("%q is not an SBOM that can be attached: %v", file, err), "give CycloneDX 1.2 or newer in JSON")
	}
	return read, at, nil
}

func markResultPublic(markPublic publicMarker, result build.Result) {
	markPublic(result.Commit.String(), result.From.String(), result.Tag.String(), result.Image.String())
	markPublic.digest(result.Digest)
}

// publicMarker marks the identities that a run is about (commits, tags, digests) as public before anything prints them: they are not redacted, even
// if a secret has the same value.
type publicMarker func(identities ...string)

func (p publicMarker) digest(digest release.Digest) {
	if !digest.IsZero() {
		p(digest.String(), strings.TrimPrefix(digest.String(), "sha256:"))
	}
}

// image marks an image's digest as public, and its revision if that is a commit.
func (p publicMarker) image(info release.ImageInfo) {
	p.digest(info.Digest)
	if commit, err := release.ParseCommit(info.Revision); err == nil {
		p(commit.String())
	}
}

// markingTree is a work tree whose commit is marked as public once it is read.
type markingTree struct {
	build.WorkTree
	markPublic publicMarker
}

func (w markingTree) Inspect(ctx context.Context, dir, commit string) (release.Source, error) {
	source, err := w.WorkTree.Inspect(ctx, dir, commit)
	w.markPublic(source.Commit.String())
	return source, err
}

// markingBuilder is a builder that marks the digests of the images it builds as public.
type markingBuilder struct {
	build.Builder
	markPublic publicMarker
}

func (b markingBuilder) Build(ctx context.Context, builder string, recipe release.Recipe, dir string) (release.Layout, error) {
	layout, err := b.Builder.Build(ctx, builder, recipe, dir)
	b.markPublic.digest(layout.Digest)
	return layout, err
}

// markingRegistry is a registry that marks the images it finds as public.
type markingRegistry struct {
	build.Registry
	markPublic publicMarker
}

func (r markingRegistry) Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	info, found, err := r.Registry.Find(ctx, repository, tag)
	r.markPublic.image(info)
	return info, found, err
}

func (r markingRegistry) Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error) {
	info, found, err := r.Registry.Describe(ctx, image)
	r.markPublic.image(info)
	return info, found, err
}

// workTree reads git.
type workTree struct{ environ []string }

func (w workTree) Inspect(ctx context.Context, dir, commit string) (release.Source, error) {
	return git.Inspect(ctx, w.environ, dir, commit)
}

// Object returns the SHA-256 of a commit's object; false if the repository lacks the commit.
func (w workTree) Object(ctx context.Context, dir string, commit release.Commit) ([32]byte, bool, error) {
	return git.Object(ctx, w.environ, dir, commit)
}

func (w workTree) IsShallow(ctx context.Context, dir string) (bool, error) {
	return git.IsShallow(ctx, w.environ, dir)
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
