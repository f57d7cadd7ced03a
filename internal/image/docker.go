package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
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
		return release.Layout{}, release.BadSetting(settingDockerfile, err.Error(), doDockerfile)
	}
	docker, err := b.buildx(ctx, recipe.Context)
	if err != nil {
		return release.Layout{}, err
	}
	login, err := b.logIn(ctx, recipe, file, filepath.Join(dir, "docker"))
	if err != nil {
		return release.Layout{}, err
	}
	defer os.RemoveAll(filepath.Join(dir, "docker")) // it holds passwords, and is not part of the layout
	archive := filepath.Join(dir, "built.tar")
	args, secrets, err := buildxArgs(recipe, file, archive)
	if err != nil {
		return release.Layout{}, err
	}
	// https://docs.docker.com/build/ci/github-actions/reproducible-builds: buildx passes the variable on to the build.
	// BUILDX_GIT_LABELS would label the image with the remote's URL.
	epoch := "SOURCE_DATE_EPOCH=" + strconv.FormatInt(recipe.Source.Created.Unix(), 10)
	dropped := []string{"SOURCE_DATE_EPOCH", "BUILDX_NO_DEFAULT_ATTESTATIONS", "BUILDX_GIT_LABELS"}
	for _, pair := range login {
		name, _, _ := strings.Cut(pair, "=")
		dropped = append(dropped, name)
	}
	_, stderr, err := docker.withEnviron(dropped, slices.Concat(login, secrets, []string{epoch, "BUILDX_NO_DEFAULT_ATTESTATIONS=1"})...).run(ctx, recipe.Context, args...)
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
// The layout is exported as a tar: buildx can write a directory (tar=false), but then reports errors for images of an index
// that share a layer.
//
// Secrets are handed over in the environment, whose variables are returned: arguments can be read by every user of the machine.
func buildxArgs(recipe release.Recipe, file, archive string) (args, secrets []string, err error) {
	output, err := csvLine("type=oci", "rewrite-timestamp=true", "dest="+archive)
	if err != nil {
		return nil, nil, err
	}
	platforms := sortPlatforms(recipe.Platforms)
	names := make([]string, len(platforms))
	for i, platform := range platforms {
		names[i] = platform.String()
	}
	args = []string{"buildx", "build", "--progress=plain", "--provenance=false", "--sbom=false",
		"--output=" + output, "--file=" + file}
	if len(names) > 0 {
		args = append(args, "--platform="+strings.Join(names, ","))
	}
	args = appendPairs(args, "--build-arg=", withCommitArgs(recipe, file))
	given, secrets, err := dockerArgs(recipe)
	if err != nil {
		return nil, nil, err
	}
	args = append(args, given...)
	args = appendPairs(args, "--label=", labelsOf(recipe))
	level := "manifest:"
	if len(names) > 1 {
		level = "index,manifest:" // an index annotation without an index is an error to buildx
	}
	args = appendPairs(args, "--annotation="+level, annotationsOf(recipe))
	return append(args, "--", recipe.Context), secrets, nil
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
	cause := lastError(stderr)
	switch {
	case ofDockerfile.MatchString(cause): // the message quotes the Dockerfile, which may be about anything
	case registryDenied.MatchString(cause):
		return &release.Fault{Side: "registry", Err: fmt.Errorf("%s: %s", what, cause), Do: "check the image's name, and log in to its registry (docker login); ECR's are logged in to by themselves"}
	case networkError.MatchString(cause), registryBusy.MatchString(cause):
		return &release.Fault{Side: "builder", Err: fmt.Errorf("%s: %s", what, cause), Do: "check that the builder can reach the registry, and run the build again"}
	}
	return &release.Failure{What: what + " failed", Err: errors.New(cause), Do: "fix the error that docker buildx prints above, and build again"}
}

// ofDockerfile matches what BuildKit says of a RUN that failed, of an instruction that it cannot read and of a file that the context lacks.
var ofDockerfile = regexp.MustCompile(`did not complete successfully|dockerfile parse error|failed to process "|(?:": not found$)`)

// What BuildKit says of a registry that does not give it an image.
var (
	registryDenied = regexp.MustCompile(`pull access denied|insufficient_scope|\b40[13] (?:Unauthorized|Forbidden)|authorization failed|no basic auth credentials`)
	registryBusy   = regexp.MustCompile(`\b429 Too Many Requests|toomanyrequests`)
)

// lastError returns the line in which buildx says why it failed. All lines were logged already.
func lastError(stderr string) string {
	lines := strings.Split(stderr, "\n")
	for _, line := range slices.Backward(lines) {
		if cause, found := strings.CutPrefix(line, "ERROR: "); found {
			return strings.TrimSuffix(cause, ".")
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
