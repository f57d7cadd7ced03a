// Package runner runs the steps of a composite action as GitHub's runner does, which differs from what act does: a step gets the variables
// that the action maps and no other INPUT_*, required inputs are not enforced, and a cancelled step gets signals in its own process only.
// What an action uses that this package does not know is an error, so that no test passes by it.
//
// Sources: https://github.com/actions/runner (Runner.Worker/Handlers/ScriptHandler.cs, FileCommandManager.cs, Runner.Sdk/ProcessInvoker.cs) and
// GitHub Docs, "Metadata syntax for GitHub Actions" and "Workflow commands for GitHub Actions".
package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// Runner is a runner and the job that it runs.
type Runner struct {
	Workspace string   // GITHUB_WORKSPACE, the working directory of steps
	Temp      string   // RUNNER_TEMP
	ToolCache string   // RUNNER_TOOL_CACHE
	Env       []string // the job's variables, "NAME=value" each

	// Interrupt and Terminate are how long a cancelled step has after SIGINT and after SIGTERM; 0 is the runner's own 7.5 s and 2.5 s.
	Interrupt, Terminate time.Duration
}

// Result is what a run of an action leaves.
type Result struct {
	Code        int               // of the first step that failed, or 0; -1 if a signal ended it
	Log         string            // both streams
	Outputs     map[string]string // the action's
	Env         map[string]string // set for later steps, by GITHUB_ENV
	Path        []string          // added for later steps, by GITHUB_PATH
	Summary     string
	Annotations []string // the lines of the log that are ::error or ::warning
	Signals     []string // sent to a cancelled step
}

type action struct {
	Inputs  map[string]struct{ Default string }
	Outputs map[string]struct{ Value string }
	Runs    struct {
		Using string
		Steps []step
	}
}

type step struct {
	ID, Shell, Run, Uses, If string
	Env                      map[string]string
}

// fileCommands are the files by which a step tells the runner something.
var fileCommands = []string{"GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"}

// Run runs the action in a directory with inputs. A context that ends cancels the step as a user does. The error is about the action
// or this package; a step that fails is in the result.
func (r Runner) Run(ctx context.Context, dir string, with map[string]string) (Result, error) {
	result := Result{Outputs: map[string]string{}, Env: map[string]string{}}
	read, err := readAction(dir)
	if err != nil {
		return result, err
	}
	scope := map[string]string{}
	for name, input := range read.Inputs {
		scope["inputs."+name] = input.Default
	}
	for name, value := range with {
		if _, declared := read.Inputs[name]; declared { // the runner warns about others, and goes on
			scope["inputs."+name] = value
		}
	}
	for _, pair := range r.Env {
		name, value, _ := strings.Cut(pair, "=")
		scope["env."+name] = value
	}
	for _, one := range read.Runs.Steps {
		outputs, err := r.runStep(ctx, dir, one, scope, &result)
		if err != nil {
			return result, err
		}
		for name, value := range outputs {
			scope["steps."+one.ID+".outputs."+name] = value
		}
		if result.Code != 0 {
			break
		}
	}
	for name, output := range read.Outputs {
		if result.Outputs[name], err = evaluate(output.Value, scope); err != nil {
			return result, err
		}
	}
	for line := range strings.Lines(result.Log) {
		if strings.HasPrefix(line, "::error") || strings.HasPrefix(line, "::warning") {
			result.Annotations = append(result.Annotations, strings.TrimRight(line, "\r\n"))
		}
	}
	return result, nil
}

// readAction reads the action.yml in a directory. It must be a composite action whose steps are plain run steps.
func readAction(dir string) (action, error) {
	var read action
	content, err := os.ReadFile(filepath.Join(dir, "action.yml")) // #nosec G304 -- an action of a test
	if err != nil {
		return read, err
	}
	if err := yaml.Unmarshal(content, &read); err != nil {
		return read, fmt.Errorf("reading the action in %q: %w", dir, err)
	}
	if read.Runs.Using != "composite" {
		return read, fmt.Errorf("the action in %q is not composite", dir)
	}
	for _, one := range read.Runs.Steps {
		if one.Uses != "" || one.If != "" || one.Shell == "" {
			return read, fmt.Errorf("the action in %q has a step that is not a plain run: %+v", dir, one)
		}
	}
	return read, nil
}

// runStep runs one step, adds to the result, and returns its outputs.
func (r Runner) runStep(ctx context.Context, dir string, one step, scope map[string]string, result *Result) (map[string]string, error) {
	files, err := os.MkdirTemp(r.Temp, "_runner_file_commands")
	if err != nil {
		return nil, err
	}
	environ := slices.Clone(r.Env)
	for name, value := range result.Env {
		environ = append(environ, name+"="+value)
	}
	for _, name := range slices.Sorted(maps.Keys(one.Env)) {
		value, err := evaluate(one.Env[name], scope)
		if err != nil {
			return nil, err
		}
		environ = append(environ, name+"="+value)
	}
	// What the runner itself sets wins over the job's and the step's variables. GITHUB_ACTION_REPOSITORY and GITHUB_ACTION_REF are
	// empty in the steps of composite actions (https://github.com/actions/runner/issues/2473).
	environ = append(environ, "CI=true", "GITHUB_ACTIONS=true", "GITHUB_WORKSPACE="+r.Workspace, "RUNNER_TEMP="+r.Temp, "RUNNER_TOOL_CACHE="+r.ToolCache,
		"GITHUB_ACTION_PATH="+dir, "GITHUB_ACTION_REPOSITORY=", "GITHUB_ACTION_REF=")
	for _, name := range fileCommands {
		file := filepath.Join(files, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return nil, err
		}
		environ = append(environ, name+"="+file)
	}
	run, err := evaluate(one.Run, scope)
	if err != nil {
		return nil, err
	}
	script := filepath.Join(files, "step.sh")
	if err := os.WriteFile(script, []byte(run+"\n"), 0o600); err != nil {
		return nil, err
	}
	shell := one.Shell
	if shell == "bash" {
		shell = "bash --noprofile --norc -e -o pipefail {0}"
	}
	words := strings.Fields(strings.ReplaceAll(shell, "{0}", script))
	command := exec.Command(words[0], words[1:]...) //nolint:noctx // #nosec G204 -- the shell of an action of a test, which wait ends as the runner does
	command.Dir, command.Env = r.Workspace, environ
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	command.WaitDelay = time.Second // of what a killed step left behind
	err = r.wait(ctx, command, result)
	result.Log += log.String()
	if err != nil {
		return nil, err
	}
	return readFiles(files, result)
}

// wait runs a command to its end. When the context ends, it signals the command's own process as the runner does.
func (r Runner) wait(ctx context.Context, command *exec.Cmd, result *Result) error {
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = r.cancel(command, ended, result)
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		result.Code = exit.ExitCode()
	case errors.Is(err, exec.ErrWaitDelay):
		result.Code = command.ProcessState.ExitCode()
	default:
		return err
	}
	return nil
}

// cancel ends a step as the runner does when a job is cancelled: SIGINT, then SIGTERM, then SIGKILL, with the runner's waits between.
func (r Runner) cancel(command *exec.Cmd, ended <-chan error, result *Result) error {
	interrupt, terminate := r.Interrupt, r.Terminate
	if interrupt == 0 {
		interrupt = 7500 * time.Millisecond
	}
	if terminate == 0 {
		terminate = 2500 * time.Millisecond
	}
	for _, next := range []struct {
		name   string
		signal os.Signal
		wait   time.Duration
	}{{"SIGINT", os.Interrupt, interrupt}, {"SIGTERM", syscall.SIGTERM, terminate}} {
		result.Signals = append(result.Signals, next.name)
		_ = command.Process.Signal(next.signal)
		select {
		case err := <-ended:
			return err
		case <-time.After(next.wait):
		}
	}
	result.Signals = append(result.Signals, "SIGKILL")
	_ = command.Process.Kill()
	return <-ended
}

// readFiles reads what a step wrote into its files.
func readFiles(files string, result *Result) (map[string]string, error) {
	content := map[string]string{}
	for _, name := range fileCommands {
		text, err := os.ReadFile(filepath.Join(files, name)) // #nosec G304 -- made above
		if err != nil {
			return nil, err
		}
		content[name] = string(text)
	}
	set, err := assignments(content["GITHUB_ENV"])
	if err != nil {
		return nil, fmt.Errorf("GITHUB_ENV: %w", err)
	}
	maps.Copy(result.Env, set)
	for line := range strings.Lines(content["GITHUB_PATH"]) {
		result.Path = append(result.Path, strings.TrimRight(line, "\r\n"))
	}
	result.Summary += content["GITHUB_STEP_SUMMARY"]
	outputs, err := assignments(content["GITHUB_OUTPUT"])
	if err != nil {
		return nil, fmt.Errorf("GITHUB_OUTPUT: %w", err)
	}
	return outputs, nil
}

// assignments parses NAME=VALUE and NAME<<DELIMITER lines; whichever comes first in a line decides, as in FileCommandManager.cs.
func assignments(text string) (map[string]string, error) {
	found := map[string]string{}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for at := 0; at < len(lines); at++ {
		line := lines[at]
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		switch {
		case line == "":
		case equals >= 0 && (heredoc < 0 || equals < heredoc):
			found[line[:equals]] = line[equals+1:]
		case heredoc >= 0:
			name, delimiter := line[:heredoc], line[heredoc+2:]
			end := slices.Index(lines[at+1:], delimiter)
			if name == "" || delimiter == "" || end < 0 {
				return nil, fmt.Errorf("invalid value: line %d has no matching delimiter", at+1)
			}
			found[name] = strings.Join(lines[at+1:at+1+end], "\n")
			at += end + 1
		default:
			return nil, fmt.Errorf("invalid format %q", line)
		}
	}
	return found, nil
}

var (
	expression = regexp.MustCompile(`\$\{\{(.*?)\}\}`)
	reference  = regexp.MustCompile(`^(inputs\.[\w-]+|env\.\w+|steps\.[\w-]+\.outputs\.[\w-]+)$`)
)

// evaluate replaces the expressions ${{ … }} in a text: references to inputs, variables and outputs, and alternatives of them (A || B).
func evaluate(text string, scope map[string]string) (string, error) {
	var failure error
	replaced := expression.ReplaceAllStringFunc(text, func(match string) string {
		value := ""
		for part := range strings.SplitSeq(strings.Trim(match, "${} "), "||") {
			part = strings.TrimSpace(part)
			if !reference.MatchString(part) {
				failure = fmt.Errorf("expression %q is not known here", match)
			}
			if value == "" {
				value = scope[part]
			}
		}
		return value
	})
	return replaced, failure
}
