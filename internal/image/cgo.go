package image

import (
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// refuseCgo refuses packages that use cgo on a platform, because the builder compiles without cgo: the rest of such a package may
// be a stub that fails when it is called. Packages of the Go distribution are complete without cgo.
func refuseCgo(packages []goPackage, platform release.Platform, tags []string) error {
	with := build.Default
	with.GOOS, with.GOARCH, with.CgoEnabled, with.BuildTags = "linux", platform.Architecture, true, tags
	var problems []release.Problem
	for _, each := range packages {
		if each.Standard {
			continue
		}
		files := slices.DeleteFunc(slices.Clone(each.IgnoredGoFiles), func(name string) bool {
			matches, err := with.MatchFile(each.Dir, name)
			return err != nil || !matches || !importsC(filepath.Join(each.Dir, name))
		})
		if len(files) > 0 {
			problems = append(problems, release.Problem{Where: each.ImportPath,
				What: fmt.Sprintf("uses cgo (%s), and the go builder compiles without: the remaining code may be a stub", shorten(files)),
				Do:   "give --builder docker, or --without-cgo if the service works without it"})
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// importsC reports whether a Go file imports "C".
func importsC(file string) bool {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return false
	}
	for _, imported := range parsed.Imports {
		if imported.Path.Value == `"C"` {
			return true
		}
	}
	return false
}

// shorten lists the first three names.
func shorten(names []string) string {
	if more := len(names) - 3; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), more)
	}
	return strings.Join(names, ", ")
}
