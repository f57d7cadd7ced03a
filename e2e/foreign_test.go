package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/devenv/acttest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/initialize"
)

// newRelease releases this work tree with a program.
func newRelease(t *testing.T, program []byte) acttest.Release {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return acttest.NewRelease(t, root, program)
}

// foreignFlow is a repository that is not this one, and calls a release.
func foreignFlow(t *testing.T, r acttest.Release, files map[string]string) *flow {
	t.Helper()
	f := &flow{act: actProgram(t), checkout: checkout{t: t, dir: t.TempDir(), namespaces: new(sync.Map)}}
	t.Cleanup(func() { f.checkout.deleteNamespaces(t) })
	f.checkout.git("init", "--quiet", "--initial-branch=main")
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(f.checkout.dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		f.checkout.write(name, content)
	}
	f.commitAll("first")
	f.remote = append(acttest.StandIns(t, "../.github/workflows"), r.Flags...)
	return f
}

func (f *flow) commitAll(message string) {
	f.checkout.git("add", "--all")
	f.checkout.git("commit", "--quiet", "--message", message)
}

// readmeWorkflow is the workflow that README shows, of at most fifteen lines.
func readmeWorkflow(t *testing.T, r acttest.Release) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(readme), "```yaml\n")
	text, _, closed := strings.Cut(text, "```\n")
	if !found || !closed || !strings.Contains(text, "/.github/workflows/pipeline.yaml@FULL_COMMIT_SHA") {
		t.Fatal("the first block of YAML in README.md does not call pipeline.yaml")
	}
	if lines := strings.Count(text, "\n"); lines > 15 {
		t.Errorf("README's workflow has %d lines; want at most 15", lines)
	}
	return strings.ReplaceAll(text, "FULL_COMMIT_SHA", r.Commit)
}

// rehearse runs a workflow of another repository on stand-ins that are the release's program, and returns what the verbs were given.
func (f *flow) rehearse(t *testing.T, r acttest.Release, event, workflow string, args ...string) (verbs []map[string]string, log string, err error) {
	t.Helper()
	record := t.TempDir()
	commit := f.checkout.git("rev-parse", "HEAD")
	log, err = f.run(t, event, workflow, append([]string{"--env", "ONEDIGEST_RELEASES=" + r.Host, "--env", "RECORD=" + record, "--env", "BUILT=" + builtDigest,
		"--env", "PLANNED=" + plannedDigest, "--env", "PROMOTED=" + commit, "--env", "OF=" + commit}, args...)...)
	if strings.Contains(log, "compiling") {
		t.Errorf("something was compiled:\n%s", log)
	}
	return recorded(t, record), log, err
}

// TestAnotherRepository: README's workflow takes a repository that has nothing of this one to production, with the release's program; a merge queue's
// run builds only.
func TestAnotherRepository(t *testing.T) {
	beside(t)
	r := newRelease(t, []byte(standIns))
	f := foreignFlow(t, r, map[string]string{".github/workflows/delivery.yaml": strings.Replace(readmeWorkflow(t, r), "on: {", "on: {merge_group: {}, ", 1), "main.go": "package main\n"})
	commit := f.checkout.git("rev-parse", "HEAD")
	const repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop"
	image := repository + "@" + builtDigest
	build := map[string]string{"verb": "build", "repository": repository, "context": ".", "builder": "auto", "commit": commit}
	whole := []map[string]string{
		build,
		{"verb": "deploy", "environment": "staging", "image": image, "commit": commit, "values": "deploy/staging.yaml", "cluster": "shop-staging"},
		{"verb": "smoke", "environment": "staging", "image": image, "cluster": "shop-staging"},
		{"verb": "promote", "image": image, "from": "staging", "to": "production"},
		{"verb": "deploy", "environment": "production", "image": image, "commit": commit, "values": "deploy/production.yaml", "proved-in": "staging", "cluster": "shop"},
		{"verb": "smoke", "environment": "production", "image": image, "expect-commit": commit, "cluster": "shop"},
	}
	for _, test := range []struct {
		event, fail string
		want        []map[string]string
	}{
		{"push", "", whole},
		{"push", "smoke-staging", append(whole[:3:3], map[string]string{"verb": "deploy", "environment": "staging", "image": image, "rollback-failed-smoke": "true", "cluster": "shop-staging"})},
		{"merge_group", "", whole[:1]},
	} {
		t.Run(test.event+test.fail, func(t *testing.T) {
			got, log, err := f.rehearse(t, r, test.event, "delivery.yaml", "--env", "FAIL="+test.fail)
			if (err != nil) != (test.fail != "") {
				t.Errorf("the run ended with %v:\n%s", err, log)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the verbs were run otherwise (-want +got):\n%s\n%s", diff, log)
			}
		})
	}
}

// contextOf is the directory that a service is built from, the repository by default.
func contextOf(service map[string]string) string {
	if service["context"] == "" {
		return "."
	}
	return service["context"]
}

// initialized is a foreign repository with what init writes into it, unedited.
func initialized(t *testing.T, r acttest.Release, files map[string]string, args ...string) *flow {
	t.Helper()
	f := foreignFlow(t, r, files)
	var log bytes.Buffer
	code := initialize.Command("").Run(t.Context(), app.Process{Args: append([]string{"--pin", r.Commit}, args...), Dir: f.checkout.dir, Environ: []string{"PATH=" + os.Getenv("PATH")}, Stdout: &log, Stderr: &log, Now: time.Now})
	if code != 0 {
		t.Fatalf("init ended with %d:\n%s", code, log.String())
	}
	f.commitAll("onedigest init")
	return f
}

// TestInitializedRepository: what init writes into a repository takes it to production, by the release's program and with nothing edited.
func TestInitializedRepository(t *testing.T) {
	beside(t)
	r := newRelease(t, []byte(standIns))
	const repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop"
	on := []string{"--repository", repository, "--role", "arn:aws:iam::123456789012:role/shop-build", "--cluster", "staging=shop-staging", "--cluster", "production=shop",
		"--environment-role", "staging=arn:aws:iam::123456789012:role/shop-staging", "--environment-role", "production=arn:aws:iam::123456789012:role/shop-production", "--probe", "/"}
	for name, test := range map[string]struct {
		files    map[string]string
		services []map[string]string // what build is given of each, and release and values of the deploys
	}{
		"a Go service": {map[string]string{"main.go": goService, "go.mod": "module example.com/api\n\ngo 1.25\n"}, []map[string]string{{"values": "deploy/staging.yaml"}}},
		"a monorepo": {map[string]string{"cart/main.go": goService, "cart/go.mod": "module example.com/cart\n\ngo 1.25\n", "web/Dockerfile": "FROM scratch\nEXPOSE 8080\n"},
			[]map[string]string{{"context": "cart", "repository": "/cart", "values": "deploy/cart-staging.yaml"}, {"context": "web", "repository": "/web", "values": "deploy/web-staging.yaml"}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := initialized(t, r, test.files, on...)
			verbs, log, err := f.rehearse(t, r, "push", "delivery.yaml")
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			var ran []string
			for _, verb := range verbs {
				ran = append(ran, verb["verb"])
			}
			for _, want := range test.services {
				for _, verb := range []map[string]string{
					{"verb": "build", "repository": repository + want["repository"], "context": contextOf(want)},
					{"verb": "deploy", "environment": "staging", "image": repository + want["repository"] + "@" + builtDigest, "values": want["values"], "cluster": "shop-staging"},
				} {
					if !slices.ContainsFunc(verbs, func(got map[string]string) bool {
						for key, value := range verb {
							if got[key] != value {
								return false
							}
						}
						return true
					}) {
						t.Errorf("nothing ran as %v; these did: %v", verb, verbs)
					}
				}
			}
			if want := 6 * len(test.services); len(ran) != want {
				t.Errorf("%d verbs ran, want %d: %v\n%s", len(ran), want, ran, log)
			}
			f.checkout.edit(".github/workflows/promote.yaml", "  queue: max\n", "") // which act does not know
			f.commitAll("for act")
			inputs := []string{"--input", "commit=" + f.checkout.git("rev-parse", "HEAD"), "--input", "max-age=720h", "--input", "allow-rollback=true"}
			checks := "promoted/deploy/checks.yaml"
			if len(test.services) > 1 {
				inputs, checks = append(inputs, "--input", "service=cart"), "promoted/deploy/cart-checks.yaml"
			}
			promoted, log, err := f.rehearse(t, r, "workflow_dispatch", "promote.yaml", inputs...)
			if err != nil || len(promoted) != 3 || promoted[1]["proved-in"] != "staging" || promoted[1]["values"] != "promoted/"+strings.Replace(test.services[0]["values"], "staging", "production", 1) || promoted[2]["checks"] != checks {
				t.Errorf("the promotion by hand ran %v, %v\n%s", promoted, err, log)
			}
		})
	}
}

// TestAPreviewOfAnotherRepository: what init writes for previews builds the head of a pull request, which is not what the branch has, opens its preview with the files of
// that head, and removes it when the pull request is closed; nothing runs for the pull request of a fork.
func TestAPreviewOfAnotherRepository(t *testing.T) {
	beside(t)
	r := newRelease(t, []byte(standIns))
	f := initialized(t, r, map[string]string{"main.go": goService, "go.mod": "module example.com/api\n\ngo 1.25\n"}, "--repository", "registry.example.com/shop", "--runner", "ubuntu-latest", "--build-runner", "ubuntu-latest",
		"--previews", "--preview-repository", "registry.example.com/shop-preview", "--probe", "/")
	f.checkout.git("checkout", "--quiet", "-b", "topic")
	f.checkout.write("deploy/preview.yaml", "config:\n  REHEARSED: head\n")
	f.commitAll("what the pull request changes")
	head := f.checkout.git("rev-parse", "HEAD")
	f.checkout.git("checkout", "--quiet", "main")
	preview := func(action, from string) []map[string]string {
		t.Helper()
		event := filepath.Join(t.TempDir(), "event.json")
		content := fmt.Sprintf(`{"action": %q, "number": 7, "repository": {"full_name": "octo/api"}, "pull_request": {"number": 7, "head": {"sha": %q, "ref": "topic", "repo": {"full_name": %q}}, "base": {"ref": "main"}}}`, action, head, from)
		if err := os.WriteFile(event, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		verbs, log, err := f.rehearse(t, r, "pull_request", "preview.yaml", "--eventpath", event, "--env", "GITHUB_REPOSITORY=octo/api")
		if err != nil {
			t.Fatalf("%s: %v\n%s", action, err, log)
		}
		return verbs
	}
	opened := preview("opened", "octo/api")
	if len(opened) != 2 || opened[0]["verb"] != "build" || opened[0]["repository"] != "registry.example.com/shop-preview" || opened[0]["commit"] != head || opened[1]["verb"] != "preview" ||
		opened[1]["image"] != "registry.example.com/shop-preview@"+builtDigest || opened[1]["commit"] != head || opened[1]["rehearsed"] != "head" {
		t.Errorf("opened: %v", opened)
	}
	if closed := preview("closed", "octo/api"); len(closed) != 1 || closed[0]["verb"] != "preview" {
		t.Errorf("closed: %v", closed)
	}
	if forked := preview("opened", "stranger/api"); len(forked) != 0 {
		t.Errorf("of a fork: %v", forked)
	}
}

const monorepo = `name: delivery
on: {push: {branches: [main]}, workflow_dispatch: {inputs: {service: {}, to: {}}}}
permissions: {contents: read, id-token: write, actions: read}
jobs:
  pipeline:
    uses: onedigest/onedigest/.github/workflows/pipeline.yaml@COMMIT # a release
    with:
      repository: registry.example.com/team
      to: ${{ inputs.to }}
      service: ${{ inputs.service }}
      commit: ${{ inputs.to && github.sha || '' }}
      environments: |
        [{"name": "staging", "values": "deploy/{0}-staging.yaml"}, {"name": "production", "plan": true}]
      services: |
        {"cart": {"paths": ["cart/**", "go.mod"], "context": "cart"}, "catalog": {"paths": ["catalog/**", "go.mod"], "context": "catalog", "release": "list"}}
`

// TestServicesOfAMonorepo: a push takes the services whose paths have changed since the last successful run, and all of them if that is not
// known; a promotion is of one.
func TestServicesOfAMonorepo(t *testing.T) {
	beside(t)
	r := newRelease(t, []byte(standIns))
	f := foreignFlow(t, r, map[string]string{".github/workflows/delivery.yaml": strings.ReplaceAll(monorepo, "COMMIT", r.Commit), "cart/a": "1", "catalog/a": "1", "go.mod": "1"})
	first := f.checkout.git("rev-parse", "HEAD")
	var last string // the head of the last successful run, as GitHub's API says it
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if strings.HasSuffix(request.URL.Path, "/actions/runs/7/jobs") {
			_, _ = w.Write([]byte(`{"jobs": [{"name": "pipeline / changes", "conclusion": "success"}]}`))
			return
		}
		if !strings.HasSuffix(request.URL.Path, "/actions/workflows/delivery.yaml/runs") || request.FormValue("branch") != "main" || request.FormValue("event") != "push" {
			http.NotFound(w, request)
			return
		}
		if err := json.NewEncoder(w).Encode(map[string]any{"workflow_runs": []map[string]any{{"id": 7, "head_sha": last, "conclusion": "success"}}}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(api.Close)
	for _, test := range []struct {
		name, change, last string
		want               []string
	}{
		{"one service", "cart/a", first, []string{"cart"}},
		{"and the one whose run failed", "catalog/a", first, []string{"cart", "catalog"}},
		{"what both use", "go.mod", "HEAD", []string{"cart", "catalog"}},
		{"none", "README", "HEAD", nil},
		{"no run is known", "README", "", []string{"cart", "catalog"}},
		{"a run of another history", "README", strings.Repeat("1", 40), []string{"cart", "catalog"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			last = test.last
			if last == "HEAD" {
				last = f.checkout.git("rev-parse", "HEAD")
			}
			f.checkout.write(test.change, test.name)
			f.commitAll(test.name)
			verbs, log, err := f.rehearse(t, r, "push", "delivery.yaml", "--env", "GITHUB_API_URL="+api.URL, "--env", "GITHUB_WORKFLOW_REF=o/r/.github/workflows/delivery.yaml@refs/heads/main")
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			var got []string
			for _, verb := range verbs {
				service := strings.TrimPrefix(verb["context"], "registry.example.com/team/")
				if verb["verb"] == "build" {
					got = append(got, service)
				}
				if verb["verb"] == "smoke" && verb["checks"] != "probe" { // deploy/checks.yaml is that of the only service
					t.Errorf("smoke of a service without a checks file got %q", verb["checks"])
				}
				if verb["verb"] == "deploy" && verb["environment"] == "staging" {
					name := strings.TrimSuffix(strings.TrimPrefix(verb["values"], "deploy/"), "-staging.yaml")
					if want := map[string]string{"cart": "cart", "catalog": "list"}[name]; !strings.HasPrefix(verb["image"], "registry.example.com/team/"+name+"@") || verb["release"] != want {
						t.Errorf("got the deploy %v", verb)
					}
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" || len(verbs) != 8*len(test.want) {
				t.Errorf("built (-want +got):\n%s%d verbs ran\n%s", diff, len(verbs), log)
			}
		})
	}
	planned := strings.Replace(strings.ReplaceAll(monorepo, "COMMIT", r.Commit), `{"name": "staging", `, `{"name": "staging", "plan": true, `, 1)
	f.checkout.write(".github/workflows/planned.yaml", planned)
	f.commitAll("a plan of the first environment")
	if verbs, log, err := f.rehearse(t, r, "push", "planned.yaml", "--env", "GITHUB_API_URL="+api.URL); err == nil || len(verbs) > 0 || !strings.Contains(log, "no plan for the first") {
		t.Errorf("a plan of the first environment: %v ran, %v\n%s", verbs, err, log)
	}
	promoted, log, err := f.rehearse(t, r, "workflow_dispatch", "delivery.yaml", "--input", "service=catalog", "--input", "to=production")
	if err != nil || len(promoted) != 5 || promoted[0]["dry-run"] != "true" || promoted[0]["repository"] != "registry.example.com/team/catalog" || promoted[3]["plan-digest"] != plannedDigest || promoted[3]["release"] != "list" {
		t.Errorf("the promotion of one service ran %v, %v\n%s", promoted, err, log)
	}
	for name, inputs := range map[string][]string{
		"no such service":       {"--input", "service=other", "--input", "to=production"},
		"no service":            {"--input", "to=production"},
		"no such environment":   {"--input", "service=cart", "--input", "to=elsewhere"},
		"the first environment": {"--input", "service=cart", "--input", "to=staging"},
	} {
		if verbs, log, err := f.rehearse(t, r, "workflow_dispatch", "delivery.yaml", inputs...); err == nil || len(verbs) > 0 || !strings.Contains(log, "settings that do not fit") {
			t.Errorf("%s: %v ran, %v\n%s", name, verbs, err, log)
		}
	}
}

var roleSetting = regexp.MustCompile(` *role: arn:\S+\n|"role": "[^"]*", `)

const goService = `// The service of a repository that does not know what deploys it.
package main

import (
	"log"
	"net/http"
)

func main() {
	log.Fatal(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("here\n")) })))
}
`

// TestAnotherRepositoryOnTheNode runs README's workflow with the real verbs for a service that knows nothing of them.
func TestAnotherRepositoryOnTheNode(t *testing.T) {
	onNode(t)
	beside(t)
	r := newRelease(t, []byte("#!/bin/bash\nexit 70\n"))
	workflow := strings.NewReplacer("123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop", site.registry+"/api", `"cluster": "shop-staging", `, "", `"cluster": "shop", `, "",
		"eu-central-1", app.Process{Environ: site.aws}.Getenv("AWS_REGION"),
		`"name": "staging"`, `"name": "foreign-staging"`, `"name": "production"`, `"name": "foreign-production"`).Replace(readmeWorkflow(t, r))
	workflow = roleSetting.ReplaceAllString(workflow, "") // act has no identity tokens; TestARoleInPlaceOfKeys assumes roles
	values := "service: {type: LoadBalancer, annotations: {service.beta.kubernetes.io/aws-load-balancer-scheme: internal}}\nreplicas: 2\n"
	f := foreignFlow(t, r, map[string]string{".github/workflows/delivery.yaml": workflow, "main.go": goService, "go.mod": "module example.com/api\n\ngo 1.25\n",
		"deploy/staging.yaml": values, "deploy/production.yaml": values})
	f.checkout.recordNamespaces([]string{"--environment", "foreign-staging", "--environment", "foreign-production"})
	var args []string
	for _, pair := range slices.Concat(site.aws, goEnviron(), goCaches(t), []string{"ONEDIGEST_BIN=" + filepath.Join(site.root, "bin"), "KUBECONFIG=" + site.kubeconfig}) {
		args = append(args, "--env", pair)
	}
	log, err := f.run(t, "push", "delivery.yaml", args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	staging, production := runningOf(t, "foreign-staging", "api"), runningOf(t, "foreign-production", "api")
	if len(staging) != 1 || cmp.Diff(staging, production) != "" {
		t.Fatalf("staging runs %v, production runs %v; want one digest, the same\n%s", staging, production, log)
	}
}

// TestInitializedRepositoryOnTheNode runs what init writes with the real verbs, on a runner that has a kubeconfig and credentials; nothing is edited.
func TestInitializedRepositoryOnTheNode(t *testing.T) {
	onNode(t)
	beside(t)
	r := newRelease(t, []byte("#!/bin/bash\nexit 70\n"))
	f := initialized(t, r, map[string]string{"main.go": goService, "go.mod": "module example.com/made\n\ngo 1.25\n"}, "--repository", site.registry+"/api", "--environments", "made-staging,made-production",
		"--region", app.Process{Environ: site.aws}.Getenv("AWS_REGION"), "--runner", "ubuntu-latest", "--build-runner", "ubuntu-latest", "--probe", "/")
	f.checkout.recordNamespaces([]string{"--environment", "made-staging", "--environment", "made-production"})
	var args []string
	for _, pair := range slices.Concat(site.aws, goEnviron(), goCaches(t), []string{"ONEDIGEST_BIN=" + filepath.Join(site.root, "bin"), "KUBECONFIG=" + site.kubeconfig}) {
		args = append(args, "--env", pair)
	}
	log, err := f.run(t, "push", "delivery.yaml", args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	staging, production := runningOf(t, "made-staging", "api"), runningOf(t, "made-production", "api")
	if len(staging) != 1 || cmp.Diff(staging, production) != "" {
		t.Fatalf("staging runs %v, production runs %v; want one digest, the same\n%s", staging, production, log)
	}
}
