package image

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/onedigest/onedigest/internal/release"
)

// variants maps an architecture to the go command's variable, and each variant of the OCI image-spec (image-index.md, "Platform
// Variants") or of Go's GOAMD64 to its value (go help environment). The variant "" has a value too, so that the environment has
// no influence.
var variants = map[string]struct {
	variable string
	values   map[string]string
}{
	"amd64": {"GOAMD64", map[string]string{"": "v1", "v1": "v1", "v2": "v2", "v3": "v3", "v4": "v4"}},
	"arm":   {"GOARM", map[string]string{"": "7", "v5": "5", "v6": "6", "v7": "7"}},
	"arm64": {"GOARM64", map[string]string{"": "v8.0", "v8": "v8.0"}},
}

// goEnviron returns the variables with which the go command compiles for a platform.
func goEnviron(platform release.Platform) ([]string, error) {
	if platform.OS != "linux" {
		return nil, fmt.Errorf("the go builder builds images for linux, not for %q", platform)
	}
	environ := []string{"GOOS=linux", "GOARCH=" + platform.Architecture}
	variant, known := variants[platform.Architecture]
	if !known {
		if platform.Variant != "" {
			return nil, fmt.Errorf("the go builder does not support variant %q of %q", platform.Variant, platform.Architecture)
		}
		return environ, nil
	}
	value, found := variant.values[platform.Variant]
	if !found {
		return nil, fmt.Errorf("the go builder does not support variant %q of %q", platform.Variant, platform.Architecture)
	}
	return append(environ, variant.variable+"="+value), nil
}

// sortPlatforms sorts the platforms and drops duplicates, so that their order in the settings does not change the index.
func sortPlatforms(platforms []release.Platform) []release.Platform {
	sorted := slices.Clone(platforms)
	slices.SortFunc(sorted, func(a, b release.Platform) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(sorted)
}

func ociPlatform(platform release.Platform) *v1.Platform {
	return &v1.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant}
}
