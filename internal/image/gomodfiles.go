package image

import (
	"os"
	"path"
	"path/filepath"

	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/mod/modfile"
)

// moduleFile returns the go.mod that the go command uses in a directory: its own or the nearest above; "" if there is none.
func moduleFile(dir string) string {
	for {
		file := filepath.Join(dir, "go.mod")
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// workspaceAbove returns the go.work that the go command would find above the context, inside the repository; "" if there is none
// or the context has its own.
func workspaceAbove(recipe release.Recipe) string {
	dir := recipe.Context
	for below := path.Clean(recipe.Source.Path); ; below = path.Dir(below) {
		file := filepath.Join(dir, "go.work")
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			if dir == recipe.Context {
				return ""
			}
			return file
		}
		if below == "." {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

// workspaceFiles returns the files that determine the versions of other modules: go.work, and the files of the modules that the
// workspace uses and of the directories that replace a module. It skips a file that cannot be read or parsed: the go command
// reports that.
func (g goCommand) workspaceFiles(context string) []string {
	files := []string{filepath.Join(context, "go.work"), filepath.Join(context, "go.work.sum"), filepath.Join(context, "go.mod")}
	modules := []string{moduleFile(context)}
	if content, err := os.ReadFile(filepath.Join(context, "go.work")); err == nil { // #nosec G304 -- in the build context
		if work, err := modfile.ParseWork("go.work", content, nil); err == nil {
			modules = nil
			for _, use := range work.Use {
				modules = append(modules, filepath.Join(absolute(context, use.Path), "go.mod"))
			}
			files = append(files, replacements(context, work.Replace)...)
			files = append(files, filepath.Join(context, "vendor", "modules.txt"))
		}
	}
	for _, module := range modules {
		content, err := os.ReadFile(module) // #nosec G304 -- as the go command reads it
		if err != nil {
			continue
		}
		dir := filepath.Dir(module)
		files = append(files, module, filepath.Join(dir, "go.sum"))
		if parsed, err := modfile.Parse("go.mod", content, nil); err == nil {
			files = append(files, replacements(dir, parsed.Replace)...)
		}
	}
	return files
}

// replacements returns the go.mod files of the directories that replace modules (https://go.dev/ref/mod#go-mod-file-replace).
func replacements(dir string, replaces []*modfile.Replace) (files []string) {
	for _, replace := range replaces {
		if replace.New.Version == "" {
			files = append(files, filepath.Join(absolute(dir, replace.New.Path), "go.mod"))
		}
	}
	return files
}

func absolute(dir, path string) string {
	path = filepath.FromSlash(path)
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
