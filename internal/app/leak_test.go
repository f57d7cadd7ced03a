package app_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// hostile is what an outsider writes to command the runner or the terminal.
const hostile = "\n::set-output name=pwned::1\n##[add-mask]x\r::add-mask::x\n\x1b[2J\u202e::stop-commands::x"

// canaryRun is one run of a command with everything that leaves it.
type canaryRun struct {
	code int
	all  string
}

// runWithCanaries runs a command as a step of a job, and returns all that it leaves: both streams, the outputs and the summary.
func runWithCanaries(ctx context.Context, t *testing.T, command app.Command, dir string, environ, args []string) canaryRun {
	t.Helper()
	files := t.TempDir()
	var stdout, stderr bytes.Buffer
	for _, name := range []string{"GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"} {
		path := filepath.Join(files, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		environ = append(environ, name+"="+path)
	}
	code := command.Run(ctx, app.Process{Args: args, Environ: append(environ, "GITHUB_ACTIONS=true", "GITHUB_ACTOR=canary-actor", "MY_TOKEN=canary-actor"), Dir: dir,
		Stdout: &stdout, Stderr: &stderr, Now: time.Now})
	all := stdout.String() + stderr.String()
	for _, name := range []string{"GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"} {
		content, err := os.ReadFile(filepath.Join(files, name))
		if err != nil {
			t.Fatal(err)
		}
		all += string(content)
	}
	return canaryRun{code, all}
}

// check searches everything that a run left for canaries and for live commands.
func (r canaryRun) check(t *testing.T) {
	t.Helper()
	for line := range strings.FieldsFuncSeq(r.all, func(c rune) bool { return c == '\n' || c == '\r' }) {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "::add-mask::") && !strings.HasPrefix(trimmed, "::add-mask::x") {
			continue // of a token that the verb has obtained itself
		}
		if strings.Contains(line, "canary") || strings.Contains(line, base64.StdEncoding.EncodeToString([]byte("canary"))[:6]) {
			t.Errorf("shows %q", line)
		}
		if strings.HasPrefix(trimmed, "::set-output") || strings.HasPrefix(trimmed, "::add-mask") || strings.HasPrefix(trimmed, "::stop-commands") ||
			strings.Contains(line, "##[") || strings.ContainsAny(line, "\x1b\u202e") {
			t.Errorf("is live: %q", line)
		}
	}
}

// canaryResult is the result of a verb that reports everything that it is given.
type canaryResult struct {
	Text string            `json:"text"`
	More map[string]string `json:"more"`
}

// talkative is a verb that adds a secret and says it by every way out.
func talkative(fails error, panics bool) app.Command {
	return app.NewCommand(app.Wiring[struct{}, canaryResult]{
		Verb:    setting.Verb{Name: "talk", Outputs: []setting.Output{{Name: "text"}, {Name: "json"}}},
		Declare: func(*struct{}) *setting.Set { return new(setting.Set) },
		Run: func(_ context.Context, _ *struct{}, run *app.RunContext) (canaryResult, error) {
			run.Secrets.Add("canary-secret", "canary-line-one\ncanary-line-two")
			run.Mask("canary-token-1")
			const all = "canary-secret canary-line-two canary-token-1 canary-environment" + hostile
			end := run.Reporter.Group(all)
			run.Reporter.Infof("%s", all)
			run.Reporter.Warnf("%s", all)
			run.Reporter.Raw(all)
			run.Reporter.Raw("canary-line-one\ncanary-line-two\n")
			run.Reporter.Progress(all, release.Progress{Complete: 1, Total: 2})
			run.Reporter.Step(release.RolloutStep{Object: release.Object{Kind: "Pod", Name: all}, Message: all})
			end()
			_, _ = io.WriteString(run.Process.Stdout, all+"\n")
			_, _ = io.WriteString(run.Process.Stderr, all+"\n")
			if panics {
				panic(all)
			}
			return canaryResult{all, map[string]string{all: all}}, fails
		},
		Outputs: func(r canaryResult) map[string]string {
			return map[string]string{"text": strings.ReplaceAll(r.Text, hostile, ""), "json": `{"a":"canary-secret"}`}
		},
		Summary: func(r canaryResult) []app.Row { return []app.Row{{r.Text, r.Text}} },
	})
}

// TestCanariesLeaveByNoWay: no way out shows a secret or a live command, in text and in JSON, on success, failure, bad input, fault
// and panic.
func TestCanariesLeaveByNoWay(t *testing.T) {
	t.Parallel()
	const all = "canary-secret canary-line-one canary-environment" + hostile
	for name, test := range map[string]struct {
		fails  error
		panics bool
		code   int
	}{
		"success": {nil, false, release.ExitDone}, "failure": {&release.Failure{What: all, Err: errors.New(all), Do: all}, false, release.ExitFailed},
		"bad input": {release.BadInput(all, all, all), false, release.ExitInput}, "fault": {release.NewFault(all, all, errors.New(all), "%s", all), false, release.ExitFault},
		"panic": {nil, true, release.ExitFault}, "cancellation": {context.Canceled, false, -1},
	} {
		for _, output := range []string{"text", "json"} {
			t.Run(name+"/"+output, func(t *testing.T) {
				t.Parallel()
				run := runWithCanaries(t.Context(), t, talkative(test.fails, test.panics), t.TempDir(), []string{"DB_PASSWORD=canary-environment"}, []string{"--output", output})
				run.check(t)
				if test.code >= 0 && run.code != test.code || !strings.Contains(run.all, "***") {
					t.Errorf("ended with %d:\n%s", run.code, run.all)
				}
			})
		}
	}
}

// TestCanariesOfVerbs runs verbs with canaries in their settings, credentials and files against servers that give back what they get.
func TestCanariesOfVerbs(t *testing.T) {
	t.Parallel()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<10))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		said := strings.Join(r.Header.Values("Authorization"), " ") + " " + strings.Join(r.Header.Values("X-Api-Key"), " ") + string(body) + hostile
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":%q,"errors":[{"code":"DENIED","message":%q}]}`, said, said)
	}))
	t.Cleanup(echo.Close)
	host := strings.TrimPrefix(echo.URL, "http://")
	image := host + "/shop@sha256:" + strings.Repeat("a", 64)
	const template = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: {{ .Values.secret.PASSWORD | quote }}}\n"
	for name, test := range map[string]struct {
		command app.Command
		files   map[string]string
		args    []string
	}{
		"deploy, credentials given back":   {deploy.Command(), nil, []string{"--set", "secret.PASSWORD=canary-password-1", "--commit", strings.Repeat("1", 40)}},
		"deploy, dry run":                  {deploy.Command(), nil, []string{"--dry-run", "--set", "secret.PASSWORD=canary-password-1"}},
		"deploy, values that are not YAML": {deploy.Command(), map[string]string{"values.yaml": "secret:\n  PASSWORD: canary-values-1\n bad: [canary-values-2\n"}, []string{"--values", "values.yaml"}},
		"deploy, values against a schema": {deploy.Command(), map[string]string{"chart/values.schema.json": `{"properties":{"n":{"type":"integer"}}}`, "values.yaml": "n: canary-values-3\n"},
			[]string{"--values", "values.yaml"}},
		"deploy, a malformed set":        {deploy.Command(), nil, []string{"--set", "canary-not-an-assignment"}},
		"deploy, a malformed kubeconfig": {deploy.Command(), map[string]string{"../kubeconfig": "users:\n- name: a\n  user: {token: [canary-kubeconfig-token\n"}, nil},
		"smoke, headers given back": {smoke.Command(), map[string]string{"checks.yaml": "checks:\n- path: /\n  headers: {Authorization: Bearer canary-header-1, X-Api-Key: canary-header-2}\n  method: POST\n  body: canary-body-1\n  body-contains: x\n"},
			[]string{"--url", echo.URL, "--checks", "checks.yaml", "--timeout", "1s", "--consecutive", "1"}},
		"smoke, malformed checks":     {smoke.Command(), map[string]string{"checks.yaml": "checks:\n- path: /\n  status: canary-status-1\n"}, []string{"--url", echo.URL, "--checks", "checks.yaml"}},
		"promote, a login given back": {promote.Command(), nil, []string{"--image", image, "--to", "production"}},
	} {
		for _, output := range []string{"text", "json"} {
			t.Run(name+"/"+output, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "tree")
				files := map[string]string{"chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n", "chart/templates/secret.yaml": template, "a\n::set-output name=pwned::1": "x",
					"../kubeconfig": "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: '" + echo.URL + "'}}]\n" +
						"contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {token: canary-kubeconfig-token}}]\n"}
				for path, content := range test.files {
					files[path] = content
				}
				for path, content := range files {
					path = filepath.Join(dir, path)
					if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := exec.Command("git", "init", "--quiet", dir).Run(); err != nil {
					t.Fatal(err)
				}
				args := append([]string{"--output", output}, test.args...)
				if test.command.Verb.Name == "deploy" {
					args = append(args, "--environment", "staging", "--image", image, "--chart", "chart", "--kubeconfig", filepath.Join(dir, "../kubeconfig"))
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				run := runWithCanaries(ctx, t, test.command, dir, []string{"AWS_SECRET_ACCESS_KEY=canary-aws-secret", "AWS_ACCESS_KEY_ID=AKID", "AWS_REGION=eu-central-1",
					"AWS_EC2_METADATA_DISABLED=true", "GITHUB_TOKEN=canary-github-token", "PATH=" + os.Getenv("PATH")}, args)
				run.check(t)
				if run.code == release.ExitDone {
					t.Errorf("succeeds:\n%s", run.all)
				}
			})
		}
	}
}

// TestSecurityPage holds docs/security.md to the tests that it names, and to its list of faults and hostile inputs.
func TestSecurityPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for _, root := range []string{"../../internal", "../../actions", "../../e2e", "../../devenv/localaws"} {
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path)
			for _, match := range testDeclared.FindAllStringSubmatch(string(content), -1) {
				declared[match[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := testNamed.FindAllStringSubmatch(string(page), -1)
	if len(named) < 40 {
		t.Errorf("the page names %d tests", len(named))
	}
	for _, match := range named {
		if !declared[match[1]] {
			t.Errorf("there is no test %s", match[1])
		}
	}
	for i := range 10 {
		for _, label := range []string{"R", "H"} {
			if !strings.Contains(string(page), fmt.Sprintf("| %s%d |", label, i+1)) {
				t.Errorf("the page lacks %s%d", label, i+1)
			}
		}
	}
}

var (
	testDeclared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	testNamed    = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
)
