// Package build is the verb that turns a commit into an image, once.
package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Deps is what build needs of everything around it.
type Deps struct {
	WorkTree  WorkTree
	Builder   Builder
	Registry  Registry
	Workspace Workspace
	Reporter  release.Reporter
	Now       func() time.Time
}

// WorkTree reads git.
type WorkTree interface {
	// Inspect says which commit a directory holds and what in it differs from that. An empty commit means HEAD.
	Inspect(ctx context.Context, dir, commit string) (release.Source, error)
	// Strays picks the files that the commit does not hold as they are.
	Strays(ctx context.Context, dir string, files []string) ([]string, error)
}

// Builder makes an image.
type Builder interface {
	// Choose settles "auto" and refuses a recipe that the builder cannot follow, before anything runs.
	Choose(builder string, recipe release.Recipe) (string, error)
	// Inputs lists the files of this machine that decide the image, as far as the builder can know them.
	Inputs(ctx context.Context, builder string, recipe release.Recipe) ([]string, error)
	// Build leaves the image as an OCI layout in dir.
	Build(ctx context.Context, builder string, recipe release.Recipe, dir string) (release.Layout, error)
}

// Registry holds the images.
type Registry interface {
	Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error)
	// Push returns a *release.TagTakenError if the tag came to name another image meanwhile.
	Push(ctx context.Context, layout release.Layout, repository release.Repository, tag release.Tag, progress func(release.Progress)) error
}

// Workspace is the part of the disk that the verb may read.
type Workspace interface {
	// Inside makes a path absolute, symbolic links resolved, and refuses one outside the work tree.
	Inside(path string) (string, error)
	// Scratch makes an empty directory; remove takes it away.
	Scratch() (dir string, remove func(), err error)
}

// Result is what build did.
type Result struct {
	Outcome  release.Outcome `json:"outcome"` // created or reused
	Image    release.Image   `json:"image"`
	Digest   release.Digest  `json:"digest"`
	Tag      release.Tag     `json:"tag"`
	Reused   bool            `json:"reused"`
	Commit   release.Commit  `json:"commit"`
	Builder  string          `json:"builder,omitempty"`
	Platform []string        `json:"platforms,omitempty"`
}

// Run builds the commit's image unless the registry has it, and pushes it under the commit's tag.
func Run(ctx context.Context, settings Settings, world Deps) (Result, error) {
	recipe, err := prepare(ctx, settings, world)
	if err != nil {
		return Result{}, err
	}
	tag := tagOf(recipe.Source, world.Now())
	result, found, err := reuse(ctx, settings.Repository, tag, recipe.Source, world)
	if found || err != nil {
		return result, err
	}
	builder, err := world.Builder.Choose(settings.Builder, recipe)
	if err != nil {
		return Result{}, err
	}
	if recipe.Source, err = held(ctx, builder, recipe, settings, world); err != nil {
		return Result{}, err
	}
	tag = tagOf(recipe.Source, world.Now())
	dir, remove, err := world.Workspace.Scratch()
	if err != nil {
		return Result{}, err
	}
	defer remove()
	world.Reporter.Infof("building %s of commit %s with the %s builder", platforms(recipe), recipe.Source.Commit.Short(), builder)
	layout, err := world.Builder.Build(ctx, builder, recipe, dir)
	if err != nil {
		return Result{}, err
	}
	return push(ctx, layout, builder, recipe, settings.Repository, tag, world)
}

func prepare(ctx context.Context, settings Settings, world Deps) (release.Recipe, error) {
	dir, err := world.Workspace.Inside(settings.Context)
	if err != nil {
		return release.Recipe{}, release.BadInput("context", err.Error(), "name a directory of the work tree")
	}
	source, err := world.WorkTree.Inspect(ctx, dir, settings.Commit)
	if err != nil {
		return release.Recipe{}, err
	}
	if len(source.Changed) > 0 && !settings.AllowDirty {
		return release.Recipe{}, release.BadInput("context", fmt.Sprintf("%q has changes that commit %s does not hold (%s)",
			settings.Context, source.Commit.Short(), strings.Join(source.Changed, ", ")),
			"commit or remove them, or give --allow-dirty for an image that cannot be promoted")
	}
	return release.Recipe{
		Context: dir, Main: settings.Main, Dockerfile: settings.Dockerfile, Platforms: settings.Platforms,
		Source: source, Labels: pairs(settings.Labels), BuildArgs: pairs(settings.BuildArgs),
	}, nil
}

// held refuses sources that the commit does not hold although nothing in the context seems changed: files that git
// ignores, or that lie outside. What is compiled in must be the commit's.
func held(ctx context.Context, builder string, recipe release.Recipe, settings Settings, world Deps) (release.Source, error) {
	files, err := world.Builder.Inputs(ctx, builder, recipe)
	if err != nil {
		return recipe.Source, err
	}
	strays, err := world.WorkTree.Strays(ctx, recipe.Context, files)
	if err != nil {
		return recipe.Source, err
	}
	if len(strays) > 0 && !settings.AllowDirty {
		return recipe.Source, release.BadInput("context", fmt.Sprintf("the image would hold files that commit %s does not (%s)",
			recipe.Source.Commit.Short(), strings.Join(strays, ", ")),
			"commit them or keep them out of the build, or give --allow-dirty for an image that cannot be promoted")
	}
	source := recipe.Source
	source.Changed = slices.Concat(source.Changed, strays)
	return source, nil
}

// tagOf is the commit itself, or for a dirty tree a tag that says so and that no other build shares.
func tagOf(source release.Source, now time.Time) release.Tag {
	if len(source.Changed) == 0 {
		return release.Tag(source.Commit)
	}
	return release.Tag(string(source.Commit) + release.DirtyMark + now.UTC().Format("20060102t150405.000"))
}

// reuse asks the registry whether the commit was built before.
func reuse(ctx context.Context, repository release.Repository, tag release.Tag, source release.Source, world Deps) (Result, bool, error) {
	tagged, found, err := world.Registry.Find(ctx, repository, tag)
	if err != nil || !found {
		return Result{}, false, err
	}
	if tagged.Revision != source.Revision() {
		return Result{}, false, &release.Refusal{
			Why: fmt.Sprintf("tag %q in %q holds %s, which is labelled with revision %q", tag, repository, tagged.Digest, tagged.Revision),
			Do:  "find out who pushed it; a commit's tag must name that commit's image",
		}
	}
	world.Reporter.Infof("%s holds commit %s already: %s, nothing to build", repository, source.Commit.Short(), tagged.Digest)
	return resultOf(release.Reused, repository, tag, tagged.Digest, source.Commit), true, nil
}

// push sends the image. If another build of the commit was faster, its image is the commit's image.
func push(ctx context.Context, layout release.Layout, builder string, recipe release.Recipe, repository release.Repository, tag release.Tag, world Deps) (Result, error) {
	world.Reporter.Infof("built %s, pushing to %s", layout.Digest, repository)
	err := world.Registry.Push(ctx, layout, repository, tag, func(progress release.Progress) {
		world.Reporter.Progress("pushing", progress)
	})
	var taken *release.TagTakenError
	if errors.As(err, &taken) {
		world.Reporter.Infof("another build of this commit was faster: %s", taken.Holds)
		result, found, err := reuse(ctx, repository, tag, recipe.Source, world)
		if err == nil && !found {
			err = &release.Fault{Side: "registry", Err: fmt.Errorf("tag %q was taken and is gone again", tag), Do: "run the build again"}
		}
		return result, err
	}
	if err != nil {
		return Result{}, err
	}
	world.Reporter.Infof("pushed %s", repository.At(layout.Digest))
	result := resultOf(release.Created, repository, tag, layout.Digest, recipe.Source.Commit)
	result.Builder = builder
	for _, platform := range recipe.Platforms {
		result.Platform = append(result.Platform, platform.String())
	}
	return result, nil
}

func resultOf(outcome release.Outcome, repository release.Repository, tag release.Tag, digest release.Digest, commit release.Commit) Result {
	return Result{Outcome: outcome, Image: repository.At(digest), Digest: digest, Tag: tag, Reused: outcome == release.Reused, Commit: commit}
}

func platforms(recipe release.Recipe) string {
	names := make([]string, len(recipe.Platforms))
	for i, platform := range recipe.Platforms {
		names[i] = platform.String()
	}
	return strings.Join(names, ", ")
}
