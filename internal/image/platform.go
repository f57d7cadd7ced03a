package image

import (
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/onedigest/onedigest/internal/release"
)

// variants says which variable of the go command chooses an architecture's variant (go help environment), by the variants
// of the OCI image-spec (image-index.md, "Platform Variants") and of Go's GOAMD64. The value for "" is fixed here, so that
// nobody's environment decides it.
var variants = map[string]struct {
	variable string
	values   map[string]string
}{
	"amd64": {"GOAMD64", map[string]string{"": "v1", "v1": "v1", "v2": "v2", "v3": "v3", "v4": "v4"}},
	"arm":   {"GOARM", map[string]string{"": "7", "v5": "5", "v6": "6", "v7": "7"}},
	"arm64": {"GOARM64", map[string]string{"": "v8.0", "v8": "v8.0"}},
}

// target is the part of the go command's environment that aims at a platform.
func target(platform release.Platform) ([]string, error) {
	if platform.OS != "linux" {
		return nil, fmt.Errorf("the go builder makes images for linux, not for %q", platform)
	}
	environ := []string{"GOOS=linux", "GOARCH=" + platform.Architecture}
	variant, known := variants[platform.Architecture]
	if !known {
		if platform.Variant != "" {
			return nil, fmt.Errorf("the go builder knows no variant %q of %q", platform.Variant, platform.Architecture)
		}
		return environ, nil
	}
	value, found := variant.values[platform.Variant]
	if !found {
		return nil, fmt.Errorf("the go builder knows no variant %q of %q", platform.Variant, platform.Architecture)
	}
	return append(environ, variant.variable+"="+value), nil
}

// inOrder sorts the platforms and drops doubles: an index is the same however its platforms were listed.
func inOrder(platforms []release.Platform) []release.Platform {
	ordered := slices.Clone(platforms)
	slices.SortFunc(ordered, func(a, b release.Platform) int {
		switch {
		case a.String() < b.String():
			return -1
		case a.String() > b.String():
			return 1
		}
		return 0
	})
	return slices.Compact(ordered)
}

func ociPlatform(platform release.Platform) *v1.Platform {
	return &v1.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant}
}
