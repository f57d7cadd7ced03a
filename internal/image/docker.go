package image

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// DockerBuilder builds a Dockerfile with docker buildx, with the commit's timestamp and without attestations, so that the
// image is as reproducible as its Dockerfile.
type DockerBuilder struct{ options Options }

// Build writes the image into dir as an OCI layout. The errors are those of Builders.Build.
func (b DockerBuilder) Build(ctx context.Context, recipe release.Recipe, dir string) (release.Layout, error) {
	file, err := findDockerfile(recipe)
	if err != nil {
		return release.Layout{}, release.BadSetting(settingDockerfile, err.Error(), "name a Dockerfile inside the context")
	}
	docker, err := b.buildx(ctx, recipe.Context)
	if err != nil {
		return release.Layout{}, err
	}
	archive := filepath.Join(dir, "built.tar")
	args, err := buildxArgs(recipe, file, archive)
	if err != nil {
		return release.Layout{}, err
	}
	// https://docs.docker.com/build/ci/github-actions/reproducible-builds: buildx passes the variable on to the build.
	// BUILDX_GIT_LABELS would label the image with the remote's URL.
	epoch := "SOURCE_DATE_EPOCH=" + strconv.FormatInt(recipe.Source.Created.Unix(), 10)
	_, stderr, err := docker.withEnviron([]string{"SOURCE_DATE_EPOCH", "BUILDX_NO_DEFAULT_ATTESTATIONS", "BUILDX_GIT_LABELS"}, epoch, "BUILDX_NO_DEFAULT_ATTESTATIONS=1").run(ctx, recipe.Context, args...)
	if err != nil {
		return release.Layout{}, dockerFailure(ctx, err, stderr, file)
	}
	layout, err := unpack(archive, dir)
	if err == nil {
		err = verifyAnnotations(layout, annotationsOf(recipe))
	}
	if err != nil {
		return release.Layout{}, &release.Fault{Side: "builder", Err: fmt.Errorf("reading the image that docker buildx built: %w", err), Do: "update docker buildx (0.13 or newer)"}
	}
	return layout, nil
}

const installDocker = "install it, or give --builder go for a Go service"

// buildx finds docker and checks that it has buildx.
func (b DockerBuilder) buildx(ctx context.Context, dir string) (program, error) {
	docker, err := findProgram("docker", b.options)
	if err != nil {
		return program{}, release.NewFault("builder", installDocker, err, "looking for %q", "docker")
	}
	quiet := docker
	quiet.log = func(string) {}
	if _, stderr, err := quiet.run(ctx, dir, "buildx", "version"); err != nil {
		return program{}, builderFault(ctx, fmt.Errorf("docker has no buildx; %s", installDocker), firstLine(stderr), "running %q", "docker buildx")
	}
	return docker, nil
}

// buildxArgs returns the arguments of docker; no shell is used. Each value is in one argument with its flag (--flag=value), so
// that no value can be read as a flag.
//
// The layout is exported as a tar: buildx can write a directory (tar=false), but then reports errors for images of an index that
// share a layer.
func buildxArgs(recipe release.Recipe, file, archive string) ([]string, error) {
	var output bytes.Buffer
	fields := csv.NewWriter(&output) // as buildx reads it
	if err := fields.Write([]string{"type=oci", "rewrite-timestamp=true", "dest=" + archive}); err != nil {
		return nil, err
	}
	fields.Flush()
	platforms := sortPlatforms(recipe.Platforms)
	names := make([]string, len(platforms))
	for i, platform := range platforms {
		names[i] = platform.String()
	}
	args := []string{"buildx", "build", "--progress=plain", "--provenance=false", "--sbom=false",
		"--output=" + strings.TrimRight(output.String(), "\n"), "--file=" + file}
	if len(names) > 0 {
		args = append(args, "--platform="+strings.Join(names, ","))
	}
	args = appendPairs(args, "--build-arg=", recipe.BuildArgs)
	args = appendPairs(args, "--label=", labelsOf(recipe))
	level := "manifest:"
	if len(names) > 1 {
		level = "index,manifest:" // an index annotation without an index is an error to buildx
	}
	args = appendPairs(args, "--annotation="+level, annotationsOf(recipe))
	return append(args, "--", recipe.Context), nil
}

func appendPairs(args []string, flag string, pairs map[string]string) []string {
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		args = append(args, flag+name+"="+pairs[name])
	}
	return args
}

// dockerFailure returns a *release.Fault if Docker or its builder does not work, and a *release.Failure if the Dockerfile does
// not build.
func dockerFailure(ctx context.Context, err error, stderr, file string) error {
	what := fmt.Sprintf("building %q with docker buildx", file)
	if ctx.Err() != nil || stderr == "" {
		return builderFault(ctx, err, stderr, "%s", what)
	}
	for _, known := range []struct{ message, do string }{
		{"Cannot connect to the Docker daemon", "start Docker, or give --builder go for a Go service"},
		{"failed to connect to the docker API", "start Docker, or give --builder go for a Go service"},
		{"permission denied while trying to connect", "give this user access to Docker's socket, or give --builder go for a Go service"},
		{"OCI exporter is not supported for the docker driver", "create a builder that supports it: docker buildx create --use (in a workflow: docker/setup-buildx-action)"},
		{"Multi-platform build is not supported for the docker driver", "create a builder that supports it: docker buildx create --use (in a workflow: docker/setup-buildx-action)"},
		{"unknown flag", "update docker buildx (0.13 or newer)"},
	} {
		if strings.Contains(stderr, known.message) {
			return &release.Fault{Side: "builder", Err: fmt.Errorf("%s: %s", what, lastError(stderr)), Do: known.do}
		}
	}
	return &release.Failure{What: what + " failed", Err: errors.New(lastError(stderr)), Do: "see the log above"}
}

// lastError returns the line in which buildx says why it failed. All lines were logged already.
func lastError(stderr string) string {
	lines := strings.Split(stderr, "\n")
	for _, line := range slices.Backward(lines) {
		if cause, found := strings.CutPrefix(line, "ERROR: "); found {
			return cause
		}
	}
	return lines[len(lines)-1]
}

// verifyAnnotations checks that the image is annotated with its commit and its settings. Without them no later build would reuse
// it.
func verifyAnnotations(layout release.Layout, wanted map[string]string) error {
	blob := filepath.Join(layout.Dir, "blobs", "sha256", strings.TrimPrefix(layout.Digest.String(), "sha256:"))
	var manifest struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := decodeManifest(blob, &manifest); err != nil {
		return err
	}
	for _, name := range []string{release.AnnotationRevision, release.AnnotationRecipe} {
		if got := manifest.Annotations[name]; got != wanted[name] {
			return fmt.Errorf("%s is annotated with %s %q, want %q", layout.Digest.Short(), name, got, wanted[name])
		}
	}
	return nil
}
