package rollout

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// recording is a snapshot of a real cluster as it is kept in testdata/snapshots: what every store held.
type recording struct {
	Taken     time.Time                    `json:"taken"`
	Namespace string                       `json:"namespace"`
	Hook      bool                         `json:"hook,omitempty"`
	Tracked   []release.Object             `json:"tracked"`
	OldEvents []types.UID                  `json:"oldEvents,omitempty"`
	Objects   []*unstructured.Unstructured `json:"objects"`
}

func readRecording(t *testing.T, name string) recording {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "snapshots", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := yaml.UnmarshalStrict(content, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// snapshot is the one that was recorded, without what was remembered then.
func (r recording) snapshot(t *testing.T) snapshot {
	t.Helper()
	sync := store.SyncState{Synced: true}
	followed := &storeSync{sync, r.Taken.Add(-time.Minute)}
	namespace := namespaceSnapshot{podSync: followed, replicaSetSync: followed, eventSync: followed, claimSync: followed, claims: map[string]*unstructured.Unstructured{}}
	known := snapshot{namespaces: map[string]namespaceSnapshot{}, events: map[types.UID][]*core.Event{}, oldEvents: map[types.UID]bool{}}
	for _, uid := range r.OldEvents {
		known.oldEvents[uid] = true
	}
	contents := map[release.Object]*unstructured.Unstructured{}
	for _, object := range r.Objects {
		contents[release.Object{APIVersion: object.GetAPIVersion(), Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}] = object
		switch object.GetKind() {
		case "Pod":
			namespace.pods = append(namespace.pods, typed[core.Pod](t, object))
		case "ReplicaSet":
			namespace.replicaSets = append(namespace.replicaSets, typed[apps.ReplicaSet](t, object))
		case "PersistentVolumeClaim":
			namespace.claims[object.GetName()] = object
		case "Event":
			event := typed[core.Event](t, object)
			known.events[event.InvolvedObject.UID] = append(known.events[event.InvolvedObject.UID], event)
		}
	}
	for _, events := range known.events {
		diagnose.SortEvents(events)
	}
	known.namespaces[r.Namespace] = namespace
	for _, object := range r.Tracked {
		key, wanted, err := locate(nil, object, r.Namespace)
		if err != nil {
			t.Fatal(err)
		}
		known.objects = append(known.objects, observedObject{trackedObject{object: object, key: key, wait: wanted}, sync, contents[object]})
	}
	return known
}

func typed[T any](t *testing.T, object *unstructured.Unstructured) *T {
	t.Helper()
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into); err != nil {
		t.Fatal(err)
	}
	return into
}
