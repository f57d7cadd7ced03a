package helm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/kube"
	helmrelease "helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/resource"
)

// doneHook is a hook that an earlier attempt of an install has run.
type doneHook struct {
	content   string // of the object, as JSON
	revision  int
	succeeded bool // false: that is not recorded
}

func isHook(info *resource.Info) bool {
	return objects.Annotations(info)[helmrelease.HookAnnotation] != ""
}

// isKept reports whether an object is annotated to be kept. Helm's own hooks are deleted all the same, against its documentation
// (helm.sh/docs, "Tell Helm Not To Uninstall a Resource").
func isKept(info *resource.Info) bool {
	return objects.Annotations(info)[kube.ResourcePolicyAnno] == kube.KeepPolicy
}

// hasToComplete reports whether a hook is run: any other is done once it exists.
func hasToComplete(info *resource.Info) bool {
	kind := info.Mapping.GroupVersionKind.Kind
	return kind == "Job" || kind == "Pod"
}

// holdsData reports whether an object's content is lost for good when it is replaced: a generated password, a volume.
func holdsData(info *resource.Info) bool {
	kind := info.Mapping.GroupVersionKind.Kind
	return kind == "Secret" || kind == "PersistentVolumeClaim"
}

// isReplacedByPolicy reports whether a hook names the policy before-hook-creation itself. It is Helm's default too.
func isReplacedByPolicy(info *resource.Info) bool {
	for policy := range strings.SplitSeq(objects.Annotations(info)[helmrelease.HookDeleteAnnotation], ",") {
		if strings.TrimSpace(policy) == string(helmrelease.HookBeforeHookCreation) {
			return true
		}
	}
	return false
}

// hooksDoneBefore lists the hooks that succeeded in earlier attempts of an install that never did, by object. Of those that hold data
// it lists all that were begun: Helm records that a hook has succeeded when the next one begins or the install ends, so that of a run
// that was killed during the rollout the last hook's record says that it is running. A hook of several events is not among them: it
// has run for one of them only.
func (k *kubeClient) hooksDoneBefore(state history.State) (map[release.Object]doneHook, error) {
	done, seen := map[release.Object]doneHook{}, map[release.Object]bool{}
	for _, revision := range state.Revisions {
		for _, hook := range revision.Hooks {
			if hook.LastRun.StartedAt.IsZero() {
				continue // this attempt did not come so far
			}
			list, err := k.BuildServed(hook.Manifest)
			if err != nil {
				return nil, fmt.Errorf("reading hook %s of revision %d: %w", hook.Path, revision.Version, err)
			}
			for _, info := range list {
				id, succeeded := objects.ID(info), hook.LastRun.Phase == helmrelease.HookPhaseSucceeded
				if seen[id] {
					continue
				}
				if seen[id] = true; len(hook.Events) == 1 && (succeeded || holdsData(info)) {
					done[id] = doneHook{contentOf(info), revision.Version, succeeded}
				}
			}
		}
	}
	return done, nil
}

// contentOf is an object's content as JSON, which sorts the keys.
func contentOf(info *resource.Info) string {
	text, err := json.Marshal(manifest.Fields(info.Object))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(text))
}

// isDone reports whether a hook of a repeated install is left as it is. One that cannot be read is: it may hold data.
func (k *kubeClient) isDone(info *resource.Info) bool {
	done, err := k.decideDone(info)
	return done || err != nil
}

// decideDone decides whether a hook is left as it is, once for the whole operation. As with `helm upgrade --install`, a Job that
// succeeded is not run a second time; unlike there, one that failed or has changed is. A Secret or a claim that exists keeps its content
// unless its policy is explicitly to be replaced.
func (k *kubeClient) decideDone(info *resource.Info) (bool, error) {
	id := objects.ID(info)
	before, ran := k.doneHooks[id]
	if !ran || !isHook(info) {
		return false, nil
	}
	if decided, known := k.skipped[id]; known {
		return decided, nil
	}
	skip := false
	switch {
	case hasToComplete(info):
		skip = before.content == contentOf(info)
	case holdsData(info) && !isReplacedByPolicy(info):
		current, err := objects.Get(info)
		if err != nil && !apierrors.IsNotFound(err) {
			return false, fmt.Errorf("reading hook %s: %w", id, err)
		}
		skip = err == nil && k.Owns(current)
	}
	if k.skipped[id] = skip; skip {
		how := "it succeeded"
		if !before.succeeded {
			how = "it was created"
		}
		k.session.client.log(fmt.Sprintf("hook %s is left as it is: %s in revision %d, and this install goes on from there", id, how, before.revision))
	}
	return skip, nil
}

// Delete deletes objects, and leaves hooks that are not run again, and those that are to be kept: a Job or a Pod until it is run
// again, any other for good.
func (k *kubeClient) Delete(resources kube.ResourceList) (*kube.Result, []error) {
	left := k.deletable(resources)
	if len(left) == 0 {
		return &kube.Result{}, nil // Helm's client takes no objects for an error
	}
	return k.Client.Delete(left)
}

func (k *kubeClient) deletable(resources kube.ResourceList) kube.ResourceList {
	return resources.Filter(func(info *resource.Info) bool {
		if !isHook(info) {
			return true
		}
		hasEnded := k.passed[objects.ID(info)]
		if isKept(info) && (hasEnded || !hasToComplete(info)) {
			return false
		}
		return hasEnded || !k.isDone(info)
	})
}

// createHook annotates a hook as the release's, which Helm does not do. A hook that exists although its policy would have deleted it
// by now, or that its policy does not delete, is dealt with by its kind: one that runs is replaced, since it was left behind by a run
// that was killed or that failed, or was kept; one that holds data is left as it is; any other is updated in place.
func (k *kubeClient) createHook(resources kube.ResourceList) (*kube.Result, error) {
	var replaced, created, updated kube.ResourceList
	for _, info := range resources {
		id := objects.ID(info)
		k.passed[id] = false // until it is created
		done, err := k.decideDone(info)
		if err != nil {
			return nil, err
		}
		if done {
			continue
		}
		_ = k.AnnotateOwner(info) // an object without metadata is left for the apiserver to reject
		current, err := objects.Get(info)
		switch {
		case err != nil || !isHook(current) || !k.Owns(current) && (hasToComplete(info) || !isKept(info) || k.OwnedByAnother(current)):
			created = append(created, info)
		case hasToComplete(info):
			replaced, created = append(replaced, info), append(created, info)
		case holdsData(info):
			k.session.client.log(fmt.Sprintf("hook %s is kept as it is: its hook-delete-policy does not say that it is replaced", id))
		default:
			updated = append(updated, info)
		}
	}
	if len(replaced) > 0 {
		if _, errs := k.Client.Delete(replaced); len(errs) > 0 {
			return nil, errors.Join(errs...)
		}
		if err := k.WaitForDelete(replaced, 0); err != nil {
			return nil, err
		}
	}
	for _, info := range resources {
		k.passed[objects.ID(info)] = true
	}
	result := &kube.Result{}
	if len(updated) > 0 {
		done, err := k.Client.Update(updated, updated, false)
		if err != nil {
			return done, err
		}
		result.Updated = done.Updated
	}
	if len(created) > 0 {
		done, err := k.Client.Create(created)
		if err != nil {
			return done, err
		}
		result.Created = done.Created
	}
	return result, nil
}

// withoutSkipped drops the hooks that are not run again.
func (k *kubeClient) withoutSkipped(resources kube.ResourceList) kube.ResourceList {
	return slices.DeleteFunc(slices.Clone(resources), k.isDone)
}
