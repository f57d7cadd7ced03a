package release

import (
	"fmt"
	"strings"
	"time"
)

// Platform is what an image runs on: os/architecture[/variant], in the terms of the OCI image-spec.
type Platform struct{ OS, Architecture, Variant string }

// ParsePlatform accepts os/architecture and os/architecture/variant, as "linux/arm/v7". Spellings of one platform become one:
// linux/arm64/v8 is linux/arm64, linux/amd64/v1 is linux/amd64, and linux/arm is linux/arm/v7. Source: containerd's platforms
// package, "Normalize".
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
	Created time.Time // the commit's committer time, UTC
	URL     string    // of the repository in a browser, or ""
	Path    string    // of the build context inside the repository, "." for its top
	Changed []string  // paths, relative to the build context, that differ from the commit
}

// Revision is the org.opencontainers.image.revision label of an image built from the source: the commit, with "-dirty" added
// if there are changes, so that nothing mistakes the image for the commit's.
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
	Base       Image  // below the program, by digest; zero for the builder's own; Go builder only
	BaseLayout Layout // holds an image of Base for each platform
	Source     Source
	Labels     map[string]string
	BuildArgs  map[string]string // Docker builder only
	Tags       []string          // Go build tags; Go builder only
	WithoutCgo bool              // allow packages that would use cgo to be compiled without it
	Toolchain  string            // that compiles, as "go1.26.8"; set by the Go builder
	Settings   RecipeSettings    // all of the above as they are stored with the image, as the builder gives them
}

// Layout is a built image or index on disk, as an OCI image layout with one entry.
type Layout struct {
	Dir    string
	Digest Digest
}

// ImageInfo is what a registry knows about an image.
type ImageInfo struct {
	Digest   Digest
	Revision string // org.opencontainers.image.revision of its annotations or labels, or ""
	Recipe   string // AnnotationRecipe, found at the same place as the revision, or ""; written by whoever pushed the image
}

// Progress is how much of a transfer of known size is complete.
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
