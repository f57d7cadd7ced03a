package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	appdoctor "github.com/onedigest/onedigest/internal/app/doctor"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// rule is one verb on one resource: "watch deployments.apps".
type rule string

// recorder forwards requests to the site's apiserver and records which rule each needs.
type recorder struct {
	url string

	mu   sync.Mutex
	used map[rule]bool
}

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	config := adminConfig(t)
	config.NextProtos = []string{"http/1.1"} // a forwarded port is an Upgrade, which HTTP/2 has not
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{used: map[rule]bool{}}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if needed := ruleOf(request); needed != "" {
			r.mu.Lock()
			r.used[needed] = true
			r.mu.Unlock()
		}
		proxy.ServeHTTP(w, request)
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	r.url = server.URL
	return r
}

func (r *recorder) rules() map[rule]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// ruleOf returns the rule that a request needs, "" if every authenticated user may send it. Source: kubernetes.io, "Authorization",
// "Determine the request verb".
func ruleOf(request *http.Request) rule {
	parts := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = parts[1], parts[3:]
	default:
		return "" // discovery, version, OpenAPI
	}
	if group == "authorization.k8s.io" || group == "authentication.k8s.io" {
		return ""
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	resource, named := parts[0], len(parts) > 1
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	if group != "" {
		resource += "." + group
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete", http.MethodGet: "list"}[request.Method]
	switch {
	case request.URL.Query().Get("watch") == "true" || request.URL.Query().Get("watch") == "1":
		verb = "watch"
	case request.Method == http.MethodGet && named:
		verb = "get"
	}
	return rule(verb + " " + resource)
}

// kubeconfigOf writes a kubeconfig whose requests are those of a user, and go to a server that forwards them if one is given.
func kubeconfigOf(t *testing.T, server, user string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(site.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range config.Clusters {
		if server != "" {
			cluster.Server, cluster.CertificateAuthorityData, cluster.CertificateAuthority = server, nil, ""
		}
	}
	for _, info := range config.AuthInfos {
		info.Impersonate = user
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func createNamespace(t *testing.T, name string) {
	t.Helper()
	namespaces := client(t).CoreV1().Namespaces()
	if _, err := namespaces.Create(t.Context(), &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name}}, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = namespaces.Delete(context.Background(), name, meta.DeleteOptions{}) })
}

// bindRole gives a user a Role with the rules.
func bindRole(t *testing.T, namespace, user string, rules []rbac.PolicyRule) {
	t.Helper()
	api := client(t).RbacV1()
	role := &rbac.Role{ObjectMeta: meta.ObjectMeta{Name: user}, Rules: rules}
	if _, err := api.Roles(namespace).Create(t.Context(), role, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbac.RoleBinding{ObjectMeta: meta.ObjectMeta{Name: user}, RoleRef: rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "Role", Name: user},
		Subjects: []rbac.Subject{{APIGroup: rbac.GroupName, Kind: rbac.UserKind, Name: user}}}
	if _, err := api.RoleBindings(namespace).Create(t.Context(), binding, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The authorizer reads Roles from a cache.
	granted := func(ctx context.Context) (bool, error) {
		_, secretErr := impersonate(t, user).CoreV1().Secrets(namespace).Get(ctx, "absent", meta.GetOptions{})
		_, leaseErr := impersonate(t, user).CoordinationV1().Leases(namespace).Get(ctx, "absent", meta.GetOptions{})
		return apierrors.IsNotFound(secretErr) || apierrors.IsNotFound(leaseErr), nil
	}
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, granted); err != nil {
		t.Fatalf("the Role of %q: %v", user, err)
	}
}

// kindsOfTheChart are those of testdata/charts/kinds.
var kindsOfTheChart = []release.AppliedKind{
	{Resource: "configmaps"}, {Resource: "secrets"}, {Resource: "serviceaccounts"}, {Resource: "services"}, {Group: "apps", Resource: "daemonsets"},
	{Group: "apps", Resource: "deployments"}, {Group: "apps", Resource: "statefulsets"}, {Group: "batch", Resource: "jobs", Use: release.UseHook},
	{Group: "networking.k8s.io", Resource: "networkpolicies"}, {Group: "policy", Resource: "poddisruptionbudgets"},
}

func policyRules(permissions []release.Permission) (rules []rbac.PolicyRule) {
	for _, p := range permissions {
		if len(p.Verbs) == 0 {
			continue // the apiserver refuses a rule without verbs
		}
		rules = append(rules, rbac.PolicyRule{APIGroups: []string{p.Group}, Resources: []string{p.Resource}, Verbs: p.Verbs})
	}
	return rules
}

// TestTheRoleIsExact deploys as a user with exactly the rules of the table: installs, upgrades, removes an object, fails, finds
// the cause, goes back and smokes. Every request must be covered by a rule, and every rule used by a request.
func TestTheRoleIsExact(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	for _, part := range []string{"broken", "charts/kinds"} {
		if err := os.CopyFS(filepath.Join(tree.dir, part), os.DirFS(filepath.Join(site.root, "e2e/testdata", part))); err != nil {
			t.Fatal(err)
		}
	}
	tree.commit("a chart of every kind")
	image := field(t, tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "broken", "--output", "json"), "image")
	const namespace = "exact"
	createNamespace(t, namespace)
	needed := permissionsIn(namespace)
	bindRole(t, namespace, "exact", policyRules(needed))
	record := startRecorder(t)
	config := kubeconfigOf(t, record.url, "exact")
	run := func(code int, args ...string) {
		t.Helper()
		args = append([]string{"--kubeconfig", config, "--environment", namespace, "--image", image, "--chart", "charts/kinds", "--release", "shop", "--timeout", "60s"}, args...)
		tree.verb(t.Context(), appdeploy.Command(), args...).expect(t, code)
	}
	run(0, "--dry-run")
	run(1, "--set", "does=exit", "--failed-install", "uninstall")
	run(0)
	run(0, "--set", "note=second")
	run(0, "--set", "note=second", "--set", "extra=no")
	run(1, "--set", "note=third", "--set", "does=exit")
	run(0, "--dry-run")
	run(0, "--set", "note=fourth")
	leaveLeaseHeld(t, namespace)
	run(0, "--set", "note=fifth", "--set", "does=listen", "--smoke-checks", "default")

	allowed := map[rule]bool{}
	for _, p := range needed {
		for _, verb := range p.Verbs {
			allowed[rule(verb+" "+p.Name())] = true
		}
	}
	// Users may do without reading namespaces and nodes.
	allowed["get namespaces"], allowed["list nodes"] = true, true
	for one := range record.rules() {
		if !allowed[one] {
			t.Errorf("no rule of the table covers %q", one)
		}
	}
	// Reading all objects of a kind is for clusters that do not stream them (kubernetes.io, "Streaming lists").
	for one := range allowed {
		if !record.rules()[one] && !strings.HasPrefix(string(one), "list ") && !slices.Contains(unprovoked, one) {
			t.Errorf("no request uses the rule %q", one)
		}
	}
}

// unprovoked are the rules that TestTheRoleIsExact does not use: those for claims, as the node provides no volumes, and that for a
// StatefulSet's pod that is broken for long enough.
var unprovoked = []rule{"delete pods", "get persistentvolumeclaims", "watch persistentvolumeclaims",
	"get replicasets.apps", // for the pods of a custom resource
	"patch jobs.batch",     // for hooks that are changed in place, which a Job is not
	"create localsubjectaccessreviews.authorization.k8s.io", // for a change that the cluster refuses: TestWhatCannotBeChangedIsRefusedBeforeHooks
}

// permissionsIn are all that a deploy of the chart needs.
func permissionsIn(namespace string) []release.Permission {
	needed := slices.Clone(kube.Permissions)
	for _, kind := range kindsOfTheChart {
		kind.Namespace = namespace
		needed = append(needed, kube.KindPermissions(kind)...)
	}
	return needed
}

// leaveLeaseHeld makes the one Lease of a namespace look as if a run that was killed a moment ago held it.
func leaveLeaseHeld(t *testing.T, namespace string) {
	t.Helper()
	leases := client(t).CoordinationV1().Leases(namespace)
	list, err := leases.List(t.Context(), meta.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("got %d Leases, %v", len(list.Items), err)
	}
	lease, holder, now, seconds := &list.Items[0], "a run that was killed", meta.NowMicro(), int32(2)
	lease.Spec.HolderIdentity, lease.Spec.AcquireTime, lease.Spec.RenewTime, lease.Spec.LeaseDurationSeconds = &holder, &now, &now, &seconds
	if _, err := leases.Update(t.Context(), lease, meta.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestEveryMissingRuleIsNamed deploys as users who lack one verb each.
func TestEveryMissingRuleIsNamed(t *testing.T) {
	onNode(t)
	t.Parallel()
	tree := newCheckout(t)
	if err := os.CopyFS(filepath.Join(tree.dir, "charts/kinds"), os.DirFS(filepath.Join(site.root, "e2e/testdata/charts/kinds"))); err != nil {
		t.Fatal(err)
	}
	tree.commit("a chart of every kind")
	image := tree.build()
	const namespace = "lacking"
	createNamespace(t, namespace)
	needed := permissionsIn(namespace)
	t.Run("each", func(t *testing.T) {
		for i, permission := range needed {
			for j, verb := range permission.Verbs {
				if grantedElsewhere(needed, i, verb) {
					continue
				}
				t.Run(verb+" "+permission.Name(), func(t *testing.T) {
					beside(t)
					tree := tree
					tree.t = t
					user := fmt.Sprintf("lacking-%d-%d", i, j)
					lacking := slices.Clone(needed)
					lacking[i].Verbs = slices.Delete(slices.Clone(permission.Verbs), j, j+1)
					bindRole(t, namespace, user, policyRules(lacking))
					args := []string{"--kubeconfig", kubeconfigOf(t, "", user), "--environment", namespace, "--image", image, "--chart", "charts/kinds", "--release", "shop"}
					message := fmt.Sprintf("user %q may not %s %s in namespace %q", user, verb, permission.Name(), namespace)
					if permission.Without != "" {
						tree.verb(t.Context(), appdeploy.Command(), append(args, "--dry-run")...).expect(t, 0, message+": "+permission.Without)
						return
					}
					tree.verb(t.Context(), appdeploy.Command(), args...).expect(t, 3, message)
				})
			}
		}
	})
	left := map[string]int{}
	secrets, err := client(t).CoreV1().Secrets(namespace).List(t.Context(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	left["Secrets"] = len(secrets.Items)
	leases, err := client(t).CoordinationV1().Leases(namespace).List(t.Context(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	left["Leases"] = len(leases.Items)
	deployments, err := client(t).AppsV1().Deployments(namespace).List(t.Context(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	left["Deployments"] = len(deployments.Items)
	if diff := cmp.Diff(map[string]int{"Secrets": 0, "Leases": 0, "Deployments": 0}, left); diff != "" {
		t.Errorf("deploys that were refused left something behind:\n%s", diff)
	}
}

// grantedElsewhere reports whether another rule grants a verb on the same resource.
func grantedElsewhere(permissions []release.Permission, i int, verb string) bool {
	for other, permission := range permissions {
		if other != i && permission.Name() == permissions[i].Name() && slices.Contains(permission.Verbs, verb) {
			return true
		}
	}
	return false
}

// TestDoctorNamesEachMissingRule: of a user with the exact rules nothing fails; of one who lacks some, each is a finding with the rule to add.
func TestDoctorNamesEachMissingRule(t *testing.T) {
	onNode(t)
	beside(t)
	tree := newCheckout(t)
	if err := os.CopyFS(filepath.Join(tree.dir, "charts/kinds"), os.DirFS(filepath.Join(site.root, "e2e/testdata/charts/kinds"))); err != nil {
		t.Fatal(err)
	}
	tree.commit("a chart of every kind")
	const namespace = "examined"
	createNamespace(t, namespace)
	needed := permissionsIn(namespace)
	bindRole(t, namespace, "examined-whole", policyRules(needed))
	lacking := slices.Clone(needed)
	var want []string
	for i, permission := range lacking {
		if permission.Name() == "leases.coordination.k8s.io" || permission.Name() == "events" || permission.Name() == "pods/log" {
			want = append(want, fmt.Sprintf("add to the Role: {apiGroups: [%q], resources: [%q], verbs: [%s]}", permission.Group, permission.Resource, strings.Join(permission.Verbs, ", ")))
			if permission.Resource == "leases" {
				want[len(want)-1] = strings.Replace(want[len(want)-1], "get, ", "", 1)
				lacking[i].Verbs = []string{"get"} // by which bindRole sees that the Role is in force
				continue
			}
			lacking[i].Verbs = nil
		}
	}
	bindRole(t, namespace, "examined-lacking", policyRules(lacking))
	args := []string{"--environment", namespace, "--repository", site.registry + "/shop", "--chart", "charts/kinds", "--release", "shop", "--kubeconfig"}
	tree.verb(t.Context(), appdoctor.Command(), append(args, kubeconfigOf(t, "", "examined-whole"))...).expect(t, 0, "ok           RBAC: all ", "ok           repository: ", "ok           chart: charts/kinds")
	tree.verb(t.Context(), appdoctor.Command(), append(args, kubeconfigOf(t, "", "examined-lacking"))...).expect(t, 1, append(want, "fails        RBAC: ", "limited      RBAC: ")...)
}
