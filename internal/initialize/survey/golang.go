package survey

import (
	"go/build"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// isMain reports whether a directory holds a Go main package for Linux, as the go builder decides it.
func isMain(tree fs.FS, dir string) bool {
	platform := build.Default
	platform.GOOS, platform.GOARCH, platform.CgoEnabled = "linux", "amd64", false
	platform.JoinPath = path.Join
	platform.IsAbsPath = path.IsAbs
	platform.HasSubdir = func(string, string) (string, bool) { return "", false }
	platform.IsDir = func(name string) bool {
		info, err := fs.Stat(tree, name)
		return err == nil && info.IsDir()
	}
	platform.ReadDir = func(name string) ([]fs.FileInfo, error) {
		entries, err := fs.ReadDir(tree, name)
		var infos []fs.FileInfo
		for _, entry := range entries {
			if info, err := entry.Info(); err == nil {
				infos = append(infos, info)
			}
		}
		return infos, err
	}
	platform.OpenFile = func(name string) (io.ReadCloser, error) { return tree.Open(name) }
	found, _ := platform.ImportDir(dir, 0) // what else is wrong with the package, the compiler reports
	return found != nil && found.Name == "main" && len(found.GoFiles) > 0
}

var replacement = regexp.MustCompile(`(?m)=>\s*\.\.(/|\s|$)`)

// replacesOutside reports whether a go.mod replaces a module by a directory that is not below its own.
func replacesOutside(goMod string) bool { return replacement.MatchString(goMod) }

var (
	goPort     = regexp.MustCompile("[\"`](?:0\\.0\\.0\\.0|\\[::\\])?:([0-9]{2,5})[\"`]")
	goPortName = regexp.MustCompile("[\"`]PORT[\"`]")
	// goPortVariable matches what is given to a function that reads a variable and has a default: getEnv("SHOP_PORT", "80").
	goPortVariable = regexp.MustCompile("\\(\\s*[\"`]([A-Z][A-Z0-9_]*_PORT(?:_[A-Z0-9_]+)?)[\"`]\\s*,\\s*[\"`]?:?([0-9]{2,5})[\"`]?\\s*\\)")
)

// isTest reports whether a source file is a test's.
func isTest(name string) bool {
	base := path.Base(name)
	for _, mark := range []string{"_test.", ".test.", ".spec.", "test_"} {
		if strings.Contains(base, mark) {
			return true
		}
	}
	return false
}
