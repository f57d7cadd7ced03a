package rollout

import (
	"context"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// snapshot is everything that is known about a rollout at one moment. It is never changed.
type snapshot struct {
	objects    []observedObject
	namespaces map[string]namespaceSnapshot
	events     map[types.UID][]*core.Event // by the object that they are about, oldest first
	oldEvents  map[types.UID]bool          // events that were there before the watch, by their own UID
	before     release.Baseline            // what the namespace contained before the release was applied
	memory     memory
}

// observedObject is a tracked object as the cluster last reported it.
type observedObject struct {
	trackedObject
	sync    store.SyncState
	content *unstructured.Unstructured // nil: it does not exist
}

// namespaceSnapshot has the objects that explain the workloads of a namespace.
type namespaceSnapshot struct {
	pods        []*core.Pod
	replicaSets []*apps.ReplicaSet
	claims      map[string]*unstructured.Unstructured // by name
	leaving     time.Duration                         // how much longer pods that are being deleted may take to end; 0: there are none

	// How well each store follows the cluster; nil: there is no such store.
	podSync, replicaSetSync, eventSync, claimSync *storeSync
}

type storeSync struct {
	store.SyncState
	started time.Time
}

// syncOf returns how well a store follows the cluster, nil for no store.
func syncOf(s *store.Store) *storeSync {
	if s == nil {
		return nil
	}
	return &storeSync{s.State(), s.Started()}
}

// snapshot returns the stores' contents and the given memory. It reads each store's state before its content, so that the content
// is never older than the state.
func (s *stores) snapshot(remembered memory, now time.Time) snapshot {
	known := snapshot{namespaces: map[string]namespaceSnapshot{}, events: map[types.UID][]*core.Event{}, oldEvents: map[types.UID]bool{}, before: s.before, memory: remembered}
	for _, t := range s.tracked {
		followed := s.objects[t.key]
		known.objects = append(known.objects, observedObject{t, followed.State(), contentOf(followed, t)})
		if _, taken := known.namespaces[t.key.namespace]; !taken {
			known.namespaces[t.key.namespace] = s.namespaceSnapshot(t.key.namespace, now)
		}
	}
	for _, followed := range s.events {
		for _, event := range store.All[*core.Event](followed) {
			about := event.InvolvedObject.UID
			known.events[about] = append(known.events[about], event)
			if !followed.ChangedSinceSync(event) {
				known.oldEvents[event.UID] = true
			}
		}
	}
	for _, events := range known.events {
		diagnose.SortEvents(events)
	}
	return known
}

// namespaceSnapshot returns what the stores contain about a namespace's pods, ReplicaSets and claims.
func (s *stores) namespaceSnapshot(namespace string, now time.Time) namespaceSnapshot {
	claims := s.objects[watchKey{claimsResource, namespace}]
	known := namespaceSnapshot{
		podSync: syncOf(s.pods[namespace]), replicaSetSync: syncOf(s.replicaSets[namespace]), eventSync: syncOf(s.events[namespace]), claimSync: syncOf(claims),
		pods: store.All[*core.Pod](s.pods[namespace]), replicaSets: store.All[*apps.ReplicaSet](s.replicaSets[namespace]),
		claims: map[string]*unstructured.Unstructured{},
	}
	known.leaving = diagnose.LeavingTime(known.pods, now)
	for _, claim := range store.All[*unstructured.Unstructured](claims) {
		known.claims[claim.GetName()] = claim
	}
	return known
}

// contentOf returns a tracked object from its store, nil if the store does not contain it.
func contentOf(followed *store.Store, t trackedObject) *unstructured.Unstructured {
	if followed == nil {
		return nil
	}
	key := t.object.Name
	if t.key.namespace != "" {
		key = t.key.namespace + "/" + key
	}
	stored, found, err := followed.GetByKey(key)
	if err != nil || !found {
		return nil
	}
	if object, ok := stored.(*unstructured.Unstructured); ok {
		return object
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(stored)
	if err != nil {
		return nil
	}
	object := &unstructured.Unstructured{Object: fields}
	object.SetAPIVersion(t.object.APIVersion)
	object.SetKind(t.object.Kind)
	return object
}

// neverRead returns the error for the first object that the rollout waits for and that has never been read, nil if every such
// object has been read. The error is that of the failed request, or context.DeadlineExceeded if no request has failed yet. An object
// that the rollout only tolerates does not count if the cluster refuses the requests.
func (k snapshot) neverRead() error {
	for _, o := range k.objects {
		switch {
		case o.sync.Synced, o.wait == reportOnly, o.wait == tolerate && o.sync.Refused():
		case o.sync.Err == nil:
			return context.DeadlineExceeded
		default:
			return o.sync.Err
		}
	}
	return nil
}

// unansweredFor returns for how long the requests for any kind of object have been failing; 0 if none fails.
func (k snapshot) unansweredFor(now time.Time) (longest time.Duration) {
	for _, o := range k.objects {
		if o.sync.Err != nil {
			longest = max(longest, now.Sub(o.sync.Since))
		}
	}
	for _, namespace := range k.namespaces {
		if claims := namespace.claimSync; claims != nil && claims.Err != nil {
			longest = max(longest, now.Sub(claims.Since))
		}
	}
	return longest
}

// pod returns the pod of that name, nil if there is none.
func (n namespaceSnapshot) pod(name string) *core.Pod {
	for _, pod := range n.pods {
		if pod.Name == name {
			return pod
		}
	}
	return nil
}
