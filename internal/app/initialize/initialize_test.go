package initialize_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/initialize"
	"github.com/onedigest/onedigest/internal/helm"
	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/image"
	"github.com/onedigest/onedigest/internal/policy/policyfile"
	"github.com/onedigest/onedigest/internal/probe"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/chartutil"
)

const (
	registry = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
	pin      = "0123456789abcdef0123456789abcdef01234567"
	// goService has what a service usually has.
	goService = `package main

import "net/http"

func main() {
	http.HandleFunc("GET /healthz", ok)
	http.HandleFunc("/readyz", ok)
	http.ListenAndServe(":8081", nil)
}

func ok(http.ResponseWriter, *http.Request) {}
`
	goMod      = "module example.com/shop\n\ngo 1.25\n"
	dockerfile = "FROM python:3.13-slim\nCOPY . /app\nARG PORT=5000\nENV PORT=$PORT\nEXPOSE ${PORT}/tcp 9000/udp\nHEALTHCHECK CMD curl -f http://localhost:5000/health || exit 1\nCMD [\"python\", \"/app/main.py\"]\n"
)

// required is what init cannot find out by itself.
var required = []string{"--repository", registry + "/shop", "--role", "arn:aws:iam::123456789012:role/shop-build", "--pin", pin,
	"--cluster", "staging=shop-staging", "--cluster", "production=shop",
	"--environment-role", "staging=arn:aws:iam::123456789012:role/shop-staging", "--environment-role", "production=arn:aws:iam::123456789012:role/shop-production"}

// repository is somebody's repository.
type repository struct {
	t   *testing.T
	dir string
	ask func(question string) (string, error)
}

func newRepository(t *testing.T, files map[string]string) *repository {
	t.Helper()
	r := &repository{t: t, dir: t.TempDir()}
	for name, content := range files {
		r.write(name, content)
	}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

func (r *repository) git(args ...string) {
	r.t.Helper()
	if out, err := exec.CommandContext(r.t.Context(), "git", append([]string{"-C", r.dir}, args...)...).CombinedOutput(); err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func (r *repository) write(name, content string) {
	r.t.Helper()
	name = filepath.Join(r.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repository) read(name string) string {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(content)
}

// init runs the verb.
func (r *repository) init(args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	var out, log bytes.Buffer
	code = initialize.Command("").Run(r.t.Context(), app.Process{Args: args, Dir: r.dir, Environ: []string{"PATH=" + os.Getenv("PATH"), "AWS_REGION=us-west-2"}, Stdout: &out, Stderr: &log, Now: time.Now, Ask: r.ask})
	return code, out.String(), log.String()
}

// must runs the verb, which must succeed, and returns its files and their states.
func (r *repository) must(args ...string) map[string]string {
	r.t.Helper()
	code, stdout, stderr := r.init(append([]string{"--output", "json"}, args...)...)
	var result struct {
		Files []struct{ Path, State string }
	}
	if err := json.Unmarshal([]byte(stdout), &result); code != 0 || err != nil {
		r.t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	states := map[string]string{}
	for _, file := range result.Files {
		states[file.Path] = file.State
	}
	return states
}

// call is what a workflow gives to pipeline.yaml.
type call struct {
	uses         string
	with         map[string]string
	environments []map[string]any
	services     map[string]map[string]any
}

func (r *repository) call() call {
	r.t.Helper()
	var workflow struct {
		Jobs map[string]struct {
			Uses string
			With map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(r.read(".github/workflows/delivery.yaml")), &workflow); err != nil {
		r.t.Fatal(err)
	}
	c := call{uses: workflow.Jobs["pipeline"].Uses, with: workflow.Jobs["pipeline"].With}
	if err := json.Unmarshal([]byte(c.with["environments"]), &c.environments); err != nil {
		r.t.Fatalf("environments: %v", err)
	}
	if text := c.with["services"]; text != "" {
		if err := json.Unmarshal([]byte(text), &c.services); err != nil {
			r.t.Fatalf("services: %v", err)
		}
	}
	return c
}

// check has every written file read by what reads it in use: the workflow by actionlint and by what pipeline.yaml declares, the values by the chart, which must then
// render the port and the paths, the checks by smoke, the recipe by build.
func (r *repository) check(lines int, services map[string]want) {
	r.t.Helper()
	workflow := r.read(".github/workflows/delivery.yaml")
	if got := strings.Count(workflow, "\n"); got > lines {
		r.t.Errorf("the workflow has %d lines, want at most %d:\n%s", got, lines, workflow)
	}
	lint := exec.CommandContext(r.t.Context(), pinnedTool(r.t, "actionlint"), "-shellcheck=", "-no-color", ".github/workflows/delivery.yaml")
	lint.Dir = r.dir
	if out, err := lint.CombinedOutput(); err != nil {
		r.t.Errorf("actionlint: %v\n%s\n%s", err, out, workflow)
	}
	c := r.call()
	if got := c.with["region"]; got != "" && got != "eu-central-1" {
		r.t.Errorf("the region is %s, and not that of the repository", got)
	}
	pipeline, err := os.ReadFile("../../../.github/workflows/pipeline.yaml")
	if err != nil {
		r.t.Fatal(err)
	}
	for name := range c.with {
		if !strings.Contains(string(pipeline), "\n      "+name+":\n") {
			r.t.Errorf("pipeline.yaml has no input %q", name)
		}
	}
	for name, want := range services {
		entry := map[string]any{}
		for key, value := range c.with {
			entry[key] = value
		}
		if name != "" {
			entry = c.services[name]
		}
		text := func(key string) string { found, _ := entry[key].(string); return found }
		checks, err := probe.LoadChecks(text("checks"), []byte(r.read(text("checks"))))
		if err != nil || len(checks) != 1 || checks[0].Path != want.ready {
			r.t.Errorf("the checks of %q are %v, %v; want one of %s", name, checks, err, want.ready)
		}
		recipe := release.Recipe{Context: filepath.Join(r.dir, text("context")), Main: text("main"), Platforms: []release.Platform{{OS: "linux", Architecture: "amd64"}}}
		if file := text("dockerfile"); file != "" {
			recipe.Dockerfile = filepath.Join(recipe.Context, file)
		}
		builder := text("builder")
		if builder == "" {
			builder = "auto"
		}
		if chosen, err := image.New(image.Options{}).Choose(builder, recipe); err != nil || chosen != want.builder {
			r.t.Errorf("%q is built by %q, %v; want %q", name, chosen, err, want.builder)
		}
		chartDir := "../../../charts/service"
		if own := text("chart"); own != "" {
			chartDir = filepath.Join(r.dir, own)
		}
		if got := text("chart"); got != want.chart {
			r.t.Errorf("the chart of %q is %q, want %q", name, got, want.chart)
		}
		for _, environment := range c.environments {
			values, _ := environment["values"].(string)
			rendered := r.render(chartDir, strings.ReplaceAll(values, "{0}", name))
			for _, part := range []string{"containerPort: " + want.port + "\n", `path: "?` + want.ready + `"?\n`, `path: "?` + want.alive + `"?\n`} {
				if !regexp.MustCompile(part).MatchString(rendered) {
					r.t.Errorf("%q renders no %q with %s:\n%s", name, part, values, rendered)
				}
			}
		}
	}
}

// want is what a service is to be found as.
type want struct{ builder, chart, port, ready, alive string }

// render checks and renders a chart with values, as a deploy does.
func (r *repository) render(dir, values string) string {
	r.t.Helper()
	deployment := release.Deployment{Name: "shop", Namespace: "staging", Environment: "staging", Chart: dir, ValuesFiles: []string{filepath.Join(r.dir, values)},
		Images: []release.BuiltImage{{Image: release.Repository(registry + "/shop").At(releasetest.Digest(r.t, "a"))}}}
	if err := helm.Offline().Check(deployment); err != nil {
		r.t.Errorf("%s: %v", values, err)
		return ""
	}
	loaded, err := chart.Load(deployment)
	if err != nil {
		r.t.Fatal(err)
	}
	rendered, err := loaded.RenderRevision(deployment, chart.Target{Capabilities: chartutil.DefaultCapabilities, Install: true})
	if err != nil {
		r.t.Errorf("%s: %v", values, err)
	}
	return rendered.Manifest
}

// pinnedTool is a tool that scripts/tools.sh pins and builds.
func pinnedTool(t *testing.T, name string) string {
	t.Helper()
	pins, err := os.ReadFile("../../../scripts/tools.sh")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`\[` + regexp.QuoteMeta(name) + `\]=\S+@(\S+)`).FindStringSubmatch(string(pins))
	if match == nil {
		t.Fatalf("scripts/tools.sh pins no %s", name)
	}
	program, err := filepath.Abs("../../../bin/tools/" + name + "-" + match[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Skipf("NOT CHECKED: needs %s, which scripts/test.sh builds", program)
	}
	return program
}

// helmCreate returns the files of what `helm create` makes.
func helmCreate(t *testing.T, name, below string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	made, err := chartutil.Create(name, dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	err = filepath.WalkDir(made, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		relative, _ := filepath.Rel(dir, path) // path is below it
		files[filepath.Join(below, relative)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func merged(all ...map[string]string) map[string]string {
	files := map[string]string{}
	for _, one := range all {
		for name, content := range one {
			files[name] = content
		}
	}
	return files
}

// TestRepositories: what init writes is read by what reads it in use, and a second run, with the same flags or without any, changes nothing.
func TestRepositories(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		args  []string
		want  map[string]want
	}{
		"a Go service": {
			files: map[string]string{"main.go": goService, "go.mod": goMod},
			want:  map[string]want{"": {builder: "go", port: "8081", ready: "/readyz", alive: "/healthz"}},
		},
		"a Go service in cmd, with tools": {
			files: map[string]string{"cmd/shop/main.go": goService, "tools/gen/main.go": "package main\n", "internal/x/x.go": "package x\n", "go.mod": goMod},
			want:  map[string]want{"": {builder: "go", port: "8081", ready: "/readyz", alive: "/healthz"}},
		},
		"a Dockerfile": {
			files: map[string]string{"main.py": "print()\n", "Dockerfile": dockerfile},
			want:  map[string]want{"": {builder: "docker", port: "5000", ready: "/health", alive: "/health"}},
		},
		"a Dockerfile that is built from above": {
			files: map[string]string{"src/main.py": "@app.get('/ping')\n", "deployment/Dockerfile": "FROM scratch\nCOPY src /app\nEXPOSE 8000\n"},
			want:  map[string]want{"": {builder: "docker", port: "8000", ready: "/ping", alive: "/ping"}},
		},
		"a Go service with a Dockerfile": {
			files: map[string]string{"main.go": goService, "go.mod": goMod, "Dockerfile": "FROM scratch\nEXPOSE 9090\n"},
			args:  []string{"--builder", "docker"},
			want:  map[string]want{"": {builder: "docker", port: "9090", ready: "/readyz", alive: "/healthz"}},
		},
		"a monorepo of three": {
			files: map[string]string{
				"cart/main.go": goService, "cart/go.mod": goMod,
				"catalog/Dockerfile": dockerfile, "catalog/main.py": "print()\n",
				"web/Dockerfile": "FROM node:24\nEXPOSE 3000\n", "web/server.js": "app.get('/api/health', ok)\n",
			},
			want: map[string]want{
				"cart":    {builder: "go", port: "8081", ready: "/readyz", alive: "/healthz"},
				"catalog": {builder: "docker", port: "5000", ready: "/health", alive: "/health"},
				"web":     {builder: "docker", port: "3000", ready: "/api/health", alive: "/api/health"},
			},
		},
		"three main packages of a module": {
			files: map[string]string{"go.mod": goMod, "cmd/cart/main.go": goService, "cmd/catalog/main.go": strings.ReplaceAll(goService, "8081", "8082"), "cmd/web/main.go": strings.ReplaceAll(goService, "/readyz", "/ready")},
			args:  []string{"--service", "cart=cmd/cart", "--service", "catalog=cmd/catalog", "--service", "web=cmd/web"},
			want: map[string]want{
				"cart":    {builder: "go", port: "8081", ready: "/readyz", alive: "/healthz"},
				"catalog": {builder: "go", port: "8082", ready: "/readyz", alive: "/healthz"},
				"web":     {builder: "go", port: "8081", ready: "/ready", alive: "/healthz"},
			},
		},
		"helm create": {
			files: merged(helmCreate(t, "shop", "chart"), map[string]string{"main.py": "print()\n", "Dockerfile": dockerfile}),
			want:  map[string]want{"": {builder: "docker", chart: "chart/shop", port: "5000", ready: "/health", alive: "/health"}},
		},
		"helm create, and nothing is known of the service": {
			files: merged(helmCreate(t, "shop", "charts"), map[string]string{"Dockerfile": "FROM nginx\n"}),
			want:  map[string]want{"": {builder: "docker", chart: "charts/shop", port: "80", ready: "/", alive: "/"}},
		},
		"a chart for each of two services": {
			files: merged(helmCreate(t, "cart", "charts"), helmCreate(t, "web", "charts"), map[string]string{"cart/Dockerfile": dockerfile, "web/Dockerfile": dockerfile}),
			want: map[string]want{
				"cart": {builder: "docker", chart: "charts/cart", port: "5000", ready: "/health", alive: "/health"},
				"web":  {builder: "docker", chart: "charts/web", port: "5000", ready: "/health", alive: "/health"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t, test.files)
			args := append(slices.Clone(required), test.args...)
			for path, state := range r.must(args...) {
				if state != "created" {
					t.Errorf("%s is %s", path, state)
				}
			}
			r.check(15, test.want)
			for _, again := range [][]string{args, nil} {
				for path, state := range r.must(again...) {
					if state != "unchanged" {
						t.Errorf("again, %s is %s", path, state)
					}
				}
			}
			if _, stdout, _ := r.init(); !strings.Contains(stdout, "nothing has changed") {
				t.Errorf("the second run does not say that it changed nothing:\n%s", stdout)
			}
		})
	}
}

// TestThePage runs the command of docs/workflow.md.
func TestThePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/workflow.md")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(page), "\n```sh\nonedigest init ")
	line, _, _ = strings.Cut(line, "```")
	if !found {
		t.Fatal("docs/workflow.md does not begin a block with onedigest init")
	}
	r := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod})
	r.must(append(strings.Fields(strings.ReplaceAll(line, "\\\n", " ")), "--pin", pin)...)
	r.check(15, map[string]want{"": {builder: "go", port: "8081", ready: "/readyz", alive: "/healthz"}})
	if code, stdout, stderr := r.init(); code != 0 || !strings.Contains(stdout, "\nnext: run onedigest doctor: ") {
		t.Errorf("exit code %d, and what is left to do does not end with doctor:\n%s%s", code, stdout, stderr)
	}
}

// TestComment: a workflow that comments may write pull requests, and is found again.
func TestComment(t *testing.T) {
	t.Parallel()
	r := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod})
	r.must(append(required, "--comment")...)
	r.check(15, map[string]want{"": {builder: "go", port: "8081", ready: "/readyz", alive: "/healthz"}})
	first := r.read(".github/workflows/delivery.yaml")
	if !strings.Contains(first, "permissions: {contents: read, id-token: write, pull-requests: write}\n") || r.call().with["comment"] != "true" {
		t.Errorf("got\n%s", first)
	}
	if states := r.must(); states[".github/workflows/delivery.yaml"] != "unchanged" {
		t.Errorf("a second run: %v", states)
	}
}

// ofPreviews is what previews need besides.
var ofPreviews = []string{"--previews", "--preview-repository", registry + "/shop-preview", "--preview-role", "arn:aws:iam::123456789012:role/shop-preview", "--preview-cluster", "shop-preview"}

// TestPreviews: the workflow of previews is valid, gives preview.yaml inputs that it has, with files that are there, one job for each service; the rules list the
// environment of previews; and a second run, with the same flags or without any, changes nothing.
func TestPreviews(t *testing.T) {
	t.Parallel()
	declared, err := os.ReadFile("../../../.github/workflows/preview.yaml")
	if err != nil {
		t.Fatal(err)
	}
	one := map[string]string{"repository": registry + "/shop-preview", "role": "arn:aws:iam::123456789012:role/shop-preview", "region": "eu-central-1", "cluster": "shop-preview"}
	for name, test := range map[string]struct {
		files map[string]string
		jobs  map[string]map[string]string
	}{
		"one service": {map[string]string{"main.go": goService, "go.mod": goMod}, map[string]map[string]string{
			"preview": {"release": "shop", "values": "deploy/preview.yaml", "checks": "deploy/checks.yaml"}}},
		"a chart with values of previews": {merged(helmCreate(t, "shop", "charts"), map[string]string{"Dockerfile": dockerfile, "charts/shop/values-preview.yaml": "replicaCount: 1\n"}), map[string]map[string]string{
			"preview": {"release": "shop", "chart": "charts/shop", "values": "charts/shop/values-preview.yaml", "checks": "deploy/checks.yaml"}}},
		"two services": {map[string]string{"cart/main.go": goService, "cart/go.mod": goMod, "web/Dockerfile": dockerfile}, map[string]map[string]string{
			"preview-cart": {"repository": registry + "/shop-preview/cart", "context": "cart", "release": "cart", "values": "deploy/cart-preview.yaml", "checks": "deploy/cart-checks.yaml"},
			"preview-web":  {"repository": registry + "/shop-preview/web", "context": "web", "release": "web", "values": "deploy/web-preview.yaml", "checks": "deploy/web-checks.yaml"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t, test.files)
			args := slices.Concat(required, ofPreviews, []string{"--policy"})
			if states := r.must(args...); states[".github/workflows/preview.yaml"] != "created" {
				t.Fatalf("got %v", states)
			}
			text := r.read(".github/workflows/preview.yaml")
			var written struct {
				Jobs map[string]struct {
					Uses        string
					Permissions map[string]string
					With        map[string]string
				}
			}
			if err := yaml.Unmarshal([]byte(text), &written); err != nil {
				t.Fatal(err)
			}
			jobs := map[string]map[string]string{}
			for job, each := range written.Jobs {
				jobs[job] = each.With
				if each.Uses != "onedigest/onedigest/.github/workflows/preview.yaml@"+pin || len(each.Permissions) != 4 {
					t.Errorf("job %q is %+v", job, each)
				}
				for input, value := range each.With {
					if !strings.Contains(string(declared), "\n      "+input+":\n") {
						t.Errorf("preview.yaml has no input %q", input)
					}
					if _, err := os.Stat(filepath.Join(r.dir, value)); (input == "values" || input == "checks") && err != nil {
						t.Error(err)
					}
				}
			}
			want := map[string]map[string]string{}
			for job, with := range test.jobs {
				want[job] = merged(one, with)
			}
			if diff := cmp.Diff(want, jobs); diff != "" {
				t.Errorf("the jobs (-want +got):\n%s", diff)
			}
			lint := exec.CommandContext(t.Context(), pinnedTool(t, "actionlint"), "-shellcheck=", "-no-color", ".github/workflows/delivery.yaml", ".github/workflows/preview.yaml")
			lint.Dir = r.dir
			if out, err := lint.CombinedOutput(); err != nil {
				t.Errorf("actionlint: %v\n%s\n%s", err, out, text)
			}
			if rules, err := policyfile.Parse(".onedigest.yaml", []byte(r.read(".onedigest.yaml"))); err != nil || len(rules.Ladder) != 3 || rules.Ladder[0].Environment != "preview" || !rules.Ladder[0].Beside || rules.Ladder[1].Requires.Smoked != nil || rules.Ladder[2].Requires.Smoked == nil {
				t.Errorf("the rules are %+v, %v", rules, err)
			}
			for _, again := range [][]string{args, nil} {
				for path, state := range r.must(again...) {
					if state != "unchanged" {
						t.Errorf("again, %s is %s", path, state)
					}
				}
			}
		})
	}
}

// TestPromotions: the workflow of promotions by hand is valid, gives pipeline.yaml inputs that it has, and the environments and services of the other one; a second run
// changes nothing, and one that somebody else wrote is left alone.
func TestPromotions(t *testing.T) {
	t.Parallel()
	declared, err := os.ReadFile("../../../.github/workflows/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const file = ".github/workflows/promote.yaml"
	mine := []string{"--repository", "registry.example.com/shop", "--runner", "mine", "--build-runner", "mine", "--pin", pin}
	for name, test := range map[string]struct {
		files map[string]string
		args  []string
		with  map[string]string
		plan  bool // production is planned before its approval
	}{
		"one service":                     {map[string]string{"main.go": goService, "go.mod": goMod}, mine, map[string]string{"to": "production", "checks": "deploy/checks.yaml", "runner": "mine", "build-runner": "mine", "repository": "registry.example.com/shop"}, true},
		"with roles, of which none plans": {map[string]string{"main.go": goService, "go.mod": goMod}, append(slices.Clone(required), "--comment"), map[string]string{"to": "production", "checks": "deploy/checks.yaml", "comment": "true", "region": "eu-central-1", "repository": registry + "/shop"}, false},
		"three environments of two services": {map[string]string{"cart/main.go": goService, "cart/go.mod": goMod, "web/Dockerfile": dockerfile}, append(slices.Clone(mine), "--environments", "test,staging,production"),
			map[string]string{"to": "${{ inputs.to }}", "service": "${{ inputs.service }}", "runner": "mine", "build-runner": "mine", "repository": "registry.example.com/shop"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t, test.files)
			if states := r.must(test.args...); states[file] != "created" {
				t.Fatalf("got %v", states)
			}
			var written struct {
				Concurrency struct{ Group string }
				Jobs        map[string]struct {
					Uses string
					With map[string]string
				}
			}
			text := r.read(file)
			if err := yaml.Unmarshal([]byte(text), &written); err != nil {
				t.Fatal(err)
			}
			got := written.Jobs["pipeline"].With
			for _, input := range []string{"to", "service"} { // promotions of two services, or into two environments, wait for each other's approval in one group
				if chosen := "${{ inputs." + input + " }}"; (got[input] == chosen) != strings.Contains(written.Concurrency.Group, "-"+chosen) {
					t.Errorf("the group is %q, and %s is %q", written.Concurrency.Group, input, got[input])
				}
			}
			for input := range got {
				if !strings.Contains(string(declared), "\n      "+input+":\n") {
					t.Errorf("pipeline.yaml has no input %q", input)
				}
			}
			var environments []struct {
				Name, Values string
				Plan         bool
			}
			if err := json.Unmarshal([]byte(got["environments"]), &environments); err != nil {
				t.Fatal(err)
			}
			if last := environments[len(environments)-1]; environments[0].Plan || last.Plan != test.plan || last.Name != "production" || last.Values == "" {
				t.Errorf("the environments are %+v", environments)
			}
			if _, several := got["service"]; several != (got["services"] != "") {
				t.Errorf("got %v", got)
			}
			want := map[string]string{}
			for _, input := range []string{"commit", "digest", "max-age", "allow-rollback", "allow-diverged", "unpin"} {
				want[input] = "${{ inputs." + input + " }}"
			}
			delete(got, "environments")
			delete(got, "services")
			if diff := cmp.Diff(merged(want, test.with), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			lint := exec.CommandContext(t.Context(), pinnedTool(t, "actionlint"), "-shellcheck=", "-no-color", "-ignore", `unexpected key "queue"`, file)
			lint.Dir = r.dir
			if out, err := lint.CombinedOutput(); err != nil {
				t.Errorf("actionlint: %v\n%s\n%s", err, out, text)
			}
			if states := r.must(); states[file] != "unchanged" {
				t.Errorf("again: %v", states)
			}
			r.write(file, strings.Replace(text, "# written by onedigest init", "# by hand", 1))
			if _, is := r.must()[file]; is {
				t.Error("the workflow that somebody else wrote is one of init's")
			}
		})
	}
	for _, args := range [][]string{{"--no-promotion"}, {"--environments", "production"}} {
		if _, is := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod}).must(append(slices.Clone(mine), args...)...)[file]; is {
			t.Errorf("%v: there is nothing to promote", args)
		}
	}
}

// TestAnotherPromoteWorkflow: a file of the name of the workflow of promotions that init did not write is left alone, whatever it does.
func TestAnotherPromoteWorkflow(t *testing.T) {
	t.Parallel()
	const file, theirs = ".github/workflows/promote.yaml", "name: promote a package\non: {workflow_dispatch: {}}\njobs: {}\n"
	r := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod, file: theirs})
	code, stdout, stderr := r.init(append(slices.Clone(required), "--overwrite")...)
	if code != 0 || r.read(file) != theirs || !strings.Contains(stdout+stderr, file+" was not written by init, so it stays") {
		t.Errorf("exit code %d, %s\n%s%s", code, r.read(file), stdout, stderr)
	}
}

// TestWhatTheDockerfileSays: the port of a program that the go builder builds is the one that its Dockerfile exposes if no source names one, and the common chart's limit
// says how the program may listen elsewhere.
func TestWhatTheDockerfileSays(t *testing.T) {
	t.Parallel()
	silent := map[string]string{"main.go": "package main\n\nfunc main() { serve(\"/healthz\") }\n", "go.mod": goMod, "Dockerfile": "FROM scratch\nEXPOSE 9898\n"}
	r := newRepository(t, silent)
	if r.must(append(slices.Clone(required), "--builder", "go")...); !strings.Contains(r.read("deploy/staging.yaml"), "containerPort: 9898\n") {
		t.Errorf("got %s", r.read("deploy/staging.yaml"))
	}
	silent["Dockerfile"] = "FROM scratch\nEXPOSE 80\n"
	code, _, stderr := newRepository(t, silent).init(append(slices.Clone(required), "--builder", "go")...)
	if code != release.ExitInput || !strings.Contains(stderr, "cannot listen on port 80 (Dockerfile)") || !strings.Contains(stderr, "under config") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// TestPreviewsElsewhere: a workflow of previews that has another name is found again, and a file of rules that is there is named in what is left to do.
func TestPreviewsElsewhere(t *testing.T) {
	t.Parallel()
	r := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod, ".onedigest.yaml": "version: 1\n"})
	_, stdout, _ := r.init(slices.Concat(required, ofPreviews)...)
	for _, want := range []string{"let the role of previews trust", `list the environment "preview" in .onedigest.yaml`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if err := os.Rename(filepath.Join(r.dir, ".github/workflows/preview.yaml"), filepath.Join(r.dir, ".github/workflows/pull-requests.yaml")); err != nil {
		t.Fatal(err)
	}
	if states := r.must(); states[".github/workflows/pull-requests.yaml"] != "unchanged" {
		t.Errorf("got %v", states)
	}
	if states := r.must("--preview-cluster", "other", "--overwrite"); states[".github/workflows/pull-requests.yaml"] != "replaced" {
		t.Errorf("another cluster: %v", states)
	}
}

// TestPolicyAndTerraform: the rules and the variables are read by what reads them in use.
func TestPolicyAndTerraform(t *testing.T) {
	t.Parallel()
	r := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod, ".git/config": "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = git@github.com:octo/shop.git\n"})
	states := r.must("--repository", registry+"/shop", "--pin", pin, "--policy", "--sign-key", "staging=awskms:///alias/staging", "--sign-key", "production=awskms:///alias/production",
		"--terraform", "infra/account.tfvars", "--cluster-admin", "arn:aws:iam::123456789012:role/platform")
	if states[".onedigest.yaml"] != "created" || states["infra/account.tfvars"] != "created" {
		t.Fatalf("got %v", states)
	}
	r.check(15, map[string]want{"": {builder: "go", port: "8081", ready: "/readyz", alive: "/healthz"}})
	rules, err := policyfile.Parse(".onedigest.yaml", []byte(r.read(".onedigest.yaml")))
	if err != nil || len(rules.Ladder) != 2 || rules.Ladder[1].Requires.Smoked == nil || len(rules.Ladder[0].Signers) != 1 {
		t.Errorf("the rules are %+v, %v", rules, err)
	}
	c := r.call()
	if diff := cmp.Diff([]map[string]any{
		{"name": "staging", "cluster": "shop", "role": "arn:aws:iam::123456789012:role/shop-deploy-staging", "values": "deploy/staging.yaml", "sign-key": "awskms:///alias/staging", "verify-key": "policy"},
		{"name": "production", "cluster": "shop", "role": "arn:aws:iam::123456789012:role/shop-deploy-production", "values": "deploy/production.yaml", "sign-key": "awskms:///alias/production"},
	}, c.environments); diff != "" || c.with["role"] != "arn:aws:iam::123456789012:role/shop-build" {
		t.Errorf("the build's role is %s, the environments (-want +got):\n%s", c.with["role"], diff)
	}
	variables := r.read("infra/account.tfvars")
	declared := ""
	paths, err := filepath.Glob("../../../terraform/aws_infra/variables*.tf")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		declared += string(content)
	}
	for _, set := range regexp.MustCompile(`(?m)^([a-z_]+) += `).FindAllStringSubmatch(variables, -1) {
		if !strings.Contains(declared, "variable \""+set[1]+"\"") {
			t.Errorf("terraform/aws_infra has no variable %q", set[1])
		}
	}
	if want := "github_repository   = \"octo/shop\"\n"; !strings.Contains(variables, want) {
		t.Errorf("got no %q in\n%s", want, variables)
	}
	for path, state := range r.must() {
		if state != "unchanged" {
			t.Errorf("again, %s is %s", path, state)
		}
	}
}

// TestAmbiguity: what has two answers, or none, is bad input that names the flag, and nothing is written.
func TestAmbiguity(t *testing.T) {
	t.Parallel()
	shop := map[string]string{"main.go": goService, "go.mod": goMod}
	for name, test := range map[string]struct {
		files map[string]string
		args  []string
		want  []string
	}{
		"no flags":             {shop, nil, []string{"--repository", "--pin", "--cluster", "--cluster"}},
		"GHCR":                 {shop, []string{"--repository", "ghcr.io/octo/shop", "--pin", pin, "--runner", "mine"}, []string{"--repository"}},
		"no role":              {shop, []string{"--repository", registry + "/shop", "--pin", pin, "--cluster", "staging=a", "--cluster", "production=b"}, []string{"--environment-role", "--environment-role", "--role"}},
		"an environment":       {shop, append(slices.Clone(required), "--cluster", "preview=x"), []string{"--cluster"}},
		"nothing":              {map[string]string{"README.md": ""}, required, []string{"--context"}},
		"two builders":         {merged(shop, map[string]string{"Dockerfile": dockerfile}), required, []string{"--builder"}},
		"two main packages":    {map[string]string{"go.mod": goMod, "cmd/a/main.go": goService, "cmd/b/main.go": goService}, required, []string{"--main"}},
		"one in another":       {merged(shop, map[string]string{"worker/Dockerfile": dockerfile}), required, []string{"--service"}},
		"two charts":           {merged(shop, helmCreate(t, "a", "."), helmCreate(t, "b", ".")), required, []string{"--chart"}},
		"no chart":             {shop, append(slices.Clone(required), "--chart", "charts/none"), []string{"--chart"}},
		"two ports":            {map[string]string{"Dockerfile": "FROM scratch\nEXPOSE 8080 9090\nHEALTHCHECK CMD curl http://localhost/ready\n"}, required, []string{"--port"}},
		"no port and no probe": {map[string]string{"Dockerfile": "FROM scratch\n"}, required, []string{"--port", "--probe"}},
		"a port of root":       {map[string]string{"Dockerfile": "FROM nginx\nEXPOSE 80\n"}, append(slices.Clone(required), "--probe", "/"), []string{"--port"}},
		"two probes":           {map[string]string{"Dockerfile": "FROM scratch\nEXPOSE 8080\n", "a.js": "get('/a/health')\nget('/b/health')\n"}, required, []string{"--probe"}},
		"another's service":    {shop, append(slices.Clone(required), "--port", "cart=80"), []string{"--port"}},
		"a name for workflows": {map[string]string{"${{ x }}/Dockerfile": dockerfile}, required, []string{"--context"}},
		"Terraform":            {shop, append(slices.Clone(required), "--terraform", "a.tf"), []string{"--cluster-admin", "--github-repository", "--terraform", "--cluster", "--environment-role", "--environment-role"}},
		"some keys":            {shop, append(slices.Clone(required), "--sign-key", "staging=awskms:///alias/a"), []string{"--sign-key"}},
		"a key in a file":      {shop, append(slices.Clone(required), "--sign-key", "staging=a.pem"), []string{"--sign-key"}},
		"a path outside":       {shop, append(slices.Clone(required), "--terraform", "../a.tfvars"), []string{"--terraform"}},
		"four environments":    {shop, append(slices.Clone(required), "--environments", "a,b,staging,production"), []string{"--environments"}},
		"the build's name":     {shop, append(slices.Clone(required), "--environments", "build,production"), []string{"--environments"}},
		"previews":             {shop, append(slices.Clone(required), "--previews"), []string{"--preview-cluster", "--preview-repository"}},
		"previews of a role":   {shop, append(slices.Clone(required), "--preview-role", "arn:aws:iam::123456789012:role/p", "--preview-cluster", "p"), []string{"--preview-repository"}},
		"previews promoted":    {shop, slices.Concat(required, ofPreviews, []string{"--preview-repository", registry + "/shop"}), []string{"--preview-repository"}},
		"previews on GHCR":     {shop, slices.Concat(required, ofPreviews, []string{"--preview-repository", "ghcr.io/octo/shop-preview"}), []string{"--preview-repository"}},
		"a deploy's role":      {shop, slices.Concat(required, ofPreviews, []string{"--preview-role", "arn:aws:iam::123456789012:role/shop-staging"}), []string{"--preview-role"}},
		"the previews' name":   {shop, slices.Concat(required, ofPreviews, []string{"--environments", "preview,staging,production", "--cluster", "preview=x", "--environment-role", "preview=arn:aws:iam::123456789012:role/x"}), []string{"--environments"}},
		"two answers":          {shop, append(slices.Clone(required), "--service", "a=.", "--context", "."), []string{"--context"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t, test.files)
			code, _, stderr := r.init(test.args...)
			var flags []string
			for _, match := range regexp.MustCompile(`(?m)^init: bad input: (--[a-z-]+)`).FindAllStringSubmatch(stderr, -1) {
				flags = append(flags, match[1])
			}
			slices.Sort(flags)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, flags); diff != "" || code != release.ExitInput {
				t.Errorf("exit code %d, flags (-want +got):\n%s%s", code, diff, stderr)
			}
			if _, err := os.Stat(filepath.Join(r.dir, ".github")); err == nil {
				t.Error("something was written")
			}
		})
	}
}

// TestCommandsOfTheChartAreSaid: an image of the Go builder has one program, and a chart may run others.
func TestCommandsOfTheChartAreSaid(t *testing.T) {
	t.Parallel()
	files := merged(helmCreate(t, "shop", "chart"), map[string]string{"main.go": goService, "go.mod": goMod, "Dockerfile": dockerfile})
	deployment := "chart/shop/templates/deployment.yaml"
	files[deployment] = strings.Replace(files[deployment], "          ports:\n", "          command:\n            - ./shop\n            - --port=1\n          startupProbe:\n            exec:\n              command: [\"shopcli\", check]\n          ports:\n", 1)
	if !strings.Contains(files[deployment], "shopcli") {
		t.Fatal(files[deployment])
	}
	for builder, want := range map[string]string{"go": `warning: the templates of "chart/shop" run "./shop", "shopcli", and an image of the Go builder has one program`, "docker": ""} {
		code, stdout, stderr := newRepository(t, files).init(append(slices.Clone(required), "--builder", builder)...)
		if said := stdout + stderr; code != 0 || !strings.Contains(said, want) || want == "" && strings.Contains(said, "shopcli") {
			t.Errorf("%s: exit code %d, want %q in\n%s", builder, code, want, said)
		}
	}
}

// TestThePortsOfDockerfilesThatAreNotBuilt: of several, none says where the program listens; init names their ports.
func TestThePortsOfDockerfilesThatAreNotBuilt(t *testing.T) {
	t.Parallel()
	r := newRepository(t, map[string]string{"main.go": "package main\n\nfunc main() {}\n", "go.mod": goMod, "Dockerfile": "FROM scratch\nEXPOSE 80\n", "Containerfile": "FROM scratch\nEXPOSE 8080\n"})
	code, _, stderr := r.init(append(slices.Clone(required), "--builder", "go", "--probe", "/")...)
	if code != release.ExitInput || !strings.Contains(stderr, "no Go source listens on one, and Containerfile, which is not built, exposes 8080, and Dockerfile, which is not built, exposes 80") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}

// TestDifferences: a file that differs is shown and kept, unless it may be replaced; what somebody wrote into values is not shown.
func TestDifferences(t *testing.T) {
	t.Parallel()
	r := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod})
	r.must(required...)
	r.write("deploy/staging.yaml", "secret:\n  PASSWORD: hunter2-hunter2\n- hunter2-in-a-list\n")
	code, stdout, stderr := r.init(required...)
	if code != 0 || !strings.Contains(stdout, "kept: deploy/staging.yaml") || !strings.Contains(stdout, "+containerPort: 8081") || !strings.Contains(stdout, "PASSWORD: …") || strings.Contains(stdout+stderr, "hunter2") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if got := r.read("deploy/staging.yaml"); !strings.HasPrefix(got, "secret:") {
		t.Errorf("the file was replaced:\n%s", got)
	}
	// The release that is called changes, and what somebody has completed stays.
	other := slices.Clone(required)
	other[slices.Index(other, pin)] = strings.Repeat("b", 40)
	if code, _, stderr := r.init(other...); code != release.ExitFailed || !strings.Contains(stderr, `".github/workflows/delivery.yaml"`) || strings.Contains(stderr, "staging.yaml\"") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if states := r.must(append(slices.Clone(other), "--overwrite")...); states["deploy/staging.yaml"] != "kept" || states[".github/workflows/delivery.yaml"] != "replaced" || !strings.HasPrefix(r.read("deploy/staging.yaml"), "secret:") {
		t.Errorf("got %v", states)
	}
	if states := r.must(append(slices.Clone(other), "--overwrite-own")...); states["deploy/staging.yaml"] != "replaced" || states["deploy/production.yaml"] != "unchanged" {
		t.Errorf("got %v", states)
	}
	r.write("elsewhere/x", "")
	if err := errors.Join(os.RemoveAll(filepath.Join(r.dir, "deploy")), os.Symlink(r.t.TempDir(), filepath.Join(r.dir, "deploy"))); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := r.init(required...); code == 0 {
		t.Errorf("wrote through a link that leads out of the repository:\n%s%s", stdout, stderr)
	}
}

// TestALinkIsNotFollowed: a link with the name of the file that is written before it is renamed leads to another file, which stays as it is.
func TestALinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{"to a file": "main.go", "to nothing": "new.go"} {
		r := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod, "deploy/x": ""})
		if err := os.Symlink("../"+target, filepath.Join(r.dir, "deploy/staging.yaml.onedigest-new")); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := r.init(required...); code != release.ExitInput || !strings.Contains(stderr, "deploy/staging.yaml.onedigest-new") {
			t.Errorf("%s: exit code %d\n%s", name, code, stderr)
		}
		if _, err := os.Stat(filepath.Join(r.dir, "new.go")); err == nil || r.read("main.go") != goService {
			t.Errorf("%s: wrote through it", name)
		}
	}
}

// TestPathsThatMeet: names that make one path of two files are bad input, and nothing is written.
func TestPathsThatMeet(t *testing.T) {
	t.Parallel()
	one := map[string]string{"main.go": goService, "go.mod": goMod}
	two := map[string]string{"shop/main.go": goService, "shop/go.mod": goMod, "shop-eu/main.go": goService, "shop-eu/go.mod": goMod}
	base := []string{"--repository", "registry.example.com/shop", "--runner", "mine", "--build-runner", "mine", "--pin", pin}
	for name, test := range map[string]struct {
		files map[string]string
		args  []string
		want  string
	}{
		"services and environments":     {two, []string{"--environments", "staging,eu-staging"}, "deploy/shop-eu-staging.yaml"},
		"an environment and the checks": {one, []string{"--environments", "checks,production"}, "deploy/checks.yaml"},
	} {
		r := newRepository(t, test.files)
		code, _, stderr := r.init(append(slices.Clone(base), test.args...)...)
		if code != release.ExitInput || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit code %d\n%s", name, code, stderr)
		}
		if _, err := os.Stat(filepath.Join(r.dir, "deploy")); err == nil {
			t.Errorf("%s: wrote into it", name)
		}
	}
}

// TestQuestions: on a terminal, what is missing is asked for, one after another.
func TestQuestions(t *testing.T) {
	t.Parallel()
	r := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod, "Dockerfile": dockerfile})
	answers := map[string][]string{"--pin": {pin}, "--repository": {"registry.example.com/shop"}, "--builder": {"go"}, "--cluster": {"staging=a", "production=b"},
		"--environment-role": {"staging=arn:aws:iam::123456789012:role/a", "production=arn:aws:iam::123456789012:role/b"}, "--region": {"eu-central-1"},
		"--preview-repository": {"registry.example.com/shop-preview"}, "--preview-cluster": {"p"}, "--preview-role": {"arn:aws:iam::123456789012:role/p"}}
	r.ask = func(question string) (string, error) {
		left := answers[question]
		if len(left) == 0 {
			return "", errors.New("no answer to " + question)
		}
		answers[question] = left[1:]
		return left[0], nil
	}
	r.must()
	r.check(15, map[string]want{"": {builder: "go", port: "8081", ready: "/readyz", alive: "/healthz"}})
	if states := r.must("--previews"); states[".github/workflows/preview.yaml"] != "created" || states[".github/workflows/delivery.yaml"] != "unchanged" {
		t.Errorf("with previews: %v", states)
	}
	r.write(".github/workflows/promote.yaml", "name: x # written by onedigest init\n")
	answers[`replace ".github/workflows/promote.yaml"? yes or no`] = []string{"no", "yes"}
	if code, _, stderr := r.init(); code != release.ExitFailed {
		t.Errorf("exit code %d after no:\n%s", code, stderr)
	}
	if states := r.must(); states[".github/workflows/promote.yaml"] != "replaced" {
		t.Errorf("after yes: %v", states)
	}
	answers["--service"] = nil
	r = newRepository(t, nil)
	r.ask = func(string) (string, error) { return "", errors.New("closed") }
	if code, _, stderr := r.init(); code != release.ExitInput && code != release.ExitFault || !strings.Contains(stderr, "closed") {
		t.Errorf("exit code %d without answers:\n%s", code, stderr)
	}
}

// TestThePortOfTheChartIsSaid: init says that a chart's port is another one than the sources say, and whether the values change it.
func TestThePortOfTheChartIsSaid(t *testing.T) {
	t.Parallel()
	files := merged(helmCreate(t, "shop", "chart"), map[string]string{"main.go": goService, "go.mod": goMod})
	literal := maps.Clone(files)
	deployment := "chart/shop/templates/deployment.yaml"
	literal[deployment] = strings.ReplaceAll(files[deployment], "{{ .Values.service.port }}", "80")
	same := maps.Clone(literal)
	same[deployment] = strings.ReplaceAll(files[deployment], "{{ .Values.service.port }}", "8081")
	for name, test := range map[string]struct {
		files map[string]string
		want  string // "": nothing
	}{
		"of its values":    {files, `note: "chart/shop" has port 80; service.port sets it to 8081 in the values of each environment; --port decides otherwise`},
		"of its template":  {literal, `warning: "chart/shop" has containerPort 80, and no value sets it: let the program listen there, or change the chart to 8081`},
		"the service's":    {same, ""},
		"the common chart": {map[string]string{"main.go": goService, "go.mod": goMod}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := newRepository(t, test.files).init(required...)
			if said := stdout + stderr; code != 0 || !strings.Contains(said, test.want) || test.want == "" && (strings.Contains(said, "note: ") || strings.Contains(said, "containerPort")) {
				t.Errorf("exit code %d, want %q in\n%s", code, test.want, said)
			}
		})
	}
}
