package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/probe"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/smoke"
)

// Smoke is the smoke verb as a command.
func Smoke(ctx context.Context, process Process) int {
	return perform(ctx, process, verb[*smoke.Settings, smoke.Result]{
		about: smoke.Verb, settings: new(smoke.Settings), run: runSmoke,
		outputs: func(r smoke.Result) map[string]string {
			report, err := json.Marshal(r.Report)
			if err != nil {
				report = nil
			}
			return map[string]string{"verdict": string(r.Verdict), "report": string(report)}
		},
		summary: summaryOfSmoke,
	})
}

func summaryOfSmoke(r smoke.Result) []row {
	rows := []row{{"verdict", string(r.Verdict)}, {"url", r.Report.URL}, {"expected commit", r.Report.Expected.String()},
		{"rounds", fmt.Sprintf("%d, the last %d right", r.Report.Rounds, r.Report.InARow)}}
	for _, answer := range r.Report.Answers {
		text := "right"
		if !answer.OK() {
			text = string(answer.Stage) + ": " + strings.Join(answer.Wrong, "; ")
		}
		rows = append(rows, row{answer.Check, text})
	}
	return rows
}

func runSmoke(ctx context.Context, settings *smoke.Settings, desk *desk) (smoke.Result, error) {
	world := smoke.Deps{
		Checks:   checks{workspace: newWorkspace(desk.process)},
		Prober:   prober{probe.New(probe.Options{CommitHeader: settings.CommitHeader, UserAgent: "onedigest-smoke"})},
		Reporter: desk.account, Now: desk.process.Now, Pause: pause, RunURL: desk.runURL(),
	}
	if settings.Release != "" {
		cluster, _, err := connect(ctx, desk, settings.ClusterRef)
		if err != nil {
			return smoke.Result{}, err
		}
		world.Cluster = cluster
	}
	if !settings.Image.IsZero() {
		images, err := newImages(ctx, desk)
		if err != nil {
			return smoke.Result{}, err
		}
		world.Registry = images
	}
	return smoke.Run(ctx, *settings, world)
}

type prober struct{ *probe.Prober }

func (prober) Base(url string) (string, error) { return probe.ParseBase(url) }

// checks reads checks files of the work tree.
type checks struct{ workspace workspace }

func (c checks) Load(path string) ([]release.Check, error) {
	if path == "" {
		return probe.DefaultChecks(), nil
	}
	content, err := c.workspace.read("--checks (INPUT_CHECKS)", path, "name a YAML file of checks")
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
