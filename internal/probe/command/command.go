// Package command runs the smoke checks that are programs: a hurl file, a k6 script, a test of any language, a shell script.
//
// A program runs for a limited time, with few variables of the job, in its own process group. Processes that it leaves running are ended. Its
// output is not trusted: it is limited in size, and sanitized before it is shown.
package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/release"
)

// Runner runs the commands of one checks file.
type Runner struct {
	Dir     string                            // directory of the checks file: the working directory of every command
	Environ []string                          // of the job
	Inside  func(path string) (string, error) // resolves a path, and refuses one outside the work tree
}

// tools are the programs that run a script, by the kind of the check.
var tools = map[release.CheckKind]string{release.CheckHurl: "hurl", release.CheckK6: "k6"}

// Prepare records the digests of the files that a check uses, and returns what is wrong with it: a program that is not on the PATH, a
// file that is missing or outside the work tree, a variable that is not set. Nothing is run.
func (r Runner) Prepare(check release.Check) (release.Check, []release.Problem) {
	command := *check.Command
	var problems []release.Problem
	problem := func(do, format string, args ...any) {
		problems = append(problems, release.Problem{What: fmt.Sprintf(format, args...), Do: do})
	}
	if _, err := r.program(check); err != nil {
		var missing *missingError
		do := ""
		if errors.As(err, &missing) {
			do = missing.do
		}
		problem(do, "%s", err)
	}
	if keepsResults(command.Args) {
		problem("add -count=1", "go test may repeat a cached result instead of sending requests to the service")
	}
	if runsNothing(command.Args) {
		problem("give -count=1", "go test -count=0 runs no test, and passes")
	}
	for _, name := range command.PassEnv {
		if !slices.ContainsFunc(r.Environ, func(pair string) bool { return strings.HasPrefix(pair, name+"=") }) {
			problem("set it in the environment of this step, or omit it", "pass-env: variable %q is not set", name)
		}
	}
	files, err := r.files(check)
	if err != nil {
		problem("", "%s", err)
	}
	command.Files = files
	check.Command = &command
	return check, problems
}

// keepsResults reports whether a command may pass without running: go test caches results, unless -count is given (go help test).
func keepsResults(args []string) bool {
	return len(args) > 1 && args[0] == "go" && args[1] == "test" &&
		!slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-count") || strings.HasPrefix(arg, "--count") })
}

// runsNothing reports whether a command is a go test that runs each test zero times.
func runsNothing(args []string) bool {
	if len(args) == 0 || filepath.Base(args[0]) != "go" || !slices.Contains(args, "test") {
		return false
	}
	for i, arg := range args {
		name, value, found := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		if name = strings.TrimPrefix(strings.TrimPrefix(name, "-"), "test."); name != "count" || arg == name {
			continue
		}
		if !found && i+1 < len(args) {
			value = args[i+1]
		}
		if times, err := strconv.ParseInt(value, 0, 64); err == nil && times <= 0 {
			return true
		}
	}
	return false
}

// missingError is the error of a program that cannot be run, with advice.
type missingError struct{ what, do string }

func (e *missingError) Error() string { return e.what }

// program returns the path of the program that a check runs.
func (r Runner) program(check release.Check) (string, error) {
	name, isTool := tools[check.Kind]
	if !isTool {
		name = check.Command.Args[0]
	}
	if !strings.ContainsRune(name, filepath.Separator) {
		path, err := execx.Find(name, r.Environ)
		if err == nil {
			return path, nil
		}
		missing := &missingError{what: fmt.Sprintf("%q is not on the PATH", name), do: "install it in a step before this one"}
		if info, err := os.Stat(filepath.Join(r.Dir, name)); err == nil && info.Mode().IsRegular() {
			missing.do = fmt.Sprintf("write ./%s for the file beside the checks", name)
		}
		return "", missing
	}
	path, err := r.inside(name)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("reading %q: %w", name, rootError(err))
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%q is not a file", name)
	case info.Mode()&0o111 == 0:
		return "", &missingError{what: fmt.Sprintf("%q is not executable", name), do: fmt.Sprintf("run chmod +x and commit it, or name the program that runs it, as [sh, %s]", name)}
	}
	return path, nil
}

// inside resolves a path of the checks file. The error names it as the file does.
func (r Runner) inside(name string) (string, error) {
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(r.Dir, name)
	}
	inside, err := r.Inside(path)
	if err != nil {
		return "", errors.New(strings.ReplaceAll(err.Error(), fmt.Sprintf("%q", path), fmt.Sprintf("%q", name)))
	}
	return inside, nil
}

// arguments returns the arguments of the program that a check runs.
func arguments(check release.Check, base string, target release.CommandTarget) []string {
	script := check.Command.Script
	if strings.HasPrefix(script, "-") {
		script = "./" + script
	}
	switch check.Kind {
	case release.CheckHurl:
		args := []string{"--test", "--no-color", "--variable", "base_url=" + base}
		if target.Commit != "" {
			args = append(args, "--variable", "expected_commit="+target.Commit.String())
		}
		if !target.Digest.IsZero() {
			args = append(args, "--variable", "expected_digest="+target.Digest.String())
		}
		return append(args, script)
	case release.CheckK6:
		return []string{"run", "--no-color", "--quiet", "--no-usage-report", "--address", "127.0.0.1:0", script}
	}
	return check.Command.Args[1:]
}

// passedVariables are the job's variables that every command gets. None of them is a credential.
var passedVariables = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "CI", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"}

// marker is the environment variable that marks the processes of one run, so that those which left the process group can be found.
const marker = "ONEDIGEST_CHECK_RUN"

// environ returns the environment of a command.
func (r Runner) environ(check release.Check, base, mark string, target release.CommandTarget) (environ []string) {
	for _, pair := range r.Environ {
		name, _, _ := strings.Cut(pair, "=")
		if slices.Contains(passedVariables, name) || slices.Contains(check.Command.PassEnv, name) {
			environ = append(environ, pair)
		}
	}
	for name, value := range check.Command.Env {
		environ = append(environ, name+"="+value)
	}
	environ = append(environ, "BASE_URL="+base, marker+"="+mark)
	if target.Commit != "" {
		environ = append(environ, "EXPECTED_COMMIT="+target.Commit.String())
	}
	if !target.Digest.IsZero() {
		environ = append(environ, "EXPECTED_DIGEST="+target.Digest.String())
	}
	if check.Kind == release.CheckK6 { // an extension is a download
		environ = append(environ, "K6_AUTO_EXTENSION_RESOLUTION=false")
	}
	return append(environ, "GOFLAGS="+goFlags(environ))
}

// goFlags returns the GOFLAGS of an environment with -count=1, so that a go test that a script or make starts asks the service instead of
// repeating a cached result. Other commands of go ignore the flag (go help environment).
func goFlags(environ []string) string {
	flags := ""
	for _, pair := range environ {
		if value, found := strings.CutPrefix(pair, "GOFLAGS="); found {
			flags = value + " "
		}
	}
	return flags + "-count=1"
}

// Run runs the command of a check and returns its answer: the check passes if the program exits with status 0 within its timeout. base is the URL of
// the service. A command that the context ends has no verdict: the caller sees the context's error.
func (r Runner) Run(ctx context.Context, check release.Check, base string, target release.CommandTarget) release.Answer {
	answer := release.Answer{Check: check.Name, Kind: check.Kind, URL: base, Stage: release.StageCheck}
	program, err := r.program(check)
	if err == nil {
		err = r.compareFiles(check)
	}
	if err != nil {
		answer.Wrong = []string{err.Error()}
		return answer
	}
	mark := newRunID()
	done := run(ctx, process{program: program, args: arguments(check, base, target), dir: r.Dir, environ: r.environ(check, base, mark, target), mark: mark, limit: check.Command.Timeout})
	answer.Latency = done.took
	if done.wrong == "" {
		answer.Stage = release.StageDone
		return answer
	}
	answer.Output = done.output
	answer.Wrong = []string{done.wrong}
	if last := lastLine(done.output); last != "" {
		answer.Wrong[0] += ": " + last
	}
	return answer
}

// rootError removes the path from an error, because the message names it already.
func rootError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
