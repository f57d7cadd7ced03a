// Package actions_test runs run.sh, the script in which every action ends, as a runner does.
package actions_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// actAs makes the test binary play a verb when run.sh becomes it.
const actAs = "ONEDIGEST_TEST_VERB"

func TestMain(m *testing.M) {
	switch os.Getenv(actAs) {
	case "tell":
		tell()
	case "wait":
		os.Exit(awaitInterrupt())
	default:
		os.Exit(m.Run())
	}
}

// tell prints what the verb was started with, quoted, one thing a line.
func tell() {
	dir, _ := os.Getwd()
	fmt.Printf("pid %d\ndir %q\nargs %q\n", os.Getpid(), dir, os.Args[1:])
	for _, pair := range os.Environ() {
		if strings.HasPrefix(pair, "INPUT_") {
			fmt.Printf("%q\n", pair)
		}
	}
}

// awaitInterrupt returns 7 on SIGINT and 8 when none comes.
func awaitInterrupt() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Printf("pid %d\n", os.Getpid())
	select {
	case <-ctx.Done():
		return 7
	case <-time.After(time.Minute):
		return 8
	}
}

func TestRunReplacesItselfByTheVerb(t *testing.T) {
	t.Parallel()
	workspace := t.TempDir()
	run := newRun(t, "build", actAs+"=tell")
	run.Dir = workspace
	var stdout bytes.Buffer
	run.Stdout = &stdout
	if err := run.Run(); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("pid %d\ndir %q\nargs []\n", run.Process.Pid, workspace)
	if diff := cmp.Diff(want, stdout.String()); diff != "" {
		t.Errorf("the verb was started otherwise (-want +got):\n%s", diff)
	}
}

func TestRunLeavesInputsLiteral(t *testing.T) {
	t.Parallel()
	hostile := []string{
		`INPUT_REPOSITORY=$(touch "$INPUT_CANARY")`,
		"INPUT_COMMIT=`touch \"$INPUT_CANARY\"`",
		"INPUT_LABELS=a=b\n; touch \"$INPUT_CANARY\" #",
		`INPUT_MAIN=' || touch "$INPUT_CANARY" "`,
		`INPUT_VALUES-FILE=${PATH}`,
	}
	canary := filepath.Join(t.TempDir(), "canary")
	inputs := slices.Concat(hostile, []string{"INPUT_CANARY=" + canary})
	run := newRun(t, "smoke", slices.Concat(inputs, []string{actAs + "=tell", "INPUT_COMMAND=smoke"})...)
	out, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, input := range inputs {
		if !strings.Contains(string(out), strconv.Quote(input)+"\n") {
			t.Errorf("the verb did not get %q as it was; it got:\n%s", input, out)
		}
	}
	if strings.Contains(string(out), "INPUT_COMMAND") {
		t.Errorf("the root action's own input reached the verb:\n%s", out)
	}
	if _, err := os.Stat(canary); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an input was run as a command: %v", err)
	}
}

func TestRunLetsSignalsArrive(t *testing.T) {
	t.Parallel()
	run := newRun(t, "deploy", actAs+"=wait")
	stdout, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := run.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(t, run.Wait()); got != 7 {
		t.Errorf("exit code %d; want 7, the verb's own after SIGINT", got)
	}
}

func TestRunPassesTheExitCodeOn(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, 1, 2, 3} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			bin := t.TempDir()
			write(t, filepath.Join(bin, "promote"), fmt.Sprintf("#!/bin/sh\nexit %d\n", code), 0o755)
			run := command(t, script(t), "promote", "ONEDIGEST_BIN="+bin)
			if got := exitCode(t, run.Run()); got != code {
				t.Errorf("exit code %d; want %d", got, code)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	bare := tools(t, "bash", "dirname", "cksum", "sed", "sort", "head")
	old := tools(t, "bash", "dirname", "cksum", "sed", "sort", "head")
	write(t, filepath.Join(old, "go"), "#!/bin/sh\necho go1.19.13\n", 0o755)
	local := tools(t, "bash", "dirname", "cksum", "sed", "sort", "head")
	write(t, filepath.Join(local, "go"), "#!/bin/sh\necho 'go: go.mod requires go >= 1.26.0 (running go 1.24.1; GOTOOLCHAIN=local)' >&2\nexit 1\n", 0o755)
	temp := "RUNNER_TEMP=" + t.TempDir()
	for _, test := range []struct {
		name string
		args []string
		env  []string
		code int
		want string
	}{
		{"no verb", nil, nil, 2, "usage: run.sh build|deploy|smoke|promote"},
		{"two verbs", []string{"build", "deploy"}, nil, 2, "usage: "},
		{"an unknown verb", []string{"destroy"}, nil, 2, "command destroy is none of build, deploy, smoke, promote"},
		{"a path", []string{"../build"}, nil, 2, "command ../build is none of"},
		{"an empty verb", []string{""}, nil, 2, "command '' is none of"},
		{"a workflow command", []string{"x\n::set-output name=digest::y"}, nil, 2, `command $'x\n::set-output name=digest::y' is none of`},
		{"no runner", []string{"build"}, nil, 2, "RUNNER_TEMP is not set"},
		{"no Go", []string{"build"}, []string{"PATH=" + bare, temp}, 3, "there is no go on the PATH"},
		{"old Go", []string{"build"}, []string{"PATH=" + old, temp}, 3, "the PATH has go1.19.13"},
		{"old Go that may not fetch another", []string{"build"}, []string{"PATH=" + local, temp}, 3, "go.mod requires go >= 1.26.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			run := exec.CommandContext(t.Context(), script(t), test.args...)
			run.Env = append([]string{"PATH=" + os.Getenv("PATH")}, test.env...)
			out, err := run.CombinedOutput()
			if got := exitCode(t, err); got != test.code {
				t.Errorf("exit code %d; want %d", got, test.code)
			}
			if !strings.Contains(string(out), test.want) {
				t.Errorf("output %q; want it to contain %q", out, test.want)
			}
			if bytes.HasPrefix(out, []byte("::")) || bytes.Contains(out, []byte("\n::")) {
				t.Errorf("output holds a workflow command: %q", out)
			}
		})
	}
}

func TestRunBuildsOnceAJob(t *testing.T) {
	t.Parallel()
	copied := checkout(t, `package main

import "fmt"

func main() { fmt.Println("built") }
`)
	temp, workspace := t.TempDir(), t.TempDir()
	for _, step := range []struct{ name, path string }{
		{"first", os.Getenv("PATH")},
		{"second, without Go", tools(t, "bash", "dirname", "cksum")},
	} {
		run := command(t, copied, "build", "RUNNER_TEMP="+temp, "PATH="+step.path, "GOOS=plan9", "GOWORK=/nonexistent/go.work", "GOFLAGS=-mod=vendor")
		run.Dir = workspace
		out, err := run.CombinedOutput()
		if err != nil || string(out) != "built\n" {
			t.Errorf("%s step: %v, output %q; want %q", step.name, err, out, "built\n")
		}
	}
	left, err := os.ReadDir(workspace)
	if err != nil || len(left) > 0 {
		t.Errorf("the build left %v in the caller's directory (%v)", left, err)
	}
}

func TestRunBuildsForTwoStepsAtOnce(t *testing.T) {
	t.Parallel()
	copied := checkout(t, "package main\n\nfunc main() { println(`built`) }\n")
	temp := "RUNNER_TEMP=" + t.TempDir()
	done := make(chan error, 2)
	for range cap(done) {
		run := command(t, copied, "build", temp)
		go func() {
			out, err := run.CombinedOutput()
			if err == nil && string(out) != "built\n" {
				err = fmt.Errorf("output %q", out)
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestRunReportsABrokenBuild(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	out, err := command(t, checkout(t, "package main\n\nfunc main() { nothing() }\n"), "build", "RUNNER_TEMP="+temp).CombinedOutput()
	if got := exitCode(t, err); got != 3 {
		t.Errorf("exit code %d; want 3", got)
	}
	for _, want := range []string{"undefined: nothing", "building build from "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("output %q; want it to contain %q", out, want)
		}
	}
}

func TestRunStopsABuildThatIsInterrupted(t *testing.T) {
	t.Parallel()
	path := tools(t, "bash", "dirname", "cksum", "sed", "sort", "head", "mkdir", "rm", "sleep", "flock")
	began, ended := filepath.Join(t.TempDir(), "began"), filepath.Join(t.TempDir(), "ended")
	if err := syscall.Mkfifo(began, 0o600); err != nil {
		t.Skip(err)
	}
	write(t, filepath.Join(path, "go"), `#!/bin/bash
[[ $1 == env ]] && { echo go1.99.0; exit; }
trap 'echo stopped >"$ENDED"; exit 1' TERM
echo building >"$BEGAN"
for ((i = 0; i < 600; i++)); do sleep 0.1; done
`, 0o755)
	run := command(t, script(t), "build", "PATH="+path, "RUNNER_TEMP="+t.TempDir(), "BEGAN="+began, "ENDED="+ended)
	run.Stdout, run.Stderr = io.Discard, io.Discard
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(began); err != nil {
		t.Fatal(err)
	}
	if err := run.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(t, run.Wait()); got != 130 {
		t.Errorf("exit code %d; want 130", got)
	}
	for range 600 {
		if _, err := os.Stat(ended); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the compiler went on after the step was cancelled")
}

// newRun is run.sh with binaries for all verbs: this test's own.
func newRun(t *testing.T, verb string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, verb)); err != nil {
		t.Fatal(err)
	}
	return command(t, script(t), verb, append(env, "ONEDIGEST_BIN="+bin)...)
}

// command starts a script as the generated actions do, with nothing of this process's environment but what Go
// and the shell need.
func command(t *testing.T, script, verb string, env ...string) *exec.Cmd {
	t.Helper()
	run := exec.CommandContext(t.Context(), "bash", "-e", "-c", `exec "$SCRIPT" "$VERB"`)
	run.Env = []string{"SCRIPT=" + script, "VERB=" + verb}
	for _, name := range []string{"PATH", "HOME", "GOCACHE", "GOPATH", "GOROOT", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			run.Env = append(run.Env, name+"="+value)
		}
	}
	run.Env = append(run.Env, env...)
	return run
}

func script(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("run.sh")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// checkout is a module like this one, with run.sh and one verb; it returns the script's path.
func checkout(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("run.sh")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.mod"), "module example.com/copied\n\ngo 1.26.0\n", 0o644)
	write(t, filepath.Join(dir, "cmd/build/main.go"), source, 0o644)
	write(t, filepath.Join(dir, "actions/run.sh"), string(text), 0o755)
	return filepath.Join(dir, "actions/run.sh")
}

// tools is a PATH with a few programs and no other.
func tools(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skip(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// A child forked by a parallel test while the file is open would hold it open too, and then it cannot be executed.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}
