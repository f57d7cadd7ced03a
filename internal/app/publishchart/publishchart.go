// Package publishchart publishes a chart in an OCI registry. It is for the releases of this repository, and no verb of the product.
package publishchart

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/helm/pack"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Settings say which chart is published where.
type Settings struct {
	Chart string
	To    release.Repository
}

// Declare binds the settings to their declarations.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	setting.Var(set, &s.Chart, setting.Setting{Name: "chart", Default: "charts/service", Value: "DIR", Help: "Directory of the chart, inside the work tree"}, setting.Text)
	setting.Var(set, &s.To, setting.Setting{Name: "to", Required: true, Value: "HOST/PATH",
		Help: "Repository in which the chart gets its version as the tag; its last part is the chart's name"}, release.ParseRepository)
	return set
}

// Result is the published chart.
type Result struct {
	Chart  string         `json:"chart"` // oci://HOST/PATH@DIGEST
	Tag    release.Tag    `json:"tag"`
	Digest release.Digest `json:"digest"`
}

// Command is the program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[Settings, Result]{
		Verb: setting.Verb{Name: "publishchart", Summary: "publish a chart in an OCI registry",
			About:    "Packages the chart so that the same files have the same digest, and pushes it. A version that is published already with other content is refused.",
			Examples: []setting.Example{{Does: "publish the common chart", Line: "--to ghcr.io/onedigest/charts/service"}},
			Outputs:  []setting.Output{{Name: "digest", Help: "digest of the chart's manifest"}}},
		Declare: (*Settings).Declare, Run: Run, Page: func(*Settings, Result, error) page.Page { return page.Page{} },
		Outputs: func(r Result) map[string]string { return map[string]string{"digest": r.Digest.String()} },
	})
}

// Run packages and publishes the chart.
func Run(ctx context.Context, settings *Settings, run *app.RunContext) (Result, error) {
	path, err := run.Workspace().Inside(settings.Chart)
	if err != nil {
		return Result{}, release.BadSetting("chart", err.Error(), "name a chart of the work tree")
	}
	packed, err := pack.Chart(path)
	if err != nil {
		return Result{}, err
	}
	if !strings.HasSuffix("/"+settings.To.Path(), "/"+packed.Name) {
		return Result{}, release.BadSetting("to", fmt.Sprintf("%q does not end in the chart's name, by which helm looks for it", settings.To), fmt.Sprintf("name a repository that ends in /%s", packed.Name))
	}
	tag, err := release.ParseTag(strings.ReplaceAll(packed.Version, "+", "_")) // as Helm writes it, because a tag has no +
	if err != nil {
		return Result{}, release.BadSetting("chart", err.Error(), "correct the version in Chart.yaml")
	}
	registry, err := images.New(ctx, run)
	if err != nil {
		return Result{}, err
	}
	digest, err := registry.PushChart(ctx, settings.To, tag, packed.Config, packed.Content)
	var taken *release.TagTakenError
	switch {
	case errors.As(err, &taken):
		return Result{}, &release.Refusal{Why: fmt.Sprintf("version %s of %q is published already with other content: %s, not %s", packed.Version, settings.To, taken.Holds, taken.Wanted),
			Do: "raise the version in Chart.yaml"}
	case err != nil:
		return Result{}, err
	}
	result := Result{Chart: fmt.Sprintf("oci://%s@%s", settings.To, digest), Tag: tag, Digest: digest}
	run.Reporter.Infof("published %s %s: %s", packed.Name, packed.Version, result.Chart)
	return result, nil
}
