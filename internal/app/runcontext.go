package app

import (
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
)

// RunContext is what one run of a verb is given: the process that it runs in, and the reporter of what it does.
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

// RunURL is the address of the workflow run, "" outside of GitHub Actions.
func (r *RunContext) RunURL() string {
	if r.runner == nil {
		return ""
	}
	return r.runner.RunURL()
}

// Actor is who started the run: the user on GitHub, else the user of the process; "" if not known.
func (r *RunContext) Actor() string {
	if r.runner == nil {
		return r.Process.Getenv("USER")
	}
	return r.runner.Actor()
}

// Mask hides a secret in everything that is printed from now on, on GitHub. It is called with each credential that a verb
// obtains, before the credential is used.
func (r *RunContext) Mask(secret string) {
	if r.runner != nil {
		r.runner.Mask(secret)
	}
}

// Workspace is the work tree around the working directory.
func (r *RunContext) Workspace() Workspace { return newWorkspace(r.Process) }
