package kube

import (
	"context"
	"time"

	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

// watcher is one rollout being watched. Everything but the feeds and the kept logs belongs to one goroutine.
type watcher struct {
	client    *Client
	namespace string
	hook      bool // the objects are a hook's: they must end, and are gone then
	makers    bool // the release brings what may make what its pods miss
	objects   []tracked
	report    func(release.RolloutStep)
	began     time.Time
	changed   chan struct{} // holds one: any number of changes are one reason to look again

	feeds  map[place]*store.Store  // of the objects themselves
	pods   map[string]*store.Store // by namespace, as the ones below
	sets   map[string]*store.Store
	events map[string]*store.Store
	open   func(from store.Source) *store.Store // one that runs as long as the watch

	reported  map[release.Object]release.RolloutStep
	ended     map[release.Object]condition // of hooks that have ended, and may be gone
	met       map[release.Object]types.UID // of hooks that were seen
	missing   map[release.Object]time.Time // of hooks that are not there, since when
	blamed    map[release.Object]finding   // a Job's last failing pod, which may be gone when the Job fails
	pasts     map[string]*past
	standings map[string]*standing
	kept      keeper

	// Of the present look.
	looks   int
	resumed time.Time                   // when the cluster was last heard again after a failure
	about   map[types.UID][]*core.Event // oldest first
}

// tracked is an object that is watched.
type tracked struct {
	object release.Object
	place  place
	heed   heed
}

func (c *Client) newWatcher(ctx context.Context, namespace string, objects []release.Object, hook bool, report func(release.RolloutStep)) (*watcher, error) {
	w := &watcher{
		client: c, namespace: namespace, hook: hook, report: report, began: time.Now(), changed: make(chan struct{}, 1),
		feeds: map[place]*store.Store{}, pods: map[string]*store.Store{}, sets: map[string]*store.Store{}, events: map[string]*store.Store{},
		reported: map[release.Object]release.RolloutStep{}, ended: map[release.Object]condition{}, blamed: map[release.Object]finding{},
		met: map[release.Object]types.UID{}, missing: map[release.Object]time.Time{},
		pasts: map[string]*past{}, standings: map[string]*standing{},
	}
	for _, object := range objects {
		where, how, err := c.located(ctx, object, namespace)
		if err != nil {
			return nil, c.Fault(ctx, err, "asking what %s %s is", object.APIVersion, object)
		}
		w.makers = w.makers || maker(object)
		if how != passes {
			object.Namespace = where.namespace
			w.objects = append(w.objects, tracked{object, where, how})
		}
	}
	return w, nil
}

// located is locate, asked again while the cluster does not answer.
func (c *Client) located(ctx context.Context, object release.Object, namespace string) (where place, how heed, err error) {
	stopped := wait.PollUntilContextCancel(ctx, time.Second, true, func(context.Context) (bool, error) {
		where, how, err = c.locate(object, namespace)
		return err == nil, nil
	})
	if stopped != nil && err == nil {
		err = stopped
	}
	return where, how, err
}

func (w *watcher) nudge() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// start opens one feed per kind and namespace, and those that explain why a workload is not ready. Pods are not selected by a
// label: a chart need not give its pods the release's, and a workload's own selector is known only when it has been read.
func (w *watcher) start(ctx context.Context, open func(store.Source) *store.Store) {
	w.open = open
	w.kept.begin = func(fetch func(context.Context)) {
		w.kept.fetches.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, diagnosisTime)
			defer cancel()
			fetch(ctx)
		})
	}
	names := map[place][]string{}
	for _, t := range w.objects {
		names[t.place] = append(names[t.place], t.object.Name)
	}
	for _, t := range w.objects {
		namespace := t.place.namespace
		if t.heed == awaited {
			w.explaining(namespace, t.object.Kind)
		}
		if w.feeds[t.place] != nil {
			continue
		}
		switch t.object.Kind {
		case "Pod":
			w.feeds[t.place] = w.pods[namespace]
		case "ReplicaSet":
			w.feeds[t.place] = w.sets[namespace]
		case "PersistentVolumeClaim": // a pod may mount another
			w.feeds[t.place] = w.open(w.client.objectsOf(t, nil))
		default:
			w.feeds[t.place] = w.open(w.client.objectsOf(t, names[t.place]))
		}
	}
}

// explaining opens the feeds that tell of a workload's pods.
func (w *watcher) explaining(namespace, kind string) {
	if w.sets[namespace] == nil && (kind == "Deployment" || kind == "ReplicaSet") {
		w.sets[namespace] = w.open(w.client.setsIn(namespace))
	}
	if w.pods[namespace] == nil {
		w.pods[namespace], w.events[namespace] = w.open(w.client.podsIn(namespace)), w.open(w.client.eventsIn(namespace))
	}
}

// objectsOf are the objects of a kind: one by its name, several as all that there are.
func (c *Client) objectsOf(t tracked, names []string) store.Source {
	kind := &unstructured.Unstructured{}
	kind.SetGroupVersionKind(schema.FromAPIVersionAndKind(t.object.APIVersion, t.object.Kind))
	client := c.Dynamic.Resource(t.place.resource).Namespace(t.place.namespace)
	only := ""
	if len(names) == 1 {
		only = fields.OneTermEqualSelector("metadata.name", names[0]).String()
	}
	return store.From(kind, client.List, client.Watch).WithFields(only)
}

func (c *Client) podsIn(namespace string) store.Source {
	client := c.Kube.CoreV1().Pods(namespace)
	return store.From(&core.Pod{}, client.List, client.Watch)
}

func (c *Client) setsIn(namespace string) store.Source {
	client := c.Kube.AppsV1().ReplicaSets(namespace)
	return store.From(&apps.ReplicaSet{}, client.List, client.Watch)
}
