package build

import (
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb is what build says of itself.
var Verb = setting.Verb{
	Name:    "build",
	Summary: "build a commit's image once and push it under the commit's tag",
	About: "Asks the registry for the commit's tag first: an image that is there and labelled with the commit is reused, " +
		"and no compiler runs. Otherwise builds the image from the commit, reproducibly, and pushes it; the manifest comes last, " +
		"so that a tag never names half an image. A commit has one image in a repository: whatever other settings a later build of it is " +
		"given, the first image stays.",
	Examples: []setting.Example{
		{Does: "build the Go service in this directory", Line: "go run ./cmd/build --repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop"},
		{Does: "build for two platforms", Line: "go run ./cmd/build --repository localhost:5000/shop --context app --platforms linux/amd64 --platforms linux/arm64"},
		{Does: "build a Dockerfile with docker buildx", Line: "go run ./cmd/build --repository localhost:5000/shop --builder docker --build-arg GREETING=hello"},
	},
	Outputs: []setting.Output{
		{Name: "image", Help: "the image as repository@sha256:…"},
		{Name: "digest", Help: "the image's digest, sha256:…; pass this one between jobs"},
		{Name: "tag", Help: "the tag it is pushed under: the commit"},
		{Name: "reused", Help: "true if the image was there already"},
	},
}

// Settings are what build can be told.
type Settings struct {
	Repository release.Repository
	Context    string
	Builder    string
	Main       string
	Dockerfile string
	Platforms  []release.Platform
	Commit     string
	Labels     []setting.Pair
	BuildArgs  []setting.Pair
	AllowDirty bool
}

// Declare binds the settings to their declarations.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Required: true, Value: "HOST/PATH",
		Help: "Repository to push to, with the registry's host"}, release.ParseRepository)
	setting.Var(set, &s.Context, setting.Setting{Name: "context", Default: ".", Value: "DIR",
		Help: "Directory to build from, inside the work tree"}, setting.Text)
	setting.Var(set, &s.Builder, setting.Setting{Name: "builder", Default: "auto", Value: "auto|go|docker",
		Help: "Builder: go needs no Docker; docker runs docker buildx; auto takes docker if a dockerfile is named and go if the context holds a Go main package"},
		setting.OneOf("auto", "go", "docker"))
	setting.Var(set, &s.Main, setting.Setting{Name: "main", Default: ".", Value: "PACKAGE",
		Help: "Go main package, relative to the context (Go builder)"}, relative)
	setting.Var(set, &s.Dockerfile, setting.Setting{Name: "dockerfile", Value: "FILE",
		Help: "Dockerfile, relative to the context (Docker builder; its default is Dockerfile)"}, relative)
	setting.List(set, &s.Platforms, setting.Setting{Name: "platforms", Default: "linux/amd64", Value: "OS/ARCH",
		Help: "Platform to build for; several make an index"}, release.ParsePlatform)
	setting.Var(set, &s.Commit, setting.Setting{Name: "commit", Fallback: "GITHUB_SHA", Value: "SHA",
		Help: "Commit that the work tree holds; HEAD if nothing is given"}, setting.Text)
	setting.List(set, &s.Labels, setting.Setting{Name: "labels", Value: "NAME=VALUE",
		Help: "Label to add to the image"}, label)
	setting.List(set, &s.BuildArgs, setting.Setting{Name: "build-args", Value: "NAME=VALUE",
		Help: "Build argument (Docker builder)"}, setting.NameValue)
	setting.Bool(set, &s.AllowDirty, setting.Setting{Name: "allow-dirty",
		Help: "Build a work tree with uncommitted changes, under a tag that says so and that promote refuses"})
	return set
}

func relative(text string) (string, error) {
	if _, err := setting.Text(text); err != nil {
		return "", err
	}
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, "-") {
		return "", fmt.Errorf("%q is not relative to the context", text)
	}
	for part := range strings.SplitSeq(text, "/") {
		if part == ".." {
			return "", fmt.Errorf("%q leads out of the context", text)
		}
	}
	return text, nil
}

var stamped = []string{release.AnnotationRevision, release.AnnotationSource, release.AnnotationCreated}

func label(text string) (setting.Pair, error) {
	pair, err := setting.NameValue(text)
	if err != nil {
		return pair, err
	}
	for _, reserved := range stamped {
		if pair.Name == reserved {
			return pair, fmt.Errorf("label %q is stamped from the commit and cannot be given", reserved)
		}
	}
	return pair, nil
}

func pairs(list []setting.Pair) map[string]string {
	values := make(map[string]string, len(list))
	for _, pair := range list {
		values[pair.Name] = pair.Value
	}
	return values
}
