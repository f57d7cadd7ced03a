package app

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/onedigest/onedigest/internal/worktree"
)

// RunContext is the context of one run of a verb: its process, and the reporter of its log.
type RunContext struct {
	Process  Process // the process, with the sink's writers
	Reporter release.Reporter
	Secrets  *text.Secrets // values that no output shows; every adapter adds those that it sees

	Role *Role // that the run assumes in AWS; nil: the credentials of the environment

	verb   string
	began  time.Time
	json   bool
	sink   *sink
	log    *stream
	runner *github.Runner // nil when not on GitHub
	masked *sync.Map      // tokens that the runner was told to mask
}

// Role is the AWS role that a run assumes with its job's identity token.
type Role struct {
	ARN, Audience string

	once    sync.Once
	assumed any
	err     error
}

// Once returns what assume returned when it was first called in this run.
func (r *Role) Once(assume func() (any, error)) (any, error) {
	r.once.Do(func() { r.assumed, r.err = assume() })
	return r.assumed, r.err
}

func newRunContext(process Process, verb string, asJSON bool) *RunContext {
	sink := newSink(process)
	process.Stdout, process.Stderr = sink.stdout, sink.stderr
	r := &RunContext{Process: process, Secrets: sink.secrets, verb: verb, began: process.Now(), json: asJSON, sink: sink, log: sink.stdout, masked: new(sync.Map)}
	if asJSON {
		r.log = sink.stderr
	}
	temp := ""
	if github.On(process.Getenv) {
		temp = process.Getenv("RUNNER_TEMP")
		r.runner = r.log.runner(process.Getenv)
	}
	r.Reporter = newReporter(r.log, process.Now, r.runner, useColor(r.log, process.Getenv), newWarned(temp))
	return r
}

// RunURL returns the URL of the workflow run, or "" outside of GitHub Actions.
func (r *RunContext) RunURL() string {
	if r.runner == nil {
		return ""
	}
	return r.Secrets.Hide(r.runner.RunURL())
}

// Actor returns who started the run: the user on GitHub, else the user of the process; "" if unknown.
func (r *RunContext) Actor() string {
	if r.runner == nil {
		return r.Secrets.Hide(r.Process.Getenv("USER"))
	}
	return r.Secrets.Hide(r.runner.Actor())
}

// localBuilder is the builder outside of GitHub Actions.
const localBuilder = "https://onedigest.dev/builder/local"

// Origin returns who records facts in this run. The builder is the workflow that runs, as GitHub names it.
// Source: GitHub Docs, "Default environment variables", GITHUB_WORKFLOW_REF.
func (r *RunContext) Origin() fact.Origin {
	origin := fact.Origin{By: r.Actor(), Run: r.RunURL(), Builder: localBuilder}
	if workflow := r.Process.Getenv("GITHUB_WORKFLOW_REF"); r.runner != nil && workflow != "" {
		origin.Builder = r.Secrets.Hide(strings.TrimRight(cmp.Or(r.Process.Getenv("GITHUB_SERVER_URL"), "https://github.com"), "/") + "/" + workflow)
	}
	return origin
}

// Holder returns the identity of this run as the holder of a release's Lease, which other runs see. It is unique: the run and attempt on GitHub, and
// in any case the host, the process id and the time.
func (r *RunContext) Holder() release.Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	identity := fmt.Sprintf("%s/%d/%d", host, os.Getpid(), r.Process.Now().UnixNano())
	if id := r.Process.Getenv("GITHUB_RUN_ID"); id != "" {
		identity = id + "." + r.Process.Getenv("GITHUB_RUN_ATTEMPT") + "/" + identity
	}
	return release.Holder{Run: identity, URL: r.RunURL(), Actor: r.Actor()}
}

// InJob reports whether the run is a step of a job of GitHub Actions.
func (r *RunContext) InJob() bool { return github.On(r.Process.Getenv) }

// Mask hides a secret in everything that is shown from now on. On GitHub the runner hides it too, in the steps that follow. It is
// called with each credential that a verb obtains, before the credential is used.
func (r *RunContext) Mask(secret string) {
	r.Secrets.Add(secret)
	if r.runner == nil {
		return
	}
	if _, known := r.masked.LoadOrStore(secret, true); !known {
		r.runner.Mask(secret)
	}
}

// WorkTree returns the work tree for adapters: they use no file in it that would get or choose credentials.
func (r *RunContext) WorkTree() worktree.Tree { return treeOf(r.Process) }

// Workspace returns the work tree around the working directory.
func (r *RunContext) Workspace() Workspace { return newWorkspace(r.Process) }
