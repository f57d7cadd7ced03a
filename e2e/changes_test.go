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

// scriptOf is the script of a step of a workflow.
func scriptOf(t *testing.T, file, job, id string) string {
	t.Helper()
	_, read := readWorkflow(t, "../.github/workflows/"+file)
	steps := read.Jobs[job].Steps
	at := slices.IndexFunc(steps, func(s step) bool { return s.ID == id })
	if at < 0 {
		t.Fatalf("job %q of %s has no step %q", job, file, id)
	}
	return steps[at].Run
}

// runChanges runs the script of pipeline.yaml that finds the services which a push concerns, in an empty repository.
func runChanges(t *testing.T, environ ...string) (output, log string, code int) {
	t.Helper()
	return runScript(t, t.TempDir(), scriptOf(t, "pipeline.yaml", "changes", "changes"), append([]string{"GITHUB_WORKFLOW_REF=o/r/.github/workflows/delivery.yaml@refs/heads/main",
		"GITHUB_REPOSITORY=o/r", "GITHUB_API_URL=http://127.0.0.1:1", "BRANCH=main", "COMMIT=HEAD", "BASE=", "TOKEN=canary-token"}, environ...)...)
}

// runScript runs a script as GitHub does, and returns what it wrote to GITHUB_OUTPUT.
func runScript(t *testing.T, dir, script string, environ ...string) (output, log string, code int) {
	t.Helper()
	home := t.TempDir()
	file := filepath.Join(home, "output")
	command := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
	command.Dir = dir
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GITHUB_OUTPUT=" + file}, environ...)
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
			beside(t)
			output, log, code := runChanges(t, "SERVICES="+services)
			if code != 2 || output != "" || !strings.Contains(log, "::error title=onedigest::services is not a JSON object") {
				t.Errorf("exit %d, output %q, log:\n%s", code, output, log)
			}
		})
	}
	t.Run("a runner without jq", func(t *testing.T) {
		beside(t)
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
	beside(t)
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

// TestTheChartOfTheCommit: a push deploys the chart beside it, and a promotion that of the promoted commit, never the branch's.
func TestTheChartOfTheCommit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files               []string
		commit, given, want string // want "" if it is refused
	}{
		"a push":                                        {files: []string{"charts/service"}, want: "charts/service"},
		"a push, the common chart":                      {want: "none"},
		"a promotion":                                   {files: []string{"charts/service", "promoted/charts/service"}, commit: "promoted/", want: "promoted/charts/service"},
		"a promotion, the common chart":                 {commit: "promoted/", want: "none"},
		"a promotion, a chart by its path":              {files: []string{"deploy", "promoted/deploy"}, commit: "promoted/", given: "deploy", want: "promoted/deploy"},
		"a promotion, a chart from a registry":          {files: []string{"charts/service"}, commit: "promoted/", given: "oci://registry.example.com/chart:1.0.0", want: "oci://registry.example.com/chart:1.0.0"},
		"a promotion of a commit without the chart":     {files: []string{"charts/service"}, commit: "promoted/"},
		"a promotion of a commit without a chart named": {files: []string{"deploy"}, commit: "promoted/", given: "deploy"},
	} {
		for _, job := range []string{"plan", "deploy"} {
			t.Run(name+", "+job, func(t *testing.T) {
				beside(t)
				dir := t.TempDir()
				for _, file := range c.files {
					if err := os.MkdirAll(filepath.Join(dir, file), 0o700); err != nil {
						t.Fatal(err)
					}
				}
				output, log, code := runScript(t, dir, scriptOf(t, "environment.yaml", job, "files"), "COMMIT="+c.commit, "CHART="+c.given, "VALUES=a.yaml\n\n")
				if c.want == "" {
					if code != 2 || output != "" || !strings.Contains(log, "::error title=onedigest::the promoted commit has no ") {
						t.Errorf("exit %d, output %q, log:\n%s", code, output, log)
					}
					return
				}
				lines := strings.Split(output, "\n")
				if code != 0 || len(lines) != 7 || lines[1] != strings.TrimPrefix(c.want, "none") || lines[4] != c.commit+"a.yaml" {
					t.Errorf("exit %d, output %q, log:\n%s", code, output, log)
				}
			})
		}
	}
}
