// Package image builds images as OCI layouts on disk; it knows no registry. Which builder is taken, and what comes out of
// it, follows from the recipe alone: the same on a laptop and in CI.
package image

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Options are what the builders need of the process they run in.
type Options struct {
	Environ []string          // "NAME=value" each
	Log     func(line string) // told what a builder prints, line by line, without control characters; may be nil
}

// Builders are the ways to make an image.
type Builders struct {
	golang GoBuilder
	docker DockerBuilder
}

// Names of the builders, as Choose answers.
const (
	Go     = "go"
	Docker = "docker"
)

// New makes the builders. Nothing is looked for until one of them builds.
func New(options Options) *Builders {
	if options.Log == nil {
		options.Log = func(string) {}
	}
	return &Builders{golang: GoBuilder{options: options}, docker: DockerBuilder{options: options}}
}

// Build leaves the image as an OCI layout with one entry in dir, which must be empty. The builder is one that Choose named.
// Source that does not compile is a *release.Failure; a builder that is missing or out of order is a *release.Fault.
func (b *Builders) Build(ctx context.Context, builder string, recipe release.Recipe, dir string) (release.Layout, error) {
	switch builder {
	case Go:
		return b.golang.Build(ctx, recipe, dir)
	case Docker:
		return b.docker.Build(ctx, recipe, dir)
	}
	return release.Layout{}, fmt.Errorf("building with %q: no such builder", builder)
}

// stamps are the keys by which an image tells where it came from (OCI image-spec, annotations.md).
func stamps(source release.Source) map[string]string {
	stamps := map[string]string{
		release.AnnotationRevision: source.Revision(),
		release.AnnotationCreated:  source.Created.UTC().Format(time.RFC3339),
	}
	if source.URL != "" {
		stamps[release.AnnotationSource] = source.URL
	}
	return stamps
}

// labels are the stamps and the recipe's own; a stamp cannot be overridden.
func labels(recipe release.Recipe) map[string]string {
	labels := map[string]string{}
	for name, value := range recipe.Labels {
		labels[name] = value
	}
	for name, value := range stamps(recipe.Source) {
		labels[name] = value
	}
	return labels
}
