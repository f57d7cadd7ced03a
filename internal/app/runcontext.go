package app

import (
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
)

// RunContext is the context of one run of a verb: its process, and the reporter of its log.
type RunContext struct {
	Process  Process
	Reporter release.Reporter

	verb   string
	json   bool
	runner *github.Runner // nil when not on GitHub
}

func newRunContext(process Process, verb string, asJSON bool) *RunContext {
	out := process.Stdout
	if asJSON {
		out = process.Stderr
	}
	r := &RunContext{Process: process, verb: verb, json: asJSON}
	if github.On(process.Getenv) {
		r.runner = github.New(github.Options{Getenv: process.Getenv, Stdout: out})
	}
	r.Reporter = newReporter(out, process.Now, r.runner, useColor(out, process.Getenv))
	return r
}

// RunURL returns the URL of the workflow run, or "" outside of GitHub Actions.
func (r *RunContext) RunURL() string {
	if r.runner == nil {
		return ""
	}
	return r.runner.RunURL()
}

// Actor returns who started the run: the user on GitHub, else the user of the process; "" if unknown.
func (r *RunContext) Actor() string {
	if r.runner == nil {
		return r.Process.Getenv("USER")
	}
	return r.runner.Actor()
}

// Mask makes GitHub replace a secret in all later output. It is called for each credential that a verb obtains, before the
// credential is used.
func (r *RunContext) Mask(secret string) {
	if r.runner != nil {
		r.runner.Mask(secret)
	}
}

// Workspace returns the work tree around the working directory.
func (r *RunContext) Workspace() Workspace { return newWorkspace(r.Process) }
