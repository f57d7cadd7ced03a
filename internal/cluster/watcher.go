package cluster

import (
	"context"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher is one rollout being watched. Everything but the feeds belongs to one goroutine.
type watcher struct {
	client    *Client
	namespace string
	objects   []tracked
	report    func(release.RolloutStep)
	began     time.Time
	changed   chan struct{} // holds one: any number of changes are one reason to look again

	feeds  map[place]*feed  // of the objects themselves
	pods   map[string]*feed // by namespace, as the ones below
	sets   map[string]*feed
	events map[string]*feed // of refused creations

	reported map[release.Object]release.RolloutStep
	standing map[string]*standing
}

// tracked is an object that must become ready.
type tracked struct {
	object release.Object
	place  place
}

func (c *Client) newWatcher(ctx context.Context, namespace string, objects []release.Object, report func(release.RolloutStep)) (*watcher, error) {
	w := &watcher{
		client: c, namespace: namespace, report: report, began: time.Now(), changed: make(chan struct{}, 1),
		feeds: map[place]*feed{}, pods: map[string]*feed{}, sets: map[string]*feed{}, events: map[string]*feed{},
		reported: map[release.Object]release.RolloutStep{}, standing: map[string]*standing{},
	}
	for _, object := range objects {
		where, waits, err := c.located(ctx, object, namespace)
		if err != nil {
			return nil, c.fault(ctx, err, "asking what %s %s is", object.APIVersion, object)
		}
		if waits {
			object.Namespace = where.namespace
			w.objects = append(w.objects, tracked{object, where})
		}
	}
	return w, nil
}

// located is locate, asked again while the cluster does not answer.
func (c *Client) located(ctx context.Context, object release.Object, namespace string) (where place, waits bool, err error) {
	stopped := wait.PollUntilContextCancel(ctx, time.Second, true, func(context.Context) (bool, error) {
		where, waits, err = c.locate(object, namespace)
		return err == nil, nil
	})
	if stopped != nil && err == nil {
		err = stopped
	}
	return where, waits, err
}

func (w *watcher) nudge() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// start opens one feed per kind and namespace, and those that explain why a workload is not ready.
func (w *watcher) start(ctx context.Context) {
	for _, t := range w.objects {
		if w.feeds[t.place] == nil {
			w.feeds[t.place] = follow(ctx, w.client.objectsOf(t), w.nudge)
		}
		namespace := t.place.namespace
		switch t.object.Kind {
		case "Deployment":
			open(ctx, w, w.sets, namespace, w.client.setsIn)
		case "StatefulSet", "DaemonSet", "Job":
			open(ctx, w, w.events, namespace, w.client.refusalsIn)
		}
		if !t.place.custom() {
			open(ctx, w, w.pods, namespace, w.client.podsIn)
		}
	}
}

func open(ctx context.Context, w *watcher, feeds map[string]*feed, namespace string, from func(string) source) {
	if feeds[namespace] == nil {
		feeds[namespace] = follow(ctx, from(namespace), w.nudge)
	}
}

func (c *Client) objectsOf(t tracked) source {
	kind := &unstructured.Unstructured{}
	kind.SetGroupVersionKind(schema.FromAPIVersionAndKind(t.object.APIVersion, t.object.Kind))
	client := c.dynamic.Resource(t.place.resource).Namespace(t.place.namespace)
	return source{
		list:  func(ctx context.Context, o meta.ListOptions) (runtime.Object, error) { return client.List(ctx, o) },
		watch: client.Watch, kind: kind,
	}
}

func (c *Client) podsIn(namespace string) source {
	client := c.kube.CoreV1().Pods(namespace)
	return source{
		list:  func(ctx context.Context, o meta.ListOptions) (runtime.Object, error) { return client.List(ctx, o) },
		watch: client.Watch, kind: &core.Pod{},
	}
}

func (c *Client) setsIn(namespace string) source {
	client := c.kube.AppsV1().ReplicaSets(namespace)
	return source{
		list:  func(ctx context.Context, o meta.ListOptions) (runtime.Object, error) { return client.List(ctx, o) },
		watch: client.Watch, kind: &apps.ReplicaSet{},
	}
}

// refusalsIn are the events by which controllers without conditions say that they may not create a pod.
func (c *Client) refusalsIn(namespace string) source {
	client := c.kube.CoreV1().Events(namespace)
	only := fields.OneTermEqualSelector("reason", uncreated.reason).String()
	return source{
		list: func(ctx context.Context, o meta.ListOptions) (runtime.Object, error) {
			o.FieldSelector = only
			return client.List(ctx, o)
		},
		watch: func(ctx context.Context, o meta.ListOptions) (watch.Interface, error) {
			o.FieldSelector = only
			return client.Watch(ctx, o)
		},
		kind: &core.Event{},
	}
}
