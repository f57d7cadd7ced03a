package doctor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/apptest"
	"github.com/onedigest/onedigest/internal/app/doctor"
	"github.com/onedigest/onedigest/internal/app/initialize"
	"github.com/onedigest/onedigest/internal/ecr"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	roleARN = "arn:aws:iam::000000000000:role/deploy"
	subject = "repo:octo/shop:environment:staging"
)

// site is a repository that init wrote into, an AWS and a cluster.
type site struct {
	t       *testing.T
	dir     string
	aws     *localawstest.Server
	environ []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), aws: localawstest.Start(t)}
	for name, content := range map[string]string{"go.mod": "module example.com/shop\n\ngo 1.25\n", "main.go": "package main\n\nimport \"net/http\"\n\nfunc main() { http.ListenAndServe(\":8080\", nil) }\n"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // that says what it serves, and refuses everything else
		w.Header().Set("Content-Type", "application/json")
		if answer := map[string]string{"/version": `{"major":"1","minor":"37","gitVersion":"v1.37.0"}`, "/api": `{"kind":"APIVersions","versions":[]}`, "/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
			"/api/v1/namespaces/staging/secrets": `{"kind":"SecretList","apiVersion":"v1","metadata":{},"items":[]}`, "/api/v1/namespaces/staging/configmaps": `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[]}`}[r.URL.Path]; answer != "" {
			_, _ = w.Write([]byte(answer))
			return
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"Forbidden","code":403}`))
	}))
	t.Cleanup(cluster.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte("apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: '"+cluster.URL+"'}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.environ = append(s.aws.Env(), "KUBECONFIG="+kubeconfig, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir())
	for _, args := range [][]string{{"init", "--quiet", "--initial-branch=main"}, {"-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet", "--allow-empty", "--message", "first"}} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", s.dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	s.run(initialize.Command(""), release.ExitDone, "--repository", s.aws.Address()+"/shop", "--runner", "mine", "--build-runner", "mine", "--pin", "v1.0.0", "--probe", "/")
	return s
}

// run runs a verb, which must end with a code, and returns what it prints.
func (s *site) run(command app.Command, code int, args ...string) string {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	got := command.Run(s.t.Context(), app.Process{Args: args, Dir: s.dir, Environ: s.environ, Stdout: &stdout, Stderr: &stderr, Now: time.Now})
	if got != code {
		s.t.Fatalf("exit code %d, want %d:\n%s%s", got, code, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// examine runs doctor, and returns its findings by "check: state", the texts of which are joined.
func (s *site) examine(code int, args ...string) map[string]string {
	s.t.Helper()
	type result struct {
		Findings []struct{ Check, State, What, Fix string }
	}
	var read struct {
		result
		Result result
		Exit   int
	}
	out := s.run(doctor.Command(), code, append([]string{"--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &read); err != nil || read.Exit != code {
		s.t.Fatalf("%v in\n%s", err, out)
	}
	findings := map[string]string{}
	for _, one := range append(read.Findings, read.Result.Findings...) {
		findings[one.Check+": "+one.State] += one.What + "; " + one.Fix + "\n"
	}
	return findings
}

func expect(t *testing.T, findings map[string]string, want map[string]string) {
	t.Helper()
	for key, part := range want {
		if text, found := findings[key]; !found || !strings.Contains(text, part) {
			t.Errorf("no finding %q with %q in %q", key, part, findings)
		}
	}
}

// TestRepository: the settings of a repository of ECR are those that AWS's API tells, and all are one run.
func TestRepository(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	expect(t, s.examine(release.ExitFailed), map[string]string{"cluster: not checked": "--kube-context"})
	expect(t, s.examine(release.ExitFailed, "--kube-context", "a"), map[string]string{"repository: fails": "does not exist", "tools: ok": "git is there", "workflow: ok": "delivery.yaml", "history: ok": "", "identity token: not checked": "no job",
		"account: ok": "000000000000", "chart: ok": "", "values: ok": "deploy/staging.yaml", "smoke checks: ok": "deploy/checks.yaml", "cluster: ok": `context "a" at http://127.0.0.1:`, "namespace: not checked": "", "RBAC: not checked": "selfsubjectaccessreviews", "smoke: not checked": ""})
	name := s.aws.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
	expect(t, s.examine(release.ExitDone), map[string]string{"repository: ok": "exists", "immutable tags: ok": "", "lifecycle: ok": "no policy", "referrers API: ok": ""})
	client, err := ecr.New(t.Context(), ecr.Options{Environ: app.Process{Environ: s.environ}.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	for policy, want := range map[string]string{
		`{"rules":[{"rulePriority":4,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":500},"action":{"type":"expire"}}]}`:                                                  "lifecycle: limited",
		`{"rules":[{"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["*-dirty*"],"countType":"sinceImagePushed","countUnit":"days","countNumber":14},"action":{"type":"expire"}}]}`: "lifecycle: ok",
	} {
		if err := client.PutLifecyclePolicy(t.Context(), name, policy); err != nil {
			t.Fatal(err)
		}
		expect(t, s.examine(release.ExitDone), map[string]string{want: ""})
	}
	s.aws.RepositoryWith("loose", localaws.TagRule{Mutability: localaws.Mutable})
	expect(t, s.examine(release.ExitDone, "--repository", s.aws.Address()+"/loose"), map[string]string{"immutable tags: limited": "put-image-tag-mutability"})
	expect(t, s.examine(release.ExitFailed, "--values", "none.yaml"), map[string]string{"chart, values and smoke checks: fails": "none.yaml"})
}

// TestJob: in a job, the subject of the token and the role are looked at, and a refusal has the statement that mends it.
func TestJob(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.aws.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
	s.environ = slices.DeleteFunc(s.environ, func(pair string) bool {
		return strings.HasPrefix(pair, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(pair, "AWS_SECRET_ACCESS_KEY=")
	})
	s.environ = append(append(s.environ, s.aws.JobEnv()...), "AWS_EC2_METADATA_DISABLED=true", "AWS_REGION="+localaws.DefaultRegion, "GITHUB_WORKSPACE="+s.dir)
	s.environ, _ = apptest.InJob(t, s.environ)
	s.aws.SetJob(localaws.Job{Repository: "octo/shop", OwnerID: "11", RepositoryID: "22", Environment: "staging", Ref: "refs/heads/main"})
	s.aws.PutRole(localaws.Role{Name: "deploy", Audiences: []string{"sts.amazonaws.com"}, Subjects: []string{"repo:octo/other:environment:staging"}})
	expect(t, s.examine(release.ExitFailed, "--role", roleARN), map[string]string{"identity token: ok": subject, "role: fails": subject, "account: not checked": "role", "repository: not checked": "role"})
	s.aws.PutRole(localaws.Role{Name: "deploy", Audiences: []string{"sts.amazonaws.com"}, Subjects: []string{subject}})
	expect(t, s.examine(release.ExitDone, "--role", roleARN), map[string]string{"identity token: ok": subject, "role: ok": roleARN, "account: ok": "assumed-role/deploy", "repository: ok": "exists"})
	s.environ = append(s.environ, "ACTIONS_ID_TOKEN_REQUEST_URL=", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=")
	expect(t, s.examine(release.ExitFailed, "--role", roleARN), map[string]string{"identity token: fails": "id-token: write"})
	if err := errors.Join(os.RemoveAll(filepath.Join(s.dir, ".github"))); err != nil {
		t.Fatal(err)
	}
	s.run(doctor.Command(), release.ExitInput)
}

// TestSigners: the keys of the rules' signers are read, because every deploy and every promotion does.
func TestSigners(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.aws.RepositoryWith("shop", localaws.TagRule{Mutability: localaws.Immutable})
	for signer, want := range map[string]map[string]string{
		"keys/nope.pub":        {"signers: fails": "does not exist"},
		"go.mod":               {"signers: fails": "go.mod"},
		"awskms:///alias/nope": {"signers: fails": "alias/nope"},
		"env://NOPE":           {"signers: not checked": "run doctor in the job"},
	} {
		rules := "version: 1\nenvironments:\n  - name: staging\n    signers: [" + signer + "]\n  - name: production\n    signers: [" + signer + "]\n    requires: {smoked: {}}\n"
		if err := os.WriteFile(filepath.Join(s.dir, ".onedigest.yaml"), []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		code := release.ExitFailed
		if want["signers: fails"] == "" {
			code = release.ExitDone
		}
		expect(t, s.examine(code, "--kube-context", "a"), want)
	}
}
