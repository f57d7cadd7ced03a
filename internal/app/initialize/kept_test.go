package initialize_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestWhatTheWorkflowSaysOfAnEnvironmentIsKept: fields of an environment, inputs and secrets that somebody added to the workflow stay in it, and are in the
// workflow of promotions too.
func TestWhatTheWorkflowSaysOfAnEnvironmentIsKept(t *testing.T) {
	t.Parallel()
	r := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod, "k8s/live.yaml": "{}\n"})
	r.must(append(slices.Clone(required), "--sign-key", "staging=awskms:///alias/s", "--sign-key", "production=awskms:///alias/p")...)
	const delivery, promotion = ".github/workflows/delivery.yaml", ".github/workflows/promote.yaml"
	text := r.read(delivery)
	text = strings.Replace(text, `"name": "staging", `, `"name": "staging", "region": "eu-west-1", "namespace": "shop-s", `, 1)
	text = strings.Replace(text, `"values": "deploy/production.yaml", `, `"values": "k8s/live.yaml", "namespace": "shop-p", "plan": true, "plan-role": "arn:aws:iam::123456789012:role/plan", `, 1)
	text = strings.Replace(text, "    with:\n", "    with:\n      github-deployment: true\n      audience: client&id\n      platforms: linux/amd64,linux/arm64\n      values: |\n        deploy/common.yaml\n        deploy/more.yaml\n", 1)
	r.write(delivery, text+"    secrets: {config-token: '${{ secrets.CONFIG }}'}\n")
	if err := os.Remove(filepath.Join(r.dir, "deploy/production.yaml")); err != nil {
		t.Fatal(err)
	}
	if states := r.must("--overwrite"); states["deploy/production.yaml"] != "" || states[delivery] != "replaced" {
		t.Errorf("got %v", states)
	}
	want := map[string]string{"github-deployment": "true", "audience": "client&id", "values": "deploy/common.yaml\ndeploy/more.yaml\n"}
	for _, file := range []string{delivery, promotion} {
		var written struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				With, Secrets map[string]string
			}
		}
		if err := yaml.Unmarshal([]byte(r.read(file)), &written); err != nil {
			t.Fatal(err)
		}
		job := written.Jobs["pipeline"]
		for name, value := range want {
			if job.With[name] != value {
				t.Errorf("%s: %s is %q, want %q", file, name, job.With[name], value)
			}
		}
		if (job.With["platforms"] != "") != (file == delivery) || job.Secrets["config-token"] != "${{ secrets.CONFIG }}" || written.Permissions["deployments"] != "write" {
			t.Errorf("%s: %v", file, written)
		}
		var environments []map[string]any
		if err := json.Unmarshal([]byte(job.With["environments"]), &environments); err != nil {
			t.Fatal(err)
		}
		if environments[0]["region"] != "eu-west-1" || environments[0]["namespace"] != "shop-s" || environments[1]["namespace"] != "shop-p" || environments[1]["values"] != "k8s/live.yaml" ||
			environments[1]["plan"] != true || environments[1]["plan-role"] != "arn:aws:iam::123456789012:role/plan" {
			t.Errorf("%s: the environments are %v", file, environments)
		}
	}
	for file, state := range r.must() {
		if state != "unchanged" {
			t.Errorf("again: %s is %s", file, state)
		}
	}
}

// TestAnEnvironmentOfArgoCDIsKept: it needs no cluster, and no promotion plans it.
func TestAnEnvironmentOfArgoCDIsKept(t *testing.T) {
	t.Parallel()
	r := newRepository(t, map[string]string{"main.go": goService, "go.mod": goMod})
	r.write(".github/workflows/delivery.yaml", "on: {push: {branches: [main]}}\njobs:\n  pipeline:\n    uses: onedigest/onedigest/.github/workflows/pipeline.yaml@"+pin+"\n    with:\n      repository: registry.example.com/shop\n"+
		`      environments: '[{"name": "staging", "via": "argo-cd", "application": "shop-s", "config-repository": "https://x/y", "config-branch": "b", "config-file": "f", "config-key": "k", "config-pull-request": true}, {"name": "production", "via": "argo-cd"}]'`+"\n")
	before := r.call().environments
	r.must("--overwrite")
	for i, got := range r.call().environments {
		if diff := cmp.Diff(before[i], got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if text := r.read(".github/workflows/promote.yaml"); strings.Contains(text, `"plan"`) || !strings.Contains(text, `"config-pull-request": true`) {
		t.Errorf("got %s", text)
	}
}

// TestAVariableSetsThePort: a program whose port of the Dockerfile the common chart cannot give it listens on another one by its own variable, and nobody is asked.
func TestAVariableSetsThePort(t *testing.T) {
	t.Parallel()
	const program = "package main\n\nfunc main() { listen(getEnv(\"SHOP_PORT_NUMBER\", \"80\"), getEnv(\"DB_PORT\", \"5432\")) }\n"
	args := append(slices.Clone(required), "--builder", "go", "--probe", "/ready")
	r := newRepository(t, map[string]string{"main.go": program, "go.mod": goMod, "Dockerfile": "FROM scratch\nEXPOSE 80\n"})
	r.must(args...)
	if text := r.read("deploy/staging.yaml"); !strings.Contains(text, "containerPort: 8080\nconfig: {SHOP_PORT_NUMBER: \"8080\"}\n") {
		t.Errorf("got %s", text)
	}
	for file, state := range r.must() {
		if state != "unchanged" {
			t.Errorf("again: %s is %s", file, state)
		}
	}
	for name, expose := range map[string]string{"a port that no variable has": "EXPOSE 81\n", "of two variables": "EXPOSE 80 5432\n"} {
		r := newRepository(t, map[string]string{"main.go": program, "go.mod": goMod, "Dockerfile": "FROM scratch\n" + expose})
		if code, _, stderr := r.init(args...); code != 2 || !strings.Contains(stderr, "--port") {
			t.Errorf("%s: exit code %d:\n%s", name, code, stderr)
		}
	}
}
