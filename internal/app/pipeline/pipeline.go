// Package pipeline wires the pipeline: the other verbs, and the cluster that proves the result.
package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/build"
	"github.com/onedigest/onedigest/internal/app/clusters"
	"github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/app/promote"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/pipeline"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
)

// Command is the pipeline as a program.
func Command() app.Command {
	return app.NewCommand(app.Wiring[pipeline.Settings, pipeline.Result]{
		Verb: pipeline.Verb, Declare: (*pipeline.Settings).Declare, Run: Run,
		Outputs: func(r pipeline.Result) map[string]string {
			return map[string]string{"digest": r.Proof.Built.String(), "commit": r.Proof.Commit.String()}
		},
		Summary: func(r pipeline.Result) (rows []app.Row) {
			for _, step := range r.Steps {
				rows = append(rows, app.Row{step.Name, fmt.Sprintf("%s %s %.1f s", step.Outcome, step.Digest.Short(), step.Seconds)})
			}
			return rows
		},
	})
}

// Run runs the pipeline with its adapters, and prints its table and proof.
func Run(ctx context.Context, settings *pipeline.Settings, run *app.RunContext) (pipeline.Result, error) {
	cluster, _, err := clusters.Connect(ctx, run, setting.ClusterRef{Kubeconfig: settings.Kubeconfig, Context: settings.KubeContext})
	if err != nil {
		return pipeline.Result{}, err
	}
	result, err := pipeline.Run(ctx, *settings, pipeline.Deps{
		Verbs: verbs{run: run}, Cluster: cluster, Reporter: run.Reporter, Now: run.Process.Now,
	})
	tellProof(run.Reporter, result)
	return result, err
}

// verbs runs the other commands in this process, exactly as their own programs would.
type verbs struct{ run *app.RunContext }

var commands = map[string]app.Command{"build": build.Command(), "deploy": deploy.Command(), "smoke": appsmoke.Command(), "promote": promote.Command()}

// left is the part of the verbs' JSON that the chain goes by.
type left struct {
	Outcome string          `json:"outcome"`
	Verdict release.Verdict `json:"verdict"`
	Digest  release.Digest  `json:"digest"`
	Commit  release.Commit  `json:"commit"`
	URL     string          `json:"url"`
	Report  smoke.Report    `json:"report"`
}

func (v verbs) Run(ctx context.Context, verb string, flags []string) (pipeline.Done, error) {
	var stdout, stderr bytes.Buffer
	process := v.run.Process
	process.Args = append(slices.Clone(flags), "--output", "json")
	process.Environ = slices.DeleteFunc(slices.Clone(process.Environ), func(pair string) bool {
		return strings.HasPrefix(pair, "INPUT_") || strings.HasPrefix(pair, "GITHUB_OUTPUT=")
	})
	// The outputs of the steps are not the pipeline's own.
	process.Environ = append(process.Environ, "GITHUB_OUTPUT="+os.DevNull)
	process.Stdout, process.Stderr = &stdout, &splitter{account: v.run.Reporter, errors: &stderr, mark: verb + ": "}
	code := commands[verb].Run(ctx, process)
	if code != release.ExitDone {
		return pipeline.Done{}, failed(code, strings.TrimSpace(stderr.String()))
	}
	var result left
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		return pipeline.Done{}, fmt.Errorf("reading the result of %q: %w", verb, err)
	}
	done := pipeline.Done{Outcome: result.Outcome, Digest: result.Digest, Commit: result.Commit, URL: result.URL}
	if result.Verdict != "" {
		done.Outcome = string(result.Verdict)
	}
	for _, answer := range result.Report.Answers {
		if !slices.Contains(done.Answers, answer.Commit) {
			done.Answers = append(done.Answers, answer.Commit)
		}
	}
	return done, nil
}

// failed gives the chain the exit code of the step that failed.
func failed(code int, text string) error {
	switch code {
	case release.ExitInput:
		return &release.InputError{Problems: []release.Problem{{What: text}}}
	case release.ExitFailed:
		return &release.Failure{What: text}
	}
	return &release.Fault{Side: "step", Err: errors.New(text)}
}

// splitter sends a step's errors to one place and its account to another.
type splitter struct {
	account release.Reporter
	errors  *bytes.Buffer
	mark    string
}

func (s *splitter) Write(line []byte) (int, error) {
	text := strings.TrimRight(string(line), "\n")
	if strings.HasPrefix(text, s.mark) {
		s.errors.WriteString(text + "\n")
	} else {
		s.account.Infof("   %s", text)
	}
	return len(line), nil
}

// tellProof prints the table and the proof.
func tellProof(account release.Reporter, result pipeline.Result) {
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STEP\tOUTCOME\tDIGEST\tSECONDS")
	for _, step := range result.Steps {
		fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\n", step.Name, step.Outcome, step.Digest.Short(), step.Seconds)
	}
	table.Flush()
	account.Infof("")
	for line := range strings.Lines(text.String()) {
		account.Infof("%s", strings.TrimRight(line, "\n"))
	}
	if !result.Proof.Holds {
		return
	}
	proof := result.Proof
	account.Infof("")
	account.Infof("commit     %s", proof.Commit)
	account.Infof("built      %s", proof.Built)
	for _, environment := range release.DefaultLadder {
		name := environment.String()
		account.Infof("%-10s %d pods run %s, answers commit %s at %s", name, len(proof.Running[name]), proof.Built, release.Commit(proof.Answered[name][0]).Short(), proof.URLs[name])
	}
	account.Infof("One commit, one digest.")
}
