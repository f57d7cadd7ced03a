// Package survey finds what of a repository's files decides how its services are built and deployed: Go main packages, Dockerfiles, charts, ports,
// paths of probes, and a workflow that calls pipeline.yaml already. It reads files and runs nothing.
package survey

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Bounds of what is read.
const (
	maxEntries = 50_000  // files and directories
	maxSources = 2_000   // source files of one build
	maxBytes   = 1 << 18 // of one file
)

// Found is what a repository has.
type Found struct {
	Builds      []Build           // sorted by directory
	Charts      []Chart           // sorted by directory
	Caller      *Caller           // nil: no workflow calls pipeline.yaml
	Preview     map[string]string // what a workflow gives to preview.yaml, by the first job that does; nil: none does
	PreviewFile string            // that workflow
	Promotion   string            // workflow that calls pipeline.yaml to promote by hand, "" if there is none
	HasRules    bool              // there is a file of rules
	Branch      string            // that others start from, "" if unknown
	GitHub      string            // OWNER/NAME of the remote "origin", "" if it is not on github.com
}

// Build is a directory from which an image can be built.
type Build struct {
	Dir         string   // relative to the repository, "." for itself
	Mains       []string // Go main packages, relative to Dir; "." is Dir itself
	Dockerfiles []string // names in Dir
	OwnModule   bool     // Dir has a go.mod that replaces no module by one of another directory, and is in no workspace of Go
	FromRoot    bool     // the Dockerfile copies files that are in the repository's root and not in Dir
}

// Look reads a repository.
func Look(tree fs.FS) (Found, error) {
	files, err := list(tree)
	if err != nil {
		return Found{}, err
	}
	found := Found{Builds: builds(tree, files), Charts: charts(tree, files), Caller: caller(tree, files), HasRules: exists(tree, ".onedigest.yaml")}
	found.PreviewFile, found.Preview = preview(tree, files)
	found.Promotion = promotion(tree, files)
	found.Branch, found.GitHub = repository(tree)
	return found, nil
}

// skipped are directories whose programs and charts are not what a repository delivers.
var skipped = []string{"testdata", "vendor", "node_modules", "third_party", "example", "examples", "hack", "tools", "scripts", "docs", "test", "tests", "e2e", "target", "dist", "build"}

// list returns all files of a repository, sorted, without those of skipped and hidden directories, except workflows.
func list(tree fs.FS) (files []string, err error) {
	entries := 0
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading %q: %w", name, err)
		}
		if entries++; entries > maxEntries {
			return fmt.Errorf("reading the repository: it has more than %d files", maxEntries)
		}
		base := path.Base(name)
		switch {
		case !entry.IsDir():
			if entry.Type().IsRegular() {
				files = append(files, name)
			}
		case name == "." || name == ".github" || name == ".github/workflows":
		case strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || slices.Contains(skipped, base) && !hasDockerfile(tree, name) || strings.HasPrefix(name, ".github/"):
			return fs.SkipDir
		}
		return nil
	})
	return files, err
}

// hasDockerfile reports whether a directory has a Dockerfile: one such as build/ is then where the image is built from, unless it is a test's.
func hasDockerfile(tree fs.FS, dir string) bool {
	return (path.Base(dir) == "build" || path.Base(dir) == "dist") && slices.ContainsFunc(dockerfileNames, func(name string) bool { return exists(tree, path.Join(dir, name)) })
}

// exists reports whether a file or directory is there.
func exists(tree fs.FS, name string) bool {
	_, err := fs.Stat(tree, path.Clean(name))
	return err == nil
}

// read returns the beginning of a file, "" if it cannot be read.
func read(tree fs.FS, name string) string {
	file, err := tree.Open(name)
	if err != nil {
		return ""
	}
	content, err := io.ReadAll(io.LimitReader(file, maxBytes))
	if err = errors.Join(err, file.Close()); err != nil {
		return ""
	}
	return string(content)
}

// dockerfileNames are the names that builders look for.
var dockerfileNames = []string{"Dockerfile", "dockerfile", "Containerfile"}

// builds returns the directories from which an image can be built. A Go main package in a directory with a Dockerfile is that directory's, any other one
// its module's.
func builds(tree fs.FS, files []string) []Build {
	byDir := map[string]*Build{}
	at := func(dir string) *Build {
		if byDir[dir] == nil {
			byDir[dir] = &Build{Dir: dir}
		}
		return byDir[dir]
	}
	for _, name := range files {
		if slices.Contains(dockerfileNames, path.Base(name)) {
			build := at(path.Dir(name))
			build.Dockerfiles = append(build.Dockerfiles, path.Base(name))
			build.FromRoot = build.FromRoot || copiesFromRoot(tree, name)
		}
	}
	for _, dir := range directories(files) {
		module, inModule := moduleOf(tree, dir)
		if !inModule || !isMain(tree, dir) {
			continue
		}
		if byDir[dir] != nil && len(byDir[dir].Dockerfiles) > 0 {
			byDir[dir].Mains = append(byDir[dir].Mains, ".")
			continue
		}
		build := at(module)
		build.Mains = append(build.Mains, below(module, dir))
	}
	var sorted []Build
	for _, build := range byDir {
		build.OwnModule = exists(tree, path.Join(build.Dir, "go.mod")) && !replacesOutside(read(tree, path.Join(build.Dir, "go.mod"))) && !inWorkspace(tree, build.Dir)
		sorted = append(sorted, *build)
	}
	slices.SortFunc(sorted, func(a, b Build) int { return cmp.Compare(a.Dir, b.Dir) })
	return sorted
}

// directories returns the directories of the files that are Go, sorted.
func directories(files []string) (dirs []string) {
	for _, name := range files {
		if dir := path.Dir(name); path.Ext(name) == ".go" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return dirs
}

// moduleOf returns the nearest directory with a go.mod, from dir upwards.
func moduleOf(tree fs.FS, dir string) (string, bool) {
	for {
		if exists(tree, path.Join(dir, "go.mod")) {
			return dir, true
		}
		if dir == "." {
			return "", false
		}
		dir = path.Dir(dir)
	}
}

// inWorkspace reports whether dir or a directory above it has a go.work, whose other modules may enter an image, too.
func inWorkspace(tree fs.FS, dir string) bool {
	for ; !exists(tree, path.Join(dir, "go.work")); dir = path.Dir(dir) {
		if dir == "." {
			return false
		}
	}
	return true
}

// below returns the path of dir relative to one above it.
func below(above, dir string) string {
	if above == "." || above == dir {
		return cmp.Or(strings.TrimPrefix(strings.TrimPrefix(dir, above), "/"), ".")
	}
	return strings.TrimPrefix(dir, above+"/")
}

// Contains reports whether a directory is another one or below it.
func Contains(above, dir string) bool {
	return above == "." || above == dir || strings.HasPrefix(dir, above+"/")
}
