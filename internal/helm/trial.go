package helm

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

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

// trial is one object, sent to the cluster as a dry run.
type trial struct {
	info  *resource.Info
	live  map[string]any // nil if it is not there
	made  map[string]any // what the cluster would make of it; nil if it refused, or was not asked
	back  map[string]any // what the cluster would make of it if the last manifest were applied again; nil if nothing would change
	wrong []string       // what the cluster has against it
}

// unasked is how an apiserver says that a dry run tells nothing: a webhook in between would act.
var unasked = regexp.MustCompile(`does not support dry run`)

// try finds out what would become of an object; base is what was applied last, nil if nothing was.
func (p *planning) try(info, base *resource.Info) (*trial, error) {
	t := &trial{info: info}
	if p.homeless && info.Namespaced() && info.Namespace == p.namespace {
		return t, nil
	}
	p.own(info)
	current, err := live(info)
	switch {
	case apierrors.IsNotFound(err):
		made, err := p.dry(info).Create(info.Namespace, true, info.Object.DeepCopyObject())
		err = t.answered(p, made, err)
		return t, err
	case apierrors.IsForbidden(err):
		err = t.answered(p, nil, err)
		return t, err
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", objectOfInfo(info), err)
	}
	t.live = fieldsOf(current.Object)
	if base == nil && !p.kube.owns(current) {
		t.wrong = append(t.wrong, problem(causes.ObjectNotOurs, objectOfInfo(info), fmt.Sprintf("is there already and does not belong to release %q", p.deployment.Name)))
		return t, nil
	}
	if base == nil {
		base = info // adopted: nothing is taken away
	}
	for _, field := range unchangeable(fieldsOf(base.Object), fieldsOf(info.Object)) {
		t.wrong = append(t.wrong, problem(causes.FieldImmutable, objectOfInfo(info), field+": cannot be changed"))
	}
	if t.back, err = p.undrifted(base, current); err != nil {
		return nil, err
	}
	made, err := p.patched(info, base, info, current)
	err = t.answered(p, made, err)
	return t, err
}

// own marks an object as the release's, as Helm does before it applies one.
func (p *planning) own(info *resource.Info) {
	u := unstructured.Unstructured{Object: fieldsOf(info.Object)}
	u.SetLabels(both(u.GetLabels(), map[string]string{"app.kubernetes.io/managed-by": "Helm"}))
	u.SetAnnotations(both(u.GetAnnotations(), map[string]string{ownerName: p.deployment.Name, ownerSpace: p.namespace}))
	info.Object = &u
}

func (p *planning) dry(info *resource.Info) *resource.Helper {
	return resource.NewHelper(info.Client, info.Mapping).DryRun(true).WithFieldManager(fieldManager)
}

// patched sends the patch that Helm would send; the live object comes back where there is nothing to patch.
func (p *planning) patched(info, base, target, current *resource.Info) (runtime.Object, error) {
	patch, kind, err := mergeOf(base, target, current)
	if err != nil {
		return nil, err
	}
	if string(patch) == "{}" {
		return current.Object, nil
	}
	return p.dry(info).Patch(info.Namespace, info.Name, kind, patch, nil)
}

// mergeOf is the patch that Helm makes of three versions of an object.
// Source: helm.sh/helm/v3, pkg/kube/client.go, createPatch.
func mergeOf(base, target, current *resource.Info) ([]byte, types.PatchType, error) {
	texts := make([][]byte, 3)
	for i, info := range []*resource.Info{base, target, current} {
		written, err := json.Marshal(info.Object)
		if err != nil {
			return nil, "", err
		}
		texts[i] = written
	}
	versioned := kube.AsVersioned(target)
	if _, is := versioned.(runtime.Unstructured); is {
		// Without a look at what is there: Helm merges what it does not know from two versions only.
		patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(texts[0], texts[1], texts[0])
		return patch, types.MergePatchType, err
	}
	lookup, err := strategicpatch.NewPatchMetaFromStruct(versioned)
	if err != nil {
		return nil, "", err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(texts[0], texts[1], texts[2], lookup, true)
	return patch, types.StrategicMergePatchType, err
}

// undrifted is what the object would be if what was applied last were applied again; nil if it would not change. The cluster
// says so itself, for it knows that 1000m is 1.
func (p *planning) undrifted(base, current *resource.Info) (map[string]any, error) {
	again := *base
	u := unstructured.Unstructured{Object: runtime.DeepCopyJSON(fieldsOf(base.Object))}
	for _, mark := range []string{release.AnnotationRun, release.AnnotationActor} {
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations", mark)
	}
	again.Object = &u
	texts := make([][]byte, 2)
	for i, object := range []runtime.Object{again.Object, current.Object} {
		written, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		texts[i] = written
	}
	versioned := kube.AsVersioned(&again)
	var (
		patch []byte
		kind  = types.MergePatchType
		err   error
	)
	if _, is := versioned.(runtime.Unstructured); is {
		patch, err = jsonmergepatch.CreateThreeWayJSONMergePatch(texts[0], texts[0], texts[1])
	} else {
		patch, kind, err = mergeOf(&again, &again, current)
	}
	if err != nil || string(patch) == "{}" {
		return nil, err
	}
	made, err := p.dry(base).Patch(current.Namespace, current.Name, kind, patch, nil)
	if err != nil {
		return nil, nil // what is wrong with the new manifest is told; the old one does not matter
	}
	return fieldsOf(made), nil
}

// answered takes the cluster's answer. What is no answer ends the plan.
func (t *trial) answered(p *planning, made runtime.Object, err error) error {
	switch {
	case err == nil:
		t.made = fieldsOf(made)
		return nil
	case unasked.MatchString(err.Error()):
		p.mu.Lock()
		defer p.mu.Unlock()
		p.unseen = append(p.unseen, fmt.Sprintf("%s: %s", objectOfInfo(t.info), told(err.Error())))
		return nil
	case transient(err):
		return fmt.Errorf("asking the cluster about %s: %w", objectOfInfo(t.info), err)
	}
	if immutable.MatchString(err.Error()) && len(t.wrong) > 0 {
		return nil // told already, by the field's name
	}
	t.wrong = append(t.wrong, refused(objectOfInfo(t.info), err))
	return nil
}

// refused words what a cluster has against an object.
func refused(object release.Object, err error) string {
	line := fmt.Sprintf("%s: %s", object, told(err.Error()))
	if cause := causeOf(err); cause != nil {
		line = cause.coded(line) + "; " + cause.advice()
	}
	return line
}

func problem(code causes.Code, object release.Object, what string) string {
	return fmt.Sprintf("%s %s: %s; %s", code, object, what, code.Cause().Advice)
}

// tell puts what was found out into the plan.
func (p *planning) tell(t *trial, same bool) {
	p.plan.Problems = append(p.plan.Problems, t.wrong...)
	change := release.Change{Object: objectOfInfo(t.info), Action: release.ActionChange}
	if t.live == nil {
		change.Action = release.ActionCreate
		p.plan.Changes = append(p.plan.Changes, change)
		return
	}
	owners := ownersOf(t.live)
	after := t.made
	if same || after == nil {
		after = t.live
	}
	fields := fieldsOf(t.info.Object)
	shown := func(one difference) release.FieldChange {
		told := one.told(fields, p.hidden)
		told.Manager = ownerOf(owners, one.path)
		return told
	}
	strayed := t.strayed()
	drift := release.Change{Object: change.Object, Action: release.ActionDrift}
	for _, one := range differences(lasting(t.live), lasting(after)) {
		into := &change
		if at := slices.IndexFunc(strayed, one.same); at >= 0 {
			strayed = slices.Delete(strayed, at, at+1)
			into = &drift
		}
		into.Fields = append(into.Fields, shown(one))
	}
	for _, one := range strayed {
		one.after = one.before // it is left as it is
		drift.Fields = append(drift.Fields, shown(one))
	}
	for _, one := range []release.Change{change, drift} {
		if len(one.Fields) > 0 {
			p.plan.Changes = append(p.plan.Changes, one)
		}
	}
}

// strayed are the fields that somebody else has changed since they were applied.
func (t *trial) strayed() []difference {
	if t.back == nil {
		return nil
	}
	return differences(lasting(t.live), lasting(t.back))
}

// tryHooks asks about the hooks that would run. One of the same name that is there is deleted first, so that it says nothing
// against the hook: an apiserver looks for it last.
func (p *planning) tryHooks() error {
	list, err := p.servedOf(p.hooks)
	if err != nil {
		return err
	}
	for _, info := range list {
		t := &trial{info: info}
		if !p.homeless {
			made, err := p.dry(info).Create(info.Namespace, true, info.Object.DeepCopyObject())
			if !apierrors.IsAlreadyExists(err) {
				if err := t.answered(p, made, err); err != nil {
					return err
				}
			}
		}
		p.plan.Changes = append(p.plan.Changes, release.Change{Object: objectOfInfo(info), Action: release.ActionCreate})
		p.plan.Problems = append(p.plan.Problems, t.wrong...)
	}
	return nil
}
