package helm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/kube"
	helmrelease "helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Plan finds out what Deploy would do, and what the cluster would refuse about it, and changes nothing: every object is sent as
// a dry run, patched as Helm would patch it or created. What could not be found out is told to the client's log.
//
// The errors are those of Check, and a *release.Fault where the cluster does not answer. What the cluster refuses is no error but
// a problem of the plan.
func (c *Client) Plan(ctx context.Context, deployment release.Deployment) (release.Plan, error) {
	read, err := c.prepared.get(deployment, false)
	if err != nil {
		return release.Plan{}, err
	}
	c.runs.remember(deployment)
	s, err := c.open(ctx)
	if err != nil {
		return release.Plan{}, err
	}
	defer s.end()
	base, err := s.footing(ctx, deployment.Name)
	if err != nil {
		return release.Plan{}, err
	}
	if last := base.last(); last != nil && busy(last.Info.Status) {
		c.log(fmt.Sprintf("WARNING: release %q is %s (revision %d): what is planned may be out of date", deployment.Name, last.Info.Status, last.Version))
	}
	next, err := s.draft(deployment, read, base)
	if err != nil {
		return release.Plan{}, sorted(ctx, err, "rendering release %q", deployment.Name)
	}
	s.change(deployment.Name, base, nil)
	p := &planning{session: s, deployment: deployment, read: read, base: base, next: next}
	if err := p.run(ctx); err != nil {
		return release.Plan{}, sorted(ctx, err, "planning the deploy of release %q in namespace %q", deployment.Name, deployment.Namespace)
	}
	return p.plan, nil
}

// planning is the making of one plan.
type planning struct {
	*session
	deployment release.Deployment
	read       *prepared
	base       footing
	next       *draft
	plan       release.Plan

	objects, hooks []map[string]any // as rendered: what is applied, and the hooks that would run
	target         kube.ResourceList
	original       kube.ResourceList // of the last deployed revision, or the newest
	hidden         *secrets
	homeless       bool // the namespace is not there yet

	mu     sync.Mutex
	unseen []string
}

func (p *planning) run(ctx context.Context) (err error) {
	if err := p.gather(); err != nil {
		return err
	}
	same, err := p.same(ctx)
	if err != nil {
		return err
	}
	trials := make([]*trial, len(p.target))
	merged := p.kube.base(p.original, p.target, p.mustGrounds())
	err = each(len(trials), func(i int) (err error) {
		trials[i], err = p.try(p.target[i], merged.Get(p.target[i]))
		return err
	})
	if err != nil {
		return err
	}
	p.hidden = secretsOf(p.read, append(p.before(trials), p.objects)...)
	for _, trial := range trials {
		p.tell(trial, same)
	}
	if err := p.leavings(); err != nil {
		return err
	}
	if !same {
		if err := p.tryHooks(); err != nil {
			return err
		}
	}
	p.plan.Outcome = p.outcome(same)
	p.refer(trials)
	for i, problem := range p.plan.Problems {
		p.plan.Problems[i] = p.hidden.redacted(problem)
	}
	if len(p.unseen) > 0 {
		p.client.log("WARNING: the cluster could not validate " + p.hidden.redacted(strings.Join(p.unseen, "; ")))
	}
	return nil
}

func (p *planning) outcome(same bool) release.Outcome {
	switch {
	case p.base.install:
		return release.Created
	case same:
		return release.Unchanged
	}
	return release.Changed
}

// same tells whether Deploy would leave the release alone.
func (p *planning) same(ctx context.Context) (bool, error) {
	last := p.base.last()
	if last == nil || last.Info.Status != helmrelease.StatusDeployed {
		return false, nil
	}
	same, err := p.next.same(last)
	if err != nil || !same {
		return false, err
	}
	return p.standing(ctx, last)
}

// gather reads the objects of the draft and of what is deployed. A kind that the cluster does not serve is a problem, unless
// the chart brings it.
func (p *planning) gather() (err error) {
	if p.objects, err = objectsOf(p.next.manifest); err != nil {
		return err
	}
	for _, hook := range slices.Concat(p.next.runs(true), p.next.runs(false)) {
		if object, err := objectOf([]byte(hook.Manifest)); err == nil {
			p.hooks = append(p.hooks, parts(object)...)
		}
	}
	p.homeless = p.absentNamespace()
	if p.homeless {
		p.unseen = append(p.unseen, fmt.Sprintf("what is to be in namespace %q, which does not exist yet", p.namespace))
	}
	if p.target, err = p.servedOf(p.objects); err != nil {
		return err
	}
	if last := p.base.last(); last != nil && last.Info.Status != helmrelease.StatusUninstalled {
		p.original, err = p.kube.served(last.Manifest)
	}
	return err
}

// servedOf builds the objects whose kinds the cluster serves. The others are told.
func (p *planning) servedOf(objects []map[string]any) (kube.ResourceList, error) {
	var served []map[string]any
	for _, object := range objects {
		u := unstructured.Unstructured{Object: object}
		kind := u.GroupVersionKind()
		_, err := p.known.Load().mapper.RESTMapping(kind.GroupKind(), kind.Version)
		switch {
		case !meta.IsNoMatchError(err):
			served = append(served, object)
		case p.base.install && p.brings(kind.Group, kind.Kind):
			p.unseen = append(p.unseen, fmt.Sprintf("%s, whose kind the chart brings itself", nameOf(&u)))
			p.plan.Changes = append(p.plan.Changes, release.Change{Object: p.called(u), Action: release.ActionCreate})
		default:
			p.plan.Problems = append(p.plan.Problems, fmt.Sprintf("%s: the cluster serves no %s %s; install what defines this kind first, or switch it off in the values",
				nameOf(&u), u.GetAPIVersion(), u.GetKind()))
		}
	}
	text, err := written(served)
	if err != nil || len(served) == 0 {
		return nil, err
	}
	return p.kube.Build(text, false)
}

// brings tells whether the chart's crds directory defines a kind.
func (p *planning) brings(group, kind string) bool {
	for _, crd := range p.read.chart.CRDObjects() {
		objects, err := objectsOf(string(crd.File.Data))
		if err != nil {
			continue
		}
		for _, object := range objects {
			if valueAt(object, "spec.group", "") == group && valueAt(object, "spec.names.kind", "") == kind {
				return true
			}
		}
	}
	return false
}

func (p *planning) called(u unstructured.Unstructured) release.Object {
	object := release.Object{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
	if object.Namespace == "" {
		object.Namespace = p.namespace
	}
	return object
}

// absentNamespace tells whether the namespace is certainly not there. Whoever may not look may still deploy.
func (p *planning) absentNamespace() bool {
	list, err := p.kube.Build(strings.NewReader(fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %q}}", p.namespace)), false)
	if err != nil || len(list) != 1 {
		return false
	}
	_, err = live(list[0])
	return apierrors.IsNotFound(err)
}

// mustGrounds are the grounds, which gather has read the kinds of already.
func (p *planning) mustGrounds() []kube.ResourceList {
	grounds, err := p.kube.grounds()
	if err != nil {
		return nil
	}
	return grounds
}

// before are the objects that are or were: what was a secret is one.
func (p *planning) before(trials []*trial) [][]map[string]any {
	var lists [][]map[string]any
	for _, kept := range p.base.kept {
		if objects, err := objectsOf(kept.Manifest); err == nil {
			lists = append(lists, objects)
		}
	}
	for _, trial := range trials {
		lists = append(lists, []map[string]any{trial.live, trial.made})
	}
	return lists
}

// leavings are the objects that would be deleted.
func (p *planning) leavings() error {
	if p.homeless {
		return nil
	}
	left, err := p.kube.left(p.original, p.target)
	for _, info := range left {
		p.plan.Changes = append(p.plan.Changes, release.Change{Object: objectOfInfo(info), Action: release.ActionDelete})
	}
	return err
}

// refer lists what the pods need.
func (p *planning) refer(trials []*trial) {
	there := map[string]bool{}
	for _, trial := range trials {
		there[identity(fieldsOf(trial.info.Object), p.namespace)] = trial.live != nil
	}
	early := map[string]bool{}
	for _, hook := range p.next.runs(true) {
		if object, err := objectOf([]byte(hook.Manifest)); err == nil {
			early[identity(object, p.namespace)] = true
		}
	}
	references, problems := needs(p.objects, p.hooks,
		func(object map[string]any) bool { return early[identity(object, p.namespace)] },
		func(object map[string]any) bool { return there[identity(object, p.namespace)] }, p.namespace)
	p.plan.References = references
	p.plan.Problems = append(p.plan.Problems, problems...)
}
