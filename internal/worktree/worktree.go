// Package worktree finds out whether paths and commands lead into the work tree. The author of a commit controls its content, so nothing that runs with the job's
// credentials, or decides where they are sent, may come from there.
package worktree

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Tree is a checkout. The zero value contains nothing.
type Tree struct {
	Root string // absolute, symbolic links resolved; "": nothing is in it
	Dir  string // working directory, against which a program resolves relative paths
}

// Contains reports whether a path is in the work tree, with or without its symbolic links resolved.
func (t Tree) Contains(file string) bool {
	if file == "" || t.Root == "" {
		return false
	}
	file = t.absolute(file)
	directory, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		directory = filepath.Dir(file)
	}
	candidates := []string{file, filepath.Join(directory, filepath.Base(file))}
	if resolved, err := filepath.EvalSymlinks(file); err == nil {
		candidates = append(candidates, resolved)
	}
	return slices.ContainsFunc(candidates, func(candidate string) bool {
		below, err := filepath.Rel(t.Root, candidate)
		return err == nil && below != ".." && !strings.HasPrefix(below, ".."+string(filepath.Separator))
	})
}

// absolute returns a path as a program in the working directory resolves it.
func (t Tree) absolute(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(t.Dir, file)
}

// Has reports whether a file or directory exists and is in the work tree.
func (t Tree) Has(file string) bool {
	if !t.Contains(file) {
		return false
	}
	_, err := os.Lstat(t.absolute(file))
	return err == nil
}

// Mentioned returns the first path in a command or another text that exists in the work tree, "" if there is none. A word without a separator
// is no path.
func (t Tree) Mentioned(text string) string {
	if strings.HasPrefix(text, "arn:") {
		return "" // the name of something in AWS, whose parts may look like paths
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n=,;:'\"()`&|<>!", r) })
	for _, word := range words {
		if strings.ContainsRune(word, filepath.Separator) && t.Has(word) {
			return word
		}
	}
	return ""
}

// Problem returns the problem that something, such as "DOCKER_CONFIG", names a path in the work tree.
func Problem(what, path string) release.Problem {
	return release.Problem{Where: what, What: fmt.Sprintf("%q is in the work tree, so a commit could change it and misuse this job's credentials", path),
		Do: "keep it outside of the work tree ($RUNNER_TEMP on GitHub)"}
}
