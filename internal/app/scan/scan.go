// Package scan wires the scan verb: the registry, and the results of a scanner.
package scan

import (
	"context"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/scan"
	"github.com/onedigest/onedigest/internal/setting"
)

// Command returns the scan verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[scan.Settings, scan.Result]{
		Verb: scan.Verb, Declare: (*scan.Settings).Declare, Run: Run,
		Outputs: func(r scan.Result) map[string]string {
			return map[string]string{"outcome": string(r.Outcome), "counts": app.JSONOf(r.Scan.Counts), "record": r.Record.String()}
		},
		Page: Page,
	})
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *scan.Settings, run *app.RunContext) (scan.Result, error) {
	registry, err := images.New(ctx, run, settings.PlainHTTP...)
	if err != nil {
		return scan.Result{}, err
	}
	signer, err := keys.Signer(ctx, run, "sign-key", settings.SignKey)
	if err != nil {
		return scan.Result{}, err
	}
	registry.SignWith(signer)
	registry.RefuseLegacy(settings.LegacySignatures == setting.LegacyRefuse)
	return scan.Run(ctx, *settings, scan.Deps{Registry: registry, Facts: registry, Signed: signer != nil, Files: run.Workspace(), Scanner: registry, Origin: run.Origin(), Reporter: run.Reporter, Now: run.Process.Now})
}
