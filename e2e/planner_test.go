package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	admission "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// TestPlannerChangesNothing plans a deploy as the group that terraform/modules/service binds to the deployer's Role, with the policy of
// that directory: the dry run works, and everything else is refused.
func TestPlannerChangesNothing(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	const namespace, user, group = "planned", "planner", "onedigest-plan-planned"
	image := tree.build()
	_, got := tree.deploy(t.Context(), namespace, image)
	got.expect(t, 0)
	bindRole(t, namespace, user, deployerRules(t))
	applyPlanPolicy(t, group)

	config := kubeconfigOf(t, "", user)
	loaded, err := clientcmd.LoadFromFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range loaded.AuthInfos {
		info.ImpersonateGroups = []string{group}
	}
	if err := clientcmd.WriteToFile(*loaded, config); err != nil {
		t.Fatal(err)
	}
	impersonated, err := clientcmd.BuildConfigFromFlags("", config)
	if err != nil {
		t.Fatal(err)
	}
	planner := kubernetes.NewForConfigOrDie(impersonated)

	const denied = "this group shows what a deploy would change, and may change nothing"
	object := &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: "planned"}}
	await(t, "the policy", func() bool {
		_, err := planner.CoreV1().ConfigMaps(namespace).Create(t.Context(), object, meta.CreateOptions{})
		if err == nil {
			_ = client(t).CoreV1().ConfigMaps(namespace).Delete(t.Context(), object.Name, meta.DeleteOptions{})
		}
		return err != nil && strings.Contains(err.Error(), denied)
	})
	if _, err := planner.CoreV1().ConfigMaps(namespace).Create(t.Context(), object, meta.CreateOptions{DryRun: []string{meta.DryRunAll}}); err != nil {
		t.Errorf("a dry run: %v", err)
	}
	for what, change := range map[string]error{
		"deleting a Service": planner.CoreV1().Services(namespace).Delete(t.Context(), "shop", meta.DeleteOptions{}),
		"deleting a record":  planner.CoreV1().Secrets(namespace).Delete(t.Context(), "sh.helm.release.v1.shop.v1", meta.DeleteOptions{}),
	} {
		if change == nil || !strings.Contains(change.Error(), denied) {
			t.Errorf("%s: %v", what, change)
		}
	}

	tree.edit("app/config.go", `"GREETING", "Hello"`, `"GREETING", "Good day"`)
	tree.commit("greet otherwise")
	next := tree.build()
	_, got = tree.deploy(t.Context(), namespace, next, "--kubeconfig", config, "--dry-run")
	got.expect(t, 0, "Deployment/shop")
	result, got := tree.deploy(t.Context(), namespace, next, "--kubeconfig", config)
	if got.code == 0 || !strings.Contains(got.stderr, denied) {
		t.Errorf("a deploy of the planner's ended with %d, %+v:\n%s", got.code, result, got.stderr)
	}
	records, err := client(t).CoreV1().Secrets(namespace).List(t.Context(), meta.ListOptions{LabelSelector: "owner=helm"})
	if err != nil || len(records.Items) != 1 {
		t.Errorf("%d records of the release, %v", len(records.Items), err)
	}
}

// deployerRules are the rules of the Role onedigest-deployer, which terraform/modules/service reads from the same file.
func deployerRules(t *testing.T) (rules []rbac.PolicyRule) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(site.root, "docs", "rbac", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range strings.Split(string(text), "\n---\n")[:2] {
		var role rbac.Role
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		rules = append(rules, role.Rules...)
	}
	return rules
}

// applyPlanPolicy makes the policy and its binding for a group, until the test ends.
func applyPlanPolicy(t *testing.T, group string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(site.root, "terraform", "modules", "service", "plan-policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	filled := strings.NewReplacer("${name}", group, "${groups}", `["`+group+`"]`).Replace(string(text))
	documents := strings.Split(filled, "\n---\n")
	var policy admission.ValidatingAdmissionPolicy
	var binding admission.ValidatingAdmissionPolicyBinding
	if err := yaml.UnmarshalStrict([]byte(documents[0]), &policy); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(documents[1]), &binding); err != nil {
		t.Fatal(err)
	}
	api := client(t).AdmissionregistrationV1()
	if _, err := api.ValidatingAdmissionPolicies().Create(t.Context(), &policy, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = api.ValidatingAdmissionPolicies().Delete(context.Background(), policy.Name, meta.DeleteOptions{})
	})
	if _, err := api.ValidatingAdmissionPolicyBindings().Create(t.Context(), &binding, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = api.ValidatingAdmissionPolicyBindings().Delete(context.Background(), binding.Name, meta.DeleteOptions{})
	})
}
