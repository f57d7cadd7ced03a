package release

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Platform is what an image runs on: os/architecture[/variant], in the terms of the OCI image-spec.
type Platform struct{ OS, Architecture, Variant string }

// ParsePlatform accepts os/architecture and os/architecture/variant, such as "linux/arm/v7". It normalizes spellings of the same
// platform: linux/arm64/v8 becomes linux/arm64, linux/amd64/v1 becomes linux/amd64, linux/arm becomes linux/arm/v7. Source:
// containerd's platforms package, "Normalize".
func ParsePlatform(text string) (Platform, error) {
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return Platform{}, fmt.Errorf("%q is not a platform; write os/architecture, for example linux/amd64", text)
	}
	for _, part := range parts {
		if _, err := ParseLabel(part); err != nil {
			return Platform{}, fmt.Errorf("%q is not a platform; write os/architecture, for example linux/amd64", text)
		}
	}
	platform := Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		platform.Variant = parts[2]
	}
	switch (Platform{Architecture: platform.Architecture, Variant: platform.Variant}) {
	case Platform{Architecture: "arm64", Variant: "v8"}, Platform{Architecture: "amd64", Variant: "v1"}:
		platform.Variant = ""
	case Platform{Architecture: "arm"}:
		platform.Variant = "v7"
	}
	return platform, nil
}

func (p Platform) String() string {
	if p.Variant == "" {
		return p.OS + "/" + p.Architecture
	}
	return p.OS + "/" + p.Architecture + "/" + p.Variant
}

// Source describes the git work tree that an image is built from.
type Source struct {
	Commit  Commit
	Object  [32]byte  // SHA-256 of the commit object, which the image does not contain
	Created time.Time // the commit's committer time, UTC
	URL     string    // of the repository in a browser, or ""
	Path    string    // of the build context inside the repository, "." for the repository's top
	GoWork  string    // the commit's go.work in the nearest directory above Path, relative to the repository's top; "" if there is none
	Changed []string  // paths, relative to the build context, that differ from the commit
}

// Revision returns the org.opencontainers.image.revision label for an image built from the source: the commit, with "-dirty"
// added if there are uncommitted changes.
func (s Source) Revision() string {
	if len(s.Changed) > 0 {
		return string(s.Commit) + "-dirty"
	}
	return string(s.Commit)
}

// Recipe holds every input that determines an image's bytes.
type Recipe struct {
	Context    string // directory, absolute
	Main       string // Go package to build, relative to Context ("." or "./cmd/shop"); Go builder only
	Dockerfile string // absolute; Docker builder only
	Platforms  []Platform
	Base       Image  // base image, by digest; zero for the builder's default; Go builder only
	BaseLayout Layout // path of an image layout with Base for each platform
	Source     Source
	Labels     map[string]string
	WorkingDir string            // absolute path in the image in which the program starts; "" for the base's, or /; Go builder only
	User       string            // "UID:GID" that the program runs as; "" for the base's, or nonroot's; Go builder only
	Files      map[string]string // paths in the image, by the directory of the context that is copied there; Go builder only
	BuildArgs  map[string]string // Docker builder only
	Docker     DockerRecipe      // Docker builder only
	Tags       []string          // Go build tags; Go builder only
	Stamps     map[string]string // variables of the program to set (-X of the Go linker), with {commit} and {date}; Go builder only
	WithoutCgo bool              // allow packages that would use cgo to be compiled without it
	Toolchain  string            // Go version that compiles, as "go1.26.8"; set by the Go builder
	Inputs     string            // AnnotationInputs, or "" for an image that is not only of its commit
	Settings   RecipeSettings    // the settings as they are stored with the image, in the builder's form
}

// DockerRecipe has the options of the Docker builder besides a Dockerfile and its arguments.
type DockerRecipe struct {
	Target      string            // stage of the Dockerfile, "" for the last
	Contexts    map[string]string // by name: a directory of the work tree, relative to Recipe.Context, or docker-image://REPOSITORY@DIGEST
	Secrets     map[string]string // by ID; no part of the image unless the Dockerfile copies them
	SecretFiles map[string]string // by ID: path of a file
	SSH         []string          // as `docker buildx build --ssh` takes it: "default", or ID=PATH
	CacheFrom   []string          // as `docker buildx build --cache-from` takes it
	CacheTo     []string
}

// DockerImageScheme is the prefix of a named context that is an image, not a directory.
const DockerImageScheme = "docker-image://"

// Layout is a built image or index on disk, as an OCI image layout with one entry.
type Layout struct {
	Dir    string
	Digest Digest
}

// ImageInfo is what a registry knows about an image.
type ImageInfo struct {
	Digest   Digest
	Artifact string    // what it is if no node can run it, as ArtifactOf says; "" for an image
	Revision string    // org.opencontainers.image.revision of its annotations or labels, or ""; of an index whose images name different ones all of them, which is no commit
	Recipe   string    // AnnotationRecipe, found at the same place as the revision, or ""; anybody who may push can write it
	Inputs   string    // AnnotationInputs, found at the same place, or ""
	Created  time.Time // org.opencontainers.image.created, found at the same place; zero if it is missing or not a time
}

// Progress says how much of a transfer of known size is done.
type Progress struct {
	Complete, Total int64 // bytes
}

// TagTakenError is returned when a tag of an immutable repository already names another image.
type TagTakenError struct {
	Tag    Tag
	Holds  Digest
	Wanted Digest
}

func (e *TagTakenError) Error() string {
	return fmt.Sprintf("tag %q holds %s, not %s", e.Tag, e.Holds, e.Wanted)
}

// RecipeSettings are the settings that an image was built with, by name. Values are normalized: two spellings of one setting are
// equal. Settings at their default are absent unless they affect the image, so that a new setting changes no existing recipe.
//
// They are stored with the image (AnnotationRecipe). A later build of the commit compares them to decide whether the image is the
// requested one.
type RecipeSettings map[string]string

// Encode returns the settings as a JSON object with sorted keys, the form in which they are stored with an image.
func (s RecipeSettings) Encode() string {
	text, _ := json.Marshal(s) // a map of strings
	return string(text)
}

// ParseRecipeSettings parses the JSON of RecipeSettings.Encode, which is stored with an image.
func ParseRecipeSettings(text string) (RecipeSettings, error) {
	var settings RecipeSettings
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		return nil, fmt.Errorf("reading the recipe: %w", err)
	}
	if len(settings) == 0 {
		return nil, fmt.Errorf("reading the recipe: it is empty")
	}
	return settings, nil
}

// Limits of the text of Differences: the settings come from a registry.
const (
	maxDifferences = 10
	maxShown       = 120 // of a value, in bytes
)

// Differences describes each setting that differs: its value in the image that has these settings, and in wanted. It returns ""
// if none differs.
func (s RecipeSettings) Differences(wanted RecipeSettings) string {
	names := maps.Clone(s)
	maps.Copy(names, wanted)
	var all []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		held, isHeld := s[name]
		asked, isAsked := wanted[name]
		if held != asked || isHeld != isAsked {
			all = append(all, fmt.Sprintf("%s is %s there and %s here", shown(name), value(held, isHeld), value(asked, isAsked)))
		}
	}
	if more := len(all) - maxDifferences; more > 0 {
		all = append(all[:maxDifferences], fmt.Sprintf("and %d more settings differ", more))
	}
	return strings.Join(all, "; ")
}

// shown returns a setting's name, without quotes if it is one or two plain words.
func shown(name string) string {
	if quoted := fmt.Sprintf("%.*q", maxShown, name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

func value(text string, isSet bool) string {
	if !isSet {
		return "not set"
	}
	return fmt.Sprintf("%.*q", maxShown, text)
}

// Inputs are the local files that determine the content of an image.
type Inputs struct {
	// Files are absolute paths. A path without a file is included if a file there would be used: then the commit must not have
	// one either.
	Files []string
	// Rules find files that the commit has and that are missing in the work tree.
	Rules []InputRule
	// Links: symbolic links enter the image as links; otherwise the files that they point to do.
	Links bool
	// Modes: the executable bit of a file enters the image.
	Modes bool
	// Stored: a file whose bytes are those that the commit stores is the commit's, even if git would check it out otherwise: the pointer of a file of
	// Git LFS, or a file whose filter is not set up. An image would have the pointer instead of the file; a chart is read from both.
	Stored bool
	// Fixed are inputs that are not files of the work tree, such as the toolchain, each in words.
	Fixed []string
}

// InputRule says which files below a directory enter an image. Paths are relative to the directory, with slashes.
type InputRule struct {
	Dir        string                 // absolute
	Matches    func(path string) bool // reports whether a file with this path enters the image
	MayContain func(path string) bool // reports whether files below a directory with this path may enter the image
}

// Difference is an input of an image that differs from the commit.
type Difference struct {
	Kind DifferenceKind
	Path string // relative to the build context; absolute if it is outside the work tree
	Note string // what is there instead, or ""
}

// DifferenceKind says how an input differs from the commit.
type DifferenceKind int

// The kinds of differences, in the order in which they are reported.
const (
	DifferentContent   DifferenceKind = iota // content, type or mode
	NotInCommit                              // untracked or ignored
	OutsideWorkTree                          // a file that no commit can contain
	MissingFile                              // the commit has it, the work tree does not
	AbsentSubmodule                          // a submodule that is not checked out
	OtherSubmodule                           // a submodule at another commit than the repository's commit names
	UnresolvedPointer                        // a Git LFS pointer instead of the file
	UnavailableFilter                        // a filter of .gitattributes that is not configured on this machine
	ConvertedByMachine                       // converted at checkout by a setting of this machine
	ForeignAttributes                        // converted by attributes that the commit does not have
)

// String says in a clause how an input differs, such as "is missing".
func (k DifferenceKind) String() string {
	switch k {
	case NotInCommit:
		return "is new or ignored"
	case OutsideWorkTree:
		return "is outside the work tree"
	case MissingFile:
		return "is missing"
	case AbsentSubmodule:
		return "is a submodule that is not checked out"
	case OtherSubmodule:
		return "is a submodule at another commit"
	case UnresolvedPointer:
		return "is a pointer of Git LFS"
	case UnavailableFilter:
		return "needs a filter of .gitattributes that is not set up"
	case ConvertedByMachine:
		return "was converted by a setting of this machine (core.autocrlf, core.eol)"
	case ForeignAttributes:
		return "was checked out under attributes that the commit does not have"
	default:
		return "is changed"
	}
}
