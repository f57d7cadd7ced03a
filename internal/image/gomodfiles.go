package image

import (
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/onedigest/onedigest/internal/execx"
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

// ignoresWorkspace reports whether the environment says that no go.work above the context is used, as it says to the go command (GOWORK=off).
func ignoresWorkspace(environ []string) bool { return execx.Variable(environ, "GOWORK") == "off" }

// workspaceOf returns the go.work that the recipe is built with, "" for none: that of the context, otherwise that which the commit has above it, unless environ
// has GOWORK=off. One above the context that does not use the module of the main package is left out: with it, the go command builds nothing there.
func workspaceOf(recipe release.Recipe, environ []string) string {
	if own := filepath.Join(recipe.Context, goWork); isFile(own) {
		return own
	}
	if recipe.Source.GoWork == "" || ignoresWorkspace(environ) {
		return ""
	}
	file := filepath.Join(repositoryOf(recipe), filepath.FromSlash(recipe.Source.GoWork))
	content, err := os.ReadFile(file) // #nosec G304 -- a file of the commit
	if err != nil {
		return file
	}
	work, err := modfile.ParseWork(goWork, content, nil)
	if err != nil {
		return file // the go command reports it
	}
	main, err := packagePath(recipe.Main)
	if err != nil {
		main = "."
	}
	module, err := os.Stat(filepath.Dir(moduleFile(filepath.Join(recipe.Context, main))))
	if err != nil {
		return ""
	}
	for _, use := range work.Use {
		if used, err := os.Stat(absolute(filepath.Dir(file), use.Path)); err == nil && os.SameFile(module, used) {
			return file
		}
	}
	return ""
}

const goWork = "go.work"

// repositoryOf returns the top of the recipe's repository, by the path of its context.
func repositoryOf(recipe release.Recipe) string {
	top := recipe.Context
	for below := path.Clean(recipe.Source.Path); below != "."; below = path.Dir(below) {
		top = filepath.Dir(top)
	}
	return top
}

func isFile(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular()
}

// unusedWorkspace says that a go.work which the go command would find above the context is not used, and why; "" if there is none.
func unusedWorkspace(recipe release.Recipe, environ []string) string {
	if isFile(filepath.Join(recipe.Context, goWork)) {
		return ""
	}
	used, top := workspaceOf(recipe, environ), repositoryOf(recipe)
	for dir := recipe.Context; dir != top; {
		dir = filepath.Dir(dir)
		file := filepath.Join(dir, goWork)
		if !isFile(file) {
			continue
		}
		switch isCommitted := file == filepath.Join(top, filepath.FromSlash(recipe.Source.GoWork)); {
		case file == used:
			return ""
		case isCommitted && ignoresWorkspace(environ):
			return fmt.Sprintf("%q is not used, because the environment has GOWORK=off", file)
		case isCommitted:
			return fmt.Sprintf("%q does not use the module of the main package, and is not used; go work use adds it", file)
		}
		return fmt.Sprintf("%q is not in the commit, and is not used; commit it if the image is to be built with it", file)
	}
	return ""
}

// addWorkspaceRules adds rules for each go.work that the commit has above the context, unless environ has GOWORK=off: without it in the work tree, another one or none would be used.
func addWorkspaceRules(found *release.Inputs, recipe release.Recipe, environ []string) {
	if ignoresWorkspace(environ) {
		return
	}
	for dir, top := recipe.Context, repositoryOf(recipe); dir != top; {
		dir = filepath.Dir(dir)
		found.Rules = append(found.Rules, release.InputRule{Dir: dir, Matches: func(name string) bool { return name == goWork }, MayContain: func(string) bool { return false }})
	}
}

// workspaceFiles returns the files that determine the versions of other modules: go.work, and the files of the modules that the
// workspace uses and of the directories that replace a module. work is the go.work that is used, "" for none. It skips a file that cannot be read or parsed: the
// go command reports that.
func workspaceFiles(context, work string) []string {
	files := []string{filepath.Join(context, goWork), filepath.Join(context, "go.work.sum"), filepath.Join(context, "go.mod")}
	modules := []string{moduleFile(context)}
	if work != "" {
		dir := filepath.Dir(work)
		files = append(files, work, filepath.Join(dir, "go.work.sum"), filepath.Join(dir, "vendor", "modules.txt"))
		content, err := os.ReadFile(work) // #nosec G304 -- as the go command reads it
		parsed, parseErr := modfile.ParseWork(goWork, content, nil)
		if err == nil && parseErr == nil {
			modules = nil
			for _, use := range parsed.Use {
				modules = append(modules, filepath.Join(absolute(dir, use.Path), "go.mod"))
			}
			files = append(files, replacements(dir, parsed.Replace)...)
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
