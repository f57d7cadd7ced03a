package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// Inputs lists the files, by absolute path, that decide the image and that neither the Go distribution nor the module
// cache vouches for: a file that git ignores is compiled in like any other. It is nil for the Docker builder, whose context
// is the Dockerfile's own business. The errors are those of Build.
func (b *Builders) Inputs(ctx context.Context, builder string, recipe release.Recipe) ([]string, error) {
	if builder != Go {
		return nil, nil
	}
	golang, err := b.golang.toolchain(ctx, recipe)
	if err != nil {
		return nil, err
	}
	return golang.inputs(ctx, recipe)
}

// ownSources prints the files of a package (go help list), unless it is of the distribution or of the module cache. A
// module in the cache has a version and a directory; a vendored one has no directory, a locally replaced one no version.
const ownSources = `{{if not .Standard}}{{$cached := false}}` +
	`{{with .Module}}{{if and .Version .Dir}}{{$cached = true}}{{with .Replace}}{{if not .Version}}{{$cached = false}}{{end}}{{end}}{{end}}{{end}}` +
	`{{if not $cached}}{{$dir := .Dir}}` +
	`{{range .GoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .SFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .HFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}` +
	`{{range .SysoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}` +
	`{{with .Module}}{{.GoMod}}{{end}}{{end}}{{end}}`

func (g golang) inputs(ctx context.Context, recipe release.Recipe) ([]string, error) {
	main, err := pattern(recipe.Main)
	if err != nil {
		return nil, release.BadInput(whereMain, err.Error(), "name the directory of a Go main package, relative to the context")
	}
	var files []string
	for _, platform := range recipe.Platforms {
		environ, err := target(platform)
		if err != nil {
			return nil, release.BadInput(wherePlatforms, err.Error(), "")
		}
		out, stderr, err := g.with(nil, environ...).run(ctx, recipe.Context, "list", "-deps", "-f", ownSources, "--", main)
		if err != nil {
			return nil, g.judge(ctx, err, stderr, fmt.Sprintf("listing the sources of %q", main))
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
