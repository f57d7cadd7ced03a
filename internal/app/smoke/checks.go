package smoke

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/kube/forward"
	"github.com/onedigest/onedigest/internal/probe"
	"github.com/onedigest/onedigest/internal/probe/command"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// Checks reads checks files of the work tree.
type Checks struct {
	workspace app.Workspace
	setting   string        // that names the file
	secrets   *text.Secrets // gets what the requests authenticate with
	environ   []string      // of the job
	runner    *command.Runner
}

// NewChecks reads the files that a setting names.
func NewChecks(run *app.RunContext, setting string) *Checks {
	return &Checks{workspace: run.Workspace(), setting: setting, secrets: run.Secrets, environ: run.Process.Environ}
}

// FileOf returns the checks file that a setting means, of the only service of a repository: by default setting.DefaultChecks of the working directory if it is there, which
// the log then says; "" for the request of the readiness probe.
func FileOf(run *app.RunContext, given string) string {
	if setting.IsChecksFile(given) || given == setting.ChecksByProbe {
		return strings.TrimPrefix(given, setting.ChecksByProbe)
	}
	if _, err := os.Lstat(filepath.Join(run.Process.Dir, setting.DefaultChecks)); err != nil {
		return ""
	}
	run.Reporter.Infof("smoke checks: %s, as no other file is given", setting.DefaultChecks)
	return setting.DefaultChecks
}

// Load reads a checks file; none for "", setting.ChecksByDefault and setting.ChecksByProbe. It records the digests of the files that commands use, and finds their programs. The error is
// a *release.InputError.
func (c *Checks) Load(path string) ([]release.Check, error) {
	if !setting.IsChecksFile(path) {
		return nil, nil
	}
	content, err := c.workspace.Read(c.setting, path, "name a YAML file of checks")
	if err != nil {
		return nil, err
	}
	checks, err := probe.LoadChecks(path, content)
	if err != nil { // which may quote any part of the file
		c.secrets.AddPossible(text.Scalars(string(content))...)
		return nil, err
	}
	for _, check := range checks {
		c.collect(check)
	}
	return c.prepare(path, checks)
}

// prepare prepares the commands among the checks.
func (c *Checks) prepare(path string, checks []release.Check) ([]release.Check, error) {
	inside, err := c.workspace.Inside(path)
	if err != nil {
		return nil, release.BadSetting(c.setting, err.Error(), "")
	}
	c.runner = &command.Runner{Dir: filepath.Dir(inside), Environ: c.environ, Inside: c.workspace.Inside}
	var all release.InputError
	for i, check := range checks {
		if !check.IsCommand() {
			continue
		}
		prepared, problems := c.runner.Prepare(check)
		for _, problem := range problems {
			problem.Where = fmt.Sprintf("%s:%d", path, check.Command.Line)
			problem.What = fmt.Sprintf("check %q: %s", check.Name, problem.What)
			all.Problems = append(all.Problems, problem)
		}
		checks[i] = prepared
	}
	if len(all.Problems) > 0 {
		return nil, &all
	}
	return checks, nil
}

// collect adds what a check sends: the server's answer, or the program's output, may give it back.
func (c *Checks) collect(check release.Check) {
	for name, value := range check.Headers {
		if text.NamesSecret(name) && !strings.Contains(value, "${") {
			c.secrets.Add(text.CredentialsOf(value)...)
			c.secrets.Add(value)
		}
	}
	c.secrets.Add(text.PasswordOf(check.Path))
	c.secrets.AddPossible(check.Body)
	if check.Command == nil {
		return
	}
	for name, value := range check.Command.Env {
		if text.NamesSecret(name) {
			c.secrets.Add(value)
		}
	}
	for _, name := range check.Command.PassEnv {
		c.secrets.Add(execx.Variable(c.environ, name))
	}
}

// commands runs the checks that are programs, which reach pods by a port of this machine.
type commands struct {
	checks    *Checks
	forwarder *forward.Forwarder // nil without a cluster
}

// Run runs a program with the address of the endpoints.
func (c commands) Run(ctx context.Context, check release.Check, target release.CommandTarget) release.Answer {
	base, closePort, err := c.reach(target.Endpoints)
	if err != nil {
		return release.Answer{Check: check.Name, Kind: check.Kind, Stage: release.StageConnect, Wrong: []string{err.Error()}}
	}
	defer closePort()
	return c.checks.runner.Run(ctx, check, base, target)
}

// reach returns a URL that leads to the endpoints, until it is closed.
func (c commands) reach(endpoints []release.Endpoint) (base string, closePort func(), err error) {
	if len(endpoints) == 1 && endpoints[0].Backend.Pod == "" {
		return endpoints[0].Base, func() {}, nil
	}
	if c.forwarder == nil || len(endpoints) == 0 {
		return "", nil, errors.New("there is no endpoint for the command")
	}
	var pods []release.Backend
	for _, endpoint := range endpoints {
		pods = append(pods, endpoint.Backend)
	}
	port, err := c.forwarder.Listen(pods)
	if err != nil {
		return "", nil, err
	}
	scheme, _, _ := strings.Cut(endpoints[0].Base, "://")
	return scheme + "://" + port.Address(), port.Close, nil
}
