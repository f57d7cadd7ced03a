// Package github gives commands to the runner of GitHub Actions: outputs, step summary, annotations, groups and masks. Text
// from outside is sanitized before the runner reads it. The commands are those of
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands, "workflow commands" below.
package github

import (
	"fmt"
	"io"
	"sync"

	"github.com/sethvargo/go-githubactions"

	"github.com/onedigest/onedigest/internal/text"
)

// Options of a Runner.
type Options struct {
	Getenv  func(string) string // the environment; nil: an empty one
	Stdout  io.Writer           // where commands are written, which the runner reads; nil: nowhere
	Secrets *text.Secrets       // values that no command shows, except the one that masks them; nil: none
}

// Runner writes workflow commands for the runner of GitHub Actions that the process runs on. Outside of GitHub it prints no output, summary, mask or annotation, and a group is
// only its title. It may be used by several goroutines.
type Runner struct {
	getenv  func(string) string
	stdout  io.Writer
	secrets *text.Secrets
	action  *githubactions.Action

	mu                   sync.Mutex     // guards the fields below and writes to the files of commands
	annotated            map[string]int // annotations so far, by kind
	reportedNoOutputFile bool
}

// On reports whether a verb runs on GitHub Actions: GITHUB_ACTIONS is "true" there, always
// (https://docs.github.com/en/actions/reference/workflows-and-actions/variables).
func On(getenv func(string) string) bool { return getenv != nil && getenv("GITHUB_ACTIONS") == "true" }

// New returns a Runner that reads the variables of the environment in options and writes commands to its Stdout.
func New(options Options) *Runner {
	if options.Getenv == nil {
		options.Getenv = func(string) string { return "" }
	}
	if options.Stdout == nil {
		options.Stdout = io.Discard
	}
	return &Runner{
		getenv:    options.Getenv,
		stdout:    options.Stdout,
		secrets:   options.Secrets,
		annotated: map[string]int{},
		action: githubactions.New(githubactions.WithGetenv(githubactions.GetenvFunc(options.Getenv)),
			githubactions.WithWriter(options.Stdout)),
	}
}

// On reports whether the process runs on GitHub Actions.
func (r *Runner) On() bool { return On(r.getenv) }

// RepositoryURL returns the page of the repository, or "".
func (r *Runner) RepositoryURL() string {
	server, repository := r.getenv("GITHUB_SERVER_URL"), r.getenv("GITHUB_REPOSITORY")
	if server == "" || repository == "" {
		return ""
	}
	return server + "/" + repository
}

// RunURL returns the page of this run and its attempt, or "".
func (r *Runner) RunURL() string {
	repository, id := r.RepositoryURL(), r.getenv("GITHUB_RUN_ID")
	if repository == "" || id == "" {
		return ""
	}
	url := repository + "/actions/runs/" + id
	if attempt := r.getenv("GITHUB_RUN_ATTEMPT"); attempt != "" && attempt != "1" {
		url += "/attempts/" + attempt
	}
	return url
}

// Actor is who started this attempt (a re-run may have another actor than the run), or "".
func (r *Runner) Actor() string {
	if actor := r.getenv("GITHUB_TRIGGERING_ACTOR"); actor != "" {
		return actor
	}
	return r.getenv("GITHUB_ACTOR")
}

// lines redacts and sanitizes a text of several lines.
func (r *Runner) lines(untrusted string) string {
	return r.secrets.Clean(untrusted)
}

// line does the same as lines, and makes the text one line.
func (r *Runner) line(untrusted string) string {
	return r.secrets.CleanLine(untrusted)
}

// issue prints a command. The library panics where it cannot write; a closed log is no reason to fail.
func (r *Runner) issue(command *githubactions.Command) {
	defer func() { _ = recover() }()
	r.action.IssueCommand(command)
}

// issueFile appends a command to its file, and turns the library's panic into an error.
func (r *Runner) issueFile(command *githubactions.Command) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("%v", reason)
		}
	}()
	r.action.IssueFileCommand(command)
	return nil
}
