package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Inputs lists the source files that are compiled into the image, by absolute path, without those of the Go distribution and
// of the module cache, whose contents are fixed. The list includes files that git ignores. It is nil for the Docker builder:
// only the Dockerfile decides which files it uses. The errors are those of Build.
func (b *Builders) Inputs(ctx context.Context, builder string, recipe release.Recipe) ([]string, error) {
	if builder != Go {
		return nil, nil
	}
	golang, err := b.golang.toolchain(ctx, recipe)
	if err != nil {
		return nil, err
	}
	return golang.sources(ctx, recipe)
}

// sourcesTemplate prints the files of a package (go help list) that is neither of the distribution nor of the module cache.
// A module in the cache has a version and a directory; a vendored one has no directory, a locally replaced one no version.
const sourcesTemplate = `{{if not .Standard}}{{$cached := false}}` +
	`{{with .Module}}{{if and .Version .Dir}}{{$cached = true}}{{with .Replace}}{{if not .Version}}{{$cached = false}}{{end}}{{end}}{{end}}{{end}}` +
	`{{if not $cached}}{{$dir := .Dir}}` +
	`{{range .GoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .SFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .HFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}` +
	`{{range .SysoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}` +
	`{{with .Module}}{{.GoMod}}{{end}}{{end}}{{end}}`

func (g golang) sources(ctx context.Context, recipe release.Recipe) ([]string, error) {
	main, err := packagePath(recipe.Main)
	if err != nil {
		return nil, release.BadSetting(settingMain, err.Error(), "name the directory of a Go main package, relative to the context")
	}
	var files []string
	for _, platform := range recipe.Platforms {
		environ, err := goEnviron(platform)
		if err != nil {
			return nil, release.BadSetting(settingPlatforms, err.Error(), "")
		}
		out, stderr, err := g.withEnviron(nil, environ...).run(ctx, recipe.Context, "list", "-deps", "-f", sourcesTemplate, "--", main)
		if err != nil {
			return nil, g.failure(ctx, err, stderr, fmt.Sprintf("listing the sources of %q", main))
		}
		for line := range strings.Lines(out) {
			if file := strings.TrimSpace(line); file != "" {
				files = append(files, file)
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}
