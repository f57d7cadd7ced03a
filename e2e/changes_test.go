package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// changesStep is the script of pipeline.yaml that finds the services which a push concerns.
func changesStep(t *testing.T) string {
	t.Helper()
	_, read := readWorkflow(t, "../.github/workflows/pipeline.yaml")
	steps := read.Jobs["changes"].Steps
	at := slices.IndexFunc(steps, func(s step) bool { return s.ID == "changes" })
	if at < 0 {
		t.Fatal("pipeline.yaml has no step changes")
	}
	return steps[at].Run
}

// runChanges runs the script as GitHub does, in an empty repository, and returns what it wrote to GITHUB_OUTPUT.
func runChanges(t *testing.T, environ ...string) (output, log string, code int) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "output")
	command := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", changesStep(t))
	command.Dir = dir
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GITHUB_OUTPUT=" + file, "GITHUB_WORKFLOW_REF=o/r/.github/workflows/delivery.yaml@refs/heads/main",
		"GITHUB_REPOSITORY=o/r", "GITHUB_API_URL=http://127.0.0.1:1", "BRANCH=main", "COMMIT=HEAD", "BASE=", "TOKEN=canary-token"}, environ...)
	out, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	content, _ := os.ReadFile(file)
	return string(content), string(out), command.ProcessState.ExitCode()
}

// TestServicesThatDoNotFit: what is no object of services ends the run, where it would have been a run that builds nothing and passes.
func TestServicesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for name, services := range map[string]string{
		"no JSON": `{"cart":`, "empty": "{}", "a list": `["cart"]`, "a text": `"cart"`, "nothing": " ", "two objects": `{"cart":{}} {"list":{}}`,
		"a service that is a text": `{"cart":"x"}`, "paths that are a text": `{"cart":{"paths":"cart/**"}}`, "a path that is a number": `{"cart":{"paths":[1]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, log, code := runChanges(t, "SERVICES="+services)
			if code != 2 || output != "" || !strings.Contains(log, "::error title=onedigest::services is not a JSON object") {
				t.Errorf("exit %d, output %q, log:\n%s", code, output, log)
			}
		})
	}
	t.Run("a runner without jq", func(t *testing.T) {
		t.Parallel()
		bash, err := exec.LookPath("bash")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.Symlink(bash, filepath.Join(dir, "bash")); err != nil {
			t.Fatal(err)
		}
		output, log, code := runChanges(t, "SERVICES={\"cart\":{}}", "PATH="+dir)
		if code != 2 || output != "" || !strings.Contains(log, "jq is missing") {
			t.Errorf("exit %d, output %q, log:\n%s", code, output, log)
		}
	})
}

// TestTheLastSuccessfulPush: the API is asked for runs of pushes, and the token is on no command line.
func TestTheLastSuccessfulPush(t *testing.T) {
	t.Parallel()
	var asked []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		asked = append(asked, request.FormValue("event")+" "+request.FormValue("status")+" "+request.FormValue("branch")+" "+request.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"workflow_runs":[]}`))
	}))
	t.Cleanup(api.Close)
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	seen := filepath.Join(dir, "seen")
	if err := os.WriteFile(filepath.Join(dir, "curl"), []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" >"+seen+"\nexec "+curl+" \"$@\"\n"), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	output, log, code := runChanges(t, `SERVICES={"cart":{"paths":["cart/**"]},"list":null}`, "GITHUB_API_URL="+api.URL, "PATH="+dir+":"+os.Getenv("PATH"))
	if code != 0 || output != "services=[\"cart\",\"list\"]\n" {
		t.Errorf("exit %d, output %q, log:\n%s", code, output, log)
	}
	if want := []string{"push success main Bearer canary-token"}; !slices.Equal(asked, want) {
		t.Errorf("the API was asked %q, want %q", asked, want)
	}
	arguments, err := os.ReadFile(seen)
	if err != nil || len(arguments) == 0 || strings.Contains(string(arguments), "canary") {
		t.Errorf("curl's arguments are %q, %v; want some, without the token", arguments, err)
	}
}
