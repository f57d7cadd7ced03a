// Package history wires the history verb: the registry, and the evidence in it.
package history

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/history"
	"github.com/onedigest/onedigest/internal/history/board"
	"github.com/onedigest/onedigest/internal/release"
)

// Command returns the history verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[history.Settings, history.Result]{
		Verb: history.Verb, Declare: (*history.Settings).Declare, ResolveCommit: git.ResolveCommit, Run: Run,
		Outputs: func(r history.Result) map[string]string {
			return map[string]string{"running": app.JSONOf(r.Running), "board": r.Board}
		},
		Page: Page,
	})
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *history.Settings, run *app.RunContext) (history.Result, error) {
	registry, err := images.New(ctx, run, settings.PlainHTTP...)
	if err != nil {
		return history.Result{}, err
	}
	rules, err := gates.Load(run, settings.Policy)
	if err != nil {
		return history.Result{}, err
	}
	gate, err := gates.New(run, registry, rules, settings.VerifyKeys, nil)
	if err != nil {
		return history.Result{}, err
	}
	named, err := gate.Named(ctx)
	if err != nil {
		return history.Result{}, err
	}
	if server, name := run.Process.Getenv("GITHUB_SERVER_URL"), run.Process.Getenv("GITHUB_REPOSITORY"); settings.Source == "" && server != "" && name != "" {
		if settings.Source, err = history.ParseSource(fmt.Sprintf("%s/%s", server, name)); err != nil {
			return history.Result{}, release.BadInput("GITHUB_REPOSITORY", err.Error(), "give --source")
		}
	}
	result, err := history.Run(ctx, *settings, history.Deps{Registry: registry, Evidence: gate, Policy: rules, Files: run.Workspace(), Reporter: run.Reporter,
		Now: run.Process.Now, Board: board.Page{PredicateType: evidence.TypeOf}.Render, Keys: named, TrustedRoot: gate.TrustedRoot()})
	if err != nil && len(result.Commits) == 0 {
		return result, err // which tags there are is not known
	}
	for _, line := range result.Table() {
		run.Reporter.Infof("%s", line)
	}
	return result, err
}
