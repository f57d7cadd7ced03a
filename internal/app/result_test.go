package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// crashed is an error that explains a failed rollout.
type crashed struct{ found release.Diagnosis }

func (c crashed) Error() string                { return "OD-103 " + c.found.Object.String() + ": CrashLoopBackOff" }
func (c crashed) Diagnosis() release.Diagnosis { return c.found }

// TestAnnotationsHaveTheLastLine: an annotation ends with what the container said last, and not with the advice to read it; each error of a matrix has its own.
func TestAnnotationsHaveTheLastLine(t *testing.T) {
	t.Parallel()
	pod := func(name, last string) error {
		found := release.Diagnosis{Object: release.Object{Kind: "Pod", Name: name}, Advice: "read the container's last lines", Logs: []string{"starting", last, " "}}
		if last == "" {
			found.Logs, found.Previous = nil, []string{"secret and more"}
		}
		return fmt.Errorf("[%s] %w", name, &release.Failure{What: "it cannot become ready", Err: crashed{found}, Do: found.Advice})
	}
	err := &release.JobsError{Err: errors.Join(pod("a", "no DATABASE_URL"), pod("b", ""), pod("c", "panic: no LICENSE\n\ngoroutine 1 [running]:\nmain.main()\n\tmain.go:31 +0x16e5"), errors.New("another; read the container's last lines"))}
	lastLine := lastLineOf(err, strings.NewReplacer("secret", "***").Replace)
	var got []string
	for line := range strings.Lines(err.Error()) {
		got = append(got, lastLine(strings.TrimRight(line, "\n")))
	}
	want := "[a] it cannot become ready: OD-103 Pod/a: CrashLoopBackOff; its last line: no DATABASE_URL\n" +
		"[b] it cannot become ready: OD-103 Pod/b: CrashLoopBackOff; its last line: *** and more\n[c] it cannot become ready: OD-103 Pod/c: CrashLoopBackOff; it wrote: panic: no LICENSE\nanother; read the container's last lines"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

// TestAProblemOfAFileIsAnnotatedThere: its path is that of the repository, not the job's.
func TestAProblemOfAFileIsAnnotatedThere(t *testing.T) {
	t.Parallel()
	root := resolvePath(t.TempDir())
	if err := errors.Join(os.Mkdir(filepath.Join(root, "deploy"), 0o750), os.WriteFile(filepath.Join(root, "deploy/staging.yaml"), []byte("a: 1\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(errors.New("x"), errors.Join(&release.InputError{Problems: []release.Problem{{Where: root + "/deploy/staging.yaml:8", What: root + "/deploy/x is missing"}}}, errors.New("y")))
	shortenPaths(err, root)
	if want := "x\ndeploy/staging.yaml:8: deploy/x is missing\ny"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	run := &RunContext{Process: Process{Dir: root, Environ: []string{"GITHUB_WORKSPACE=" + root}}}
	for line, want := range map[string]string{
		"deploy/staging.yaml:8: is of type number": "deploy/staging.yaml:8", "deploy/gone.yaml:8: x": ":0", "deploy:8: x": ":0", "../" + filepath.Base(root) + "/deploy/staging.yaml:8: x": ":0", "--set: x": ":0", "OD-103 Pod/x:1: y": ":0",
	} {
		if file, number := run.fileOf(line); fmt.Sprintf("%s:%d", file, number) != want {
			t.Errorf("%q: got %s:%d, want %s", line, file, number, want)
		}
	}
}

// TestCodesLinkToTheirRelease: what a code means is read in the version that runs.
func TestCodesLinkToTheirRelease(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"": "/blob/main/docs/troubleshooting.md", "v1.2.3": "/blob/v1.2.3/docs/troubleshooting.md"} {
		if got := (Process{Release: version}).troubleshooting(); got != "https://github.com/onedigest/onedigest"+want {
			t.Errorf("%q: %s", version, got)
		}
	}
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	refusal := &release.Refusal{Why: "no"}
	for want, failed := range map[string]error{
		"✅ done": nil, "⛔ refused": fmt.Errorf("deploy: %w", refusal), "❌ failed": &release.Failure{What: "x"}, "⚠️ bad input, nothing was changed": release.BadInput("a", "b", "c"),
		"⚠️ could not be completed": errors.New("x"),
	} {
		if status, words := statusOf(failed, false); string(status)+" "+words != want {
			t.Errorf("%v: got %s %s, want %s", failed, status, words, want)
		}
	}
	if status, words := statusOf(refusal, true); string(status)+" "+words != "🛑 stopped" {
		t.Errorf("stopped: got %s %s", status, words)
	}
}
