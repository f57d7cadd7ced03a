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
	"k8s.io/cli-runtime/pkg/resource"
)

// doneHook is a hook that succeeded in an earlier attempt of an install.
type doneHook struct {
	content  string // of the object, as JSON
	revision int
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

// hooksDoneBefore lists the hooks that succeeded in earlier attempts of an install that never did, by object. A hook of several
// events is not among them: it has run for one of them only.
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
				if id := objects.ID(info); !seen[id] {
					if seen[id] = true; hook.LastRun.Phase == helmrelease.HookPhaseSucceeded && len(hook.Events) == 1 {
						done[id] = doneHook{contentOf(info), revision.Version}
					}
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

// isDone reports whether a hook of a repeated install is left as it is. As with `helm upgrade --install`, a Job that succeeded is not
// run a second time; unlike there, one that failed or has changed is. A Secret or a claim keeps its content unless its policy is
// explicitly to be replaced. What is decided for an object holds for the whole operation.
func (k *kubeClient) isDone(info *resource.Info) bool {
	id := objects.ID(info)
	before, succeeded := k.doneHooks[id]
	if !succeeded || !isHook(info) {
		return false
	}
	if decided, known := k.skipped[id]; known {
		return decided
	}
	skip := false
	switch {
	case hasToComplete(info):
		skip = before.content == contentOf(info)
	case holdsData(info) && !isReplacedByPolicy(info):
		current, err := objects.Get(info)
		skip = err == nil && k.Owns(current)
	}
	if k.skipped[id] = skip; skip {
		k.session.client.log(fmt.Sprintf("hook %s is left as it is: it succeeded in revision %d, and this install goes on from there", id, before.revision))
	}
	return skip
}

// Delete deletes objects, and leaves hooks that are to be kept, and those that are not run again.
func (k *kubeClient) Delete(resources kube.ResourceList) (*kube.Result, []error) {
	left := k.deletable(resources)
	if len(left) == 0 {
		return &kube.Result{}, nil // Helm's client takes no objects for an error
	}
	return k.Client.Delete(left)
}

func (k *kubeClient) deletable(resources kube.ResourceList) kube.ResourceList {
	return resources.Filter(func(info *resource.Info) bool {
		return !isHook(info) || !isKept(info) && (k.passed[objects.ID(info)] || !k.isDone(info))
	})
}

// createHook annotates a hook as the release's, which Helm does not do. A hook that exists although its policy would have deleted it
// by now, or that its policy does not delete, is dealt with by its kind: one that runs is replaced, since it was left behind by a run
// that was killed or that failed; one that holds data is left as it is; any other is updated in place.
func (k *kubeClient) createHook(resources kube.ResourceList) (*kube.Result, error) {
	var replaced, created, updated kube.ResourceList
	for _, info := range resources {
		id := objects.ID(info)
		k.passed[id] = true
		if k.isDone(info) {
			continue
		}
		_ = k.AnnotateOwner(info) // an object without metadata is left for the apiserver to reject
		current, err := objects.Get(info)
		switch {
		case err != nil || !isHook(current) || !k.Owns(current) && (!isKept(info) || k.OwnedByAnother(current)):
			created = append(created, info)
		case hasToComplete(info) && !isKept(info) && !isKept(current):
			replaced, created = append(replaced, info), append(created, info)
		case hasToComplete(info):
			created = append(created, info) // refused as existing
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

// withoutDone drops the hooks that are not run again.
func (k *kubeClient) withoutDone(resources kube.ResourceList) kube.ResourceList {
	return slices.DeleteFunc(slices.Clone(resources), k.isDone)
}
