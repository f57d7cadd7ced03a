package helm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// selectorDeployment is a deployment of a Deployment whose selector is the word, with a template more.
func selectorDeployment(t *testing.T, more string) release.Deployment {
	t.Helper()
	d := deployment(t, "staging")
	d.ValuesFiles, d.Chart = nil, files(t, map[string]string{
		"Chart.yaml": looseChart, "values.yaml": "word: one\n", "templates/more.yaml": more,
		"templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {word: '{{ .Values.word }}'}\n",
		"templates/workload.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  selector: {matchLabels: {app: '{{ .Values.word }}'}}\n" +
			"  template:\n    metadata: {labels: {app: '{{ .Values.word }}'}}\n    spec: {containers: [{name: app, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}\n",
	})
	return d
}

// upgradeHook is a Job that runs before an upgrade, with the fields of its pods; documents follow it.
func upgradeHook(pod string, documents ...string) string {
	return strings.Join(append([]string{"apiVersion: batch/v1\nkind: Job\nmetadata: {name: before, annotations: {helm.sh/hook: pre-upgrade}}\n" +
		"spec: {template: {spec: {restartPolicy: Never, " + pod + "containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}', command: [migrate, up]}]}}}\n"}, documents...), "---\n")
}

const (
	hookAccount = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: cleaner}\n"
	hookBinding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: cleaner}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: cleaner}\n" +
		"subjects: [{kind: ServiceAccount, name: cleaner}]\n"
	hookRole = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: cleaner}\nrules: [{apiGroups: [apps], resources: [deployments], verbs: [%s]}]\n"
)

// TestAChangeThatTheClusterRefuses: an upgrade that cannot be applied is refused before its hooks run, and as the plan says it; one whose hooks may
// delete the object first is not.
func TestAChangeThatTheClusterRefuses(t *testing.T) {
	t.Parallel()
	withAccount := "serviceAccountName: cleaner, "
	for name, test := range map[string]struct {
		more    string
		before  func(*server)
		refused bool
		notes   string
	}{
		"no hook":                       {refused: true},
		"a hook of the default account": {more: upgradeHook(""), refused: true},
		"a hook that only writes":       {more: upgradeHook(withAccount, hookAccount, hookBinding, fmt.Sprintf(hookRole, "get, patch")), refused: true},
		"a hook of the default account, which somebody else has given the right":   {more: upgradeHook(""), before: mayDelete("staging:default"), notes: "hook Job/before may delete it before"},
		"a hook of the default account, in another namespace":                      {more: upgradeHook(""), before: mayDelete("other:default"), refused: true},
		"a hook of the default account, of which the cluster does not say it":      {more: upgradeHook(""), before: forbidReviews, notes: "hook Job/before may delete it before"},
		"a hook that only writes, whose account somebody else has given the right": {more: upgradeHook(withAccount, hookAccount, hookBinding, fmt.Sprintf(hookRole, "get, patch")), before: mayDelete("staging:cleaner"), notes: "hook Job/before may delete it before"},
		"a hook that may delete it":                                                {more: upgradeHook(withAccount, hookAccount, hookBinding, fmt.Sprintf(hookRole, "get, delete")), notes: "hook Job/before may delete it before"},
		"a hook with a role of the cluster":                                        {more: upgradeHook(withAccount, hookAccount, hookBinding), notes: "hook Job/before may delete it before"},
		"a hook with an account of another":                                        {more: upgradeHook(withAccount), notes: "hook Job/before may delete it before"},
		"a hook that says that it deletes":                                         {more: strings.Replace(upgradeHook(""), "[migrate, up]", "[kubectl, delete, deployment, shop, --cascade=orphan]", 1), notes: "hook Job/before may delete it before"},
		"a hook with an account that has no right of the chart":                    {more: upgradeHook(withAccount, hookAccount), notes: "hook Job/before may delete it before"},
		"a hook without a token":                                                   {more: upgradeHook(withAccount+"automountServiceAccountToken: false, ", hookAccount), refused: true},
		"a hook whose account gives no token":                                      {more: upgradeHook(withAccount, hookAccount+"automountServiceAccountToken: false\n"), refused: true},
		"a hook that says so in a second line":                                     {more: strings.Replace(upgradeHook(""), "[migrate, up]", `[sh, -c, "set -e\ndelete-old"]`, 1), notes: "hook Job/before may delete it before"},
		"it is a hook, too":                                                        {more: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop, annotations: {helm.sh/hook: pre-upgrade}}\nspec: {selector: {matchLabels: {app: two}}, template: {metadata: {labels: {app: two}}, spec: {containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}}}\n", notes: "a hook before replaces it"},
		"a hook that forces":                                                       {more: strings.Replace(upgradeHook(""), "[migrate, up]", "[kubectl, apply, --force, -f, x]", 1), notes: "hook Job/before may delete it before"},
		"it was deleted by hand":                                                   {before: func(s *server) { s.remove("/deployments/shop") }},
		"it is being deleted":                                                      {before: deletingDeployment, notes: "it is being deleted"},
		"somebody has changed it so already":                                       {before: changedSelector},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
			c, d := s.client("staging"), selectorDeployment(t, test.more)
			if err := c.CheckChangeable(t.Context(), d); err != nil {
				t.Fatalf("a first install: %v", err)
			}
			mustDeploy(t, c, d)
			s.requests()
			if err := c.CheckChangeable(t.Context(), d); err != nil {
				t.Fatalf("the same again: %v", err)
			}
			for _, request := range s.requests() {
				if !strings.Contains(request, "secrets") { // Helm's records
					t.Errorf("what changes nothing asks %s", request)
				}
			}
			if test.before != nil {
				test.before(s)
			}
			next := withWord(d, "two")
			err := c.CheckChangeable(t.Context(), next)
			if got := s.changes(); len(got) > 0 {
				t.Errorf("it changed %q", got)
			}
			var failed *release.Failure
			if refused := errors.As(err, &failed); refused != test.refused || refused != (err != nil) {
				t.Fatalf("got %v", err)
			}
			if err != nil && (release.IsBadRelease(err) || release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "OD-201 ") || !strings.Contains(err.Error(), "Deployment/shop: spec.selector: cannot be changed")) {
				t.Errorf("got %v", err)
			}
			plan, err := c.Plan(t.Context(), next)
			if err != nil || (len(plan.Problems) > 0) != test.refused || !strings.Contains(strings.Join(plan.Notes, "\n"), test.notes) {
				t.Errorf("got %q, %q, %v", plan.Problems, plan.Notes, err)
			}
		})
	}
}

func mayDelete(account string) func(*server) {
	return func(s *server) { s.mayDelete = []string{account} }
}

func forbidReviews(s *server) {
	s.answers(func(r *http.Request) (int, string) {
		return map[bool]int{true: http.StatusForbidden}[strings.HasSuffix(r.URL.Path, "accessreviews")], "you may not ask"
	})
}

// TestAnAdoptedObjectThatTheClusterRefuses: what the cluster has and no revision has is adopted if it is annotated as the release's. Whether that can be done is known before hooks run.
func TestAnAdoptedObjectThatTheClusterRefuses(t *testing.T) {
	t.Parallel()
	extra := "{{ if .Values.extra }}\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: extra}\nspec: {selector: {matchLabels: {app: two}}, template: {metadata: {labels: {app: two}}, " +
		"spec: {containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}}}\n{{ end }}"
	live := func(selector, owner string) map[string]any {
		return map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "extra", "namespace": "staging", "labels": map[string]any{"app.kubernetes.io/managed-by": "Helm"},
			"annotations": map[string]any{"meta.helm.sh/release-name": owner, "meta.helm.sh/release-namespace": "staging"}},
			"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": selector}}}}
	}
	for name, test := range map[string]struct {
		live           map[string]any
		first, refused bool
	}{
		"the release's, in an upgrade":                              {live("one", "shop"), false, true},
		"the release's, in a first install":                         {live("one", "shop"), true, true},
		"the release's, which differs in nothing that is fixed":     {live("two", "shop"), false, false},
		"another one's, which Helm refuses before anything changes": {live("one", "other"), false, false},
		"none": {nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.put("/api/v1/namespaces/staging", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "staging"}})
			c, d := s.client("staging"), selectorDeployment(t, extra)
			if !test.first {
				mustDeploy(t, c, d)
			}
			if test.live != nil {
				s.put("/apis/apps/v1/namespaces/staging/deployments/extra", test.live)
			}
			s.requests()
			d.SetJSON = []string{"extra=true"}
			err := c.CheckChangeable(t.Context(), d)
			if got := s.changes(); len(got) > 0 {
				t.Errorf("it changed %q", got)
			}
			if refused := err != nil; refused != test.refused || refused && !strings.Contains(err.Error(), "OD-201 release \"shop\" cannot be deployed, and nothing was changed: Deployment/extra: ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func deletingDeployment(s *server) {
	s.change("/deployments/shop", func(object map[string]any) {
		metadata, _ := object["metadata"].(map[string]any)
		metadata["deletionTimestamp"], metadata["finalizers"] = "2026-01-01T00:00:00Z", []any{"example.org/held"}
	})
}

func changedSelector(s *server) {
	s.change("/deployments/shop", func(object map[string]any) {
		spec, _ := object["spec"].(map[string]any)
		spec["selector"] = map[string]any{"matchLabels": map[string]any{"app": "two"}}
	})
}

// TestObstaclesOfAFieldThatCannotBeChanged: a field that the deploy itself cannot change is none to the rollback, one that was changed by a new object is.
func TestObstaclesOfAFieldThatCannotBeChanged(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), selectorDeployment(t, "")
	first := mustDeploy(t, c, d)
	if err := c.Mark(t.Context(), d.Name, first.Revision, release.MarkReady); err != nil {
		t.Fatal(err)
	}
	two := withWord(d, "two")
	target, err := c.RollbackTarget(t.Context(), two)
	if err != nil || target.Revision != first.Revision || len(target.Obstacles) > 0 {
		t.Errorf("got %+v, %v", target, err)
	}
	s.remove("/deployments/shop")
	if target, err = c.RollbackTarget(t.Context(), two); err != nil || len(target.Obstacles) != 1 { // the deploy creates it so
		t.Errorf("without the live object: got %+v, %v", target, err)
	}
	if _, err := c.Deploy(t.Context(), two, func(context.Context, release.Phase, []release.Object) error { return nil }); err != nil {
		t.Fatal(err)
	}
	two.Set = append(two.Set, "other=1")
	target, err = c.RollbackTarget(t.Context(), two)
	if err != nil || target.Revision != first.Revision || len(target.Obstacles) != 1 || !strings.Contains(target.Obstacles[0].What, "Deployment/shop: spec.selector cannot be changed") {
		t.Errorf("got %+v, %v", target, err)
	}
}

// TestAClaimOfAnotherSize is refused before the upgrade, if its class does not allow it, in the cluster's words.
func TestAClaimOfAnotherSize(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{"alone": "", "what admits objects changes too": "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: shop}\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), selectorDeployment(t, "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: '{{ .Values.size }}'}}}\n"+more)
			d.Set = []string{"size=1Gi"}
			mustDeploy(t, c, d)
			s.answers(on("PATCH", "/persistentvolumeclaims/data", 403, `persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc can be resized`))
			d.Set = []string{"size=2Gi"}
			err := c.CheckChangeable(t.Context(), d)
			if refused := err != nil && strings.Contains(err.Error(), "can be resized"); refused != (more == "") {
				t.Errorf("got %v", err)
			}
		})
	}
}
