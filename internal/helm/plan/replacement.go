package plan

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"
)

// replacement finds out whether a live object may be gone when its new version is applied, so that it is created and not changed: it is being deleted, it is a Job that
// is deleted because it has ended, or a hook that runs before may delete it, as charts do with a StatefulSet whose claims change.
type replacement struct {
	hooks     []map[string]any // that run before the objects are applied
	target    []map[string]any // the objects
	rendered  []map[string]any // all objects and hooks
	namespace string
	cluster   *objects.Cluster // is asked what service accounts may do
}

func newReplacement(rendered *chart.Rendered, target []map[string]any, of *objects.Release) replacement {
	r := replacement{target: target, rendered: slices.Clone(target), namespace: of.TargetNamespace, cluster: of.Cluster}
	pre := rendered.PreHooks()
	for _, hook := range rendered.Hooks {
		object, err := manifest.ParseObject([]byte(hook.Manifest))
		if err != nil {
			continue // rendering has parsed it
		}
		r.rendered = append(r.rendered, release.ListItems(object)...)
		if slices.Contains(pre, hook) {
			r.hooks = append(r.hooks, release.ListItems(object)...)
		}
	}
	return r
}

// hookTime is how long the hooks may take before the objects are applied: a Job that has ended and is deleted within it may be gone then.
const hookTime = 10 * time.Minute

// of returns the reason why a live object may be gone when its new version is applied, "" if there is none.
func (r replacement) of(current *resource.Info, now time.Time) string {
	if _, deleting := objects.IsDeleting(current); deleting {
		return "it is being deleted"
	}
	if len(r.hooks) > 0 {
		now = now.Add(hookTime)
	}
	if at := expiryOf(manifest.Fields(current.Object)); !at.IsZero() && !at.After(now) {
		return "it has ended, and ttlSecondsAfterFinished deletes it"
	}
	key := manifest.Key(manifest.Fields(current.Object), r.namespace)
	for _, hook := range r.hooks {
		if manifest.Key(hook, r.namespace) == key {
			return "a hook before replaces it"
		}
		if r.mayDelete(hook, current) {
			return fmt.Sprintf("hook %s may delete it before", manifest.KindAndName(hook))
		}
	}
	return ""
}

// rulesChangedBy returns the rendered object that may change the API server's rules for an object before its new version is applied, "" if there is none: the CRD
// of a custom resource's group, or an admission webhook or policy. Those of hooks that run later do not count.
func (r replacement) rulesChangedBy(current *resource.Info) string {
	for _, object := range slices.Concat(r.hooks, r.target) {
		group, _, _ := strings.Cut(manifest.GroupKind(object), "/")
		defines := manifest.GroupKind(object) == "apiextensions.k8s.io/CustomResourceDefinition" && manifest.ValueAt(object, "spec.group", "") == current.Mapping.GroupVersionKind.Group
		if defines || group == "admissionregistration.k8s.io" {
			return manifest.KindAndName(object)
		}
	}
	return ""
}

// expiryOf returns when a Job that has ended is deleted; zero for every other object.
// Source: kubernetes.io, "Automatic Cleanup for Finished Jobs".
func expiryOf(object map[string]any) time.Time {
	if manifest.GroupKind(object) != "batch/Job" {
		return time.Time{}
	}
	ttl, found, err := unstructured.NestedInt64(object, "spec", "ttlSecondsAfterFinished")
	if !found || err != nil {
		return time.Time{}
	}
	conditions, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		if (condition["type"] == "Complete" || condition["type"] == "Failed") && condition["status"] == "True" {
			at, _ := condition["lastTransitionTime"].(string)
			ended, err := time.Parse(time.RFC3339, at)
			if err != nil {
				return time.Time{}
			}
			return ended.Add(time.Duration(ttl) * time.Second)
		}
	}
	return time.Time{}
}

// deletes matches what a hook's command says if it deletes objects by kubectl or the API.
var deletes = regexp.MustCompile(`(?i)delete|replace|recreate|destroy|uninstall|--force`)

// saysDelete reports whether a string in a value says that objects are deleted.
func saysDelete(value any) bool {
	switch value := value.(type) {
	case string:
		return deletes.MatchString(value)
	case []any:
		return slices.ContainsFunc(value, saysDelete)
	case map[string]any:
		for _, inner := range value {
			if saysDelete(inner) {
				return true
			}
		}
	}
	return false
}

// runsNothing matches the groups of Kubernetes' kinds that run nothing themselves.
var runsNothing = regexp.MustCompile(`^(?:|policy|(?:rbac\.authorization|networking|storage|scheduling|apiextensions|admissionregistration)\.k8s\.io)/`)

// mayDelete reports whether a hook may delete an object: it says so, or its service account may have the right to. A service account that the chart does
// not make, or to which it gives no right, may have any right; of another one, as the default one of the namespace, the cluster knows whether it has rights that the chart does not give.
func (r replacement) mayDelete(hook map[string]any, current *resource.Info) bool {
	specs := manifest.PodSpecs(hook)
	if len(specs) == 0 {
		return !runsNothing.MatchString(manifest.GroupKind(hook))
	}
	namespace := manifest.ObjectID(hook, r.namespace).Namespace
	for _, spec := range specs {
		if saysDelete(spec) {
			return true
		}
		account := cmp.Or(stringAt(spec, "serviceAccountName"), stringAt(spec, "serviceAccount"), "default")
		made := r.find("/ServiceAccount", namespace, account)
		if !mounts(spec, made) {
			continue
		}
		bound, may := r.mayAccountDelete(namespace, account, current)
		if may || account != "default" && (made == nil || !bound) || r.cluster.MayDelete(namespace, account, current) {
			return true
		}
	}
	return false
}

// mounts reports whether pods may have the token of their service account, nil if the chart does not make it.
// Source: kubernetes.io, "Configure Service Accounts for Pods", Opt out of API credential automounting.
func mounts(spec, account map[string]any) bool {
	automount, set := spec["automountServiceAccountToken"]
	if !set && account != nil {
		automount = account["automountServiceAccountToken"]
	}
	return automount != false || strings.Contains(manifest.JSON(spec["volumes"]), "serviceAccountToken")
}

// mayAccountDelete reports whether a binding of the chart names a service account, and whether one gives it the right to delete an object.
func (r replacement) mayAccountDelete(namespace, account string, current *resource.Info) (bound, may bool) {
	for _, binding := range r.rendered {
		kind := manifest.GroupKind(binding)
		if kind != "rbac.authorization.k8s.io/RoleBinding" && kind != "rbac.authorization.k8s.io/ClusterRoleBinding" {
			continue
		}
		where := manifest.ObjectID(binding, r.namespace).Namespace
		subjects, _ := binding["subjects"].([]any)
		if !slices.ContainsFunc(subjects, func(item any) bool { return isSubject(item, namespace, account, where) }) {
			continue
		}
		bound = true
		reference, _ := binding["roleRef"].(map[string]any)
		role := r.find("rbac.authorization.k8s.io/"+stringAt(reference, "kind"), where, stringAt(reference, "name"))
		if role == nil || allowsDelete(role, current) { // one that the chart does not make may allow anything
			return true, true
		}
	}
	return bound, false
}

// find returns a rendered object, nil if there is none. The namespace of one that has none does not count.
func (r replacement) find(kind, namespace, name string) map[string]any {
	at := slices.IndexFunc(r.rendered, func(object map[string]any) bool {
		id := manifest.ObjectID(object, r.namespace)
		return manifest.GroupKind(object) == kind && id.Name == name && (id.Namespace == namespace || strings.HasSuffix(kind, "/ClusterRole"))
	})
	if at < 0 {
		return nil
	}
	return r.rendered[at]
}

// isSubject reports whether a binding's subject is a service account or a group of it. Source: kubernetes.io, "Using RBAC Authorization", Referring to subjects.
func isSubject(item any, namespace, account, where string) bool {
	subject, _ := item.(map[string]any)
	name := stringAt(subject, "name")
	if stringAt(subject, "kind") == "Group" {
		return name == "system:serviceaccounts" || name == "system:serviceaccounts:"+namespace || name == "system:authenticated"
	}
	return name == account && cmp.Or(stringAt(subject, "namespace"), where) == namespace
}

// allowsDelete reports whether a role allows to delete an object of a kind.
func allowsDelete(role map[string]any, current *resource.Info) bool {
	rules, _ := role["rules"].([]any)
	has := func(rule map[string]any, field string, wanted ...string) bool {
		list, _, _ := unstructured.NestedStringSlice(rule, field)
		return slices.ContainsFunc(list, func(one string) bool { return one == "*" || slices.Contains(wanted, one) })
	}
	return role["aggregationRule"] != nil || slices.ContainsFunc(rules, func(item any) bool {
		rule, _ := item.(map[string]any)
		return has(rule, "verbs", "delete", "deletecollection") && has(rule, "apiGroups", current.Mapping.Resource.Group) && has(rule, "resources", current.Mapping.Resource.Resource)
	})
}

// stringAt returns the string of a field, "" if it has none.
func stringAt(object map[string]any, field string) string {
	value, _ := object[field].(string)
	return value
}
