package image

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/release"
)

// imageVariables are the settings of the go command, besides GOFLAGS, that change what a program does and that no platform
// decides (go help environment), with the value that changes nothing.
var imageVariables = []string{"GOEXPERIMENT", "GOFIPS140"}

// harmlessFlags are the flags in GOFLAGS that do not change what is compiled from the commit, or that the builder sets.
var harmlessFlags = []string{"buildvcs", "trimpath", "mod", "modcacherw", "p", "v", "x", "n", "a", "work", "json", "count", "timeout", "short", "failfast", "vet",
	"run", "parallel", "fullpath", "insecure"}

// refuseSettings refuses settings of the user's that the builder would drop although they ask for another program. tags are the build
// tags of the recipe, which GOFLAGS may repeat.
func (g golang) refuseSettings(tags []string) error {
	var problems []release.Problem
	for _, flag := range strings.Fields(g.machine["GOFLAGS"]) {
		name, value, _ := strings.Cut(strings.TrimLeft(strings.Trim(flag, `'"`), "-"), "=")
		given := value != "" && joinTags(strings.Split(value, ",")) == joinTags(tags)
		switch {
		case !strings.HasPrefix(strings.TrimLeft(flag, `'"`), "-"), slices.Contains(harmlessFlags, name), name == "tags" && given:
		case name == "tags":
			problems = append(problems, release.Problem{Where: "GOFLAGS", What: fmt.Sprintf("%q of this machine would not reach the compiler", flag),
				Do: "give --tags " + value + ", which is part of what the image is, or take it out of GOFLAGS"})
		default:
			problems = append(problems, release.Problem{Where: "GOFLAGS", What: fmt.Sprintf("%q of this machine would not reach the compiler", flag),
				Do: "take it out of GOFLAGS (also of go env -w), or give --builder docker"})
		}
	}
	for _, name := range imageVariables {
		if value := g.machine[name]; value != "" && value != "off" {
			problems = append(problems, release.Problem{Where: name, What: fmt.Sprintf("%q of this machine would not reach the compiler", value),
				Do: "unset it (also in go env -w), or give --builder docker"})
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// ignoredPlatforms says which settings of the environment ask for another platform than the recipe's, which alone counts.
func ignoredPlatforms(environ []string, platforms []release.Platform) (ignored []string) {
	for _, platform := range platforms {
		if got := execx.Variable(environ, "GOARCH"); got != "" && got != platform.Architecture {
			ignored = append(ignored, fmt.Sprintf("GOARCH=%s of the environment is not used for %s; --platforms says what is built", got, platform))
		}
		variant := variants[platform.Architecture]
		if got := execx.Variable(environ, variant.variable); got != "" && got != variant.values[platform.Variant] {
			ignored = append(ignored, fmt.Sprintf("%s=%s of the environment is not used for %s; --platforms takes a variant (%s/%s/…)",
				variant.variable, got, platform, platform.OS, platform.Architecture))
		}
	}
	return ignored
}

// ownVariables are the variables that the compiler's environment takes from the process: where programs, caches and
// temporary files are, and how the network is reached.
var ownVariables = []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	"http_proxy", "https_proxy", "no_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK", "NETRC"}

func ownEnviron(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return !slices.Contains(ownVariables, name)
	})
}

// compilerVariables are those that set programs of the compiler and do not begin with GO or CGO_ (go help environment).
var compilerVariables = []string{"AR", "CC", "CXX", "FC", "PKG_CONFIG", "PWD"}

// withoutGoSettings is the process's environment, with what a credential helper for private modules may need, but without the
// settings of the go command.
func withoutGoSettings(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		isGo := strings.HasPrefix(name, "GO") && !strings.HasPrefix(name, "GOOGLE_")
		return isGo || strings.HasPrefix(name, "CGO_") || slices.Contains(compilerVariables, name)
	})
}
