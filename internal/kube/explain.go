package kube

import (
	"github.com/onedigest/onedigest/internal/kube/store"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// explain says what is the matter with an object that is not ready: the finding that counts most among its pods, else that they
// may not be created, else a pod that is not ready, else the object's own words.
func (w *watcher) explain(object *unstructured.Unstructured, t tracked, now condition) finding {
	own := finding{object: t.object, reason: "NotReady", message: now.message, bears: never}
	if now.failed != "" {
		own.reason = now.failed
	}
	if object == nil {
		if last, found := w.blamed[t.object]; found && w.hook {
			return last
		}
		return own
	}
	if own.uid = object.GetUID(); t.heed != awaited {
		return own
	}
	if t.object.Kind == "PersistentVolumeClaim" {
		if found := w.claimFinding(object); found != nil {
			w.stand(*found)
			return *found
		}
		return own
	}
	sets, pods := store.All[*apps.ReplicaSet](w.sets[t.place.namespace]), store.All[*core.Pod](w.pods[t.place.namespace])
	current := currentPods(object, sets, pods)
	worst := w.worstOf(current, t.object.Kind == "Job")
	if worst != nil && worst.code != "" {
		return w.blame(t, object, *worst, now)
	}
	if found := w.refused(object, sets, pods); found != nil {
		w.stand(*found)
		return *found
	}
	if worst == nil {
		if worst = w.worstOf(earlierPods(object, current, pods), false); worst != nil {
			worst.bears = never // it says nothing of this release
		}
	}
	if worst != nil {
		return w.blame(t, object, *worst, now)
	}
	if last, found := w.blamed[t.object]; found && t.object.Kind == "Job" {
		return w.blame(t, object, last, now)
	}
	if now.failed != "" {
		w.stand(own)
	}
	return own
}

// worstOf is what counts most of what is the matter with pods, nil if they are all ready: what counts by now, then what has a
// name.
func (w *watcher) worstOf(pods []*core.Pod, job bool) (worst *finding) {
	best := 0
	for _, pod := range pods {
		found := w.view(pod, job).examine()
		if found == nil {
			continue
		}
		w.stand(*found)
		rank := 1
		if counts, _ := w.counts(*found); counts && !found.dependent {
			rank = 4
		} else if counts {
			rank = 3
		} else if found.code != "" {
			rank = 2
		}
		if rank > best {
			worst, best = found, rank
		}
	}
	return worst
}

func (w *watcher) view(pod *core.Pod, job bool) view {
	if job || w.hook {
		w.keep(pod)
	}
	return view{
		pod: pod, job: job, events: w.about[pod.UID], proving: w.client.grace(provingTime),
		claims: func() *finding { return w.claimed(pod) },
		past:   func(container string) *past { return w.pastOf(string(pod.UID) + "/" + container) },
	}
}

// blame is what a workload's failure is put down to. A Job's own word for its end is better than that of a pod which only shows
// that it was ended; what its pods said is kept, for they may go with it.
func (w *watcher) blame(t tracked, object *unstructured.Unstructured, found finding, now condition) finding {
	if t.object.Kind != "Job" && !w.hook {
		return found
	}
	if said := conditions(object)["Failed"]; t.object.Kind == "Job" && now.failed != "" && found.code == "" && said.reason == "DeadlineExceeded" {
		found.reason, found.message = said.reason, said.message
	}
	w.blamed[t.object] = found
	return found
}

var claimsResource = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}

// claimed is what is the matter with the claims that a pod mounts, nil if nothing is known to be.
func (w *watcher) claimed(pod *core.Pod) *finding {
	names := claimsOf(pod)
	if len(names) == 0 {
		return nil
	}
	where := place{claimsResource, pod.Namespace}
	if w.feeds[where] == nil {
		claim := tracked{place: where}
		claim.object.APIVersion, claim.object.Kind = "v1", "PersistentVolumeClaim"
		w.feeds[where] = w.open(w.client.objectsOf(claim, nil))
	}
	for _, name := range names {
		stored, _, _ := w.feeds[where].GetByKey(pod.Namespace + "/" + name)
		if claim, ok := stored.(*unstructured.Unstructured); ok {
			if found := w.claimFinding(claim); found != nil {
				return found
			}
		}
	}
	return nil
}

func (w *watcher) claimFinding(object *unstructured.Unstructured) *finding {
	claim := &core.PersistentVolumeClaim{}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, claim) != nil {
		return nil
	}
	return claimFinding(claim, w.about[claim.UID])
}
