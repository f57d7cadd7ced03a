package kube

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// feed keeps the objects of one kind in one namespace as the cluster last reported them: listed once, then watched. A
// watch that drops is taken up where it ended, one that has expired is listed again, a cluster that does not answer is
// asked again about once a second for as long as the feed runs.
//
// What it holds is never older than the moment at which it was started: the library's usual first read ("any version",
// https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list) may come from an apiserver that
// has not seen the change we are watching yet, and would show the previous rollout as complete.
type feed struct {
	cache.Store
	changed func()
	began   time.Time

	mu    sync.Mutex
	first map[types.UID]string // what was there when the feed was first filled, and its resource version
	now   heard
}

// heard is how well a feed hears the cluster.
type heard struct {
	synced  bool      // the feed has been filled
	failing error     // of the last request, nil if it went well
	since   time.Time // when requests began to fail with that kind of error
	away    bool      // the watch has ended, and no other has begun
	resumed time.Time // when requests last went well again after they had failed, or the watch had ended; zero: never
}

// source is how the objects of a feed are listed and watched.
type source struct {
	list  func(context.Context, meta.ListOptions) (runtime.Object, error)
	watch func(context.Context, meta.ListOptions) (watch.Interface, error)
	kind  runtime.Object // an example; an unstructured one with its kind set
}

// follow starts a feed that runs until the context ends. It calls changed after every change.
func follow(ctx context.Context, from source, changed func()) *feed {
	f := &feed{Store: cache.NewStore(cache.DeletionHandlingMetaNamespaceKeyFunc, cache.WithTransformer(shed)), changed: changed, began: time.Now()}
	silent := klog.Logger{} // the library logs to the process's stderr
	ask := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options meta.ListOptions) (runtime.Object, error) {
			if options.ResourceVersion == "0" {
				options.ResourceVersion = ""
			}
			list, err := from.list(ctx, options)
			f.note(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options meta.ListOptions) (watch.Interface, error) {
			w, err := from.watch(ctx, options)
			f.note(err)
			if err != nil {
				return nil, err
			}
			return tap(w, f.lost), nil
		},
	}
	reflector := cache.NewReflectorWithOptions(ask, from.kind, f, cache.ReflectorOptions{
		Name: "rollout", Logger: &silent,
		Backoff: &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 20, Cap: time.Second},
	})
	go reflector.RunWithContext(klog.NewContext(ctx, silent))
	return f
}

// shed drops what takes most of an object's room and is not read here.
func shed(object any) (any, error) {
	if described, ok := object.(meta.Object); ok {
		described.SetManagedFields(nil)
	}
	return object, nil
}

// note keeps what the last request came to, and tells when requests begin to fail or to succeed.
func (f *feed) note(err error) {
	f.mu.Lock()
	if err == nil || f.now.failing == nil || apierrors.ReasonForError(err) != apierrors.ReasonForError(f.now.failing) {
		f.now.since = time.Now()
	}
	turned := (err == nil) != (f.now.failing == nil && !f.now.away)
	if turned && err == nil {
		f.now.resumed = time.Now()
	}
	f.now.failing, f.now.away = err, f.now.away && err != nil
	f.mu.Unlock()
	if turned {
		f.changed()
	}
}

// lost notes that the watch has ended.
func (f *feed) lost() {
	f.mu.Lock()
	f.now.away = true
	f.mu.Unlock()
	f.changed()
}

// state is how well the feed hears; of no feed, that it was never filled.
func (f *feed) state() heard {
	if f == nil {
		return heard{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Add, Update, Delete and Replace are what the library calls.
func (f *feed) Add(object any) error { return f.then(f.Store.Add(object)) }

// Update is called for a changed object.
func (f *feed) Update(object any) error { return f.then(f.Store.Update(object)) }

// Delete is called for an object that is gone.
func (f *feed) Delete(object any) error { return f.then(f.Store.Delete(object)) }

// Replace is called with a whole list.
func (f *feed) Replace(objects []any, resourceVersion string) error {
	err := f.Store.Replace(objects, resourceVersion)
	f.mu.Lock()
	if err == nil && !f.now.synced {
		f.now.synced, f.first = true, map[types.UID]string{}
		for _, object := range objects {
			if described, ok := object.(meta.Object); ok {
				f.first[described.GetUID()] = described.GetResourceVersion()
			}
		}
	}
	f.mu.Unlock()
	return f.then(err)
}

// news tells whether an object came or changed after the feed was first filled.
func (f *feed) news(object meta.Object) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	version, old := f.first[object.GetUID()]
	return f.now.synced && (!old || version != object.GetResourceVersion())
}

func (f *feed) then(err error) error {
	f.changed()
	return err
}

// all are the objects of a feed, as their type.
func all[T any](f *feed) []T {
	if f == nil {
		return nil
	}
	var found []T
	for _, object := range f.List() {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}
