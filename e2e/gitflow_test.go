package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/awsx"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// standIns are verbs that write down what they were given, so that the workflows' wiring can be seen without a cluster.
// The commit that build and promote name for the image is not the one of the run, as if the run changed nothing that enters the image, and
// the one whose chart is promoted is a third: who passes the wrong one on is found out. deploy notes a value of the
// file that it is given, which differs from commit to commit.
const standIns = `#!/bin/bash
verb=${1:-${0##*/}}
n=$(ls "$RECORD" | wc -l)
file=$RECORD/$(printf %02d "$n").$$-$verb # jobs may run at once
env -0 | grep -z '^INPUT_' >"$file"
if [[ -n $INPUT_VALUES ]]; then printf 'INPUT_REHEARSED=%s\0' "$(sed -n 's/^ *REHEARSED: //p' "$INPUT_VALUES")" >>"$file"; fi
echo "$verb was here"
[[ $verb-$INPUT_ENVIRONMENT != "$FAIL" ]] || { echo "$verb: failed: on purpose" >&2; exit 1; }
case $verb in
  build) echo "digest=$BUILT"; echo "commit=$OF" ;;
  promote) echo "digest=$BUILT"; echo "commit=$OF"; echo "source=$PROMOTED" ;;
  deploy)
    if [[ $INPUT_DRY_RUN == true ]]; then echo planned >"$INPUT_PLAN_OUT"; echo "plan-digest=$PLANNED"; exec >/dev/null; fi
    echo "url=http://127.0.0.1:1/$INPUT_ENVIRONMENT"
    if [[ $INPUT_ENVIRONMENT == "$SUPERSEDED" ]]; then echo "outcome=superseded"; elif [[ $INPUT_CONFIG_PULL_REQUEST == true ]]; then echo "outcome=proposed"; else echo "outcome=changed"; fi ;; # and no digest, as if no pod proved one
esac >>"$GITHUB_OUTPUT"
`

var builtDigest, plannedDigest = "sha256:" + strings.Repeat("7", 64), "sha256:" + strings.Repeat("8", 64)

// rehearsal runs workflows on stand-ins.
type rehearsal struct {
	checkout
	flow     *flow
	bin      string
	built    string // the commit of the image, older than the one of the run
	promoted string // the commit that is promoted, older too
}

func newRehearsal(t *testing.T) rehearsal {
	t.Helper()
	r := rehearsal{flow: newFlow(t), bin: t.TempDir()}
	r.checkout = r.flow.checkout
	r.built = r.commit("what enters the image")
	for _, environment := range []string{"staging", "production"} {
		values := "terraform/" + environment + "/values-" + environment + ".yaml"
		r.edit(values, "config:\n", "config:\n  REHEARSED: promoted\n")
		r.promoted = r.commit("one value")
		r.edit(values, "  REHEARSED: promoted\n", "  REHEARSED: newest\n")
		r.commit("another value")
	}
	for _, verb := range []string{"build", "deploy", "smoke", "promote", "preview"} {
		if err := os.WriteFile(filepath.Join(r.bin, verb), []byte(standIns), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// run gives the verbs that ran, in order, with the inputs named in watched.
func (r rehearsal) run(t *testing.T, event, workflow string, args ...string) (verbs []map[string]string, log string, err error) {
	t.Helper()
	record := t.TempDir()
	log, err = r.flow.run(t, event, workflow, append([]string{
		"--var", "ECR_REPOSITORY=registry.example.com/team/shop", "--var", "EVIDENCE_KEY_STAGING=" + stagingKey, "--var", "EVIDENCE_KEY_PRODUCTION=" + productionKey,
		"--env", "ONEDIGEST_BIN=" + r.bin, "--env", "RECORD=" + record,
		"--env", "BUILT=" + builtDigest, "--env", "PLANNED=" + plannedDigest, "--env", "PROMOTED=" + r.promoted, "--env", "OF=" + r.built,
	}, args...)...)
	return recorded(t, record), log, err
}

// recorded reads what the stand-ins wrote down, in order.
func recorded(t *testing.T, record string) (verbs []map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(record)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(record, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		_, verb, _ := strings.Cut(entry.Name(), "-")
		verbs = append(verbs, inputsOf(verb, content))
	}
	return verbs
}

// watched are the inputs by which the promise is kept or broken; the others may change without harm.
var watched = []string{"repository", "context", "commit", "environment", "image", "chart", "values", "rehearsed", "release", "expect-commit", "from", "to", "heal", "cluster",
	"rollback-failed-smoke", "builder", "proved-in", "sign-key", "verify-key", "dry-run", "plan", "plan-out", "plan-digest",
	"via", "application", "config-repository", "config-branch", "config-file", "config-key", "config-pull-request", "config-token", "smoke-checks", "checks", "comment", "github-deployment", "artifact-record", "mode", "pull-request", "set", "ttl"}

func inputsOf(verb string, environ []byte) map[string]string {
	inputs := map[string]string{"verb": verb}
	for pair := range bytes.SplitSeq(environ, []byte{0}) {
		name, value, _ := strings.Cut(string(pair), "=")
		name = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "INPUT_"), "_", "-"))
		if value != "" && value != "false" && value != "charts/service" && value != "helm" && slices.Contains(watched, name) { // the defaults
			inputs[name] = value
		}
	}
	return inputs
}

const (
	rehearsed     = "registry.example.com/team/shop"
	stagingKey    = "awskms:///alias/staging"
	productionKey = "awskms:///alias/production"
)

// production is what both workflows do behind the production environment, after promote: they deploy the chart and the values of a commit,
// which may be a later one than the image's.
func (r rehearsal) production(commit string, more map[string]string) []map[string]string {
	image := rehearsed + "@" + builtDigest
	deploy := map[string]string{"verb": "deploy", "environment": "production", "image": image, "commit": commit, "release": "shop", "proved-in": "staging", "verify-key": stagingKey}
	if more["dry-run"] == "" {
		deploy["sign-key"] = productionKey
	}
	maps.Copy(deploy, more)
	checks := "app/smoke.yaml"
	if strings.HasPrefix(more["values"], "promoted/") { // the checks are the promoted commit's, as the chart and the values are
		checks = "promoted/" + checks
	}
	return []map[string]string{deploy, {"verb": "smoke", "environment": "production", "image": image, "checks": checks, "expect-commit": r.built, "release": "shop", "sign-key": productionKey}}
}

func (r rehearsal) staging(commit string) []map[string]string {
	image := rehearsed + "@" + builtDigest
	return []map[string]string{
		{"verb": "build", "repository": rehearsed, "context": "app", "builder": "go", "commit": commit},
		{"verb": "deploy", "environment": "staging", "image": image, "commit": commit, "release": "shop", "values": "terraform/staging/values-staging.yaml", "sign-key": stagingKey, "rehearsed": "newest"},
		{"verb": "smoke", "environment": "staging", "image": image, "checks": "app/smoke.yaml", "release": "shop", "sign-key": stagingKey},
	}
}

// TestDeploymentWorkflow holds what deployment.yaml hands to which verb, and where it stops.
func TestDeploymentWorkflow(t *testing.T) {
	beside(t)
	r := newRehearsal(t)
	commit := r.git("rev-parse", "HEAD")
	promote := map[string]string{"verb": "promote", "image": rehearsed + "@" + builtDigest, "from": "staging", "to": "production", "verify-key": stagingKey, "sign-key": productionKey}
	heal := map[string]string{"verb": "deploy", "environment": "staging", "image": rehearsed + "@" + builtDigest, "release": "shop", "heal": "true"}
	goBack := func(environment string) map[string]string {
		key := map[string]string{"staging": stagingKey, "production": productionKey}[environment]
		return map[string]string{"verb": "deploy", "sign-key": key, "environment": environment, "image": rehearsed + "@" + builtDigest, "release": "shop", "rollback-failed-smoke": "true"}
	}
	ofTheRun := map[string]string{"values": "terraform/production/values-production.yaml", "rehearsed": "newest"}
	whole := slices.Concat(r.staging(commit), []map[string]string{promote}, r.production(commit, ofTheRun))
	for _, test := range []struct {
		name, fail, superseded string
		want                   []map[string]string
	}{
		{"everything passes", "", "", whole},
		{"staging does not become ready", "deploy-staging", "", append(whole[:2:2], heal)},
		{"staging is not right", "smoke-staging", "", append(whole[:3:3], goBack("staging"))},
		{"production is not right", "smoke-production", "", append(whole[:6:6], goBack("production"))},
		{"staging runs a newer commit", "", "staging", whole[:2]},
		{"production runs a newer commit", "", "production", whole[:5]},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, log, err := r.run(t, "push", "deployment.yaml", "--env", "FAIL="+test.fail, "--env", "SUPERSEDED="+test.superseded)
			if (err != nil) != (test.fail != "") {
				t.Errorf("the run ended with %v:\n%s", err, log)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the verbs were run otherwise (-want +got):\n%s\n%s", diff, log)
			}
		})
	}
}

// gitOpsWorkflow calls pipeline.yaml with all that concerns GitHub's pages and Argo CD.
const gitOpsWorkflow = `name: gitops
on: {push: {branches: [main]}}
permissions: {contents: read, id-token: write, pull-requests: write, deployments: write} # and artifact-metadata, which act does not know
jobs:
  pipeline:
    uses: ./.github/workflows/pipeline.yaml
    secrets:
      config-token: ${{ secrets.CONFIG_TOKEN }}
    with:
      repository: registry.example.com/team/shop
      context: app
      builder: go
      chart: charts/in-the-repository
      comment: true
      github-deployment: true
      artifact-record: true
      environments: |
        [{"name": "staging", "values": "terraform/staging/values-staging.yaml"},
         {"name": "production", "values": "shop/production.yaml", "via": "argo-cd", "application": "gitops/shop", "config-repository": "https://git.example.com/config.git",
          "config-branch": "live", "config-file": "shop/digests.yaml", "config-key": "image.digest", "checks": "app/smoke.yaml"}]
`

// TestGitOpsWorkflow holds what pipeline.yaml hands to a deploy that Argo CD applies: chart and values as paths of the configuration repository, the token to that
// environment alone, the checks to the deploy, and no step that only Helm has.
func TestGitOpsWorkflow(t *testing.T) {
	beside(t)
	r := newRehearsal(t)
	r.write(".github/workflows/gitops.yaml", gitOpsWorkflow)
	commit := r.commit("call pipeline.yaml")
	image := rehearsed + "@" + builtDigest
	shown := map[string]string{"comment": "true", "github-deployment": "true", "artifact-record": "true", "chart": "charts/in-the-repository"}
	staging := r.staging(commit)
	maps.Copy(staging[1], shown)
	for _, each := range staging {
		delete(each, "release")
		delete(each, "sign-key")
		delete(each, "checks")
	}
	deploy := map[string]string{"verb": "deploy", "environment": "production", "image": image, "commit": commit, "proved-in": "staging", "values": "shop/production.yaml", "via": "argo-cd", "application": "gitops/shop",
		"config-repository": "https://git.example.com/config.git", "config-branch": "live", "config-file": "shop/digests.yaml", "config-key": "image.digest", "config-token": "canary-token", "smoke-checks": "app/smoke.yaml"}
	maps.Copy(deploy, shown)
	promote := map[string]string{"verb": "promote", "image": image, "from": "staging", "to": "production"}
	smoke := map[string]string{"verb": "smoke", "environment": "production", "image": image, "checks": "app/smoke.yaml", "expect-commit": r.built}
	for _, test := range []struct {
		name, fail string
		want       []map[string]string
	}{
		{"everything passes", "", append(staging[:3:3], promote, deploy, smoke)},
		{"the deploy fails", "deploy-production", append(staging[:3:3], promote, deploy)},
		{"smoke fails", "smoke-production", append(staging[:3:3], promote, deploy, smoke)},
		{"smoke of staging fails", "smoke-staging", append(staging[:3:3], map[string]string{"verb": "deploy", "environment": "staging", "image": image, "rollback-failed-smoke": "true", "github-deployment": "true", "artifact-record": "true"})},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, log, err := r.run(t, "push", "gitops.yaml", "--secret", "CONFIG_TOKEN=canary-token", "--env", "FAIL="+test.fail)
			if (err != nil) != (test.fail != "") {
				t.Errorf("the run ended with %v:\n%s", err, log)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the verbs were run otherwise (-want +got):\n%s\n%s", diff, log)
			}
		})
	}
}

// TestProposingWorkflow: an environment with config-pull-request ends with its proposal, which is not smoked, and the one behind it does not begin.
func TestProposingWorkflow(t *testing.T) {
	r := newRehearsal(t)
	r.write(".github/workflows/proposing.yaml", `name: proposing
on: {push: {branches: [main]}}
permissions: {contents: read, id-token: write}
jobs:
  pipeline:
    uses: ./.github/workflows/pipeline.yaml
    with:
      repository: registry.example.com/team/shop
      context: app
      builder: go
      environments: |
        [{"name": "staging", "values": "shop/staging.yaml", "via": "argo-cd", "config-repository": "https://git.example.com/config.git", "config-pull-request": true},
         {"name": "production", "values": "shop/production.yaml", "via": "argo-cd", "config-repository": "https://git.example.com/config.git"}]
`)
	commit := r.commit("call pipeline.yaml")
	want := []map[string]string{r.staging(commit)[0], {"verb": "deploy", "environment": "staging", "image": rehearsed + "@" + builtDigest, "commit": commit, "values": "shop/staging.yaml", "via": "argo-cd",
		"config-repository": "https://git.example.com/config.git", "config-pull-request": "true", "smoke-checks": "default"}}
	got, log, err := r.run(t, "push", "proposing.yaml")
	if err != nil {
		t.Errorf("the run ended with %v:\n%s", err, log)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the verbs were run otherwise (-want +got):\n%s\n%s", diff, log)
	}
}

// previewWorkflow calls preview.yaml as docs/previews.md shows it.
const previewWorkflow = `name: preview
on: {pull_request: {types: [opened, synchronize, reopened, closed]}, schedule: [{cron: '17 * * * *'}], workflow_dispatch: {}}
permissions: {}
jobs:
  preview:
    permissions: {contents: read, id-token: write, pull-requests: write, deployments: write}
    uses: ./.github/workflows/preview.yaml
    with:
      repository: registry.example.com/team/shop
      context: app
      builder: go
      release: shop
      values: terraform/staging/values-staging.yaml
      set: ingress.host=pr-${{ github.event.number }}.example.com
`

// TestPreviewWorkflow: a pull request opens and closes its preview, one of a fork runs nothing, and a schedule sweeps.
func TestPreviewWorkflow(t *testing.T) {
	beside(t)
	r := newRehearsal(t)
	r.write(".github/workflows/previews.yaml", previewWorkflow)
	_, read := readWorkflow(t, "../.github/workflows/preview.yaml")
	const head = "${{ github.event.pull_request.head.sha }}"
	for _, job := range []string{"build", "open"} {
		if got := read.Jobs[job].Steps[0].With["ref"]; got != head {
			t.Errorf("job %q checks %q out, want %s", job, got, head)
		}
	}
	r.edit(".github/workflows/preview.yaml", "          ref: "+head+"\n", "") // act copies the work tree for a checkout without ref alone
	commit := r.commit("call preview.yaml")
	event := func(action, from string) string {
		file := filepath.Join(t.TempDir(), "event.json")
		payload := fmt.Sprintf(`{"action": %q, "number": 17, "repository": {"full_name": "octo/shop"}, "pull_request": {"number": 17, "head": {"sha": %q, "repo": {"full_name": %q}}}}`, action, commit, from)
		if err := os.WriteFile(file, []byte(payload), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	opened := []map[string]string{
		{"verb": "build", "repository": rehearsed, "context": "app", "builder": "go", "commit": commit},
		{"verb": "preview", "mode": "open", "pull-request": "17", "release": "shop", "ttl": "72h", "image": rehearsed + "@" + builtDigest, "commit": commit, "values": "terraform/staging/values-staging.yaml",
			"rehearsed": "newest", "set": "ingress.host=pr-17.example.com", "smoke-checks": "default", "comment": "true", "github-deployment": "true", "environment": "preview"},
	}
	closed := []map[string]string{{"verb": "preview", "mode": "close", "pull-request": "17", "release": "shop", "ttl": "72h", "comment": "true", "github-deployment": "true", "environment": "preview"}}
	swept := []map[string]string{{"verb": "preview", "mode": "sweep", "ttl": "72h", "comment": "true", "github-deployment": "true", "environment": "preview"}}
	for _, test := range []struct {
		name, on, event string
		want            []map[string]string
	}{
		{"opened", "pull_request", event("opened", "octo/shop"), opened},
		{"a further commit", "pull_request", event("synchronize", "octo/shop"), opened},
		{"closed", "pull_request", event("closed", "octo/shop"), closed},
		{"of a fork", "pull_request", event("opened", "mallory/shop"), nil},
		{"of a fork, closed", "pull_request", event("closed", "mallory/shop"), nil},
		{"the schedule", "schedule", "", swept},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"--env", "GITHUB_REPOSITORY=octo/shop"}
			if test.event != "" {
				args = append(args, "--eventpath", test.event)
			}
			got, log, err := r.run(t, test.on, "previews.yaml", args...)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the verbs were run otherwise (-want +got):\n%s\n%s", diff, log)
			}
		})
	}
}

// TestPromoteWorkflow holds what promote.yaml makes of its inputs; promote itself judges them. The chart and the values are those of the
// promoted commit.
func TestPromoteWorkflow(t *testing.T) {
	beside(t)
	r := newRehearsal(t)
	ofThePromoted := map[string]string{"chart": "promoted/charts/service", "values": "promoted/terraform/production/values-production.yaml", "rehearsed": "promoted"}
	executed := map[string]string{"plan": "plan.json", "plan-digest": plannedDigest}
	maps.Copy(executed, ofThePromoted)
	canary := filepath.Join(t.TempDir(), "canary")
	for _, test := range []struct {
		name   string
		inputs []string
		want   map[string]string
	}{
		{"a digest", []string{"digest=" + builtDigest}, map[string]string{"image": rehearsed + "@" + builtDigest}},
		{"a commit", []string{"commit=" + r.promoted}, map[string]string{"repository": rehearsed, "commit": r.promoted}},
		{"a short commit", []string{"commit=" + r.promoted[:8]}, map[string]string{"repository": rehearsed, "commit": r.promoted[:8]}},
		{"both, for promote to refuse", []string{"digest=" + builtDigest, "commit=" + r.promoted},
			map[string]string{"image": rehearsed + "@" + builtDigest, "commit": r.promoted}},
		{"neither, for promote to refuse", nil, map[string]string{"repository": rehearsed}},
		{"a command", []string{"digest=$(touch " + canary + ")`touch " + canary + "`"},
			map[string]string{"image": rehearsed + "@$(touch " + canary + ")`touch " + canary + "`"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var args []string
			for _, input := range test.inputs {
				args = append(args, "--input", input)
			}
			got, log, err := r.run(t, "workflow_dispatch", "promote.yaml", args...)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			promote := map[string]string{"verb": "promote", "from": "staging", "to": "production", "verify-key": stagingKey, "sign-key": productionKey}
			maps.Copy(promote, test.want)
			if diff := cmp.Diff(slices.Concat(r.planned(promote, ofThePromoted), []map[string]string{promote}, r.production(r.promoted, executed)), got); diff != "" {
				t.Errorf("the verbs were run otherwise (-want +got):\n%s\n%s", diff, log)
			}
			if _, err := os.Stat(canary); err == nil {
				t.Error("an input was run as a command")
			}
		})
	}
}

// TestAPlanThatCannotBeMade: production is not touched where the plan fails, and deployed without one where only production has a role.
func TestAPlanThatCannotBeMade(t *testing.T) {
	beside(t)
	r := newRehearsal(t)
	inputs := []string{"--input", "digest=" + builtDigest}
	got, log, err := r.run(t, "workflow_dispatch", "promote.yaml", append(inputs, "--env", "FAIL=deploy-production")...)
	if err == nil || len(got) != 2 || got[1]["dry-run"] != "true" {
		t.Errorf("a plan that fails: got %v, %v\n%s", got, err, log)
	}
	got, log, err = r.run(t, "workflow_dispatch", "promote.yaml", append(inputs, "--var", "AWS_ROLE_PRODUCTION=arn:aws:iam::123456789012:role/x")...)
	if err != nil || len(got) != 3 || got[0]["dry-run"] != "" || got[1]["plan"] != "" {
		t.Errorf("without a role for the plan: got %v, %v\n%s", got, err, log)
	}
}

// planned is what promote.yaml does before production is approved.
func (r rehearsal) planned(promote, more map[string]string) []map[string]string {
	dry := map[string]string{"dry-run": "true"}
	maps.Copy(dry, promote)
	delete(dry, "sign-key")
	plan := map[string]string{"dry-run": "true", "plan-out": "plan.json"}
	maps.Copy(plan, more)
	return []map[string]string{dry, r.production(r.promoted, plan)[0]}
}

// TestGitflowOnTheNode runs both workflows with the real verbs and keys of KMS, and finds one digest in both environments.
func TestGitflowOnTheNode(t *testing.T) {
	onNode(t)
	beside(t, &environments)
	f := newFlow(t)
	f.checkout.recordNamespaces([]string{"--environment", "staging", "--environment", "production"})
	signStaging, signProduction := newKey(t), newKey(t)
	commit := f.checkout.git("rev-parse", "HEAD")
	args := []string{
		"--var", "ECR_REPOSITORY=" + site.registry + "/shop", "--var", "RELEASE=gitflow",
		"--var", "EVIDENCE_KEY_STAGING=" + signStaging, "--var", "EVIDENCE_KEY_PRODUCTION=" + signProduction,
		"--env", "ONEDIGEST_BIN=" + filepath.Join(site.root, "bin"), "--env", "KUBECONFIG=" + site.kubeconfig,
	}
	for _, pair := range slices.Concat(site.aws, goEnviron(), goCaches(t)) {
		args = append(args, "--env", pair)
	}
	if log, err := f.run(t, "push", "deployment.yaml", args...); err != nil {
		t.Fatalf("deployment.yaml: %v\n%s", err, log)
	}
	staging, production := running(t, "staging"), running(t, "production")
	if len(staging) != 1 || len(production) != 1 || staging[0] != production[0] {
		t.Fatalf("staging runs %v, production runs %v; want one digest, the same", staging, production)
	}
	for _, by := range []string{"digest=" + staging[0], "commit=" + commit} {
		log, err := f.run(t, "workflow_dispatch", "promote.yaml", append([]string{"--input", by}, args...)...)
		if err != nil {
			t.Fatalf("promote.yaml by %s: %v\n%s", by, err, log)
		}
		if diff := cmp.Diff(production, running(t, "production")); diff != "" {
			t.Errorf("promote.yaml by %s changed what production runs:\n%s", by, diff)
		}
	}
	f.checkout.edit("terraform/production/values-production.yaml", "maxReplicas: 12", "maxReplicas: 13")
	f.checkout.commit("scale further")
	if log, err := f.run(t, "workflow_dispatch", "promote.yaml", append([]string{"--input", "digest=" + staging[0]}, args...)...); err != nil {
		t.Fatalf("promote.yaml of an earlier commit: %v\n%s", err, log)
	}
	scalers, err := client(t).AutoscalingV2().HorizontalPodAutoscalers("production").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(scalers.Items) != 1 || scalers.Items[0].Spec.MaxReplicas != 12 {
		t.Errorf("promote.yaml of an earlier commit deployed other values than that commit's: %+v, %v", scalers.Items, err)
	}
	moved := strings.Join([]string{filepath.Join(site.root, "bin", "deploy"), "--environment", "production", "--image", site.registry + "/shop@" + staging[0], "--release", "gitflow",
		"--chart", "promoted/charts/service", "--values", "promoted/terraform/production/values-production.yaml", "--set", "config.GREETING=moved"}, " ")
	log, err := f.run(t, "workflow_dispatch", "promote.yaml", append(append([]string{"--input", "digest=" + staging[0]}, args...), "--env", "MOVE="+moved)...)
	if err == nil || !strings.Contains(log, "deploy: failed: refused: ") || !strings.Contains(log, "release: planned on revision") {
		t.Errorf("promote.yaml, with another revision since the plan, ended with %v; want deploy's refusal of the plan:\n%s", err, log)
	}
	log, err = f.run(t, "workflow_dispatch", "promote.yaml", append(append([]string{"--input", "digest=" + staging[0]}, args...), "--var", "EVIDENCE_KEY_STAGING="+newKey(t))...)
	if err == nil || !strings.Contains(log, "none of 1 trusted keys signed it") {
		t.Errorf("promote.yaml with another key of staging ended with %v; want promote's refusal:\n%s", err, log)
	}
	log, err = f.run(t, "workflow_dispatch", "promote.yaml", append([]string{"--input", "digest=" + builtDigest}, args...)...)
	if err == nil || !strings.Contains(log, "promote: failed: refused: ") {
		t.Errorf("promote.yaml with a digest that staging never proved ended with %v; want promote's refusal:\n%s", err, log)
	}
	if diff := cmp.Diff(production, running(t, "production")); diff != "" {
		t.Errorf("a refused digest changed what production runs:\n%s", diff)
	}
}

// newKey makes a key of KMS that signs, and returns its name.
func newKey(t *testing.T) string {
	t.Helper()
	loaded, err := awsx.Load(t.Context(), awsx.Options{Environ: app.Process{Environ: site.aws}.Getenv, MaxAttempts: 1, MaxResponse: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	client := kms.NewFromConfig(loaded, func(o *kms.Options) {
		o.BaseEndpoint = awsx.Endpoint(app.Process{Environ: site.aws}.Getenv, loaded, kms.ServiceID)
	})
	made, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify})
	if err != nil {
		t.Fatal(err)
	}
	return "awskms:///" + aws.ToString(made.KeyMetadata.Arn)
}

// running lists the digests that the kubelet reports for the release's ready pods, each once, sorted.
func running(t *testing.T, namespace string) (digests []string) {
	t.Helper()
	return runningOf(t, namespace, "gitflow")
}

func runningOf(t *testing.T, namespace, release string) (digests []string) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + release})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		for _, status := range pod.Status.ContainerStatuses {
			if _, digest, found := strings.Cut(status.ImageID, "@"); found && pod.DeletionTimestamp == nil {
				digests = append(digests, digest)
			}
		}
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}

// goCaches keeps the verbs from compiling everything again, because act gives them a home directory of their own.
func goCaches(t *testing.T) (pairs []string) {
	t.Helper()
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOSUMDB", "GONOSUMDB", "GOTOOLCHAIN"} {
		pairs = append(pairs, fmt.Sprintf("%s=%s", name, goEnv(t, name)))
	}
	return pairs
}
