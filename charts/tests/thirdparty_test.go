package charts

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"
)

// thirdParty are the charts of terraform/platform whose roles are checked: the release, its namespace, the values that decide about RBAC,
// and what the chart cannot be rendered without.
var thirdParty = map[string]struct {
	release, namespace, values string
	set                        map[string]any
}{
	"kube-prometheus-stack": {"monitoring", "monitoring", "monitoring.yaml", map[string]any{"fullnameOverride": "monitoring"}},
	"loki": {"loki", "monitoring", "loki.yaml", map[string]any{"fullnameOverride": "loki", "deploymentMode": "Monolithic",
		"loki": map[string]any{"useTestSchema": true, "storage": map[string]any{"type": "s3", "bucketNames": map[string]any{"chunks": "a", "ruler": "a", "admin": "a"}}}}},
	"alloy":            {"alloy", "monitoring", "alloy.yaml", map[string]any{"fullnameOverride": "alloy"}},
	"external-secrets": {"external-secrets", "external-secrets", "external-secrets.yaml", nil},
	"argo-cd":          {"argo-cd", "argocd", "argo-cd.yaml", nil},
	// Their values are in load_balancer.tf and autoscaler.tf: none decides about permissions, but for the autoscaler's, which are the chart's default.
	"aws-load-balancer-controller": {"aws-load-balancer-controller", "kube-system", "", map[string]any{"clusterName": "onedigest", "region": "eu-central-1", "vpcId": "vpc-0123456789abcdef0", "enableServiceMutatorWebhook": false,
		"serviceAccount": map[string]any{"name": "aws-load-balancer-controller"}}},
	"cluster-autoscaler": {"cluster-autoscaler", "kube-system", "", map[string]any{"cloudProvider": "aws", "awsRegion": "eu-central-1", "autoDiscovery": map[string]any{"clusterName": "onedigest"},
		"rbac": map[string]any{"serviceAccount": map[string]any{"name": "cluster-autoscaler"}}}},
}

// pinnedChart matches a chart of terraform/platform/charts.tf: its name and its version.
var pinnedChart = regexp.MustCompile(`repository = "https://[^"]+", chart = "([^"]+)", version = "([^"]+)"`)

// pinnedVersions returns the versions of terraform/platform/charts.tf by chart.
func pinnedVersions(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../terraform/platform/charts.tf")
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, pin := range pinnedChart.FindAllStringSubmatch(string(text), -1) {
		versions[pin[1]] = pin[2]
	}
	return versions
}

// TestEveryPinnedChartIsRendered holds the charts that are rendered where they can be had to those that terraform/platform installs.
func TestEveryPinnedChartIsRendered(t *testing.T) {
	t.Parallel()
	pinned := slices.Sorted(maps.Keys(pinnedVersions(t)))
	if diff := cmp.Diff(slices.Sorted(maps.Keys(thirdParty)), pinned); diff != "" {
		t.Errorf("the charts of terraform/platform/charts.tf are not those that TestNobodyReadsEverySecret renders (-rendered +pinned):\n%s", diff)
	}
}

// argued are the permissions that could be misused to read Secrets or to become somebody else, and why each is needed: who has them in
// which chart, at which version they were last rendered. A permission that is not here fails the test.
var argued = map[string]string{
	"external-secrets: external-secrets may read, write secrets in every namespace":           "it writes the Secrets that ExternalSecrets ask for, in whatever namespace they are",
	"external-secrets: external-secrets may create serviceaccounts/token in every namespace":  "it borrows the account secrets-reader of each environment instead of having a role of its own in AWS",
	"external-secrets: external-secrets-cert-controller may read secrets in every namespace":  "it keeps the webhook's certificate in a Secret; the chart has no narrower rule",
	"external-secrets: external-secrets-cert-controller may write secrets in every namespace": "the same, in two rules",
	"argo-cd: argocd-application-controller may read secrets in argocd":                       "the credentials of its repositories; in an environment's namespace it has no rule for Secrets (terraform/modules/service/gitops.tf)",
	"argo-cd: argocd-server may read, write secrets in argocd":                                "the key of its sessions and the same credentials; the chart has no narrower rule",
	"argo-cd: argocd-applicationset-controller may read secrets in argocd":                    "no pod has the account: the values have no replica of it",
	"argo-cd: argo-cd-argocd-redis-secret-init may read secrets in argocd":                    "a job of the installation makes Redis' password, and reads this Secret by name",
	"argo-cd: argo-cd-argocd-redis-secret-init may write secrets in argocd":                   "the same",
	"kube-prometheus-stack: monitoring-operator may read, write secrets in every namespace":   "the operator keeps the configuration of Prometheus and Alertmanager in Secrets; the chart has no narrower rule",
	"kube-prometheus-stack: monitoring-admission may read, write secrets in monitoring":       "a job of the installation keeps the webhook's certificate in a Secret",
}

// TestNobodyReadsEverySecret renders the charts with the values of terraform/platform, and holds what their accounts may do to argued. The
// charts are somebody else's and not in this repository: ONEDIGEST_CHARTS names a directory that has them, each under its name
// (helm pull --untar), with their dependencies; scripts/thirdparty.sh pulls the pinned versions and runs this.
func TestNobodyReadsEverySecret(t *testing.T) {
	t.Parallel()
	directory := os.Getenv("ONEDIGEST_CHARTS")
	if directory == "" {
		t.Skip("NOT CHECKED: what third-party charts grant; ONEDIGEST_CHARTS names a directory with the charts of terraform/platform/charts.tf")
	}
	unused, pinned := maps.Clone(argued), pinnedVersions(t)
	for name, settings := range thirdParty {
		chart, err := loader.Load(filepath.Join(directory, name))
		if err != nil {
			t.Fatal(err)
		}
		given := chartutil.Values{}
		if settings.values != "" {
			if given, err = chartutil.ReadValuesFile(filepath.Join("../../terraform/platform/values", settings.values)); err != nil {
				t.Fatal(err)
			}
		}
		values := chartutil.CoalesceTables(settings.set, given)
		if err := chartutil.ProcessDependencies(chart, values); err != nil {
			t.Fatal(err)
		}
		kubernetes := *chartutil.DefaultCapabilities
		kubernetes.KubeVersion = chartutil.KubeVersion{Version: "v1.35.0", Major: "1", Minor: "35"}
		seen, err := chartutil.ToRenderValues(chart, values, chartutil.ReleaseOptions{Name: settings.release, Namespace: settings.namespace, Revision: 1, IsInstall: true}, &kubernetes)
		if err != nil {
			t.Fatal(err)
		}
		files, err := engine.Render(chart, seen)
		if err != nil {
			t.Fatal(err)
		}
		powers := powersOf(t, settings.namespace, files)
		which := "the pinned version"
		if chart.Metadata.Version != pinned[name] {
			which = "NOT the pinned version, " + pinned[name]
		}
		t.Logf("rendered %s %s, %s: %d permissions to argue for", name, chart.Metadata.Version, which, len(powers))
		for _, power := range powers {
			line := name + ": " + power
			if argued[line] == "" {
				t.Errorf("%s %s: %s, and nothing argues for it", name, chart.Metadata.Version, power)
			}
			delete(unused, line)
		}
	}
	for line := range unused {
		t.Errorf("argued for and not rendered: %s", line)
	}
}

// TestTheServicesOwnRoles holds the roles that the chart renders and the Role of a deploy: what of Secrets and of containers they reach.
func TestTheServicesOwnRoles(t *testing.T) {
	t.Parallel()
	own, err := os.ReadFile("../../docs/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"onedigest-deploy":         "read, write secrets", // Helm's revisions
		"onedigest-deploy-service": "read, write secrets", // the chart's Secret
		"shop-reader":              "read secrets",        // of the release, by name: TestEnvironmentsRenderAsTheirGoldens
	}
	text := string(own) + "\n---\n" + manifest(t, "shop", "everything", values(t, everything))
	for document := range strings.SplitSeq("\n"+text, "\n---") {
		var object role
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		if object.Kind != "Role" && object.Kind != "ClusterRole" {
			continue
		}
		if got := strings.Join(powers(object), "; "); got != want[object.Metadata.Name] {
			t.Errorf("%s %s may %s; want %q", object.Kind, object.Metadata.Name, got, want[object.Metadata.Name])
		}
		delete(want, object.Metadata.Name)
	}
	for name := range want {
		t.Errorf("there is no role %s", name)
	}
}

type role struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Rules    []struct {
		APIGroups, Resources, Verbs []string
	}
	RoleRef  struct{ Kind, Name string }
	Subjects []struct{ Kind, Name, Namespace string }
}

// powersOf lists what the accounts of rendered files may do that argued is about, sorted and without repetition.
func powersOf(t *testing.T, namespace string, files map[string]string) []string {
	t.Helper()
	var roles, bindings []role
	for file, text := range files {
		if !strings.HasSuffix(file, ".yaml") && !strings.HasSuffix(file, ".yml") {
			continue
		}
		for document := range strings.SplitSeq("\n"+text, "\n---") {
			var object role
			if !strings.Contains(document, "rbac.authorization.k8s.io") {
				continue
			}
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			switch object.Kind {
			case "Role", "ClusterRole":
				roles = append(roles, object)
			case "RoleBinding", "ClusterRoleBinding":
				bindings = append(bindings, object)
			}
		}
	}
	found := map[string]bool{}
	for _, binding := range bindings {
		where := "every namespace"
		if binding.Kind == "RoleBinding" {
			where = namespace
			if binding.Metadata.Namespace != "" {
				where = binding.Metadata.Namespace
			}
		}
		for _, one := range roles {
			if one.Kind != binding.RoleRef.Kind || one.Metadata.Name != binding.RoleRef.Name {
				continue
			}
			for _, subject := range binding.Subjects {
				for _, power := range powers(one) {
					found[fmt.Sprintf("%s may %s in %s", subject.Name, power, where)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// powers returns what a role grants of: Secrets, a way into a container, tokens of accounts, impersonation, more permissions than its own.
func powers(of role) (list []string) {
	for _, rule := range of.Rules {
		has := func(set []string, one string) bool { return slices.Contains(set, one) || slices.Contains(set, "*") }
		core := has(rule.APIGroups, "")
		if core && has(rule.Resources, "secrets") {
			var verbs []string
			if has(rule.Verbs, "get") || has(rule.Verbs, "list") || has(rule.Verbs, "watch") {
				verbs = append(verbs, "read")
			}
			if has(rule.Verbs, "create") || has(rule.Verbs, "update") || has(rule.Verbs, "patch") {
				verbs = append(verbs, "write")
			}
			list = append(list, strings.Join(verbs, ", ")+" secrets")
		}
		for _, resource := range []string{"pods/exec", "pods/attach", "pods/ephemeralcontainers", "serviceaccounts/token"} {
			if core && has(rule.Resources, resource) && (has(rule.Verbs, "create") || has(rule.Verbs, "get") || has(rule.Verbs, "update") || has(rule.Verbs, "patch")) {
				list = append(list, "create "+resource)
			}
		}
		for _, verb := range []string{"impersonate", "escalate", "bind"} {
			if slices.Contains(rule.Verbs, verb) {
				list = append(list, verb+" "+strings.Join(rule.Resources, ", "))
			}
		}
	}
	return list
}
