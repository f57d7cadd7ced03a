// Package plan finds out what a deploy would do, without changing anything: each object is sent to the apiserver as a dry run, and
// its answer is compared with the live object.
package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/kube"
	helmrelease "helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"
)

// Request is a deploy to be planned.
type Request struct {
	Deployment release.Deployment
	Chart      *chart.Chart
	Rendered   *chart.Rendered  // the next revision
	Rerendered *chart.Rendered  // the same, rendered another time
	State      history.State    // the revisions of the release
	Release    *objects.Release // its objects in the cluster
	Log        func(line string)
}

// Make plans a deploy. A refusal by the cluster is a problem of the plan, not an error. It logs what the cluster could not
// validate.
func Make(ctx context.Context, request Request) (release.Plan, error) {
	p := &planner{Request: request, namespace: request.Deployment.Namespace}
	err := p.run(ctx)
	return p.plan, err
}

// planner makes one plan.
type planner struct {
	Request
	namespace string
	plan      release.Plan

	objects, hooks   []map[string]any // as rendered: the objects that are applied, and the hooks that run
	target           kube.ResourceList
	original         kube.ResourceList // of the last deployed revision, or else of the newest
	secrets          *secrets
	deletes          kube.ResourceList
	crds             []CRD
	namespaceMissing bool
	namespaceUID     string
	missing          map[string]bool // namespaces that do not exist yet: the release's, and those that the chart itself makes
	replaced         replacement
	preHooks         map[string]bool // keys of the hooks that run before the objects are applied

	mu          sync.Mutex
	unvalidated []string // what the cluster could not validate, and why
}

// run makes the plan: it compares the objects, hooks and CRDs with the cluster's.
func (p *planner) run(ctx context.Context) (err error) {
	if err := p.readObjects(); err != nil {
		return err
	}
	unchanged, err := Unchanged(ctx, p.Rendered, p.State, p.Release)
	if err != nil {
		return err
	}
	redefined, err := p.reportCRDs()
	if err != nil {
		return err
	}
	unchanged = unchanged && !redefined
	applied, err := p.Release.AppliedRevisions()
	if err != nil {
		return err
	}
	base := objects.MergeBase(p.original, p.target, applied)
	if !unchanged {
		p.plan.Notes = append(p.plan.Notes, p.Release.KeepReplicas(base, p.target)...)
	}
	results := make([]*dryRunResult, len(p.target))
	err = objects.Each(len(results), func(i int) (err error) {
		results[i], err = p.dryRun(p.target[i], base.Get(p.target[i]))
		return err
	})
	if err != nil {
		return err
	}
	p.secrets = collectSecrets(p.Chart, append(p.liveAndEarlier(results), p.objects)...)
	for _, result := range results {
		p.report(result, unchanged)
	}
	if err := p.reportDeletes(); err != nil {
		return err
	}
	if !unchanged {
		if err := p.dryRunHooks(); err != nil {
			return err
		}
	}
	p.plan.Outcome = p.outcome(unchanged)
	p.reportReferences(results)
	if err := p.setBasis(results); err != nil {
		return err
	}
	for i, problem := range p.plan.Problems {
		p.plan.Problems[i] = p.secrets.redact(problem)
	}
	if len(p.unvalidated) > 0 {
		p.Log("WARNING: the cluster could not validate " + p.secrets.redact(strings.Join(p.unvalidated, "; ")))
	}
	return nil
}

// outcome returns what the deploy would do with the release as a whole.
func (p *planner) outcome(unchanged bool) release.Outcome {
	switch {
	case p.State.Install:
		return release.Created
	case unchanged:
		return release.Unchanged
	}
	return release.Changed
}

// readObjects parses the rendered objects and hooks, and those of the previous revision. A kind that the cluster does not serve
// is a problem, unless the chart defines the kind.
func (p *planner) readObjects() (err error) {
	if p.objects, err = manifest.Parse(p.Rendered.Manifest); err != nil {
		return err
	}
	p.preHooks = map[string]bool{}
	pre := p.Rendered.PreHooks()
	for i, hook := range slices.Concat(pre, p.Rendered.PostHooks()) {
		object, err := manifest.ParseObject([]byte(hook.Manifest))
		if err != nil {
			continue
		}
		for _, item := range release.ListItems(object) {
			p.hooks = append(p.hooks, item)
			p.preHooks[manifest.Key(item, p.namespace)] = p.preHooks[manifest.Key(item, p.namespace)] || i < len(pre)
		}
	}
	p.replaced = newReplacement(p.Rendered, p.objects, p.Release)
	p.findMissingNamespaces()
	if p.target, err = p.buildServed(p.objects, nil); err != nil {
		return err
	}
	if newest := p.State.Newest(); newest != nil && newest.Info.Status != helmrelease.StatusUninstalled {
		p.original, err = p.Release.BuildServed(newest.Manifest)
	}
	return err
}

// isPreHook reports whether an object is a hook that runs before the release's objects are applied.
func (p *planner) isPreHook(object map[string]any) bool {
	return p.preHooks[manifest.Key(object, p.namespace)]
}

// createdBefore returns the rendered objects that exist once an object is applied: those of the hooks, and unless it is a hook that runs before
// the release's objects, those too.
func (p *planner) createdBefore(object map[string]any) []map[string]any {
	if p.isPreHook(object) {
		return p.hooks
	}
	return slices.Concat(p.hooks, p.objects)
}

// buildServed builds the objects whose kinds the cluster serves, and reports the others. createdBefore returns the objects that are applied before one of
// them, whose CRDs the cluster then has; nil if none is.
func (p *planner) buildServed(list []map[string]any, createdBefore func(map[string]any) []map[string]any) (kube.ResourceList, error) {
	var served []map[string]any
	for _, object := range list {
		u := unstructured.Unstructured{Object: object}
		kind := u.GroupVersionKind()
		isServed, err := p.Release.Serves(object)
		switch {
		case isServed || err != nil: // Build reports the error
			served = append(served, object)
		case createdBefore != nil && defines(createdBefore(object), kind.Group, kind.Kind):
			p.unvalidated = append(p.unvalidated, fmt.Sprintf("%s, whose kind the chart itself defines", manifest.KindAndName(object)))
			p.plan.Changes = append(p.plan.Changes, release.Change{Object: manifest.ObjectID(object, p.namespace), Action: release.ActionCreate})
		case (p.State.Install || p.Deployment.ApplyCRDs) && p.chartDefines(kind.Group, kind.Kind):
			p.unvalidated = append(p.unvalidated, fmt.Sprintf("%s, whose kind the chart itself defines", manifest.KindAndName(object)))
			p.plan.Changes = append(p.plan.Changes, release.Change{Object: manifest.ObjectID(object, p.namespace), Action: release.ActionCreate})
		case p.chartDefines(kind.Group, kind.Kind):
			p.plan.Problems = append(p.plan.Problems, fmt.Sprintf("%s: the cluster serves no %s %s; the chart's crds directory defines it, and an upgrade does not create it: give --apply-crds",
				manifest.KindAndName(object), u.GetAPIVersion(), u.GetKind()))
		default:
			p.plan.Problems = append(p.plan.Problems, fmt.Sprintf("%s: the cluster serves no %s %s; install what defines this kind first, or switch it off in the values",
				manifest.KindAndName(object), u.GetAPIVersion(), u.GetKind()))
		}
	}
	if len(served) == 0 {
		return nil, nil
	}
	text, err := manifest.Format(served)
	if err != nil {
		return nil, err
	}
	return p.Release.Build(text, false)
}

// chartDefines reports whether the chart's crds directory defines a kind.
func (p *planner) chartDefines(group, kind string) bool {
	for _, crd := range p.Chart.Chart.CRDObjects() {
		definitions, err := manifest.Parse(string(crd.File.Data))
		if err == nil && defines(definitions, group, kind) {
			return true
		}
	}
	return false
}

// defines reports whether one of the objects is the CustomResourceDefinition of a kind.
func defines(list []map[string]any, group, kind string) bool {
	return slices.ContainsFunc(list, func(object map[string]any) bool {
		return object["kind"] == "CustomResourceDefinition" && manifest.ValueAt(object, "spec.group", "") == group && manifest.ValueAt(object, "spec.names.kind", "") == kind
	})
}

// findMissingNamespaces finds out which namespaces do not exist yet although objects will be applied there: the release's, which the deploy
// makes, and those that the chart makes.
func (p *planner) findMissingNamespaces() {
	p.namespaceMissing = p.isNamespaceMissing(p.namespace)
	p.plan.NamespaceMissing = p.namespaceMissing
	p.missing = map[string]bool{p.namespace: p.namespaceMissing}
	for _, object := range slices.Concat(p.hooks, p.objects) {
		if name := manifest.ObjectID(object, "").Name; manifest.GroupKind(object) == "/Namespace" && !p.missing[name] {
			p.missing[name] = p.isNamespaceMissing(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.missing)) {
		if p.missing[name] {
			p.unvalidated = append(p.unvalidated, fmt.Sprintf("the objects of namespace %q, which does not exist yet", name))
		}
	}
}

// inMissingNamespace reports whether an object belongs to a namespace that does not exist yet, and will when it is applied.
func (p *planner) inMissingNamespace(info *resource.Info) bool {
	if !info.Namespaced() || !p.missing[info.Namespace] {
		return false
	}
	return info.Namespace == p.namespace || slices.ContainsFunc(p.createdBefore(manifest.Fields(info.Object)), func(object map[string]any) bool {
		return manifest.GroupKind(object) == "/Namespace" && manifest.ObjectID(object, "").Name == info.Namespace
	})
}

// isNamespaceMissing reports whether a namespace certainly does not exist. A user who may not read it may still be allowed to
// deploy.
func (p *planner) isNamespaceMissing(name string) bool {
	list, err := p.Release.Build(strings.NewReader(fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %q}\n", name)), false)
	if err != nil || len(list) != 1 {
		return false
	}
	found, err := objects.Get(list[0])
	if err == nil && name == p.namespace {
		p.namespaceUID = uidOf(found)
	}
	return apierrors.IsNotFound(err)
}

// liveAndEarlier returns the live objects, the objects as the cluster would make them, and those of earlier revisions: the values
// of all Secrets in them must not be shown.
func (p *planner) liveAndEarlier(results []*dryRunResult) [][]map[string]any {
	var lists [][]map[string]any
	for _, revision := range p.State.Revisions {
		if list, err := manifest.Parse(revision.Manifest); err == nil {
			lists = append(lists, list)
		}
	}
	for _, result := range results {
		lists = append(lists, []map[string]any{result.live, result.applied})
	}
	return lists
}

// reportDeletes adds the objects that would be deleted.
func (p *planner) reportDeletes() error {
	if p.namespaceMissing {
		return nil
	}
	list, err := p.Release.ToDelete(p.original, p.target)
	p.deletes = list
	for _, info := range list {
		p.plan.Changes = append(p.plan.Changes, release.Change{Object: objects.ID(info), Action: release.ActionDelete})
	}
	return err
}

// reportReferences adds the pods' references to objects that the release does not contain. References to the release's own
// objects are problems if the key is missing, or if the object is applied only after the hook that needs it. results say which
// objects are in the cluster already.
func (p *planner) reportReferences(results []*dryRunResult) {
	live, applied := map[string]bool{}, map[string]map[string]any{}
	for _, result := range results {
		key := manifest.Key(manifest.Fields(result.info.Object), p.namespace)
		live[key], applied[key] = result.live != nil, result.applied
	}
	check := referenceCheck{objects: p.objects, hooks: p.hooks, namespace: p.namespace, isPreHook: p.isPreHook,
		isLive:  func(object map[string]any) bool { return live[manifest.Key(object, p.namespace)] },
		applied: func(object map[string]any) map[string]any { return applied[manifest.Key(object, p.namespace)] }}
	references, problems, notes := check.run()
	p.plan.Notes = append(p.plan.Notes, notes...)
	p.plan.References = references
	p.plan.Problems = append(p.plan.Problems, problems...)
}
