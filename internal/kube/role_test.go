package kube

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

var update = flag.Bool("update", false, "write docs/rbac/role.yaml")

// commonChart are the kinds of the objects that charts/service can have, as its templates name them.
var commonChart = map[string]release.AppliedKind{
	"Deployment":              {Group: "apps", Resource: "deployments"},
	"HorizontalPodAutoscaler": {Group: "autoscaling", Resource: "horizontalpodautoscalers"},
	"ConfigMap":               {Resource: "configmaps"},
	"Secret":                  {Resource: "secrets"},
	"Service":                 {Resource: "services"},
	"ServiceAccount":          {Resource: "serviceaccounts"},
	"Ingress":                 {Group: "networking.k8s.io", Resource: "ingresses"},
	"NetworkPolicy":           {Group: "networking.k8s.io", Resource: "networkpolicies"},
	"PodDisruptionBudget":     {Group: "policy", Resource: "poddisruptionbudgets"},
	"Role":                    {Group: "rbac.authorization.k8s.io", Resource: "roles"},
	"RoleBinding":             {Group: "rbac.authorization.k8s.io", Resource: "rolebindings"},
	"Job":                     {Group: "batch", Resource: "jobs", Use: release.UseHook},
	"ExternalSecret":          {Group: "external-secrets.io", Resource: "externalsecrets"},
	"PodMonitor":              {Group: "monitoring.coreos.com", Resource: "podmonitors"},
	"PrometheusRule":          {Group: "monitoring.coreos.com", Resource: "prometheusrules"},
}

// TestRoleFile holds docs/rbac/role.yaml to the tables of this package; -update writes it.
func TestRoleFile(t *testing.T) {
	var text bytes.Buffer
	text.WriteString(`# What a deploy may do. Generated from internal/kube/permissions.go by "make reference".
# The first Role is for every chart, the second for the kinds of the common chart: for another chart, name its kinds instead.
# Without a rule that says "without it", the deploy works and warns; without any other, it is refused before anything changes. In the
# second Role, delete is for objects that are no longer part of the chart, list and watch are for the rollout. Its verbs get, patch and
# delete may be limited to the chart's objects by resourceNames; list and watch only if the chart has one object of the kind.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: onedigest-deploy
rules:
`)
	writeRules(&text, Permissions)
	text.WriteString(`---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: onedigest-deploy-service
rules:
`)
	kinds := make([]release.AppliedKind, 0, len(commonChart))
	for _, kind := range commonChart {
		kinds = append(kinds, kind)
	}
	slices.SortFunc(kinds, func(a, b release.AppliedKind) int {
		return strings.Compare(a.Group+"/"+a.Resource, b.Group+"/"+b.Resource)
	})
	for _, kind := range kinds {
		fmt.Fprintf(&text, "  - {apiGroups: [%q], resources: [%s], verbs: [%s]}\n", kind.Group, kind.Resource, strings.Join(verbsOf(KindPermissions(kind)), ", "))
	}
	text.WriteString(`---
# Only in another namespace than the release's, where the chart has a Service or an Ingress, beside the rules for the chart's kinds there.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: onedigest-deploy-address
rules:
`)
	writeRules(&text, AddressPermissions)
	text.WriteString(`---
# Only for --create-namespace.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: onedigest-create-namespace
rules:
  - {apiGroups: [""], resources: [namespaces], verbs: [get, create]}
---
# Only for uninstall --delete-namespace.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: onedigest-delete-namespace
rules:
  - {apiGroups: [""], resources: [namespaces], verbs: [get, delete]}
---
# Optional. Without the first rule, an image that was built for none of the nodes is not refused before the deploy, and an image index
# that shares children with another one cannot always be distinguished from it; without the second, conditions that a definition declares for its
# kind are not read, and changed definitions of a chart are not noticed.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: onedigest-read-cluster
rules:
  - {apiGroups: [""], resources: [nodes], verbs: [get, list]}
  - {apiGroups: ["apiextensions.k8s.io"], resources: [customresourcedefinitions], verbs: [get]}
---
# Only for --apply-crds, and for the first install of a chart with a crds directory.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: onedigest-apply-crds
rules:
  - {apiGroups: ["apiextensions.k8s.io"], resources: [customresourcedefinitions], verbs: [get, create, patch]}
`)
	compareRoleFile(t, "role.yaml", text.Bytes())
}

// TestRoleFileOfGitOps holds docs/rbac/role-gitops.yaml to the tables of this package; -update writes it.
func TestRoleFileOfGitOps(t *testing.T) {
	var text bytes.Buffer
	text.WriteString(`# What a deploy may do whose objects Argo CD applies (--via argo-cd). Generated from internal/kube/permissions.go by "make reference".
# It reads no Secret and applies nothing. The last rules of the first Role are for the kinds of the common chart.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: onedigest-gitops
rules:
`)
	writeRules(&text, GitOpsPermissions)
	for _, name := range []string{"Deployment", "Service", "HorizontalPodAutoscaler"} {
		kind := commonChart[name]
		kind.Use = release.UseWatch
		fmt.Fprintf(&text, "  - {apiGroups: [%q], resources: [%s], verbs: [%s]}\n", kind.Group, kind.Resource, strings.Join(verbsOf(KindPermissions(kind)), ", "))
	}
	text.WriteString(`---
# In Argo CD's namespace, limited to the release's Application by resourceNames. Without patch, Argo CD reads the repository at its next poll, or when
# a webhook tells it to. RBAC knows no fields: whoever may patch an Application may give it another project, source and destination.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: onedigest-application
  namespace: argocd
rules:
  - {apiGroups: ["argoproj.io"], resources: [applications], resourceNames: [shop-production], verbs: [get, list, watch]}
`)
	compareRoleFile(t, "role-gitops.yaml", text.Bytes())
}

// TestRoleFileOfStatus holds docs/rbac/role-status.yaml to the table of this package; -update writes it.
func TestRoleFileOfStatus(t *testing.T) {
	var text bytes.Buffer
	text.WriteString(`# What status reads. Generated from internal/kube/permissions.go by "make reference". It changes nothing.
# Reading Secrets is needed for Helm's revisions, which are Secrets: whoever has this Role can read every Secret of the namespace.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: onedigest-status
rules:
`)
	writeRules(&text, StatusPermissions)
	writeRules(&text, StatusArgoCDPermissions)
	compareRoleFile(t, "role-status.yaml", text.Bytes())
}

// TestRoleFileOfSmoke holds docs/rbac/smoke.yaml to the table of this package; -update writes it.
func TestRoleFileOfSmoke(t *testing.T) {
	var text bytes.Buffer
	text.WriteString(`# What smoke may do, for a team that gives it credentials of its own. Generated from internal/kube/permissions.go by "make reference".
# It changes nothing but the label of a verdict on Helm's record. Whoever has the first rule can read and change every Secret of the namespace: leave it out where smoke need not tell
# rollbacks what it found. Without a rule that says "without it", smoke works as it says; without any other, it ends in a fault. A release with custom resources that run the image
# needs get of their kinds, and of the kinds between them and their pods; one whose address is a route's, list of that kind. To compare indexes that share children, smoke reads
# nodes, for which role.yaml has the ClusterRole onedigest-read-cluster.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: onedigest-smoke
rules:
`)
	writeRules(&text, SmokePermissions)
	compareRoleFile(t, "smoke.yaml", text.Bytes())
}

// ruleOf returns the rule of a request as "VERB RESOURCE.GROUP"; "" if every user may send it. Source: kubernetes.io, "Authorization", "Determine the request verb".
func ruleOf(request *http.Request) string {
	parts := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = "."+parts[1], parts[3:]
	default:
		return ""
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPatch: "patch", http.MethodGet: "list"}[request.Method]
	switch {
	case request.URL.Query().Get("watch") != "":
		verb = "watch"
	case request.Method == http.MethodGet && len(parts) > 1:
		verb = "get"
	}
	return verb + " " + parts[0] + group
}

// TestTheRoleOfSmokeIsExact sends what smoke sends, as a user with exactly these rules: every request is covered by a rule, every rule is used, and one that is missing is
// either a fault or does what the table says.
func TestTheRoleOfSmokeIsExact(t *testing.T) {
	t.Parallel()
	workloads := func(kind string, names ...string) (all []string) {
		for _, name := range names {
			all = append(all, workload("apps/v1", kind, name, ""))
		}
		return all
	}
	many := slices.Concat(workloads("Deployment", "web", "b", "c"), workloads("StatefulSet", "d", "e", "f"), workloads("DaemonSet", "g", "h", "i"))
	few := slices.Concat(workloads("Deployment", "web"), workloads("StatefulSet", "d"), workloads("DaemonSet", "g"))
	jobs := []string{workload("batch/v1", "Job", "once", ""), "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: \"localhost:5000/shop@" + digest + "\"}]}}}}}"}
	used := map[string]bool{}
	var mu sync.Mutex
	run := func(t *testing.T, objects []string, without string) error {
		t.Helper()
		s := newServer(t)
		allowed := map[string]bool{"": true}
		for _, permission := range SmokePermissions {
			for _, verb := range permission.Verbs {
				allowed[verb+" "+permission.Name()] = permission.Name() != without
			}
		}
		manifest := strings.Join(objects, "\n---\n")
		s.Put(recordOf(t, 1, "deployed", manifest))
		s.put(manifest)
		s.put("apiVersion: v1\nkind: Service\nmetadata: {name: shop, labels: {app.kubernetes.io/instance: shop}}\nspec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: 127.0.0.1}]}}")
		s.put(replicaSets)
		s.Put(readyPod("web-x", "10.0.0.7", nil), ingress("shop", "shop.example.com", nil))
		s.Break(func(r *http.Request) int {
			rule := ruleOf(r)
			if !allowed[rule] && !strings.Contains(rule, "gateway.networking") && !strings.Contains(rule, "istio") && !strings.Contains(rule, "traefik") {
				if without == "" {
					t.Errorf("no rule for %q", rule)
				}
				return http.StatusForbidden
			}
			mu.Lock()
			defer mu.Unlock()
			used[rule] = true
			return 0
		})
		client, ctx := s.client(), t.Context()
		_, _, liveErr := client.LiveImage(ctx, space, "shop")
		_, addressErr := client.Address(ctx, space, "shop", builtImage(t), "", func(string) {})
		_, ingressErr := client.Address(ctx, space, "shop", builtImage(t), "ingress/shop", func(string) {})
		if strings.HasPrefix(without, "ingresses") {
			ingressErr = nil // it was named
		}
		_, hostsErr := client.Hosts(ctx, space, "shop")
		_, backendsErr := client.Backends(ctx, space, "shop", builtImage(t))
		_, runningErr := client.Running(ctx, space, "shop", builtImage(t))
		if revision, err := client.LiveRevision(ctx, space, "shop"); err == nil {
			if err := client.MarkRevision(ctx, space, "shop", revision, release.MarkProved); err != nil {
				t.Errorf("marking: %v", err)
			}
		} else if without != "secrets" {
			t.Errorf("reading the revision: %v", err)
		}
		s.Put(recordOf(t, 1, "pending-install", manifest))
		if found, undeployed, err := client.Undeployed(ctx, space, "shop"); err != nil || undeployed != (without != "secrets") || found.LeaseUnknown != (without == "leases.coordination.k8s.io") {
			t.Errorf("of a first install: got %+v, %t, %v", found, undeployed, err)
		}
		return errors.Join(liveErr, addressErr, ingressErr, hostsErr, backendsErr, runningErr)
	}
	for name, objects := range map[string][]string{"few workloads": few, "many workloads": many, "Jobs": jobs} {
		if err := run(t, objects, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, permission := range SmokePermissions {
		objects := slices.Concat(few, jobs)
		err := run(t, objects, permission.Name())
		if fails := permission.Without == "" || permission.Without == noVerdict; (err != nil) != fails {
			t.Errorf("without the rule for %s: got %v", permission.Name(), err)
		}
		for _, verb := range permission.Verbs {
			if rule := verb + " " + permission.Name(); !used[rule] && rule != "create pods/portforward" && rule != "get replicasets.apps" { // for custom resources
				t.Errorf("no request uses the rule %q", rule)
			}
		}
	}
}

// compareRoleFile compares a file of docs/rbac with what it must be, and writes it with -update.
func compareRoleFile(t *testing.T, name string, want []byte) {
	t.Helper()
	file := filepath.Join("..", "..", "docs", "rbac", name)
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil { //nolint:gosec // a file of the repository
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(content)); diff != "" {
		t.Errorf("%s is out of date, run with -update:\n%s", file, diff)
	}
}

// verbsOf are the verbs of several permissions for one resource, in kubectl's order.
func verbsOf(permissions []release.Permission) (verbs []string) {
	for _, verb := range []string{"get", "list", "watch", "create", "patch", "delete"} {
		if slices.ContainsFunc(permissions, func(p release.Permission) bool { return slices.Contains(p.Verbs, verb) }) {
			verbs = append(verbs, verb)
		}
	}
	return verbs
}

func writeRules(text *bytes.Buffer, permissions []release.Permission) {
	for _, permission := range permissions {
		note := permission.For
		if permission.Without != "" {
			note += "; without it: " + permission.Without
		}
		fmt.Fprintf(text, "  # %s\n  - {apiGroups: [%q], resources: [%s], verbs: [%s]}\n", note, permission.Group, permission.Resource, strings.Join(permission.Verbs, ", "))
	}
}

// TestCommonChartKinds holds the table to the chart's templates.
func TestCommonChartKinds(t *testing.T) {
	files, err := filepath.Glob("../../charts/service/templates/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	kind := regexp.MustCompile(`(?m)^ *kind: ([A-Za-z]+) *$`)
	found := map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // a directory
		}
		for _, match := range kind.FindAllStringSubmatch(string(content), -1) {
			found[match[1]] = true
			if _, listed := commonChart[match[1]]; !listed {
				t.Errorf("%s has a %s, which the table lacks", file, match[1])
			}
		}
	}
	for name := range commonChart {
		if !found[name] {
			t.Errorf("no template has a %s", name)
		}
	}
}
