package image

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/release"
)

// imageVariables are the go command's settings, besides GOFLAGS, that change the program and do not depend on the platform (go
// help environment), each with the value that has no effect.
var imageVariables = []string{"GOEXPERIMENT", "GOFIPS140"}

// harmlessFlags are the flags in GOFLAGS that do not change the program, or that the builder sets itself.
var harmlessFlags = []string{"buildvcs", "trimpath", "mod", "modcacherw", "p", "v", "x", "n", "a", "work", "json", "count", "timeout", "short", "failfast", "vet",
	"run", "parallel", "fullpath", "insecure"}

// refuseSettings refuses the user's settings that would change the program, because the builder does not pass them on. tags are
// the recipe's build tags; GOFLAGS may repeat them.
func (g goCommand) refuseSettings(tags []string) error {
	var problems []release.Problem
	for _, flag := range strings.Fields(g.machine["GOFLAGS"]) {
		name, value, _ := strings.Cut(strings.TrimLeft(strings.Trim(flag, `'"`), "-"), "=")
		given := value != "" && joinTags(strings.Split(value, ",")) == joinTags(tags)
		switch {
		case !strings.HasPrefix(strings.TrimLeft(flag, `'"`), "-"), slices.Contains(harmlessFlags, name), name == "tags" && given:
		case name == "tags":
			problems = append(problems, release.Problem{Where: "GOFLAGS", What: fmt.Sprintf("%q is set on this machine, but the go builder does not use it", flag),
				Do: "give --tags " + value + ", which is part of what the image is, or take it out of GOFLAGS"})
		default:
			problems = append(problems, release.Problem{Where: "GOFLAGS", What: fmt.Sprintf("%q is set on this machine, but the go builder does not use it", flag),
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

// ignoredPlatforms describes the environment's settings for another platform than the recipe's. Only the recipe's platform is
// used.
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

// ownVariables are the variables that the compiler's environment takes from the process: the locations of programs, caches and
// temporary files, and how to reach the network.
var ownVariables = []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	"http_proxy", "https_proxy", "no_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK", "NETRC"}

func ownEnviron(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return !slices.Contains(ownVariables, name)
	})
}

// compilerVariables name programs of the compiler and do not begin with GO or CGO_ (go help environment).
var compilerVariables = []string{"AR", "CC", "CXX", "FC", "PKG_CONFIG", "PWD"}

// withoutGoSettings returns the process's environment without the go command's settings, but with what a credential helper for
// private modules may need.
func withoutGoSettings(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		isGo := strings.HasPrefix(name, "GO") && !strings.HasPrefix(name, "GOOGLE_")
		return isGo || strings.HasPrefix(name, "CGO_") || slices.Contains(compilerVariables, name)
	})
}
