package deploy

import (
	_ "embed"

	"github.com/onedigest/onedigest/internal/setting"
)

// Verb is the help of deploy: its summary, examples and outputs.
var Verb = setting.Verb{
	Name:    "deploy",
	Summary: "install or upgrade a release, pinned to one digest, and watch it become ready",
	About: "Renders the chart for the cluster with the environment's values, replaces every reference to the image by its digest, in hooks too, " +
		"installs or upgrades the release (docs/charts.md), and watches the rollout. A failed rollout is reported as soon as the cluster reports it, with a code, the pod, the container, " +
		"the reason, the last events, the last log lines and what to try (docs/troubleshooting.md). The release is then rolled back to " +
		"the last verified revision: the last that smoke proved, or else that became ready. If nothing changed, the outcome is unchanged and no revision is added. A Lease keeps other runs out " +
		"while a deploy works, a revision that a killed run left pending is healed, and a commit older than the live one is not deployed " +
		"(outcome superseded). A commit that does not descend from the live one, or whose order cannot be determined, is refused; history missing from the " +
		"checkout is fetched from its remote or read from GitHub's API.",
	Examples: []setting.Example{
		{Does: "deploy the image that build printed to staging", Line: `--environment staging --image "$IMAGE" --values terraform/staging/values-staging.yaml`},
		{Does: "another chart, namespace and cluster", Line: `--environment qa --image "$IMAGE" --chart ./charts/other --namespace qa-2 --kube-context qa-cluster --create-namespace`},
		{Does: "show what would change and what would fail", Line: `--dry-run --environment production --image "$IMAGE" --values terraform/production/values-production.yaml --compare-values terraform/staging/values-staging.yaml`},
		{Does: "keep a plan that somebody approves", Line: `--dry-run --plan-out plan.json --environment production --image "$IMAGE" --values terraform/production/values-production.yaml`},
		{Does: "carry out the plan that was approved", Line: `--plan plan.json --environment production --image "$IMAGE" --values terraform/production/values-production.yaml`},
		{Does: "a chart that names the image otherwise (docs/charts.md)", Line: `--environment staging --chart ./charts/other --image "$IMAGE" --image-alias docker.io/team/shop`},
		{Does: "on EKS, without a kubeconfig", Line: `--environment staging --cluster shop --region eu-central-1 --expect-account 123456789012 --image "$IMAGE"`},
		{Does: "heal a release that a killed run left pending", Line: "--heal --environment staging --release shop"},
		{Does: "roll back what smoke failed, after smoke", Line: "--rollback-failed-smoke --environment staging --release shop"},
		{Does: "several clusters, a canary first (docs/matrix.md)", Line: `--matrix deploys.yaml --image "$IMAGE"`},
		{Does: "go back to an older commit in its checkout, and stay there", Line: `--allow-rollback --environment production --image "$IMAGE" --proved-in staging --chart ./charts/service --values terraform/production/values-production.yaml`},
	},
	Outputs: []setting.Output{
		{Name: "url", Help: "where the release is served, empty for a Service without an external address"},
		{Name: "revision", Help: "the live Helm revision; with via, the number of the change in the configuration repository"},
		{Name: "outcome", Help: "created, changed, unchanged, superseded, rolled-back, proposed (config-pull-request), planned (dry-run) or healed (heal)"},
		{Name: "code", Help: "OD-…, the cause of a failed rollout"},
		{Name: "deploys", Help: "JSON: the results of the deploys of a matrix"},
		{Name: "newer-run", Help: "URL of the run that deployed the newer commit, when superseded"},
		{Name: "plan-digest", Help: "the digest of the plan that a dry run has kept, or that was carried out"},
		{Name: "pull-request", Help: "the page of the pull request, with config-pull-request"},
		{Name: "config-commit", Help: "the commit of the configuration repository that Argo CD has applied, with via"},
		{Name: "digest", Help: "the digest that the kubelet reports for the pods"},
	},
	Failure: failure,
}

// failure is a recorded run that failed, shown in the reference and in README.
//
//go:embed failure.txt
var failure string
