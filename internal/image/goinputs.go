package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/image/static"
	"github.com/onedigest/onedigest/internal/release"
)

// Inputs lists the local files that decide the image. For the Go builder they are the sources of every platform, what they
// embed, the files of their modules and of the workspace, and a profile; those of the Go distribution and of the module
// cache are left out, because the toolchain and go.sum fix them. It refuses what the Go builder would silently leave out:
// cgo, and settings of the machine that ask for another program. For the Docker builder they are the files that Docker gets.
// Files that git ignores are listed too. The errors are those of Build.
func (b *Builders) Inputs(ctx context.Context, builder string, recipe release.Recipe) (release.Inputs, error) {
	if builder == Docker {
		return dockerInputs(recipe, b.warn)
	}
	golang, err := b.golang.toolchain(ctx, recipe)
	if err != nil {
		return release.Inputs{}, err
	}
	if err := golang.refuseSettings(recipe.Tags); err != nil {
		return release.Inputs{}, err
	}
	if unused := unusedWorkspace(recipe, b.golang.options.Environ); unused != "" {
		b.warn(unused)
	}
	for _, ignored := range ignoredPlatforms(b.golang.options.Environ, recipe.Platforms) {
		b.warn(ignored)
	}
	return golang.inputs(ctx, recipe)
}

// goPackage has the fields of a package that are used (go help list).
type goPackage struct {
	Dir           string
	ImportPath    string
	Standard      bool
	Module        *goModule
	EmbedPatterns []string

	GoFiles, IgnoredGoFiles, SFiles, HFiles, SysoFiles, EmbedFiles []string
}

type goModule struct {
	Version, Dir, GoMod string
	Main                bool
	Replace             *goModule
}

// cached reports whether a module is in the module cache. Such a module has a version and a directory. A vendored module has no
// directory, and a module that is replaced by a directory has no version.
func (m *goModule) cached() bool {
	return m != nil && m.Version != "" && m.Dir != "" && (m.Replace == nil || m.Replace.Version != "")
}

const packageFields = "Dir,ImportPath,Standard,Module,EmbedPatterns,GoFiles,IgnoredGoFiles,SFiles,HFiles,SysoFiles,EmbedFiles"

// inputs lists the local files that the build of the recipe reads, on all its platforms.
func (g goCommand) inputs(ctx context.Context, recipe release.Recipe) (release.Inputs, error) {
	main, err := packagePath(recipe.Main)
	if err != nil {
		return release.Inputs{}, release.BadSetting(settingMain, err.Error(), "name the directory of a Go main package, relative to the context")
	}
	mainDir := filepath.Join(recipe.Context, main)
	found := release.Inputs{Files: append(workspaceFiles(recipe.Context, g.workspace), filepath.Join(mainDir, "default.pgo"))} // -pgo=auto (go help build)
	addWorkspaceRules(&found, recipe, g.user)
	found.Fixed = []string{"toolchain " + g.pin.name}
	program := "" // its path in the image
	for _, platform := range recipe.Platforms {
		packages, err := g.list(ctx, recipe, main, platform)
		if err != nil {
			return release.Inputs{}, err
		}
		if !recipe.WithoutCgo {
			if err := refuseCgo(packages, platform, recipe.Tags); err != nil {
				return release.Inputs{}, err
			}
		}
		for _, each := range packages {
			if each.Dir == mainDir {
				program = "/" + programDir + "/" + programName(each.ImportPath)
			}
			if !each.Standard && !each.Module.cached() {
				each.addTo(&found, mainDir)
			}
		}
	}
	if err := addStatic(&found, program, recipe); err != nil {
		return release.Inputs{}, err
	}
	slices.Sort(found.Files)
	found.Files = slices.Compact(found.Files)
	return found, nil
}

// addStatic adds the files that are copied into the image.
func addStatic(found *release.Inputs, program string, recipe release.Recipe) error {
	if len(recipe.Files) == 0 {
		return nil
	}
	files, err := static.Files(recipe.Context, program, recipe.Files)
	if err != nil {
		return release.BadSetting(settingFiles, err.Error(), "name files and directories inside the context, without links, and a place of its own for each")
	}
	found.Files = append(found.Files, files...)
	all := func(string) bool { return true }
	for dir := range recipe.Files {
		found.Rules = append(found.Rules, release.InputRule{Dir: filepath.Join(recipe.Context, dir), Matches: all, MayContain: all})
	}
	return nil
}

// list returns the main package and all packages that it imports, directly or not.
func (g goCommand) list(ctx context.Context, recipe release.Recipe, main string, platform release.Platform) ([]goPackage, error) {
	environ, err := goEnviron(platform)
	if err != nil {
		return nil, release.BadSetting(settingPlatforms, err.Error(), "")
	}
	var listing bytes.Buffer
	stderr, err := g.fetching.withEnviron(nil, environ...).runTo(ctx, recipe.Context, &listing, "list", tagsFlag(recipe), "-deps", "-json="+packageFields, "--", main)
	what := fmt.Sprintf("listing the sources of %q", main)
	if err != nil {
		return nil, g.failure(ctx, recipe.Context, err, stderr, what)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(&listing); ; {
		var next goPackage
		err := decoder.Decode(&next)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, builderFault(ctx, err, "", "%s", what)
		}
		packages = append(packages, next)
	}
}

// addTo adds to found the files that the build of a package reads: sources, embedded files, the module's go.mod, and for the main
// module go.sum and vendor/modules.txt. It also adds paths of go.mod files, existing or not, that would cut the package off from
// its module, and a rule for files that would join the package if they were in its directory. mainDir is used as the module's
// directory if the package has no go.mod.
func (p goPackage) addTo(found *release.Inputs, mainDir string) {
	for _, name := range slices.Concat(p.GoFiles, p.SFiles, p.HFiles, p.SysoFiles, p.EmbedFiles) {
		found.Files = append(found.Files, filepath.Join(p.Dir, name))
	}
	found.Files = append(found.Files, included(p.Dir, p.SFiles)...)
	top := mainDir
	if p.Module != nil && p.Module.GoMod != "" {
		top = filepath.Dir(p.Module.GoMod)
		found.Files = append(found.Files, p.Module.GoMod)
	}
	if p.Module != nil && p.Module.Main {
		found.Files = append(found.Files, filepath.Join(top, "go.sum"), filepath.Join(top, "vendor", "modules.txt"))
	}
	// A go.mod between the package and the module's own go.mod would move the package to another module.
	for dir := p.Dir; dir != top && strings.HasPrefix(dir, top+string(filepath.Separator)); dir = filepath.Dir(dir) {
		found.Files = append(found.Files, filepath.Join(dir, "go.mod"))
	}
	found.Rules = append(found.Rules, release.InputRule{
		Dir: p.Dir,
		Matches: func(name string) bool {
			return isGoSource(name) || slices.ContainsFunc(p.EmbedPatterns, func(pattern string) bool { taken, _ := embeds(pattern, name); return taken })
		},
		MayContain: func(dir string) bool {
			return slices.ContainsFunc(p.EmbedPatterns, func(pattern string) bool { _, enters := embeds(pattern, dir); return enters })
		},
	})
}

// isGoSource reports whether the go command would compile a file in a package's directory without cgo, on any platform (go help
// packages; go/build's goodOSArchFile decides by the name).
func isGoSource(name string) bool {
	if strings.Contains(name, "/") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || strings.HasSuffix(name, "_test.go") {
		return false
	}
	return slices.Contains([]string{".go", ".s", ".h", ".hh", ".hpp", ".hxx", ".syso"}, path.Ext(name))
}

// embeds reports whether a //go:embed pattern matches a file, and whether it may match files of a directory with this path. A
// pattern that matches a directory includes what is below, except for names that begin with "." or "_" unless the pattern begins
// with "all:" (package embed, "Directives").
func embeds(pattern, name string) (takes, enters bool) {
	pattern, all := strings.CutPrefix(pattern, "all:")
	if pattern == "." {
		return all || !hasHidden(name), true
	}
	want, have := strings.Split(pattern, "/"), strings.Split(name, "/")
	for i := range min(len(want), len(have)) {
		if matched, err := path.Match(want[i], have[i]); err != nil || !matched {
			return false, false
		}
	}
	if len(have) < len(want) {
		return false, true
	}
	below := strings.Join(have[len(want):], "/")
	return all || !hasHidden(below), true
}

func hasHidden(name string) bool {
	return slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool {
		return strings.HasPrefix(part, ".") || strings.HasPrefix(part, "_")
	})
}
