package build

import (
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares build: its help text, its action and its page of the reference are generated from it.
var Verb = setting.Verb{
	Name:    "build",
	Summary: "build a commit's image once and push it under the commit's tag",
	About: "Looks up the commit's tag in the registry first: if it names an image of the commit that was built with the same settings, that image is reused " +
		"and nothing is compiled. A commit that changes nothing that enters the image gets the image of the nearest earlier commit that has one: " +
		"the tag is added, the evidence stays valid, and pods are not restarted. Otherwise builds the image reproducibly from the commit and pushes it, the manifest last, " +
		"so that a tag never names an incomplete image. A commit has one image in a repository: a later build with other settings " +
		"is refused, and the differing settings are listed; give each service and each set of platforms a repository of its own.",
	Examples: []setting.Example{
		{Does: "build the Go service in this directory", Line: "--repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop"},
		{Does: "build for two platforms", Line: "--repository localhost:5000/shop --context app --builder go --platforms linux/amd64,linux/arm64"},
		{Does: "build the Dockerfile of a directory with docker buildx", Line: "--repository localhost:5000/shop --context app --builder docker --build-args GREETING=hello"},
		{Does: "build all services of a monorepo (docs/matrix.md)", Line: "--matrix services.yaml"},
		{Does: "look the image of a tag up, and build nothing", Line: "--repository localhost:5000/shop --find 1.0.0-prod"},
		{Does: "take an image that another program built", Line: `--repository 210987654321.dkr.ecr.eu-central-1.amazonaws.com/live/shop --adopt "$IMAGE"`},
	},
	Outputs: []setting.Output{
		{Name: "image", Help: "the image as repository@sha256:…"},
		{Name: "digest", Help: "the image's digest, sha256:…; pass this between jobs, not the tag"},
		{Name: "tag", Help: "the tag that the image was pushed under: the commit"},
		{Name: "reused", Help: "true if the registry held the image already"},
		{Name: "digests", Help: "JSON: the digests of a matrix's services, for the setting digests of deploy, smoke and promote"},
		{Name: "services", Help: "JSON: the results of a matrix's services"},
		{Name: "commit", Help: "the commit that the image was built from: an earlier one if nothing that enters the image has changed since. deploy and smoke find it by themselves"},
	},
}

// Settings are the inputs of build.
type Settings struct {
	PlainHTTP  []string // registries
	Repository release.Repository
	Context    string
	Builder    string
	Main       string
	Platforms  []release.Platform
	Base       release.Image
	Commit     string
	Labels     []setting.Pair
	Tags       []string
	User       string
	WorkingDir string
	Stamps     []setting.Pair
	Files      []setting.Pair
	WithoutCgo bool
	AllowDirty bool
	Rebuild    bool
	Create     bool
	Adopt      release.Image
	Find       release.Tag
	SignKey    setting.KeyRef
	SBOM       string // auto, on or off
	SBOMFile   string // "": what the builders can list

	LegacySignatures string // of cosign 2: warn or refuse
	DockerSettings
	matrix.Options
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Required: true, Unless: []string{"matrix"}, Value: "HOST/PATH",
		Help: "Repository to push to, with the registry's host"}, release.ParseRepository)
	setting.Var(set, &s.Context, setting.Setting{Name: "context", Default: ".", Value: "DIR",
		Help: "Directory to build from, inside the work tree"}, setting.Text)
	setting.Var(set, &s.Builder, setting.Setting{Name: "builder", Default: "auto", Value: "auto|go|docker",
		Help: "Builder: go builds a Go program without Docker; docker runs docker buildx; auto uses the one that main or dockerfile implies, otherwise the one that the context has files for, and refuses a context with files for both"},
		setting.OneOf("auto", "go", "docker"))
	setting.Var(set, &s.Main, setting.Setting{Name: "main", Default: ".", Value: "PACKAGE",
		Help: "Go main package, relative to the context (Go builder)"}, relativePath)
	setting.List(set, &s.Platforms, setting.Setting{Name: "platforms", Commas: true, Default: "linux/amd64", Value: "OS/ARCH",
		Help: "Platform to build for; several are pushed as one image index"}, release.ParsePlatform)
	setting.Var(set, &s.Base, setting.Setting{Name: "base", Value: "IMAGE@DIGEST",
		Help: "Image to put the program on, by digest (Go builder); default: a small one with certificate authorities, time zones, /tmp and the user nonroot"}, release.ParseImage)
	setting.Var(set, &s.Commit, setting.Setting{Name: "commit", Fallback: "GITHUB_SHA", Value: "SHA",
		Help: "Commit, full or short, that must be checked out in the work tree; default: HEAD"}, setting.Text)
	setting.Map(set, &s.Labels, setting.Setting{Name: "labels", Value: "NAME=VALUE",
		Help: "Label to add to the image"}, parseLabel, setting.PairName)
	s.declare(set)
	setting.List(set, &s.Tags, setting.Setting{Name: "tags", Commas: true, Value: "TAG",
		Help: "Go build tag (Go builder); GOFLAGS in the environment is not used"}, ParseBuildTag)
	setting.Map(set, &s.Stamps, setting.Setting{Name: "ldflags", Value: "-X PACKAGE.NAME=VALUE",
		Help: "Variable of the program to set when it is linked (Go builder); give the flag once for each variable; {commit} and {date} are replaced by the commit and its date, another {name} is refused. main.commit and main.built are set without it"}, parseStamp, setting.PairName)
	setting.Map(set, &s.Files, setting.Setting{Name: "files", Commas: true, Value: "DIR|FILE=/PATH",
		Help: "Directory or file of the context to copy into the image, and the path that it gets there (Go builder): static files, owned by root, that the program reads"}, parseFiles, setting.PairName)
	setting.Var(set, &s.User, setting.Setting{Name: "user", Value: "UID[:GID]",
		Help: "Numbers of the user and the group that the program runs as (Go builder); the group's default is the user's number; default: the base's user, or 65532:65532 (nonroot)"}, parseUser)
	setting.Var(set, &s.WorkingDir, setting.Setting{Name: "working-dir", Value: "/PATH",
		Help: "Directory of the image in which the program starts (Go builder), for a chart with a relative command such as ./shop, or a program that opens relative paths; the program itself is in /app; default: the base's, or /"}, parseWorkingDir)
	setting.Bool(set, &s.WithoutCgo, setting.Setting{Name: "without-cgo",
		Help: "Build although packages use cgo, which the Go builder disables: without it they may be stubs"})
	setting.Bool(set, &s.AllowDirty, setting.Setting{Name: "allow-dirty",
		Help: "Build a work tree with uncommitted changes, under a tag that says so; promote refuses such an image"})
	setting.Var(set, &s.Adopt, setting.Setting{Name: "adopt", Value: "IMAGE@DIGEST",
		Help: "Image that another program built (docker/build-push-action, ko, buildpacks, bazel): it is copied into the repository unless it is there, and gets the commit's tag; nothing is built. Its commit is the one in its revision label, or the setting commit if it has no such label"}, release.ParseImage)
	setting.Var(set, &s.Find, setting.Setting{Name: "find", Value: "TAG",
		Help: "Only look up the image of this tag in the repository, of any form such as 1.0.0-prod, and return its digest; nothing is built, and nothing of the work tree is read. Without such an image, the verb is refused"}, release.ParseTag)
	setting.Bool(set, &s.Rebuild, setting.Setting{Name: "rebuild-unchanged",
		Help: "Build a new image for the commit even if nothing that enters it has changed since an earlier commit's image, for example to use newer base images"})
	setting.Bool(set, &s.Create, setting.Setting{Name: "create-repository",
		Help: "Create the repository on ECR if it does not exist: with immutable tags, scans of what is pushed, and a lifecycle policy that expires only images of uncommitted work; other registries create it with the first image"})
	setting.Var(set, &s.SBOM, setting.Setting{Name: "sbom", Default: SBOMAuto, Value: "auto|on|off",
		Help: "Attach an SBOM (CycloneDX) to the image that is built: its Go programs with their modules, and its layers; auto does so with --sign-key, on also without, unsigned"}, setting.OneOf(SBOMAuto, SBOMOn, SBOMOff))
	setting.Var(set, &s.SBOMFile, setting.Setting{Name: "sbom-file", Value: "FILE",
		Help: "SBOM of the image that another program wrote, CycloneDX in JSON, to attach instead, also to an adopted image"}, setting.Text)
	s.Options.Declare(set, false)
	setting.DeclarePlainHTTP(set, &s.PlainHTTP)
	setting.DeclareSignKey(set, &s.SignKey)
	setting.DeclareLegacySignatures(set, &s.LegacySignatures)
	set.Check(func() error {
		if s.Find != "" && (!s.Adopt.IsZero() || s.Matrix != "") {
			return release.BadSetting("find", "is given together with adopt or matrix", "give one of them")
		}
		if s.SBOMFile != "" && (s.SBOM == SBOMOff || s.Find != "") {
			return release.BadSetting("sbom-file", "is given, but with sbom off or find nothing is attached", "leave it out")
		}
		return nil
	})
	set.Check(func() error {
		if s.Adopt.IsZero() {
			return nil
		}
		var problems []release.Problem
		for name, given := range map[string]bool{"ldflags": len(s.Stamps) > 0, "files": len(s.Files) > 0, "main": s.Main != ".", "base": !s.Base.IsZero(), "user": s.User != "", "working-dir": s.WorkingDir != "", "labels": len(s.Labels) > 0, "tags": len(s.Tags) > 0,
			"dockerfile": s.Dockerfile != "", "build-args": len(s.BuildArgs) > 0, "target": s.Target != "", "allow-dirty": s.AllowDirty, "rebuild-unchanged": s.Rebuild} {
			if given {
				problems = append(problems, release.Problem{Setting: name, What: "does not apply to an image that is built already", Do: "omit it, or omit adopt"})
			}
		}
		if len(problems) == 0 {
			return nil
		}
		slices.SortFunc(problems, func(a, b release.Problem) int { return strings.Compare(a.Setting, b.Setting) })
		return &release.InputError{Problems: problems}
	})
	return set
}

// relativePath accepts a path that stays inside the context.
func relativePath(text string) (string, error) {
	if _, err := setting.Text(text); err != nil {
		return "", err
	}
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, "-") {
		return "", fmt.Errorf("%q is not relative to the context", text)
	}
	for part := range strings.SplitSeq(text, "/") {
		if part == ".." {
			return "", fmt.Errorf("%q is outside the context", text)
		}
	}
	return text, nil
}

// reservedLabels are set by the build.
var reservedLabels = []string{release.AnnotationRevision, release.AnnotationCreated, release.AnnotationRecipe, release.AnnotationInputs, release.AnnotationToolchain}

var buildTag = regexp.MustCompile(`^[\p{L}\p{Nd}_.]+$`)

// ParseBuildTag accepts a Go build tag: letters, digits, underscores and dots (go help buildconstraint).
func ParseBuildTag(text string) (string, error) {
	if !buildTag.MatchString(text) {
		return "", fmt.Errorf("%q is not a build tag", text)
	}
	return text, nil
}

// stampName matches the import path of a package and the name of a variable.
var stampName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./~-]*\.[\pL_][\pL\p{Nd}_]*$`)

var (
	// furtherFlag matches a flag of the linker behind a value (go doc cmd/link), which would become part of the value.
	furtherFlag = regexp.MustCompile(`\s--?(?:X|s|w|r|race|buildid|buildmode|checklinkname|extld|extldflags|linkmode)(?:[\s=]|$)`)
	// placeholder matches what looks like a name to be replaced.
	placeholder = regexp.MustCompile(`\{[\pL_][\pL\p{Nd}_.-]*\}`)
)

// parseStamp accepts the linker's flag -X. Every other flag would change how the program is linked, and the builder sets what it needs.
func parseStamp(text string) (setting.Pair, error) {
	rest, isX := strings.CutPrefix(text, "-X")
	name, value, found := strings.Cut(strings.TrimLeft(rest, " ="), "=")
	switch {
	case !isX:
		return setting.Pair{}, fmt.Errorf("%q is not -X PACKAGE.NAME=VALUE, the only flag of the linker that can be given", text)
	case !found || !stampName.MatchString(name):
		return setting.Pair{}, fmt.Errorf("%q does not name a variable of a package (-X example.com/shop/version.Commit={commit})", text)
	case strings.Contains(value, "'"):
		return setting.Pair{}, fmt.Errorf("%q has a single quote, which the go command cannot pass on", text)
	case furtherFlag.MatchString(value):
		return setting.Pair{}, fmt.Errorf("%q has a further flag of the linker: give ldflags once for each -X PACKAGE.NAME=VALUE (in a workflow, one a line), and no other flag", text)
	}
	for _, placeholder := range placeholder.FindAllString(value, -1) {
		if placeholder != "{commit}" && placeholder != "{date}" {
			return setting.Pair{}, fmt.Errorf("%q has %s, and only {commit} and {date} are replaced", text, placeholder)
		}
	}
	_, err := setting.Text(value)
	return setting.Pair{Name: name, Value: value}, err
}

// parseFiles accepts DIR=/PATH and FILE=/PATH: a directory or a file inside the context, and its absolute path in the image.
func parseFiles(text string) (setting.Pair, error) {
	pair, err := setting.NameValue(text)
	if err != nil {
		return pair, fmt.Errorf("%q is not DIR=/PATH or FILE=/PATH, with a directory or a file of the context", text)
	}
	if path.Clean(pair.Name) != pair.Name || slices.Contains(strings.Split(pair.Name, "/"), "..") {
		return pair, fmt.Errorf("%q is not a path inside the context", pair.Name)
	}
	if !strings.HasPrefix(pair.Value, "/") || path.Clean(pair.Value) != pair.Value || pair.Value == "/" {
		return pair, fmt.Errorf("%q is not an absolute path in the image, such as /srv/static", pair.Value)
	}
	if strings.Contains(pair.Value, "=/") {
		return pair, fmt.Errorf("%q has a further DIR=/PATH: separate them by commas, or give the setting once for each", text)
	}
	return pair, nil
}

// accountNumber matches the number of a user or a group, without leading zeros.
var accountNumber = regexp.MustCompile(`^(?:0|[1-9][0-9]{0,9})$`)

// parseUser accepts UID and UID:GID, and returns UID:GID. A name is refused: Kubernetes cannot check runAsNonRoot against one.
func parseUser(text string) (string, error) {
	user, group, grouped := strings.Cut(text, ":")
	if !grouped {
		group = user
	}
	for _, part := range []string{user, group} {
		if number, err := strconv.ParseUint(part, 10, 32); err != nil || number > math.MaxInt32 || !accountNumber.MatchString(part) {
			return "", fmt.Errorf("%q is not the number of a user, or the numbers of a user and a group (1000:1000)", text)
		}
	}
	return user + ":" + group, nil
}

// parseWorkingDir accepts an absolute path without needless parts.
func parseWorkingDir(text string) (string, error) {
	if !path.IsAbs(text) || path.Clean(text) != text {
		return "", fmt.Errorf("%q is not an absolute path in the image, such as /app", text)
	}
	return text, nil
}

// parseLabel accepts name=value for a label that the build does not set itself.
func parseLabel(text string) (setting.Pair, error) {
	pair, err := setting.NameValue(text)
	if err != nil {
		return pair, err
	}
	for _, reserved := range reservedLabels {
		if pair.Name == reserved {
			return pair, fmt.Errorf("label %q is set by the build and cannot be given", reserved)
		}
	}
	return pair, nil
}
