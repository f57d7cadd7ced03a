// Package pipeline wires the pipeline: the other verbs, and the cluster that proves the result.
package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/onedigest/onedigest/internal/app"
	appbuild "github.com/onedigest/onedigest/internal/app/build"
	"github.com/onedigest/onedigest/internal/app/clusters"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/app/images"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/pipeline"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
)

// Command is the pipeline as a program.
func Command() app.Command {
	command := app.NewCommand(app.Wiring[pipeline.Settings, pipeline.Result]{
		Verb: pipeline.Verb, Declare: (*pipeline.Settings).Declare, Run: Run, RunsGo: true,
		Outputs: func(r pipeline.Result) map[string]string {
			return map[string]string{"digest": r.Proof.Built.String(), "commit": r.Proof.Commit.String(), "services": app.JSONOf(r.Services)}
		},
		Page: Page,
		Comment: func(s *pipeline.Settings, r pipeline.Result) app.Comment {
			return app.Comment{Wanted: s.Comment, Token: s.GitHubToken, Of: []string{s.Matrix, s.Repository.String(), s.Release}, Commit: r.Proof.Commit}
		},
	})
	command.Child = appdeploy.Command().Child
	return command
}

// Run runs the pipeline with its adapters, and prints its table and proof.
func Run(ctx context.Context, settings *pipeline.Settings, run *app.RunContext) (pipeline.Result, error) {
	registry, err := images.New(ctx, run, settings.PlainHTTP...)
	if err != nil {
		return pipeline.Result{}, err
	}
	step := *run
	step.Reporter = indented{run.Reporter}
	deps := pipeline.Deps{
		Build: func(ctx context.Context, s build.Settings) (build.Result, error) { return appbuild.Run(ctx, &s, &step) },
		Deploy: func(ctx context.Context, s deploy.Settings) (deploy.Result, error) {
			return appdeploy.Run(ctx, &s, &step)
		},
		Smoke: func(ctx context.Context, s smoke.Settings) (smoke.Result, error) { return appsmoke.Run(ctx, &s, &step) },
		Promote: func(ctx context.Context, s promote.Settings) (promote.Result, error) {
			return apppromote.Run(ctx, &s, &step)
		},
		Connect: func(ctx context.Context, ref setting.ClusterRef) (pipeline.Cluster, error) {
			cluster, _, err := clusters.Connect(ctx, run, ref)
			return cluster, err
		},
		CheckFile: func(path string) error {
			_, err := appsmoke.NewChecks(run, "checks").Load(path)
			return err
		},
		CheckDeploys: func(ctx context.Context, deploys []deploy.Settings) error {
			return appdeploy.CheckFiles(ctx, deploys, run)
		},
		Registry: registry, Reporter: run.Reporter, Now: run.Process.Now,
	}
	var result pipeline.Result
	if settings.Matrix == "" {
		settings.Checks = appsmoke.FileOf(run, settings.Checks)
		result, err = runOne(ctx, settings, deps)
	} else {
		result, err = runMatrix(ctx, settings, run, deps)
	}
	printTable(run.Reporter, result)
	if result.Proof.Holds && settings.Matrix == "" {
		printProof(run.Reporter, result.Proof)
	}
	for _, service := range result.Services {
		printService(run.Reporter, service)
	}
	return result, err
}

// runOne takes one service to production.
func runOne(ctx context.Context, settings *pipeline.Settings, deps pipeline.Deps) (pipeline.Result, error) {
	if err := deps.CheckFile(settings.Checks); err != nil { // before anything is built
		return pipeline.Result{}, err
	}
	cluster, err := deps.Connect(ctx, settings.ClusterRef())
	if err != nil {
		return pipeline.Result{}, err
	}
	deps.Cluster = cluster
	return pipeline.Run(ctx, *settings, deps)
}

// runMatrix takes the services of a file to production.
func runMatrix(ctx context.Context, settings *pipeline.Settings, run *app.RunContext, deps pipeline.Deps) (pipeline.Result, error) {
	content, err := run.Workspace().Read("matrix", settings.Matrix, "name a YAML file (docs/matrix.md)")
	if err != nil {
		return pipeline.Result{}, err
	}
	return pipeline.RunMatrix(ctx, content, *settings, deps)
}

// indented indents the lines of a step below the line with the step's name.
type indented struct{ release.Reporter }

func (i indented) Infof(format string, args ...any) { i.Reporter.Infof("   "+format, args...) }

func (i indented) Progress(what string, progress release.Progress) {
	i.Reporter.Progress("   "+what, progress)
}

func (i indented) Raw(text string) {
	for line := range strings.Lines(text) {
		i.Reporter.Raw("   " + line)
	}
}

// printTable prints the table of steps; nothing if none began.
func printTable(reporter release.Reporter, result pipeline.Result) {
	if len(result.Steps) == 0 {
		return
	}
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STEP\tOUTCOME\tDIGEST\tSECONDS")
	for _, step := range result.Steps {
		fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\n", step.Name, step.Outcome, step.Digest.Short(), step.Seconds)
	}
	for _, name := range result.NotRun() {
		fmt.Fprintf(table, "%s\tnot run\n", name)
	}
	table.Flush()
	reporter.Infof("")
	for line := range strings.Lines(text.String()) {
		reporter.Infof("%s", strings.TrimRight(line, "\n"))
	}
}

// printProof prints the proof of one service.
func printProof(reporter release.Reporter, proof pipeline.Proof) {
	reporter.Infof("")
	if proof.Source == "" {
		reporter.Infof("commit     %s", proof.Commit)
	} else {
		reporter.Infof("commit     %s, with the image of %s", proof.Source, proof.Commit)
	}
	reporter.Infof("built      %s", proof.Built)
	for _, environment := range release.DefaultPromotionOrder {
		name := environment.String()
		line := fmt.Sprintf("%-10s %s %s", name, release.PodsRun(len(proof.Running[name])), proof.Built)
		if len(proof.Answered[name]) > 0 {
			line += ", answers commit " + release.Commit(proof.Answered[name][0]).Short()
		}
		if proof.URLs[name] != "" {
			line += " at " + proof.URLs[name]
		}
		reporter.Infof("%s", line)
		for _, further := range proof.Further {
			reporter.Infof("%-10s %s %s %s", "", release.PodsRun(len(further.Running[name])), further.Name, further.Image.Digest)
		}
	}
	reporter.Infof("One commit, one digest.")
}

// printService prints how far a service of a matrix came, and where its digest runs.
func printService(reporter release.Reporter, service pipeline.ServiceResult) {
	reporter.Infof("")
	reporter.Infof("%s  %s", service.Service, service.Proof.Built)
	reporter.Infof("   %s", outcomes(service))
	for _, place := range slices.Sorted(maps.Keys(service.Proof.Running)) {
		line := fmt.Sprintf("   %s: %s it", place, release.PodsRun(len(service.Proof.Running[place])))
		if url := service.Proof.URLs[place]; url != "" {
			line += " at " + url
		}
		reporter.Infof("%s", line)
	}
}

// outcomes lists the outcomes of a service's steps.
func outcomes(service pipeline.ServiceResult) string {
	var outcomes []string
	for _, step := range service.Steps {
		name := step.Name
		if step.Cluster != "" {
			name += " (" + step.Cluster + ")"
		}
		outcomes = append(outcomes, name+": "+step.Outcome)
	}
	return strings.Join(outcomes, ", ")
}
