package plan

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"helm.sh/helm/v3/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/cli-runtime/pkg/resource"
)

// dryRunResult is the cluster's answer to one object.
type dryRunResult struct {
	info      *resource.Info
	live      map[string]any // as it is in the cluster; nil if it does not exist
	applied   map[string]any // as it would be after the deploy; nil if the cluster refused it or was not asked
	reapplied map[string]any // as it would be if the earlier manifest were applied again; nil if nothing would change
	problems  []string
}

// dryRunUnsupported matches an apiserver's message that it refuses a dry run because a webhook has side effects.
var dryRunUnsupported = regexp.MustCompile(`does not support dry run`)

// dryRun asks the cluster what an object would become. base was applied last; it is nil if nothing was.
func (p *planner) dryRun(info, base *resource.Info) (*dryRunResult, error) {
	r := &dryRunResult{info: info}
	if p.inMissingNamespace(info) {
		return r, nil
	}
	if err := p.Release.AddOwner(info); err != nil {
		return nil, err
	}
	current, err := objects.Get(info)
	switch {
	case apierrors.IsNotFound(err):
		created, err := dryRunHelper(info).Create(info.Namespace, true, info.Object.DeepCopyObject())
		return r, p.setAnswer(r, created, err)
	case apierrors.IsForbidden(err):
		return r, p.setAnswer(r, nil, err)
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", objects.ID(info), err)
	}
	r.live = manifest.Fields(current.Object)
	if base == nil && !p.Release.Owns(current) {
		r.problems = append(r.problems, failure.Problem(causes.ObjectNotOurs, objects.ID(info), fmt.Sprintf("exists already and does not belong to release %q", p.Deployment.Name)))
		return r, nil
	}
	if base == nil {
		base = info // it is adopted: no field is removed
	}
	if r.reapplied, err = p.reapply(base, current); err != nil {
		return nil, err
	}
	fields := unchangeable(info, base)
	patched, err := dryRunPatch(base, info, current)
	if err == nil { // the cluster takes the change: the live object may have these fields already
		fields = nil
	}
	if len(fields) > 0 || err != nil && failure.IsImmutable(err) {
		if why := p.replaced.of(current, time.Now()); why != "" {
			p.note("%s may not be changed as it is, and is created if it is gone by then: %s", objects.ID(info), why)
			return r, nil
		}
		if by := p.replaced.rulesChangedBy(current); by != "" && len(fields) == 0 {
			p.note("%s may not be changed as it is, unless %s, which is applied too, allows it", objects.ID(info), by)
			return r, nil
		}
	}
	for _, field := range fields {
		r.problems = append(r.problems, failure.Problem(causes.FieldImmutable, objects.ID(info), field+": cannot be changed"))
	}
	return r, p.setAnswer(r, patched, err)
}

// unchangeable returns the fields of an object that differ from what was applied and cannot be changed.
func unchangeable(info, base *resource.Info) []string {
	return immutableChanges(manifest.Fields(base.Object), manifest.Fields(info.Object))
}

// note adds a note to the plan.
func (p *planner) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, args...))
}

// setAnswer records the cluster's answer to an object. An error that is not about the object is returned.
func (p *planner) setAnswer(r *dryRunResult, applied runtime.Object, err error) error {
	switch {
	case err == nil:
		r.applied = manifest.Fields(applied)
		return nil
	case dryRunUnsupported.MatchString(err.Error()):
		p.mu.Lock()
		defer p.mu.Unlock()
		p.unvalidated = append(p.unvalidated, fmt.Sprintf("%s: %s", objects.ID(r.info), failure.Sanitize(err.Error())))
		return nil
	case failure.IsTransient(err):
		return fmt.Errorf("asking the cluster about %s: %w", objects.ID(r.info), err)
	}
	if failure.IsImmutable(err) && len(r.problems) > 0 {
		return nil // reported already, with the field's name
	}
	r.problems = append(r.problems, failure.Refusal(objects.ID(r.info), err))
	return nil
}

// dryRunHooks asks the cluster about the hooks that would run. An existing hook of the same name is not a problem, because Helm
// deletes it first; an apiserver checks for existence last.
func (p *planner) dryRunHooks() error {
	list, err := p.buildServed(p.hooks, p.createdBefore)
	if err != nil {
		return err
	}
	for _, info := range list {
		r := &dryRunResult{info: info}
		if !p.inMissingNamespace(info) {
			created, err := dryRunHelper(info).Create(info.Namespace, true, info.Object.DeepCopyObject())
			if !apierrors.IsAlreadyExists(err) {
				if err := p.setAnswer(r, created, err); err != nil {
					return err
				}
			}
		}
		p.plan.Changes = append(p.plan.Changes, release.Change{Object: objects.ID(info), Action: release.ActionCreate})
		p.plan.Problems = append(p.plan.Problems, r.problems...)
	}
	return nil
}

// report adds the changes and problems of one object to the plan. A field that somebody else has changed since it was applied is
// reported as drift, even if the deploy does not reset it.
func (p *planner) report(r *dryRunResult, unchanged bool) {
	p.plan.Problems = append(p.plan.Problems, r.problems...)
	change := release.Change{Object: objects.ID(r.info), Action: release.ActionChange}
	if r.live == nil {
		change.Action = release.ActionCreate
		p.plan.Changes = append(p.plan.Changes, change)
		return
	}
	after := r.applied
	if unchanged || after == nil {
		after = r.live
	}
	owners := fieldOwners(r.live)
	object := manifest.Fields(r.info.Object)
	format := func(one difference) release.FieldChange {
		formatted := one.format(object, p.secrets)
		formatted.Manager = otherManager(owners, one.path)
		return formatted
	}
	drifted := r.drift()
	drift := release.Change{Object: change.Object, Action: release.ActionDrift}
	for _, one := range differences(manifest.WithoutVolatile(r.live), manifest.WithoutVolatile(after)) {
		into := &change
		if at := slices.IndexFunc(drifted, one.samePlace); at >= 0 {
			drifted = slices.Delete(drifted, at, at+1)
			into = &drift
		}
		into.Fields = append(into.Fields, format(one))
	}
	for _, one := range drifted {
		one.after = one.before // the deploy leaves it as it is
		drift.Fields = append(drift.Fields, format(one))
	}
	for _, one := range []release.Change{change, drift} {
		if len(one.Fields) > 0 {
			p.plan.Changes = append(p.plan.Changes, one)
		}
	}
}

// drift returns the fields that somebody else has changed since they were applied.
func (r *dryRunResult) drift() []difference {
	if r.reapplied == nil {
		return nil
	}
	return differences(manifest.WithoutVolatile(r.live), manifest.WithoutVolatile(r.reapplied))
}

func dryRunHelper(info *resource.Info) *resource.Helper {
	return resource.NewHelper(info.Client, info.Mapping).DryRun(true).WithFieldManager(manifest.FieldManager)
}

// dryRunPatch sends the patch that Helm would send. It returns the live object if there is nothing to patch.
func dryRunPatch(base, target, current *resource.Info) (runtime.Object, error) {
	patch, kind, err := helmPatch(base, target, current)
	if err != nil {
		return nil, err
	}
	if string(patch) == "{}" {
		return current.Object, nil
	}
	return dryRunHelper(target).Patch(target.Namespace, target.Name, kind, patch, nil)
}

// helmPatch returns Helm's patch from three versions of an object. For kinds without a known schema, Helm compares only two
// versions, and ignores the live one.
// Source: helm.sh/helm/v3, pkg/kube/client.go, createPatch.
func helmPatch(base, target, current *resource.Info) ([]byte, types.PatchType, error) {
	versions, err := marshalAll(base.Object, target.Object, current.Object)
	if err != nil {
		return nil, "", err
	}
	versioned := kube.AsVersioned(target)
	if _, ok := versioned.(runtime.Unstructured); ok {
		patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(versions[0], versions[1], versions[0])
		return patch, types.MergePatchType, err
	}
	lookup, err := strategicpatch.NewPatchMetaFromStruct(versioned)
	if err != nil {
		return nil, "", err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(versions[0], versions[1], versions[2], lookup, true)
	return patch, types.StrategicMergePatchType, err
}

// reapply asks the cluster what an object would be if its base were applied again; nil if it would not change, or if the cluster refuses: the
// base is not going to be applied.
func (p *planner) reapply(base, current *resource.Info) (map[string]any, error) {
	again := *base
	again.Object = &unstructured.Unstructured{Object: runtime.DeepCopyJSON(manifest.Fields(base.Object))}
	if err := p.Release.AddOwner(&again); err != nil {
		return nil, err
	}
	reapplied, err := dryRunReapply(&again, current)
	if err != nil && !failure.IsTransient(err) {
		return nil, nil
	}
	return reapplied, err
}

// dryRunReapply asks the cluster what an object would be if a manifest were applied again; nil if it would not change. Comparing
// the manifest with the live object locally would report false differences: only the cluster knows its defaults, and that "1000m"
// equals "1".
func dryRunReapply(again, current *resource.Info) (map[string]any, error) {
	fields := manifest.Fields(again.Object)
	removeRun(fields)
	again.Object = &unstructured.Unstructured{Object: fields}
	var (
		patch []byte
		kind  = types.MergePatchType
		err   error
	)
	if _, ok := kube.AsVersioned(again).(runtime.Unstructured); ok {
		versions, err := marshalAll(again.Object, current.Object)
		if err != nil {
			return nil, err
		}
		if patch, err = jsonmergepatch.CreateThreeWayJSONMergePatch(versions[0], versions[0], versions[1]); err != nil {
			return nil, err
		}
	} else if patch, kind, err = helmPatch(again, again, current); err != nil {
		return nil, err
	}
	if string(patch) == "{}" {
		return nil, nil
	}
	reapplied, err := dryRunHelper(again).Patch(current.Namespace, current.Name, kind, patch, nil)
	if err != nil {
		return nil, err
	}
	return manifest.Fields(reapplied), nil
}

func marshalAll(list ...runtime.Object) ([][]byte, error) {
	texts := make([][]byte, len(list))
	for i, object := range list {
		text, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		texts[i] = text
	}
	return texts, nil
}
