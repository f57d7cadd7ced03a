package rollout

import (
	"strings"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// trackedObject is an object that is watched.
type trackedObject struct {
	object release.Object
	key    watchKey
	wait   waitPolicy
	// defaults are the annotations of a custom resource's definition.
	defaults map[string]string
}

// stores follow the objects of a rollout, and the objects that explain why those are not ready. Only one goroutine may use them.
type stores struct {
	client  *kube.Client
	tracked []trackedObject
	before  release.Baseline
	open    func(store.Source) *store.Store // opens a store that lives as long as the watch

	objects     map[watchKey]*store.Store // of the tracked objects, and of the claims that pods mount
	pods        map[string]*store.Store   // by namespace, like the following
	replicaSets map[string]*store.Store
	events      map[string]*store.Store
}

func newStores(client *kube.Client, tracked []trackedObject, before release.Baseline) *stores {
	return &stores{client: client, tracked: tracked, before: before, objects: map[watchKey]*store.Store{},
		pods: map[string]*store.Store{}, replicaSets: map[string]*store.Store{}, events: map[string]*store.Store{}}
}

// start opens one store per kind and namespace, and the stores that explain workloads. It selects no pods by label: a chart need
// not label its pods, and a workload's own selector is unknown until the workload has been read.
func (s *stores) start(open func(store.Source) *store.Store) {
	s.open = open
	names := map[watchKey][]string{}
	for _, t := range s.tracked {
		names[t.key] = append(names[t.key], t.object.Name)
	}
	for _, t := range s.tracked {
		namespace := t.key.namespace
		if t.wait == require {
			s.followPods(namespace, t.object.Kind)
		}
		if s.objects[t.key] != nil {
			continue
		}
		switch t.object.Kind {
		case "Pod":
			s.objects[t.key] = s.pods[namespace]
		case "ReplicaSet":
			s.objects[t.key] = s.replicaSets[namespace]
		case "PersistentVolumeClaim": // all claims: a pod may mount one that is not the release's
			s.objects[t.key] = s.open(s.sourceOf(t.object, t.key, nil))
		default:
			s.objects[t.key] = s.open(s.sourceOf(t.object, t.key, names[t.key]))
		}
	}
}

// followPods opens the stores that explain a workload of that kind.
func (s *stores) followPods(namespace, kind string) {
	if s.replicaSets[namespace] == nil && (kind == "Deployment" || kind == "ReplicaSet") {
		client := s.client.ReplicaSets(namespace)
		s.replicaSets[namespace] = s.open(store.From(&apps.ReplicaSet{}, client.List, client.Watch))
	}
	if s.pods[namespace] == nil {
		client := s.client.Pods(namespace)
		s.pods[namespace] = s.open(store.From(&core.Pod{}, client.List, client.Watch))
		s.events[namespace] = s.open(s.eventsIn(namespace))
	}
}

// recordObserved tells the client how new the pods and ReplicaSets are that the stores have reported.
func (s *stores) recordObserved() {
	for namespace, pods := range s.pods {
		s.client.RecordObservedPods(namespace, pods.Version(), s.replicaSets[namespace].Version())
	}
}

// followClaims opens the stores of claims in namespaces where a pod mounts one; opened reports whether it opened any.
func (s *stores) followClaims(namespaces []string) (opened bool) {
	for _, namespace := range namespaces {
		key := watchKey{claimsResource, namespace}
		if s.objects[key] == nil {
			claim := release.Object{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
			s.objects[key], opened = s.open(s.sourceOf(claim, key, nil)), true
		}
	}
	return opened
}

// routineReasons are the reasons of most events of a busy namespace: every pod causes them, and they explain nothing.
var routineReasons = []string{"Scheduled", "Pulled", "Created", "Started", "ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete", "SawCompletedJob"}

// withoutRoutine selects all other events.
var withoutRoutine = "reason!=" + strings.Join(routineReasons, ",reason!=")

// eventsIn returns the events of a namespace. Only events say why pods are not created or scheduled, get no volumes, or fail a
// probe. It does not select by type: an autoscaler's events, and some of a probe's, have type Normal.
func (s *stores) eventsIn(namespace string) store.Source {
	client := s.client.Events(namespace)
	return store.From(&core.Event{}, client.List, client.Watch).WithFields(withoutRoutine)
}

// sourceOf returns the source of the objects of a kind: of one object if only one name is given, otherwise of all in the
// namespace.
func (s *stores) sourceOf(object release.Object, key watchKey, names []string) store.Source {
	kind := &unstructured.Unstructured{}
	kind.SetGroupVersionKind(schema.FromAPIVersionAndKind(object.APIVersion, object.Kind))
	client := s.client.Dynamic.Resource(key.resource).Namespace(key.namespace)
	selector := ""
	if len(names) == 1 {
		selector = fields.OneTermEqualSelector("metadata.name", names[0]).String()
	}
	return store.From(kind, client.List, client.Watch).WithFields(selector)
}
