package actions_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/devenv/runner"
	"sigs.k8s.io/yaml"
)

// actionDirs are the actions and the verbs that they run, "" for the one that is told.
var actionDirs = map[string]string{"build": "build", "deploy": "deploy", "smoke": "smoke", "promote": "promote", "scan": "scan", "preview": "preview", "..": ""}

func actionDir(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// newRunner is a runner with the programs of bin, and variables in which an earlier step has left what it could.
func newRunner(t *testing.T, bin string, env ...string) runner.Runner {
	t.Helper()
	return runner.Runner{Workspace: t.TempDir(), Temp: t.TempDir(), ToolCache: t.TempDir(), Env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "ONEDIGEST_BIN=" + bin}, env...)}
}

// testBinary is a directory in which this test's binary plays a verb.
func testBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	for _, verb := range []string{"build", "deploy", "smoke", "promote", "scan", "preview"} {
		if err := os.Symlink(self, filepath.Join(bin, verb)); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// TestActionsOnTheRunner: a verb gets each declared input as its variable, literally, and no other INPUT_*; defaults are the action's; the verb
// is the step's own process.
func TestActionsOnTheRunner(t *testing.T) {
	t.Parallel()
	bin := testBinary(t)
	for name, verb := range actionDirs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var declared struct {
				Inputs map[string]struct{ Default string }
			}
			content, err := os.ReadFile(filepath.Join(name, "action.yml"))
			if err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(content, &declared); err != nil {
				t.Fatal(err)
			}
			r := newRunner(t, bin, actAs+"=tell")
			canary := filepath.Join(r.Temp, "canary")
			hostile := "$(touch " + canary + ")`touch " + canary + "`'\"; touch " + canary + "\n::set-output name=a::b\n${{ github.token }}"
			for round, value := range []string{"", hostile} {
				with, want := map[string]string{"not-declared": "x"}, map[string]string{}
				for input, of := range declared.Inputs {
					set := of.Default
					if value != "" {
						with[input], set = value, value
					}
					want["INPUT_"+strings.ToUpper(strings.ReplaceAll(input, "-", "_"))] = set
				}
				if verb == "" {
					with["command"] = "smoke"
				}
				// The wrapper's own.
				delete(with, "releases")
				delete(want, "INPUT_RELEASES")
				delete(want, "INPUT_COMMAND")
				got, err := r.Run(t.Context(), actionDir(t, name), with)
				if err != nil || got.Code != 0 {
					t.Fatalf("round %d: %v, %+v", round, err, got)
				}
				var lines []string
				for line := range strings.Lines(got.Log) {
					if strings.HasPrefix(line, `"INPUT_`) {
						lines = append(lines, strings.TrimSuffix(line, "\n"))
					}
				}
				var expected []string
				for _, input := range slices.Sorted(maps.Keys(want)) {
					expected = append(expected, fmt.Sprintf("%q", input+"="+want[input]))
				}
				slices.Sort(lines)
				slices.Sort(expected)
				if diff := cmp.Diff(expected, lines); diff != "" {
					t.Errorf("round %d: the verb got other inputs (-want +got):\n%s", round, diff)
				}
			}
			if _, err := os.Stat(canary); err == nil {
				t.Error("an input was run as a command")
			}
		})
	}
}

// TestCancelledOnTheRunner: SIGINT reaches the verb, which has its time to end; one that does not end gets SIGTERM, and then SIGKILL.
func TestCancelledOnTheRunner(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	for verb, traps := range map[string]string{"smoke": "trap 'exit 7' INT", "deploy": "trap '' INT; trap 'exit 8' TERM", "promote": "trap '' INT TERM"} {
		write(t, filepath.Join(bin, verb), "#!/bin/bash\n"+traps+"\nread -r x <\"$BEGAN\" || true\nfor ((i = 0; i < 600; i++)); do read -rt 0.1 x <>\"$NEVER\" || true; done\n", 0o755)
	}
	for verb, want := range map[string]struct {
		code    int
		signals []string
	}{"smoke": {7, []string{"SIGINT"}}, "deploy": {8, []string{"SIGINT", "SIGTERM"}}, "promote": {-1, []string{"SIGINT", "SIGTERM", "SIGKILL"}}} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			began, never := filepath.Join(t.TempDir(), "began"), filepath.Join(t.TempDir(), "never")
			for _, fifo := range []string{began, never} {
				if err := exec.Command("mkfifo", fifo).Run(); err != nil {
					t.Skip(err)
				}
			}
			r := newRunner(t, bin, "BEGAN="+began, "NEVER="+never)
			r.Interrupt, r.Terminate = 500*time.Millisecond, 500*time.Millisecond
			if verb != "promote" { // those end by themselves
				r.Interrupt, r.Terminate = 0, 0
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				if file, err := os.OpenFile(began, os.O_WRONLY, 0); err == nil { // when the verb reads it, its traps are set
					_ = file.Close()
				}
				cancel()
			}()
			got, err := r.Run(ctx, actionDir(t, verb), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.signals, got.Signals); diff != "" || got.Code != want.code {
				t.Errorf("ended with %d, want %d; signals (-want +got):\n%s\n%s", got.Code, want.code, diff, got.Log)
			}
		})
	}
}

// TestSmokeOnTheRunner: the real verb by its action: what it tells the runner by files, and what a bad input and a failure look like.
func TestSmokeOnTheRunner(t *testing.T) {
	t.Parallel()
	bin := verbs(t)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "ok")
	}))
	t.Cleanup(service.Close)
	smoke := func(with map[string]string, checks string) runner.Result {
		r := newRunner(t, bin, "GITHUB_ACTOR=someone", "GITHUB_SERVER_URL=https://github.example", "GITHUB_REPOSITORY=a/b", "GITHUB_RUN_ID=1")
		write(t, filepath.Join(r.Workspace, "checks.yaml"), checks, 0o644)
		if err := os.Mkdir(filepath.Join(r.Workspace, ".git"), 0o755); err != nil {
			t.Fatal(err)
		}
		got, err := r.Run(t.Context(), actionDir(t, "smoke"), with)
		if err != nil {
			t.Fatalf("%v\n%s", err, got.Log)
		}
		return got
	}
	given := func(more ...string) map[string]string {
		with := map[string]string{"url": service.URL, "checks": "checks.yaml", "consecutive": "1", "timeout": "3s", "patience": "100ms"}
		for i := 0; i < len(more); i += 2 {
			with[more[i]] = more[i+1]
		}
		return with
	}

	passed := smoke(given(), "checks: [{path: /}]\n")
	if passed.Code != 0 || passed.Outputs["verdict"] != "pass" || passed.Summary == "" || len(passed.Env) > 0 || len(passed.Path) > 0 || len(passed.Annotations) > 0 {
		t.Errorf("a pass: %+v", passed)
	}
	failed := smoke(given(), "checks: [{path: /missing}]\n")
	if failed.Code != 1 || failed.Outputs["verdict"] != "fail" || failed.Summary == "" || len(failed.Annotations) == 0 {
		t.Errorf("a failure: %+v", failed)
	}
	refused := smoke(given("consecutive", "many", "timeout", "soon"), "checks: [{path: /}]\n")
	if refused.Code != 2 || !strings.Contains(refused.Log, "INPUT_CONSECUTIVE: ") || !strings.Contains(refused.Log, "INPUT_TIMEOUT: ") || len(refused.Annotations) == 0 {
		t.Errorf("bad input: %+v", refused)
	}
	// The runner does not enforce required inputs: the verb does.
	if missing := smoke(nil, ""); missing.Code != 2 || len(missing.Annotations) == 0 {
		t.Errorf("no input: %+v", missing)
	}
	// A value that contains the delimiter of go-githubactions, in an output.
	forged := smoke(given(), "checks: [{path: /missing, name: a _GitHubActionsFileCommandDelimeter_ b}]\n")
	if !strings.Contains(forged.Outputs["report"], "_GitHubActionsFileCommandDelimeter_") || forged.Outputs["verdict"] != "fail" || len(forged.Env) > 0 {
		t.Errorf("the delimiter in an output: %+v", forged)
	}
}

// verbs is a directory with the real smoke.
func verbs(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../cmd/smoke").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}
