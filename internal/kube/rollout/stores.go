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

// stores follow the objects of a rollout and what explains why they are not ready. They belong to one goroutine.
type stores struct {
	client  *kube.Client
	tracked []trackedObject
	before  release.Baseline
	open    func(store.Source) *store.Store // one that lasts as long as the watch

	objects     map[watchKey]*store.Store // of the tracked objects, and of the claims that pods mount
	pods        map[string]*store.Store   // by namespace, as the following
	replicaSets map[string]*store.Store
	events      map[string]*store.Store
}

func newStores(client *kube.Client, tracked []trackedObject, before release.Baseline) *stores {
	return &stores{client: client, tracked: tracked, before: before, objects: map[watchKey]*store.Store{},
		pods: map[string]*store.Store{}, replicaSets: map[string]*store.Store{}, events: map[string]*store.Store{}}
}

// start opens one store per kind and namespace, and those that explain why a workload is not ready. Pods are not selected by
// label: a chart need not label its pods, and a workload's own selector is known only once it has been read.
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
		case "PersistentVolumeClaim": // all of them: a pod may mount another
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

// followClaims opens the stores of the claims in namespaces where a pod mounts one; opened reports whether there was one to open.
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

// routineReasons are the reasons of events that every pod causes and that explain nothing: most of a busy namespace's.
var routineReasons = []string{"Scheduled", "Pulled", "Created", "Started", "ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete", "SawCompletedJob"}

// withoutRoutine selects the other events.
var withoutRoutine = "reason!=" + strings.Join(routineReasons, ",reason!=")

// eventsIn are the events of a namespace: why pods are not created, scheduled, given their volumes or found alive is reported in
// events only. They are not selected by type: those of an autoscaler, and some of a probe, are Normal ones.
func (s *stores) eventsIn(namespace string) store.Source {
	client := s.client.Events(namespace)
	return store.From(&core.Event{}, client.List, client.Watch).WithFields(withoutRoutine)
}

// sourceOf returns the source of the objects of a kind: of the object of that name if one name is given, else of all in the namespace.
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
