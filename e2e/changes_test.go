package e2e

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/initialize/survey"
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
		"a service that is null": `{"cart":null}`, "a path that leaves out": `{"cart":{"paths":["cart/**","!cart/*.md"]}}`,
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

// TestUnknownKeysAreRefused: a key of environments or services that is misspelt, and a value of another type, end the run before its build.
func TestUnknownKeysAreRefused(t *testing.T) {
	t.Parallel()
	script := scriptOf(t, "service.yaml", "build", "keys")
	if diff := gocmp.Diff(script, scriptOf(t, "environment.yaml", "deploy", "keys")); diff != "" {
		t.Errorf("the two scripts differ:\n%s", diff)
	}
	fields := func(of any) string {
		var keys, objects []string
		for field := range reflect.TypeOf(of).NumField() {
			f := reflect.TypeOf(of).Field(field)
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			keys = append(keys, key)
			value := map[reflect.Kind]string{reflect.String: `"x"`, reflect.Bool: "true", reflect.Slice: `["x"]`}[f.Type.Kind()]
			objects = append(objects, fmt.Sprintf("%q: %s", key, value))
		}
		slices.Sort(keys)
		if !strings.Contains(strings.Join(keys, " "), " ") {
			t.Fatal("no fields")
		}
		return "{" + strings.Join(objects, ", ") + "}"
	}
	for name, test := range map[string]struct {
		environments, service string
		want                  []string
	}{
		"all keys":           {"[" + fields(survey.CalledEnvironment{}) + "]", fields(survey.CalledService{}), nil},
		"none":               {`[{"name": "staging", "cluster": null}]`, "{}", nil},
		"misspelt":           {`[{"name": "staging", "sign_key": "k"}, {"name": "production", "plans": true}]`, `{"conext": "cart"}`, []string{"environment staging: sign_key is no key of it", "environment production: plans is no key of it", "the service: conext is no key of it"}},
		"text for true":      {`[{"name": "production", "plan": "false"}]`, "{}", []string{"environment production: plan is a string, and must be a boolean"}},
		"an entry is a text": {`["staging"]`, "{}", []string{"jq: error"}},
	} {
		t.Run(name, func(t *testing.T) {
			beside(t)
			_, log, code := runScript(t, t.TempDir(), script, "ENVIRONMENTS="+test.environments, "SERVICE="+test.service)
			if (code == 0) != (test.want == nil) {
				t.Errorf("exit %d, log:\n%s", code, log)
			}
			for _, want := range test.want {
				if !strings.Contains(log, want) {
					t.Errorf("%q is missing in:\n%s", want, log)
				}
			}
		})
	}
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
	output, log, code := runChanges(t, `SERVICES={"cart":{"paths":["cart/**"]},"list":{}}`, "GITHUB_API_URL="+api.URL, "PATH="+dir+":"+os.Getenv("PATH"))
	if code != 0 || output != "services=[\"cart\",\"list\"]\n" {
		t.Errorf("exit %d, output %q, log:\n%s", code, output, log)
	}
	if want := []string{"push  main Bearer canary-token"}; !slices.Equal(asked, want) {
		t.Errorf("the API was asked %q, want %q", asked, want)
	}
	arguments, err := os.ReadFile(seen)
	if err != nil || len(arguments) == 0 || strings.Contains(string(arguments), "canary") {
		t.Errorf("curl's arguments are %q, %v; want some, without the token", arguments, err)
	}
}

// TestServicesThatARunLeft: a service that a run may have left behind is taken again.
func TestServicesThatARunLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "-c", "commit.gpgsign=false"}, args...)...)
		command.Dir = dir
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	commit := func(files ...string) string {
		t.Helper()
		for _, file := range files {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(file)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(git("rev-list", "--all", "--count")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		git("add", "--all")
		git("commit", "--quiet", "--message", "x")
		return git("rev-parse", "HEAD")
	}
	git("init", "--quiet", "--initial-branch=main")
	first := commit("cart/x", "list/x")
	both := commit("cart/x", "list/x")
	git("revert", "--no-edit", both)
	reverted := git("rev-parse", "HEAD")
	cart := commit("cart/x")
	list := commit("list/x")
	last := commit("list/x")
	run := func(id, commit, conclusion, created, updated string) string {
		return `{"id":` + id + `,"head_sha":"` + commit + `","conclusion":` + conclusion + `,"created_at":"2026-01-01T00:` + created + `:00Z","updated_at":"2026-01-01T00:` + updated + `:00Z"}`
	}
	const success, failure, none = `"success"`, `"failure"`, "null"
	for name, test := range map[string]struct {
		commit, want string
		runs         []string // the newest first
		changes      string   // conclusion of the job changes in the run that passed; "" for success
		list         string   // paths of the service list; "" for its own
	}{
		"a failed change that is taken back":           {commit: reverted, want: `["cart","list"]`, runs: []string{run("2", both, failure, "10", "11"), run("1", first, success, "00", "01")}},
		"a run that was superseded by one that failed": {commit: last, want: `["cart","list"]`, runs: []string{run("4", last, none, "40", "41"), run("3", list, failure, "12", "20"), run("2", cart, success, "10", "13"), run("1", reverted, success, "00", "01")}},
		"a run that was superseded by one that passed": {commit: last, want: `["list"]`, runs: []string{run("4", last, none, "40", "41"), run("3", list, success, "12", "20"), run("2", cart, success, "10", "13"), run("1", reverted, success, "00", "01")}},
		"a run that ended before the next one failed":  {commit: last, want: `["list"]`, runs: []string{run("4", last, none, "40", "41"), run("3", list, failure, "14", "20"), run("2", cart, success, "10", "13"), run("1", reverted, success, "00", "01")}},
		"none that passed":                             {commit: last, want: `["cart","list"]`, runs: []string{run("4", last, none, "40", "41"), run("3", list, failure, "12", "20")}},
		"a run in which the workflow was skipped":      {commit: last, want: `["cart","list"]`, runs: []string{run("4", last, none, "40", "41"), run("3", list, success, "12", "20")}, changes: "skipped"},
		"a path that matches no file":                  {commit: last, want: `["list"]`, runs: []string{run("4", last, none, "40", "41"), run("3", last, success, "12", "20")}, list: "lists/**"},
		"a path in another case":                       {commit: last, want: `["list"]`, runs: []string{run("4", last, none, "40", "41"), run("3", last, success, "12", "20")}, list: "List/**"},
		"nothing changed":                              {commit: last, want: `[]`, runs: []string{run("4", last, none, "40", "41"), run("3", last, success, "12", "20")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/jobs") {
					_, _ = w.Write([]byte(`{"jobs":[{"name":"test","conclusion":"success"},{"name":"pipeline / changes","conclusion":"` + cmp.Or(test.changes, "success") + `"}]}`))
					return
				}
				_, _ = w.Write([]byte(`{"workflow_runs":[` + strings.Join(test.runs, ",") + `]}`))
			}))
			t.Cleanup(api.Close)
			output, log, code := runScript(t, dir, scriptOf(t, "pipeline.yaml", "changes", "changes"), "GITHUB_WORKFLOW_REF=o/r/.github/workflows/delivery.yaml@refs/heads/main",
				"GITHUB_REPOSITORY=o/r", "GITHUB_RUN_ID=4", "GITHUB_API_URL="+api.URL, "BRANCH=main", "COMMIT="+test.commit, "BASE=", "TOKEN=x", `SERVICES={"cart":{"paths":["cart/**"]},"list":{"paths":["`+cmp.Or(test.list, "list/**")+`"]}}`)
			if test.list != "" && !strings.Contains(log, "::warning title=onedigest::service list is taken with every commit: its path "+test.list+" matches no file") {
				t.Errorf("no warning in:\n%s", log)
			}
			if code != 0 || output != "services="+test.want+"\n" {
				t.Errorf("exit %d, output %q, want %s; log:\n%s", code, output, test.want, log)
			}
		})
	}
}

// TestTheChartOfTheCommit: a push deploys the chart beside it, and a promotion that of the promoted commit, never the branch's.
func TestTheChartOfTheCommit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files               []string
		commit, given, want string // want "" if it is refused
	}{
		"a push":                                             {files: []string{"charts/service"}, want: "charts/service"},
		"a push, the common chart":                           {want: "none"},
		"a promotion":                                        {files: []string{"charts/service", "promoted/charts/service"}, commit: "promoted/", want: "promoted/charts/service"},
		"a promotion, the common chart":                      {commit: "promoted/", want: "none"},
		"a promotion, a chart by its path":                   {files: []string{"deploy", "promoted/deploy"}, commit: "promoted/", given: "deploy", want: "promoted/deploy"},
		"a promotion, a chart from a registry":               {files: []string{"charts/service"}, commit: "promoted/", given: "oci://registry.example.com/chart:1.0.0", want: "oci://registry.example.com/chart:1.0.0"},
		"a promotion of a commit that used the common chart": {files: []string{"charts/service"}, commit: "promoted/", want: "none"},
		"a promotion of a commit without a chart named":      {files: []string{"deploy"}, commit: "promoted/", given: "deploy"},
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
				output, log, code := runScript(t, dir, scriptOf(t, "environment.yaml", job, "files"), "COMMIT="+c.commit, "CHART="+c.given, "RUNNER_TEMP="+t.TempDir(), "VALUES=a.yaml\n\n")
				if c.want == "" {
					if code != 2 || output != "" || !strings.Contains(log, "::error title=onedigest::the promoted commit has no ") {
						t.Errorf("exit %d, output %q, log:\n%s", code, output, log)
					}
					return
				}
				if _, err := os.Stat(filepath.Join(dir, "charts/service")); err == nil && c.want == "none" {
					t.Error("the chart of the branch is the default")
				}
				if code != 0 || multiline(output, "chart") != strings.TrimPrefix(c.want, "none") || multiline(output, "values") != c.commit+"a.yaml" {
					t.Errorf("exit %d, output %q, log:\n%s", code, output, log)
				}
			})
		}
	}
}

// multiline returns the value of an output that is written with a delimiter, without its last newline.
func multiline(output, name string) string {
	_, rest, _ := strings.Cut("\n"+output, "\n"+name+"<<")
	end, rest, _ := strings.Cut(rest, "\n")
	value, _, _ := strings.Cut("\n"+rest, "\n"+end+"\n")
	return strings.TrimPrefix(value, "\n")
}

// TestTheChecksOfTheCommit: a promotion asks the promoted commit's checks, and no weaker ones than those that are named.
func TestTheChecksOfTheCommit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file                      string // of the promoted commit
		service, checks, rollback string
		want, log                 string // want "" if it is refused
		code                      int
	}{
		"the default":                          {file: "promoted/deploy/checks.yaml", want: "promoted/deploy/checks.yaml"},
		"the default by its name":              {file: "promoted/deploy/checks.yaml", checks: "default", want: "promoted/deploy/checks.yaml"},
		"the default that the commit lacks":    {file: "deploy/checks.yaml", want: "probe"},
		"the default of one of several":        {file: "promoted/deploy/checks.yaml", service: "cart", want: "probe"},
		"no file":                              {file: "promoted/deploy/checks.yaml", checks: "probe", want: "probe"},
		"a file":                               {file: "promoted/smoke.yaml", checks: "smoke.yaml", want: "promoted/smoke.yaml"},
		"a file of one of several":             {file: "promoted/deploy/checks.yaml", service: "cart", checks: "deploy/checks.yaml", want: "promoted/deploy/checks.yaml"},
		"a file that the commit lacks":         {file: "smoke.yaml", checks: "smoke.yaml", code: 2, log: "::error title=onedigest::the promoted commit has no smoke.yaml"},
		"the default's file, lacking":          {file: "deploy/checks.yaml", checks: "deploy/checks.yaml", code: 2, log: "::error title=onedigest::the promoted commit has no deploy/checks.yaml"},
		"a rollback to a commit that lacks it": {file: "smoke.yaml", checks: "smoke.yaml", rollback: "true", want: "probe", log: "::warning title=onedigest::the promoted commit has no smoke.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			beside(t)
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, c.file), 0o700); err != nil {
				t.Fatal(err)
			}
			output, log, code := runScript(t, dir, scriptOf(t, "environment.yaml", "deploy", "files"), "COMMIT=promoted/", "OF=promoted/", "SERVICE="+c.service, "CHECKS="+c.checks, "ALLOW_ROLLBACK="+c.rollback, "VALUES=")
			if code != c.code || multiline(output, "checks") != c.want || !strings.Contains(log, c.log) {
				t.Errorf("exit %d, output %q, log:\n%s", code, output, log)
			}
		})
	}
}
