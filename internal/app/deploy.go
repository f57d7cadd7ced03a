package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/smoke"
)

// Deploy is the deploy verb as a command.
func Deploy(ctx context.Context, process Process) int {
	return perform(ctx, process, verb[*deploy.Settings, deploy.Result]{
		about: deploy.Verb, settings: new(deploy.Settings), run: runDeploy,
		outputs: func(r deploy.Result) map[string]string {
			return map[string]string{"url": r.URL, "revision": strconv.Itoa(r.Revision), "outcome": string(r.Outcome), "digest": r.Digest.String(),
				"code": string(r.Code), "newer-run": r.NewerRun, "deploys": deploysOf(r)}
		},
		summary: summaryOfDeploy,
	})
}

func summaryOfDeploy(r deploy.Result) []row {
	rows := []row{{"outcome", string(r.Outcome)}, {"state", r.State}, {"environment", r.Environment.String()}, {"release", r.Release},
		{"revision", strconv.Itoa(r.Revision)}, {"digest", r.Digest.String()}, {"commit", r.Commit.String()}, {"url", r.URL}, {"newer run", r.NewerRun}}
	for _, one := range r.Deploys {
		rows = append(rows, row{one.Namespace + "/" + one.Release, string(one.Outcome) + " " + one.State})
	}
	if r.Healed != nil {
		rows = append(rows, row{"healed", fmt.Sprintf("revision %d had been left %s", r.Healed.Revision, r.Healed.Status)})
	}
	if found := r.Diagnosis; found != nil {
		rows = append(rows, row{"cause", fmt.Sprintf("%s %s %s", found.Code, found.Object, found.Container)}, row{"reason", found.Reason + " " + found.Message},
			row{"try", found.Advice})
		rows = appendLines(rows, "event", found.Events)
		rows = appendLines(rows, "log", found.Logs)
	}
	return rows
}

// deploysOf is the result of every deploy of a matrix, "" if there was none.
func deploysOf(r deploy.Result) string {
	if len(r.Deploys) == 0 {
		return ""
	}
	text, err := json.Marshal(r.Deploys)
	if err != nil {
		return ""
	}
	return string(text)
}

func appendLines(rows []row, name string, lines []string) []row {
	for _, line := range lines {
		rows = append(rows, row{name, line})
	}
	return rows
}

func runDeploy(ctx context.Context, settings *deploy.Settings, desk *desk) (deploy.Result, error) {
	clusters := newClusters(desk)
	images, err := newImages(ctx, desk)
	if err != nil {
		return deploy.Result{}, err
	}
	world := func(settings deploy.Settings, account release.Reporter) (deploy.Deps, error) {
		reached, err := clusters.reach(ctx, settings)
		if err != nil {
			return deploy.Deps{}, err
		}
		return deploy.Deps{
			Workspace: newWorkspace(desk.process), Registry: images, Chart: reached.helm.In(settings.Namespace), Cluster: reached.cluster,
			Reporter: account, Ancestry: ancestry{desk.process}, Smoker: smoker{desk}, Holder: desk.holder(),
		}, nil
	}
	if settings.Matrix != "" {
		return runMatrix(ctx, settings, desk, world)
	}
	around, err := world(*settings, desk.account)
	if err != nil {
		return deploy.Result{}, err
	}
	return deploy.Run(ctx, *settings, around)
}

func runMatrix(ctx context.Context, settings *deploy.Settings, desk *desk, world func(deploy.Settings, release.Reporter) (deploy.Deps, error)) (deploy.Result, error) {
	content, err := newWorkspace(desk.process).read("--matrix (INPUT_MATRIX)", settings.Matrix, "name a YAML file of deploys")
	if err != nil {
		return deploy.Result{}, err
	}
	waves, err := deploy.ParseMatrix(settings.Matrix, content, settings.Given)
	if err != nil {
		return deploy.Result{}, err
	}
	return deploy.Many(ctx, waves, settings.Concurrency, desk.account, world)
}

// holder is this run as others are told of it. Its identity is like no other's: the run and attempt on GitHub, and in any
// case the machine, the process and the time.
func (d *desk) holder() release.Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	identity := fmt.Sprintf("%s/%d/%d", host, os.Getpid(), d.process.Now().UnixNano())
	if id := d.process.Getenv("GITHUB_RUN_ID"); id != "" {
		identity = id + "." + d.process.Getenv("GITHUB_RUN_ATTEMPT") + "/" + identity
	}
	return release.Holder{Run: identity, URL: d.runURL(), Actor: d.actor()}
}

// ancestry asks the work tree's own history.
type ancestry struct{ process Process }

func (a ancestry) IsAncestor(ctx context.Context, ancestor, descendant release.Commit) (bool, error) {
	return git.IsAncestor(ctx, a.process.Environ, a.process.Dir, ancestor, descendant)
}

// smoker runs the smoke verb inside a deploy.
type smoker struct{ desk *desk }

// Rounds of a smoke that runs inside a deploy, and how long wrong answers may go on.
const (
	smokeRounds   = 3
	smokePatience = 15 * time.Second
	smokeLimit    = time.Hour // the deploy's own time ends it sooner
)

func (s smoker) Check(file string) error {
	_, err := checks{workspace: newWorkspace(s.desk.process)}.Load(file)
	return err
}

func (s smoker) Smoke(ctx context.Context, url, file string, commit release.Commit) error {
	settings := &smoke.Settings{URL: url, Checks: file, ExpectCommit: commit, CommitHeader: smoke.DefaultCommitHeader,
		Consecutive: smokeRounds, Timeout: smokeLimit, Patience: smokePatience}
	_, err := runSmoke(ctx, settings, s.desk)
	return err
}
