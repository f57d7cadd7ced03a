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
		os.Exit(runTests(m))
	}
}

// runnerTemp is the RUNNER_TEMP of all tests that compile, whose modules have directories of their own in it. They share the
// compiled standard library.
var runnerTemp string

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "runner-temp")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	runnerTemp = dir
	return m.Run()
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
	run.Dir, run.Env = workspace, append(run.Env, "GITHUB_WORKSPACE="+workspace)
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
	bare := tools(t, "cksum", "sed")
	old := tools(t, "cksum", "sed", "sort", "head", "mkdir", "env")
	write(t, filepath.Join(old, "go"), "#!/bin/sh\necho go1.19.13\n", 0o755)
	local := tools(t, "cksum", "sed", "sort", "head", "mkdir", "env")
	write(t, filepath.Join(local, "go"), "#!/bin/sh\necho 'go: go.mod requires go >= 1.26.0 (running go 1.24.1; GOTOOLCHAIN=local)' >&2\nexit 1\n", 0o755)
	temp := "RUNNER_TEMP=" + t.TempDir()
	for _, test := range []struct {
		name string
		args []string
		env  []string
		code int
		want string
	}{
		{"no verb", nil, nil, 2, "usage: run.sh build|deploy|smoke|promote|scan|preview"},
		{"two verbs", []string{"build", "deploy"}, nil, 2, "usage: "},
		{"an unknown verb", []string{"destroy"}, nil, 2, "command destroy is not one of build, deploy, smoke, promote, scan, preview"},
		{"a path", []string{"../build"}, nil, 2, "command ../build is not one of"},
		{"an empty verb", []string{""}, nil, 2, "command '' is not one of"},
		{"a workflow command", []string{"x\n::set-output name=digest::y"}, nil, 2, `command $'x\n::set-output name=digest::y' is not one of`},
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
	workspace := t.TempDir()
	for _, step := range []struct{ name, path string }{
		{"first", os.Getenv("PATH")},
		{"second, without Go", tools(t, "cksum")},
	} {
		run := command(t, copied, "build", "RUNNER_TEMP="+runnerTemp, "PATH="+step.path, "GOOS=plan9", "GOWORK=/nonexistent/go.work", "GOFLAGS=-mod=vendor")
		run.Dir = workspace
		out, err := run.Output()
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
	copied := checkout(t, "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(`built`) }\n")
	temp := "RUNNER_TEMP=" + runnerTemp
	done := make(chan error, 2)
	for range cap(done) {
		run := command(t, copied, "build", temp)
		go func() {
			out, err := run.Output()
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
	out, err := command(t, checkout(t, "package main\n\nfunc main() { nothing() }\n"), "build", "RUNNER_TEMP="+runnerTemp).CombinedOutput()
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
	path := tools(t, "bash", "cksum", "sed", "sort", "head", "mkdir", "env", "rm", "sleep", "flock")
	began, ended := filepath.Join(t.TempDir(), "began"), filepath.Join(t.TempDir(), "ended")
	if err := syscall.Mkfifo(began, 0o600); err != nil {
		t.Skip(err)
	}
	write(t, filepath.Join(path, "go"), fmt.Sprintf(`#!/bin/bash
[[ $1 == env ]] && { echo go1.99.0; exit; }
trap 'echo stopped >%q; exit 1' TERM
echo building >%q
for ((i = 0; i < 600; i++)); do sleep 0.1; done
`, ended, began), 0o755)
	run := command(t, script(t), "build", "PATH="+path, "RUNNER_TEMP="+t.TempDir())
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

// A variable that an earlier step set, with whatever the work tree holds, does not change what is compiled, and a later step gets
// the same result.
func TestRunBuildsItsOwnSources(t *testing.T) {
	t.Parallel()
	const ours = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"built\") }\n"
	for name, hostile := range map[string]func(h hostileTree) []string{
		"nothing":                 func(hostileTree) []string { return nil },
		"GOFLAGS with an overlay": func(h hostileTree) []string { return []string{"GOFLAGS=-overlay=" + h.overlay} },
		"GOFLAGS with a program":  func(h hostileTree) []string { return []string{"GOFLAGS=-toolexec=" + h.program} },
		"GOFLAGS with a compiler": func(h hostileTree) []string { return []string{"GOFLAGS=-ldflags=-X=main.x=y -gcflags=-bad"} },
		"GOENV":                   func(h hostileTree) []string { return []string{"GOENV=" + h.goenv} },
		"go env -w": func(h hostileTree) []string {
			return []string{"HOME=" + h.home, "XDG_CONFIG_HOME=" + h.home + "/.config"}
		},
		"GOROOT": func(h hostileTree) []string { return []string{"GOROOT=" + h.dir} },
		"GOTOOLCHAIN": func(h hostileTree) []string {
			return []string{"GOTOOLCHAIN=go1.99.9+path", "PATH=" + h.bin + ":" + os.Getenv("PATH")}
		},
		"PATH":                     func(h hostileTree) []string { return []string{"PATH=" + h.bin + ":" + os.Getenv("PATH")} },
		"PATH by a relative entry": func(h hostileTree) []string { return []string{"PATH=bin:.:" + os.Getenv("PATH")} },
		"PATH by a link":           func(h hostileTree) []string { return []string{"PATH=" + h.link + ":" + os.Getenv("PATH")} },
		"caches and module proxies": func(h hostileTree) []string {
			return []string{"GOCACHE=" + h.dir, "GOMODCACHE=" + h.dir, "GOPATH=" + h.dir, "GOPROXY=file://" + h.dir, "GONOSUMDB=*", "GONOSUMCHECK=1", "GOSUMDB=off",
				"GOPRIVATE=*", "GOINSECURE=*", "GOAUTH=" + h.program, "GOCACHEPROG=" + h.program, "GOTMPDIR=" + h.dir, "TMPDIR=" + h.dir}
		},
		"another module mode": func(h hostileTree) []string {
			return []string{"GO111MODULE=off", "GOWORK=" + h.dir + "/go.work", "GOOS=plan9", "GOARCH=386"}
		},
		"a C compiler": func(h hostileTree) []string {
			return []string{"CGO_ENABLED=1", "CC=" + h.program, "CXX=" + h.program, "PKG_CONFIG=" + h.program}
		},
		"git": func(h hostileTree) []string {
			return []string{"GIT_EXEC_PATH=" + h.bin, "GIT_SSH_COMMAND=" + h.program, "GIT_DIR=" + h.dir}
		},
		"a start-up file": func(h hostileTree) []string { return []string{"BASH_ENV=" + h.program, "ENV=" + h.program} },
		"a function": func(h hostileTree) []string {
			return []string{"BASH_FUNC_cksum%%=() { " + h.program + "; }", "BASH_FUNC_exec%%=() { " + h.program + "; }"}
		},
		"options of the shell": func(h hostileTree) []string {
			return []string{"SHELLOPTS=xtrace", "PS4=$(" + h.program + ")", "CDPATH=" + h.dir}
		},
	} {
		t.Run(name, func(t *testing.T) {
			copied := checkout(t, ours)
			h := newHostileTree(t, filepath.Dir(filepath.Dir(copied)))
			for _, step := range []struct {
				name    string
				environ []string
			}{{"the hostile step", hostile(h)}, {"a later clean step", nil}} {
				run := command(t, copied, "build", append([]string{"RUNNER_TEMP=" + runnerTemp, "GITHUB_WORKSPACE=" + h.dir}, step.environ...)...)
				run.Dir = h.dir
				var stdout, stderr bytes.Buffer
				run.Stdout, run.Stderr = &stdout, &stderr
				if err := run.Run(); err != nil || stdout.String() != "built\n" {
					t.Errorf("%s: %v, output %q, want %q\n%s", step.name, err, &stdout, "built\n", &stderr)
				}
			}
			if _, err := os.Stat(h.canary); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a program of the work tree was run: %v", err)
			}
		})
	}
}

// On GitHub an error is an annotation, one line whatever it quotes.
func TestRunAnnotatesErrors(t *testing.T) {
	t.Parallel()
	run := command(t, script(t), "x\n::set-output name=a::50%", "GITHUB_ACTIONS=true")
	out, err := run.CombinedOutput()
	want := "::error title=onedigest::command $'x\\n::set-output name=a::50%25' is not one of build, deploy, smoke, promote, scan, preview\n"
	if got := exitCode(t, err); got != 2 || string(out) != want {
		t.Errorf("exit code %d, %q; want 2, %q", got, out, want)
	}
}

// The program with all verbs serves as well as one for each.
func TestRunTakesTheProgramWithAllVerbs(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	write(t, filepath.Join(bin, "onedigest"), "#!/bin/sh\necho \"all: $*\"\n", 0o755)
	out, err := command(t, script(t), "smoke", "ONEDIGEST_BIN="+bin).Output()
	if err != nil || string(out) != "all: smoke\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

// A directory of binaries in the work tree is refused: whoever opened the pull request could have put them there.
func TestRunRefusesBinariesOfTheWorkTree(t *testing.T) {
	t.Parallel()
	h := newHostileTree(t, t.TempDir())
	for _, bin := range []string{h.bin, h.link, "bin"} {
		run := command(t, script(t), "promote", "GITHUB_WORKSPACE="+h.dir, "ONEDIGEST_BIN="+bin)
		run.Dir = h.dir
		out, err := run.CombinedOutput()
		if got := exitCode(t, err); got != 2 || !strings.Contains(string(out), "is in the work tree") {
			t.Errorf("%s: exit code %d, %s; want 2", bin, got, out)
		}
	}
	if _, err := os.Stat(h.canary); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program of the work tree was run: %v", err)
	}
}

// The verb's own programs, as git, are not taken from the work tree either, and no library is loaded into them.
func TestRunCleansTheVerbsEnvironment(t *testing.T) {
	t.Parallel()
	h := newHostileTree(t, t.TempDir())
	bin := t.TempDir()
	write(t, filepath.Join(bin, "promote"), "#!/bin/sh\necho \"$PATH|$LD_PRELOAD|$LD_AUDIT|$LD_LIBRARY_PATH|$BASH_ENV|$ENV\"\n", 0o755)
	run := command(t, script(t), "promote", "GITHUB_WORKSPACE="+h.dir, "ONEDIGEST_BIN="+bin, "PATH=/usr/bin:"+h.bin+"::bin:/bin:", "LD_LIBRARY_PATH="+h.dir, "LD_AUDIT=", "ENV=x")
	run.Dir = h.dir
	out, err := run.Output()
	if err != nil || string(out) != "/usr/bin:/bin|||||\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

// hostileTree is a work tree with a program that leaves a canary, under the names of all that run.sh uses.
type hostileTree struct {
	dir, bin, link, program, canary string
	overlay, goenv, home            string // replace a module's main package, each by another way
}

func newHostileTree(t *testing.T, module string) hostileTree {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := hostileTree{dir: dir, bin: filepath.Join(dir, "bin"), link: filepath.Join(t.TempDir(), "link"), canary: filepath.Join(t.TempDir(), "canary")}
	h.program = filepath.Join(h.bin, "evil")
	for _, name := range []string{"evil", "go", "go1.99.9", "bash", "env", "cksum", "sed", "sort", "head", "mkdir", "mv", "rm", "flock", "dirname", "promote", "git", "gcc", "uname", "sha256sum", "curl", "gzip", "onedigest"} {
		write(t, filepath.Join(h.bin, name), fmt.Sprintf("#!/bin/sh\necho run >>%q\necho hostile\nexit 0\n", h.canary), 0o755)
	}
	if err := os.Symlink(h.bin, h.link); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "main.go")
	write(t, source, "package main\n\nfunc main() { println(`hostile`) }\n", 0o644)
	h.overlay = filepath.Join(dir, "overlay.json")
	write(t, h.overlay, fmt.Sprintf(`{"Replace": {%q: %q}}`, filepath.Join(module, "cmd/build/main.go"), source), 0o644)
	h.goenv, h.home = filepath.Join(dir, "goenv"), filepath.Join(dir, "home")
	for _, file := range []string{h.goenv, filepath.Join(h.home, ".config/go/env")} {
		write(t, file, "GOFLAGS=-overlay="+h.overlay+"\n", 0o644)
	}
	write(t, filepath.Join(dir, "go.work"), "go 1.26.0\n\nuse ./elsewhere\n", 0o644)
	return h
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
	run := exec.CommandContext(t.Context(), "/bin/bash", "--noprofile", "--norc", "-p", "-e", "-o", "pipefail", "-c", `exec "$SCRIPT" "$VERB"`)
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
