package kube

import (
	"context"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
)

// Permissions are the rules of the Role that every deploy needs in the release's namespace. Those for the chart's own objects come
// on top: KindPermissions. Check asks for these, and docs/rbac/role.yaml is generated from them.
var Permissions = []release.Permission{
	{Resource: "secrets", Verbs: []string{"get", "list", "create", "update", "patch", "delete"},
		For: "Helm's revisions"}, // helm.sh/helm/v3/pkg/storage/driver, secrets.go
	{Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"get", "list", "watch", "create", "update"},
		For: "the Lease by which runs exclude each other"},
	{Resource: "pods", Verbs: []string{"list", "watch"}, For: "the rollout, and the digest that the pods run"},
	{Group: "apps", Resource: "replicasets", Verbs: []string{"get", "list", "watch"}, For: "the rollout of a Deployment, and the pods of a custom resource"},
	{Resource: "services", Verbs: []string{"list", "watch"}, For: "the release's address"},
	{Group: "networking.k8s.io", Resource: "ingresses", Verbs: []string{"list", "watch"}, For: "the release's address",
		Without: "an Ingress's address is not found"},
	{Group: "discovery.k8s.io", Resource: "endpointslices", Verbs: []string{"list"}, For: "smoke checks of every ready endpoint",
		Without: "smoke checks use the pods that a Service selects instead of its endpoints"},
	{Resource: "pods/portforward", Verbs: []string{"create"}, For: "smoke checks of every ready endpoint, through the API server",
		Without: "smoke checks reach a pod only if its address can be reached from here"},
	{Resource: "events", Verbs: []string{"list", "watch"}, For: "the cause of a failed rollout",
		Without: "causes that only events report, such as an unschedulable pod, are not named"},
	{Resource: "pods/log", Verbs: []string{"get"}, For: "the last lines of a failed container",
		Without: "a failed container's last lines are not shown"},
	{Resource: "configmaps", Verbs: []string{"get", "list"}, For: "the dry run, which finds references to absent objects",
		Without: "references to absent ConfigMaps are not found, nor revisions that Helm keeps in ConfigMaps"},
	{Resource: "serviceaccounts", Verbs: []string{"get"}, For: "the dry run, which finds references to absent objects",
		Without: "a dry run does not find references to absent ServiceAccounts"},
	{Resource: "persistentvolumeclaims", Verbs: []string{"get", "list", "watch"}, For: "volumes that a pod waits for",
		Without: "a volume that a pod waits for is not named as the cause"},
	{Group: "autoscaling", Resource: "horizontalpodautoscalers", Verbs: []string{"list"}, For: "replicas that an autoscaler has set",
		Without: "replicas are kept only for an autoscaler that is in the chart"},
	{Group: "authorization.k8s.io", Resource: reviews, Verbs: []string{"create"}, For: "fields that cannot be changed, unless a hook's service account may delete the object before",
		Without: "a change that the cluster refuses is found only after the hooks, if one of them might delete the object"},
}

// reviews are the questions what a service account may do in a namespace.
const reviews = "localsubjectaccessreviews"

// StatusPermissions are the rules that reading the status of a release needs: what a deploy reads, and changes nothing by.
var StatusPermissions = []release.Permission{
	reading("secrets", "Helm's revisions", "", "get", "list"),
	reading("leases.coordination.k8s.io", "the release's pin", "whether the release is pinned is not known", "get"),
	reading("pods", "what the pods run", notCompared, "list"),
	reading("replicasets.apps", "the pods of a Deployment", notCompared, "get", "list"),
	{Group: "apps", Resource: "deployments", Verbs: []string{"get"}, For: "the pods that the release owns", Without: notCompared},
	{Group: "apps", Resource: "statefulsets", Verbs: []string{"get"}, For: "the pods that the release owns", Without: notCompared},
	{Group: "apps", Resource: "daemonsets", Verbs: []string{"get"}, For: "the pods that the release owns", Without: notCompared},
}

// StatusArgoCDPermissions are the rules by which status and uninstall find that Argo CD applies a release, of which Helm has no record.
var StatusArgoCDPermissions = []release.Permission{
	{Group: "apps", Resource: "deployments", Verbs: []string{"list"}, For: "a release that Argo CD applies", Without: "whether Argo CD applies a release is not known"},
	{Group: "apps", Resource: "statefulsets", Verbs: []string{"list"}, For: "a release that Argo CD applies", Without: "whether Argo CD applies a release is not known"},
	{Group: "apps", Resource: "daemonsets", Verbs: []string{"list"}, For: "a release that Argo CD applies", Without: "whether Argo CD applies a release is not known"},
}

// noVerdict is what is lost without the rules for workloads of a kind that the release has.
const noVerdict = "a release that runs the image in one ends without a verdict"

// SmokePermissions are the rules that smoke needs in the release's namespace if it has credentials of its own: it changes nothing but the mark on Helm's record.
var SmokePermissions = []release.Permission{
	reading("secrets", "Helm's record of the release, and the mark of its verdict", "the workloads are those labelled app.kubernetes.io/instance or onedigest.dev/release, and later rollbacks do not know the verdict", "get", "list", "patch"),
	reading("leases.coordination.k8s.io", "whether a deploy is running", "a first deploy that is running is refused, and not waited for", "get"),
	reading("pods", "the digest that the pods run", "", "list"),
	reading("replicasets.apps", "the pods of a Deployment, and of a custom resource", "", "get", "list"),
	{Group: "apps", Resource: "deployments", Verbs: []string{"get", "list"}, For: "Deployments, whose pods are compared", Without: noVerdict},
	{Group: "apps", Resource: "statefulsets", Verbs: []string{"get", "list"}, For: "StatefulSets, whose pods are compared", Without: noVerdict},
	{Group: "apps", Resource: "daemonsets", Verbs: []string{"get", "list"}, For: "DaemonSets, whose pods are compared", Without: noVerdict},
	{Group: "batch", Resource: "jobs", Verbs: []string{"get", "list"}, For: "Jobs, and the runs of a CronJob, whose pods are compared", Without: noVerdict},
	reading("services", "the release's address and its backends", "", "list", "watch"),
	reading("ingresses.networking.k8s.io", "the release's address", "an Ingress's address is not found", "list", "watch"),
	reading("endpointslices.discovery.k8s.io", "checks of every ready endpoint", "the pods that a Service selects are checked instead of its endpoints", "list"),
	reading("pods/portforward", "checks of every ready endpoint, through the API server", "a pod is checked only if its address can be reached from here", "create"),
}

// UninstallPermissions are the rules that uninstalling a release needs besides those for its objects, which are KindPermissions.
var UninstallPermissions = slices.DeleteFunc(slices.Clone(Permissions), func(permission release.Permission) bool {
	return permission.Resource != "secrets" && permission.Resource != "leases"
})

// notCompared is what is lost without the rules for workloads and their pods.
const notCompared = "what the pods run is not compared with the release's record"

// reading returns the rule of Permissions for a resource, of whose verbs only those are needed that are named. It panics if a deploy does not need them.
func reading(resource, purpose, without string, verbs ...string) release.Permission {
	for _, permission := range Permissions {
		if permission.Name() != resource {
			continue
		}
		for _, verb := range verbs {
			if !slices.Contains(permission.Verbs, verb) {
				panic("a deploy does not " + verb + " " + resource)
			}
		}
		permission.Verbs, permission.For, permission.Without = verbs, purpose, without
		return permission
	}
	panic("a deploy needs no rule for " + resource)
}

// GitOpsPermissions are the rules that a deploy needs if a GitOps controller applies the release: those of Permissions without Helm's revisions and without what is asked before
// objects are changed. It reads no Secret.
var GitOpsPermissions = slices.DeleteFunc(slices.Clone(Permissions), func(permission release.Permission) bool {
	return permission.Resource == "secrets" || permission.Resource == reviews
})

// AddressPermissions are the rules that a deploy and a smoke need in another namespace than the release's, where the chart has a Service or an Ingress: those of
// Permissions by which an address is found, and the pods behind it.
var AddressPermissions = []release.Permission{
	reading("services", "the release's address", noAddressThere, "list", "watch"),
	reading("ingresses.networking.k8s.io", "the release's address", noAddressThere, "list", "watch"),
	reading("endpointslices.discovery.k8s.io", "smoke checks of every ready endpoint", "smoke checks use the pods that a Service selects instead of its endpoints", "list"),
	reading("pods/portforward", "smoke checks of every ready endpoint, through the API server", "smoke checks reach a pod only if its address can be reached from here", "create"),
}

// noAddressThere is what is lost without the rules for the Services and Ingresses of another namespace.
const noAddressThere = "an address in that namespace is not found"

// AddressPermissionsOf returns AddressPermissions for each other namespace than the release's own in which the chart has a Service or an Ingress.
func AddressPermissionsOf(own string, kinds []release.AppliedKind) (needed []release.Permission) {
	var done []string
	for _, kind := range kinds {
		isAddress := kind.Group == "" && kind.Resource == "services" || kind.Group == "networking.k8s.io" && kind.Resource == "ingresses"
		if !isAddress || kind.Use != release.UseObject || kind.Namespace == "" || kind.Namespace == own || slices.Contains(done, kind.Namespace) {
			continue
		}
		done = append(done, kind.Namespace)
		for _, permission := range AddressPermissions {
			permission.Namespace = kind.Namespace
			needed = append(needed, permission)
		}
	}
	return needed
}

// awaitedResources are those of the chart's objects that the rollout waits for, so that it has to watch them.
var awaitedResources = []string{"deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "persistentvolumeclaims", "pods"}

// reportedResources are those whose state is reported during the rollout, but not waited for.
var reportedResources = []string{"services", "horizontalpodautoscalers.autoscaling"}

// BuiltInGroups are the API groups of Kubernetes itself. An object of another group is a custom resource, whose conditions are
// watched.
var BuiltInGroups = []string{"", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io",
	"scheduling.k8s.io", "admissionregistration.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "node.k8s.io", "apiregistration.k8s.io",
	"certificates.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io", "resource.k8s.io", "apiextensions.k8s.io"}

// KindPermissions are the rules that a deploy needs for the objects of a kind that its chart has.
func KindPermissions(kind release.AppliedKind) []release.Permission {
	permission := func(purpose, without string, verbs ...string) release.Permission {
		return release.Permission{Group: kind.Group, Resource: kind.Resource, Namespace: kind.Namespace, Cluster: kind.Namespace == "",
			Verbs: verbs, For: purpose, Without: without, Names: kind.Names}
	}
	if kind.Use == release.UseRollback {
		return rollbackPermissions(permission)
	}
	var needed []release.Permission
	switch watched := permission("the rollout", "", "list", "watch"); {
	case slices.Contains(awaitedResources, watched.Name()):
		needed = append(needed, watched)
	case slices.Contains(reportedResources, watched.Name()), !slices.Contains(BuiltInGroups, kind.Group):
		watched.Without = "its state is not reported"
		needed = append(needed, watched)
	}
	if kind.Group == "apps" && kind.Resource == "statefulsets" {
		needed = append(needed, release.Permission{Resource: "pods", Namespace: kind.Namespace, Verbs: []string{"delete"}, For: "a broken pod that keeps a StatefulSet from being rolled out",
			Without: "a broken pod that keeps a StatefulSet from being rolled out or back has to be deleted by hand"})
	}
	switch kind.Use {
	case release.UseRemove:
		return []release.Permission{permission("the objects of the release", "", "get", "delete")}
	case release.UseWatch:
		own := permission("the pods that the release owns", "", "get")
		switch {
		case slices.Contains(awaitedResources, own.Name()):
			needed = append(needed, own)
		case kind.HasContainers:
			own.Without = "whether its pods run the image is not known"
			needed = append(needed, own)
			for _, between := range ownerPermissions(kind) {
				between.Without = own.Without
				needed = append(needed, between)
			}
		}
		return needed
	case release.UseHook:
		return append(needed, permission("the chart's hooks", "", "get", "create", "patch", "delete"))
	case release.UseCreate:
		return []release.Permission{permission("the definitions of the chart's crds directory", "", "create")}
	case release.UseCRD:
		return []release.Permission{permission("apply-crds", "", "get", "create", "patch")}
	}
	return append(append(needed, ownerPermissions(kind)...), permission("the chart's objects", "", "get", "create", "patch"),
		permission("objects that are no longer part of the chart", "an object that is no longer part of the release stays", "delete"))
}

// ownersBetween are the kinds that the controllers of custom kinds put between an object and its pods, beside ReplicaSets. Each is read on the way from a pod to its
// workload. Sources: argo-workflows.readthedocs.io, "Cron Workflows"; knative.dev, "Knative Serving", Serving resources; agones.dev, "Fleet Specification";
// keda.sh, "Scaling Jobs"; jobset.sigs.k8s.io, "Concepts"; docs.ray.io, "KubeRay"; nightlies.apache.org/flink/flink-kubernetes-operator, "Overview".
var ownersBetween = map[string][]release.Permission{
	"cronworkflows.argoproj.io":          {{Group: "argoproj.io", Resource: "workflows"}},
	"services.serving.knative.dev":       {{Group: "serving.knative.dev", Resource: "configurations"}, {Group: "serving.knative.dev", Resource: "revisions"}, {Group: "apps", Resource: "deployments"}},
	"configurations.serving.knative.dev": {{Group: "serving.knative.dev", Resource: "revisions"}, {Group: "apps", Resource: "deployments"}},
	"fleets.agones.dev":                  {{Group: "agones.dev", Resource: "gameserversets"}, {Group: "agones.dev", Resource: "gameservers"}},
	"scaledjobs.keda.sh":                 {{Group: "batch", Resource: "jobs"}},
	"jobsets.jobset.x-k8s.io":            {{Group: "batch", Resource: "jobs"}},
	"rayservices.ray.io":                 {{Group: "ray.io", Resource: "rayclusters"}},
	"rayjobs.ray.io":                     {{Group: "ray.io", Resource: "rayclusters"}},
	"flinkdeployments.flink.apache.org":  {{Group: "apps", Resource: "deployments"}},
}

// ownerPermissions are the rules by which deploy and smoke find the pods of a custom resource that Helm has applied.
func ownerPermissions(kind release.AppliedKind) (needed []release.Permission) {
	if !kind.HasContainers {
		return nil
	}
	of := release.Permission{Group: kind.Group, Resource: kind.Resource}
	for _, permission := range ownersBetween[of.Name()] {
		permission.Namespace, permission.Cluster, permission.Verbs = kind.Namespace, kind.Namespace == "", []string{"get"}
		permission.For = "the pods of a custom resource, which are found by their owners"
		if kind.Loose {
			permission.Without = "whether its pods run the image is not known"
		}
		needed = append(needed, permission)
	}
	return needed
}

// rollbackPermissions returns the rules for objects that only a rollback applies, or that the deploy removes.
func rollbackPermissions(permission func(purpose, without string, verbs ...string) release.Permission) []release.Permission {
	const lost = "a failed rollout cannot be rolled back to the revision that has these objects"
	needed := []release.Permission{permission("the objects of the revision that a rollback goes back to", lost, "get", "create", "patch"),
		permission("objects that are no longer part of the chart", "an object that is no longer part of the release stays", "delete")}
	if watched := permission("the rollout of a rollback", lost, "list", "watch"); slices.Contains(awaitedResources, watched.Name()) {
		needed = append(needed, watched)
	}
	return needed
}

// CheckKinds asks the cluster whether this user may apply objects of the kinds, and whether the namespaces of the chart's objects and hooks exist. One that
// the chart makes itself counts as existing, and any that this user may not read or that a hook may make. The limits and errors are those of Check.
func (c *Client) CheckKinds(ctx context.Context, namespace string, kinds []release.AppliedKind) (limits []string, err error) {
	var wanted []release.Permission
	for _, kind := range kinds {
		wanted = append(wanted, KindPermissions(kind)...)
	}
	wanted = append(wanted, AddressPermissionsOf(namespace, kinds)...)
	if limits, err = c.CheckPermissions(ctx, namespace, wanted); err != nil {
		return limits, err
	}
	return limits, c.checkNamespaces(ctx, otherNamespaces(namespace, kinds))
}

// otherNamespaces returns the namespaces in which a deploy applies objects and that have to exist before it, the release's own aside, sorted.
func otherNamespaces(own string, kinds []release.AppliedKind) (others []string) {
	made := []string{"", own}
	for _, kind := range kinds {
		switch {
		case kind.Use == release.UseHook && slices.Contains([]string{"jobs", "pods"}, kind.Resource):
			return nil
		case kind.Group == "" && kind.Resource == "namespaces":
			made = append(made, kind.Names...)
		}
	}
	for _, kind := range kinds {
		if (kind.Use == release.UseObject || kind.Use == release.UseHook) && !slices.Contains(made, kind.Namespace) {
			others = append(others, kind.Namespace)
		}
	}
	slices.Sort(others)
	return slices.Compact(others)
}
