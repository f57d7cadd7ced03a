//go:build linux

package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// runnerIn returns a runner whose checks file is in a work tree with these files. A file with a name in .sh is executable.
func runnerIn(t *testing.T, files map[string]string, environ ...string) Runner {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	return Runner{Dir: root, Environ: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + root}, environ...), Inside: func(path string) (string, error) {
		actual, err := filepath.EvalSymlinks(path)
		if err != nil {
			return "", fmt.Errorf("%q does not exist", path)
		}
		if below, err := filepath.Rel(root, actual); err != nil || strings.HasPrefix(below, "..") {
			return "", fmt.Errorf("%q is outside the work tree", path)
		}
		return actual, nil
	}}
}

func commandOf(limit time.Duration, args ...string) release.Check {
	return release.Check{Name: "c", Kind: release.CheckCommand, Command: &release.Command{Args: args, Timeout: limit}}
}

func target(t *testing.T) release.CommandTarget {
	t.Helper()
	digest, err := release.ParseDigest("sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	return release.CommandTarget{Commit: release.Commit(strings.Repeat("b", 40)), Digest: digest}
}

func TestRun(t *testing.T) {
	t.Parallel()
	runner := runnerIn(t, map[string]string{"ok.sh": "#!/bin/sh\nexit 0\n", "noshebang.sh": "\x00\x01\x02"})
	for name, test := range map[string]struct {
		args   []string
		limit  time.Duration
		wrong  string // "" if it passes
		output string
	}{
		"passes":             {[]string{"sh", "-c", "echo fine"}, time.Minute, "", ""},
		"a file":             {[]string{"./ok.sh"}, time.Minute, "", ""},
		"fails":              {[]string{"sh", "-c", "echo out; echo err >&2; exit 3"}, time.Minute, "exited with status 3: err", "out\nerr"},
		"is killed":          {[]string{"sh", "-c", "kill -9 $$"}, time.Minute, "ended by signal: killed", ""},
		"hangs":              {[]string{"sh", "-c", "echo waiting; sleep 600"}, 200 * time.Millisecond, "had not exited after 200 ms and was ended: waiting", "waiting"},
		"hears no SIGTERM":   {[]string{"sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"}, 200 * time.Millisecond, "had not exited after 200 ms", ""},
		"cannot be started":  {[]string{"./noshebang.sh"}, time.Minute, "cannot be started: exec format error; a script begins with", ""},
		"controls the log":   {[]string{"sh", "-c", `printf '\033[2J::set-output name=a::b\n##[error]x\n'; exit 1`}, time.Minute, `exited with status 1: ##\[error]x`, ":\\:set-output name=a::b\n##\\[error]x"},
		"not text":           {[]string{"sh", "-c", `printf '\377\376\000x\n'; exit 1`}, time.Minute, "exited with status 1", ""},
		"reads its input":    {[]string{"sh", "-c", "read line && exit 1; exit 0"}, time.Minute, "", ""},
		"writes no last end": {[]string{"sh", "-c", "printf end; exit 1"}, time.Minute, "exited with status 1: end", "end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			got := runner.Run(t.Context(), commandOf(test.limit, test.args...), "http://127.0.0.1:1", release.CommandTarget{})
			if got.OK() != (test.wrong == "") || !strings.Contains(strings.Join(got.Wrong, ";"), test.wrong) || !strings.Contains(got.Output, test.output) {
				t.Errorf("got %s %q, output %q; want %q, %q", got.Stage, got.Wrong, got.Output, test.wrong, test.output)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// TestTheEnvironment: a command gets the address and what is expected, and nothing of the job's credentials.
func TestTheEnvironment(t *testing.T) {
	t.Parallel()
	runner := runnerIn(t, nil, "AWS_SECRET_ACCESS_KEY=hunter2", "GITHUB_TOKEN=hunter2", "INPUT_SET=hunter2", "GITHUB_ENV=/x", "KUBECONFIG=/x", "LD_PRELOAD=/x", "API_KEY=given", "BASE_URL=old", "LANG=C")
	check := commandOf(time.Minute, "sh", "-c", "env; pwd; exit 1")
	check.Command.Env, check.Command.PassEnv = map[string]string{"LEVEL": "strict"}, []string{"API_KEY"}
	got := runner.Run(t.Context(), check, "http://127.0.0.1:7", target(t))
	lines := strings.Split(got.Output, "\n")
	for _, want := range []string{"BASE_URL=http://127.0.0.1:7", "EXPECTED_COMMIT=" + strings.Repeat("b", 40), "EXPECTED_DIGEST=sha256:" + strings.Repeat("a", 64), "LEVEL=strict", "API_KEY=given", "LANG=C", runner.Dir} {
		if !slices.Contains(lines, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		if value == "hunter2" || value == "old" || slices.Contains([]string{"GITHUB_ENV", "KUBECONFIG", "LD_PRELOAD"}, name) {
			t.Errorf("the command gets %s", line)
		}
	}
	unknown := runner.Run(t.Context(), commandOf(time.Minute, "sh", "-c", `test -z "${EXPECTED_COMMIT+set}${EXPECTED_DIGEST+set}"`), "http://127.0.0.1:7", release.CommandTarget{})
	if !unknown.OK() {
		t.Errorf("what is not known is set: %v", unknown.Wrong)
	}
}

// TestAGoTestBehindAScriptKeepsNoResult: the second run runs the test again, whatever flags the check passes.
func TestAGoTestBehindAScriptKeepsNoResult(t *testing.T) {
	t.Parallel()
	runner := runnerIn(t, nil, "GOFLAGS=-count=0 -v")
	for flags, want := range map[string]string{"": "-count=1", "-mod=mod": "-mod=mod -count=1", "pass": "-count=0 -v -count=1"} {
		check := commandOf(time.Minute, "sh", "-c", `echo "GOFLAGS=$GOFLAGS"; exit 1`)
		switch flags {
		case "":
		case "pass":
			check.Command.PassEnv = []string{"GOFLAGS"}
		default:
			check.Command.Env = map[string]string{"GOFLAGS": flags}
		}
		if got := runner.Run(t.Context(), check, "", release.CommandTarget{}); !slices.Contains(strings.Split(got.Output, "\n"), "GOFLAGS="+want) {
			t.Errorf("%q: got %q, want %q", flags, got.Output, want)
		}
	}
}

// TestAFloodIsBounded: of an endless output, the beginning and the end are kept.
func TestAFloodIsBounded(t *testing.T) {
	t.Parallel()
	runner := runnerIn(t, nil)
	got := runner.Run(t.Context(), commandOf(time.Second, "sh", "-c", "echo first; yes 'the same line again and again'"), "", release.CommandTarget{})
	if got.OK() || !strings.HasPrefix(got.Output, "first\n") || !strings.Contains(got.Output, " bytes left out]\n") || len(got.Output) > 2*(maxHead+maxTail) {
		t.Errorf("%v, %d bytes: %.60q", got.Wrong, len(got.Output), got.Output)
	}
	kept := &output{}
	for i := range 100000 {
		kept.write([]byte("line " + strconv.Itoa(i) + "\n"))
		if len(kept.head) > maxHead || len(kept.tail) > 2*maxTail+100 {
			t.Fatalf("%d and %d bytes are kept", len(kept.head), len(kept.tail))
		}
	}
	if text := kept.String(); !strings.HasPrefix(text, "line 0\n") || !strings.HasSuffix(text, "line 99999") {
		t.Errorf("kept %.20q … %q", text, text[len(text)-20:])
	}
}

// TestChildrenAreEnded: those of the group, those that have left it, and those of a command that has passed.
func TestChildrenAreEnded(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"after a pass":      "sleep 601 & echo $! > pid; exit 0",
		"after a failure":   "sleep 601 & echo $! > pid; exit 1",
		"after its time":    "sleep 601 & echo $! > pid; sleep 602",
		"of another group":  "setsid sh -c 'echo $$ > pid; exec sleep 601' & while ! test -s pid; do sleep 0.02; done; exit 0",
		"without the pipes": "setsid sh -c 'echo $$ > pid; exec sleep 601' >/dev/null 2>&1 </dev/null & while ! test -s pid; do sleep 0.02; done; exit 0",
		"hears no SIGTERM":  "(trap '' TERM; exec sleep 601) & echo $! > pid; exit 0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runner := runnerIn(t, nil)
			got := runner.Run(t.Context(), commandOf(3*time.Second, "sh", "-c", script), "", release.CommandTarget{})
			if got.OK() == (name == "after a failure" || name == "after its time") {
				t.Errorf("got %v", got.Wrong)
			}
			text, err := os.ReadFile(filepath.Join(runner.Dir, "pid"))
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			if !ends(pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				t.Errorf("process %d still runs", pid)
			}
		})
	}
}

// ends reports whether a process ends within some seconds. One that nobody waits for is a zombie, which has no command line.
func ends(pid int) bool {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(line) == 0 {
			return true
		}
	}
	return false
}

// TestAnInterruptEndsTheCommand within the time that a runner gives.
func TestAnInterruptEndsTheCommand(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	began := time.Now()
	got := runnerIn(t, nil).Run(ctx, commandOf(time.Hour, "sleep", "600"), "", release.CommandTarget{})
	if got.OK() || !strings.Contains(fmt.Sprint(got.Wrong), "interrupt") || time.Since(began) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(began), got.Wrong)
	}
}

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	tools := t.TempDir()
	runner := runnerIn(t, map[string]string{"plain": "#!/bin/sh\n", "smoke.js": "", "a.hurl": "", "dir/x": "", "run.sh": ""}, "PATH="+tools)
	if err := os.Symlink("/etc/passwd", filepath.Join(runner.Dir, "link")); err != nil {
		t.Fatal(err)
	}
	script := func(kind release.CheckKind, file string) release.Check {
		return release.Check{Kind: kind, Command: &release.Command{Script: file}}
	}
	with := func(change func(*release.Command)) release.Check {
		check := commandOf(time.Minute, "./run.sh")
		change(check.Command)
		return check
	}
	for name, test := range map[string]struct {
		check    release.Check
		what, do string
	}{
		"no k6":                 {script(release.CheckK6, "smoke.js"), `"k6" is not on the PATH`, "install it in a step before this one"},
		"no hurl":               {script(release.CheckHurl, "a.hurl"), `"hurl" is not on the PATH`, "install it"},
		"no script":             {script(release.CheckK6, "gone.js"), "does not exist", ""},
		"no program":            {commandOf(0, "gone"), `"gone" is not on the PATH`, "install it"},
		"a file without a path": {commandOf(0, "run.sh"), `"run.sh" is not on the PATH`, "write ./run.sh"},
		"a missing file":        {commandOf(0, "./gone.sh"), "does not exist", ""},
		"a kept result":         {commandOf(0, "go", "test", "./..."), "go test may repeat a cached result", "add -count=1"},
		"no run":                {commandOf(0, "go", "test", "-count=0", "./..."), "go test -count=0 runs no test", "give -count=1"},
		"no run of two words":   {commandOf(0, "go", "-C", "x", "test", "--count", "0"), "go test -count=0 runs no test", "give -count=1"},
		"no run by the binary":  {commandOf(0, "go", "test", "-count=1", ".", "-args", "-test.count=0"), "go test -count=0 runs no test", "give -count=1"},
		"not executable":        {commandOf(0, "./plain"), `"./plain" is not executable`, "[sh, ./plain]"},
		"a directory":           {commandOf(0, "./dir"), `"./dir" is not a file`, ""},
		"outside":               {commandOf(0, "/bin/sh"), "outside the work tree", ""},
		"a link to outside":     {with(func(c *release.Command) { c.Files = []release.CheckFile{{Path: "link"}} }), "outside the work tree", ""},
		"files that are gone":   {with(func(c *release.Command) { c.Files = []release.CheckFile{{Path: "gone"}} }), "does not exist", ""},
		"a variable":            {with(func(c *release.Command) { c.PassEnv = []string{"API_KEY"} }), `pass-env: variable "API_KEY" is not set`, "set it"},
	} {
		_, problems := runner.Prepare(test.check)
		if !slices.ContainsFunc(problems, func(p release.Problem) bool {
			return strings.Contains(p.What, test.what) && strings.Contains(p.Do, test.do)
		}) {
			t.Errorf("%s: got %+v, want %q; %q", name, problems, test.what, test.do)
		}
	}
}

// TestTheFilesBelongToTheEvidence: the contents of what a check names change the digest of its set, and nothing else does.
func TestTheFilesBelongToTheEvidence(t *testing.T) {
	t.Parallel()
	files := map[string]string{"run.sh": "#!/bin/sh\n", "lib/a": "a", "lib/b/c": "c", "other": "o", ".git/x": "x", "lib/.git/x": "x"}
	set := func(t *testing.T, change func(dir string)) release.Digest {
		t.Helper()
		runner := runnerIn(t, files)
		change(runner.Dir)
		check := commandOf(time.Minute, "./run.sh", "other", "not-a-file", "--flag")
		check.Command.Files = []release.CheckFile{{Path: "lib"}}
		prepared, problems := runner.Prepare(check)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if len(prepared.Command.Files) != 3 || prepared.Command.Files[2].Path != "run.sh" {
			t.Fatalf("files %+v", prepared.Command.Files)
		}
		return release.CheckSet([]release.Check{prepared})
	}
	write := func(name, content string) func(string) {
		return func(dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	same := set(t, func(string) {})
	for name, change := range map[string]func(string){
		"script": write("run.sh", "#!/bin/sh\n#\n"), "argument": write("other", "p"), "file of a directory": write("lib/b/c", "d"), "new file": write("lib/d", ""),
		"moved": func(dir string) { _ = os.Rename(filepath.Join(dir, "lib/a"), filepath.Join(dir, "lib/e")) },
	} {
		if set(t, change) == same {
			t.Errorf("%s: the set is the same", name)
		}
	}
	for name, change := range map[string]func(string){"nothing": func(string) {}, "git": write("lib/.git/x", "y"), "unnamed": write("unnamed", "y")} {
		if set(t, change) != same {
			t.Errorf("%s: the set is another", name)
		}
	}
}

// TestAFileThatChangesFailsTheCheck: the evidence would be about another content than the one that ran.
func TestAFileThatChangesFailsTheCheck(t *testing.T) {
	t.Parallel()
	runner := runnerIn(t, map[string]string{"run.sh": "#!/bin/sh\n"})
	check, problems := runner.Prepare(commandOf(time.Minute, "./run.sh"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := runner.Run(t.Context(), check, "", release.CommandTarget{}); !got.OK() {
		t.Fatal(got.Wrong)
	}
	if err := os.WriteFile(filepath.Join(runner.Dir, "run.sh"), []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := runner.Run(t.Context(), check, "", release.CommandTarget{}); got.OK() || !strings.Contains(fmt.Sprint(got.Wrong), "was changed while smoke ran") {
		t.Errorf("got %v", got.Wrong)
	}
}

// TestHurlIsCalledAsItDocuments, with a program in its place: this machine has none.
func TestHurlIsCalledAsItDocuments(t *testing.T) {
	t.Parallel()
	tools := t.TempDir()
	if err := os.WriteFile(filepath.Join(tools, "hurl"), []byte("#!/bin/sh\necho \"$@\"\nexit 4\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	runner := runnerIn(t, map[string]string{"a.hurl": "GET {{base_url}}/\nHTTP 200\n"}, "PATH="+tools+":"+os.Getenv("PATH"))
	runner.Environ = runner.Environ[1:]
	check := release.Check{Name: "h", Kind: release.CheckHurl, Command: &release.Command{Script: "a.hurl", Timeout: time.Minute}}
	want := "--test --no-color --variable base_url=http://127.0.0.1:7 --variable expected_commit=" + strings.Repeat("b", 40) + " --variable expected_digest=sha256:" + strings.Repeat("a", 64) + " a.hurl"
	if got := runner.Run(t.Context(), check, "http://127.0.0.1:7", target(t)); got.Output != want || !strings.HasPrefix(got.Wrong[0], "exited with status 4") {
		t.Errorf("got %v %q, want %q", got.Wrong, got.Output, want)
	}
}
