// Package image builds images as OCI layouts on disk. The recipe alone decides which builder is chosen and what it builds,
// so that a laptop and CI build the same image.
package image

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/image/sbom"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Options are the parts of the process that the builders use.
type Options struct {
	Environ []string          // "NAME=value" each
	Log     func(line string) // gets each line that a builder prints, sanitized; may be nil
	// Login returns a name and a password for a registry whose logins are not in the docker client's configuration; "" if there is none.
	// It may be nil.
	Login func(ctx context.Context, host string) (username, password string, err error)
	Warn  func(line string) // gets warnings, which do not stop a build; may be nil
}

// Builders are the builders of images: Go and Docker.
type Builders struct {
	golang GoBuilder
	docker DockerBuilder
	warn   func(line string)
}

// Names of the builders, as Choose returns them.
const (
	Go     = "go"
	Docker = "docker"
)

// New returns the builders. A builder's program is searched for when it is first needed.
func New(options Options) *Builders {
	if options.Log == nil {
		options.Log = func(string) {}
	}
	if options.Warn == nil {
		options.Warn = func(string) {}
	}
	return &Builders{golang: GoBuilder{options: options}, docker: DockerBuilder{options: options}, warn: once(options.Warn)}
}

// once returns a function that calls warn only the first time for each line: the inputs are listed again after a build.
func once(warn func(string)) func(string) {
	warned := map[string]bool{}
	return func(line string) {
		if !warned[line] {
			warned[line] = true
			warn(line)
		}
	}
}

// Build writes the image into dir, which must be empty, as an OCI layout with one entry. The builder is one that Choose
// returned. Source that does not compile is a *release.Failure; a builder that is missing or does not work is a
// *release.Fault.
func (b *Builders) Build(ctx context.Context, builder string, recipe release.Recipe, dir string) (release.Layout, error) {
	switch builder {
	case Go:
		return b.golang.Build(ctx, recipe, dir)
	case Docker:
		return b.docker.Build(ctx, recipe, dir)
	}
	return release.Layout{}, fmt.Errorf("building with %q: no such builder", builder)
}

// ListContents lists what an image that Build wrote contains, as package sbom says, and returns the list with its time, which is the commit's. name is
// the last part of the repository's path.
func (b *Builders) ListContents(ctx context.Context, builder string, recipe release.Recipe, layout release.Layout, name string) (fact.SBOM, time.Time, error) {
	subject := sbom.Subject{Name: name, Created: recipe.Source.Created, Base: recipe.Base}
	if builder == Go {
		subject.Commit = recipe.Source.Commit
	}
	return sbom.List(ctx, layout, subject, layout.Dir)
}

// annotationsOf returns the annotations that say from what and with which settings an image was built (OCI image-spec,
// annotations.md). The remote's URL is not included, because forks have another URL.
func annotationsOf(recipe release.Recipe) map[string]string {
	source := recipe.Source
	annotations := map[string]string{
		release.AnnotationRevision: source.Revision(),
		release.AnnotationCreated:  source.Created.UTC().Format(time.RFC3339),
	}
	if len(recipe.Settings) > 0 {
		annotations[release.AnnotationRecipe] = recipe.Settings.Encode()
	}
	if recipe.Inputs != "" {
		annotations[release.AnnotationInputs] = recipe.Inputs
	}
	if recipe.Toolchain != "" {
		annotations[release.AnnotationToolchain] = recipe.Toolchain
	}
	if !recipe.Base.IsZero() {
		annotations[annotationBase] = recipe.Base.Digest.String()
	}
	return annotations
}

// annotationBase is of the OCI image-spec, annotations.md, "Pre-Defined Annotation Keys".
const annotationBase = "org.opencontainers.image.base.digest"

// labelsOf returns the recipe's labels and the annotations. A label cannot override an annotation.
func labelsOf(recipe release.Recipe) map[string]string {
	labels := map[string]string{}
	for name, value := range recipe.Labels {
		labels[name] = value
	}
	for name, value := range annotationsOf(recipe) {
		labels[name] = value
	}
	return labels
}
