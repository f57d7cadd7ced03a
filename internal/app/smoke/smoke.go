// Package smoke wires the smoke verb: the prober, the cluster, and the registry that keeps the evidence.
package smoke

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/probe"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/smoke"
)

// Command is the smoke verb as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[smoke.Settings, smoke.Result]{
		Verb: smoke.Verb, Declare: (*smoke.Settings).Declare, ResolveCommit: git.ResolveCommit, Run: Run, Summary: summary,
		Outputs: func(r smoke.Result) map[string]string {
			report, err := json.Marshal(r.Report)
			if err != nil {
				report = nil
			}
			return map[string]string{"verdict": string(r.Verdict), "report": string(report)}
		},
	})
}

func summary(r smoke.Result) []app.Row {
	rows := []app.Row{{"verdict", string(r.Verdict)}, {"url", r.Report.URL}, {"expected commit", r.Report.Expected.String()},
		{"rounds", fmt.Sprintf("%d, the last %d passed", r.Report.Rounds, r.Report.Consecutive)}}
	for _, answer := range r.Report.Answers {
		text := "passed"
		if !answer.OK() {
			text = string(answer.Stage) + ": " + strings.Join(answer.Wrong, "; ")
		}
		rows = append(rows, app.Row{answer.Check, text})
	}
	return rows
}

// Run runs the verb with its adapters. The cluster and the registry are connected only where a release or an image is named.
func Run(ctx context.Context, settings *smoke.Settings, run *app.RunContext) (smoke.Result, error) {
	deps := smoke.Deps{
		Checks:   Checks{Workspace: run.Workspace(), Setting: "checks"},
		Prober:   prober{probe.New(probe.Options{CommitHeader: settings.CommitHeader, UserAgent: "onedigest-smoke"})},
		Reporter: run.Reporter, Now: run.Process.Now, Pause: pause, RunURL: run.RunURL(),
	}
	if settings.Release != "" {
		cluster, _, err := clusters.Connect(ctx, run, settings.ClusterRef)
		if err != nil {
			return smoke.Result{}, err
		}
		deps.Cluster = cluster
	}
	if !settings.Image.IsZero() {
		registry, err := images.New(ctx, run)
		if err != nil {
			return smoke.Result{}, err
		}
		deps.Registry = registry
	}
	return smoke.Run(ctx, *settings, deps)
}

type prober struct{ *probe.Prober }

func (prober) CheckURL(url string) error {
	_, err := probe.ParseBase(url)
	return err
}

// Checks reads checks files of the work tree.
type Checks struct {
	Workspace app.Workspace
	Setting   string // that names the file
}

// Load reads a checks file; "" means the default checks. The error is a *release.InputError.
func (c Checks) Load(path string) ([]release.Check, error) {
	if path == "" {
		return probe.DefaultChecks(), nil
	}
	content, err := c.Workspace.Read(c.Setting, path, "name a YAML file of checks")
	if err != nil {
		return nil, err
	}
	return probe.LoadChecks(path, content)
}

func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
