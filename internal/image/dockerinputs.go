package image

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/onedigest/onedigest/internal/release"
)

// dockerInputs lists the files that Docker gets: the Dockerfile, its ignore file, and every file and empty directory of the
// context that is not ignored. Git's own directories are left out, because no commit can contain them; it warns if Docker gets
// one.
func dockerInputs(recipe release.Recipe, warn func(string)) (release.Inputs, error) {
	file, err := findDockerfile(recipe)
	if err != nil {
		return release.Inputs{}, release.BadSetting(settingDockerfile, err.Error(), doDockerfile)
	}
	inputs := release.Inputs{Files: append(ignoreFiles(recipe.Context, file), file), Links: true, Modes: true}
	if err := addContext(&inputs, recipe.Context, ignoreFiles(recipe.Context, file), warn); err != nil {
		return release.Inputs{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(recipe.Docker.Contexts)) {
		source := recipe.Docker.Contexts[name]
		if strings.HasPrefix(source, release.DockerImageScheme) {
			continue
		}
		dir, err := insideTop(recipe, source)
		if err != nil {
			return release.Inputs{}, release.BadSetting(settingContexts, err.Error(), doContext)
		}
		ignoreFile := filepath.Join(dir, ".dockerignore") // also of a named context (BuildKit, frontend/dockerui/namedcontext.go)
		inputs.Files = append(inputs.Files, ignoreFile)
		if err := addContext(&inputs, dir, []string{ignoreFile}, warn); err != nil {
			return release.Inputs{}, err
		}
	}
	return inputs, nil
}

// addContext adds the files of a directory that Docker gets. The first existing file of ignoreFiles lists what is excluded.
func addContext(inputs *release.Inputs, dir string, ignoreFiles []string, warn func(string)) error {
	ignored, err := readIgnore(ignoreFiles)
	if err != nil {
		return err
	}
	walk := &contextWalk{root: dir, ignored: ignored}
	if _, err := walk.list(dir); err != nil {
		return fmt.Errorf("reading the context %q: %w", dir, err)
	}
	if len(walk.git) > 0 {
		warn(fmt.Sprintf("Docker gets %q, which may hold credentials (of actions/checkout, or in a remote's URL) and differs between clones, and so does an image that copies it; add .git to .dockerignore", walk.git))
	}
	inputs.Files = append(inputs.Files, walk.files...)
	inputs.Rules = append(inputs.Rules, release.InputRule{
		Dir:        dir,
		Matches:    func(path string) bool { return !ignored.matches(path) },
		MayContain: func(path string) bool { return !ignored.matches(path) || ignored.Exclusions() },
	})
	return nil
}

// ignoreFiles returns the files that may list what is ignored: the Dockerfile's own, then the context's. The first that exists is
// used (https://docs.docker.com/build/concepts/context/#filename-and-location).
func ignoreFiles(context, dockerfile string) []string {
	return []string{dockerfile + ".dockerignore", filepath.Join(context, ".dockerignore")}
}

// ignore matches the paths of a context that Docker does not get.
type ignore struct{ *patternmatcher.PatternMatcher }

func (i ignore) matches(path string) bool {
	matched, err := i.MatchesOrParentMatches(path)
	return err == nil && matched
}

// readIgnore parses the first of the ignore files that exists; without one, nothing is ignored.
func readIgnore(files []string) (ignore, error) {
	for _, name := range files {
		content, err := os.ReadFile(name) // #nosec G304 -- in the build context
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return ignore{}, fmt.Errorf("reading %q: %w", name, err)
		}
		patterns, err := ignorefile.ReadAll(bytes.NewReader(content))
		if err != nil {
			return ignore{}, release.BadSetting(settingDockerfile, fmt.Sprintf("%q cannot be read: %v", name, err), "")
		}
		matcher, err := patternmatcher.New(patterns)
		if err != nil {
			return ignore{}, release.BadSetting(settingDockerfile, fmt.Sprintf("%q has a malformed pattern: %v", name, err), "")
		}
		return ignore{matcher}, nil
	}
	matcher, err := patternmatcher.New(nil)
	return ignore{matcher}, err
}

// contextWalk collects the paths of a context that Docker gets.
type contextWalk struct {
	root    string
	ignored ignore
	files   []string
	git     []string // git's own directories, relative to root
}

// list adds to w.files what Docker gets below a directory: the files, and each directory that is not ignored and below which
// nothing was added. It adds entries named .git that are not ignored to w.git instead. It reports whether it added anything to
// w.files.
func (w *contextWalk) list(dir string) (holds bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		file := filepath.Join(dir, entry.Name())
		below, err := filepath.Rel(w.root, file)
		if err != nil {
			return false, err
		}
		ignored := w.ignored.matches(filepath.ToSlash(below))
		if entry.Name() == ".git" && !ignored {
			w.git = append(w.git, below)
		}
		if entry.Name() == ".git" || ignored && !(entry.IsDir() && w.ignored.Exclusions()) {
			continue
		}
		listed := false
		if entry.IsDir() {
			if listed, err = w.list(file); err != nil {
				return false, err
			}
		}
		if !ignored && !listed {
			w.files = append(w.files, file)
			listed = true
		}
		holds = holds || listed
	}
	return holds, nil
}
