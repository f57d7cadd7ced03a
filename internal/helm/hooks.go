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
	succeeded bool // whether it succeeded; false if that is not recorded
}

func isHook(info *resource.Info) bool {
	return objects.Annotations(info)[helmrelease.HookAnnotation] != ""
}

// isKept reports whether an object has the annotation helm.sh/resource-policy: keep. Helm ignores it on hooks, against its
// documentation (helm.sh/docs, "Tell Helm Not To Uninstall a Resource").
func isKept(info *resource.Info) bool {
	return manifest.IsKept(objects.Annotations(info))
}

// hasToComplete reports whether a hook is a Job or a Pod, which has to complete. Any other hook is done once it exists.
func hasToComplete(info *resource.Info) bool {
	kind := info.Mapping.GroupVersionKind.Kind
	return kind == "Job" || kind == "Pod"
}

// holdsData reports whether replacing an object loses its content, such as a generated password or a volume.
func holdsData(info *resource.Info) bool {
	kind := info.Mapping.GroupVersionKind.Kind
	return kind == "Secret" || kind == "PersistentVolumeClaim"
}

// isReplacedByPolicy reports whether a hook's annotation contains the delete policy before-hook-creation. A hook without the annotation
// does not count, although that policy is Helm's default.
func isReplacedByPolicy(info *resource.Info) bool {
	for policy := range strings.SplitSeq(objects.Annotations(info)[helmrelease.HookDeleteAnnotation], ",") {
		if strings.TrimSpace(policy) == string(helmrelease.HookBeforeHookCreation) {
			return true
		}
	}
	return false
}

// hooksDoneBefore lists, by object, the hooks that succeeded in earlier attempts of an install that never succeeded. For hooks
// that hold data it lists all that were started: Helm records a hook's success only when the next hook starts or the install
// ends, so the record of a killed run says that its last hook is still running. It leaves out a hook of several events, which has
// run for only one of them.
func (k *kubeClient) hooksDoneBefore(state history.State) (map[release.Object]doneHook, error) {
	done, seen := map[release.Object]doneHook{}, map[release.Object]bool{}
	for _, revision := range state.Revisions {
		if revision.Info.Status == helmrelease.StatusUninstalled {
			break // an earlier release, of which nothing is left
		}
		for _, hook := range revision.Hooks {
			if hook.LastRun.StartedAt.IsZero() {
				continue // this attempt did not reach the hook
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

// contentOf returns an object's content as JSON, which sorts the keys.
func contentOf(info *resource.Info) string {
	text, err := json.Marshal(manifest.Fields(info.Object))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(text))
}

// isDone reports whether a repeated install leaves a hook as it is. It returns true for a hook that cannot be read, because it
// may hold data.
func (k *kubeClient) isDone(info *resource.Info) bool {
	done, err := k.decideDone(info)
	return done || err != nil
}

// decideDone decides, once per operation, whether a hook is left unchanged. Like `helm upgrade --install`, it does not repeat a Job
// that succeeded; unlike Helm, it repeats a hook that failed or was changed. An existing Secret or claim keeps its content unless its
// policy explicitly is before-hook-creation.
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
		k.session.client.log(fmt.Sprintf("hook %s is left as it is: %s in revision %d, and this install continues from there", id, how, before.revision))
	}
	return skip, nil
}

// Delete deletes objects, except two kinds of hooks: those that are not run again, and those annotated to be kept. A kept Job or
// Pod is deleted when its hook runs again; any other kept hook is never deleted.
func (k *kubeClient) Delete(resources kube.ResourceList) (*kube.Result, []error) {
	left := k.deletable(resources)
	if len(left) == 0 {
		return &kube.Result{}, nil // Helm's client returns an error if there are no objects
	}
	return k.Client.Delete(left)
}

// deletable returns the objects that may be deleted: without kept ones and hooks that are not run again.
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

// createHook creates a hook, annotated as the release's, which Helm does not do. A hook that still exists, although its policy
// should have deleted it, or because its policy does not delete it, is handled by its kind: a Job or a Pod is replaced, because a
// killed or failed run left it or it was kept; a hook that holds data is left as it is; any other is updated in place.
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
		if apierrors.IsAlreadyExists(err) && !k.retriedHook {
			k.retriedHook = true // a request of an earlier, cancelled operation came late
			return k.createHook(resources)
		}
		if k.retriedHook = false; err != nil {
			return done, err
		}
		result.Created = done.Created
	}
	return result, nil
}

// withoutSkipped removes the hooks that are not run again.
func (k *kubeClient) withoutSkipped(resources kube.ResourceList) kube.ResourceList {
	return slices.DeleteFunc(slices.Clone(resources), k.isDone)
}
