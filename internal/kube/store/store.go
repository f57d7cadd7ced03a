// Package store holds the objects of one kind as a cluster last reported them: it lists them once and then watches.
package store

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

// Store holds the objects of one kind in one namespace as the cluster last reported them. It resumes a watch that was dropped,
// lists again after an expired watch, and retries about once a second while the cluster does not answer, until the store's
// context ends.
//
// Its content is never older than the store itself. client-go's usual first read ("any version",
// https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list) may be answered by an apiserver that
// does not know the latest change yet: the previous rollout would look complete.
//
// Several goroutines may use it.
type Store struct {
	cache.Store
	changed func()
	started time.Time

	mu      sync.Mutex
	initial map[types.UID]string // resource versions of the objects that the first list returned
	state   SyncState
	version string // resource version of the last list or event
}

// SyncState says how well a store follows the cluster.
type SyncState struct {
	Synced       bool      // the first list has been read
	Err          error     // error of the last request, nil if it succeeded
	Since        time.Time // when requests began to fail with this kind of error
	Disconnected bool      // the watch has ended, and no new one has begun
	Resumed      time.Time // when requests last succeeded again after a failure or the end of a watch; zero: never
}

// Current reports whether the store is connected: its last request succeeded and its watch is running.
func (s SyncState) Current() bool { return s.Err == nil && !s.Disconnected }

// Refused reports whether the cluster refuses the requests for a lasting reason: access is forbidden, or the kind is not served.
func (s SyncState) Refused() bool {
	return s.Err != nil && (apierrors.IsForbidden(s.Err) || apierrors.IsNotFound(s.Err) || apierrors.IsMethodNotSupported(s.Err))
}

// New makes a store that its owner fills with Replace, Add, Update and Delete. It calls changed after every change.
func New(changed func()) *Store {
	return &Store{
		Store:   cache.NewStore(cache.DeletionHandlingMetaNamespaceKeyFunc, cache.WithTransformer(stripManagedFields)),
		changed: changed, started: time.Now(),
	}
}

// Follow makes a store that follows the cluster until the context ends. It calls changed after every change.
func Follow(ctx context.Context, source Source, changed func()) *Store {
	s := New(changed)
	silent := klog.Logger{} // client-go logs to the process's stderr otherwise
	requests := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options meta.ListOptions) (runtime.Object, error) {
			if options.ResourceVersion == "0" {
				options.ResourceVersion = ""
			}
			list, err := source.list(ctx, options)
			s.RecordRequest(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options meta.ListOptions) (watch.Interface, error) {
			w, err := source.watch(ctx, options)
			s.RecordRequest(err)
			if err != nil {
				return nil, err
			}
			return notifyOnEnd(w, s.recordDisconnect), nil
		},
	}
	reflector := cache.NewReflectorWithOptions(requests, source.kind, s, cache.ReflectorOptions{
		Name: "rollout", Logger: &silent,
		Backoff: &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 20, Cap: time.Second},
	})
	go reflector.RunWithContext(klog.NewContext(ctx, silent))
	return s
}

// stripManagedFields removes an object's managedFields: they take most of its memory, and nothing here reads them.
func stripManagedFields(object any) (any, error) {
	if described, ok := object.(meta.Object); ok {
		described.SetManagedFields(nil)
	}
	return object, nil
}

// RecordRequest records whether a request failed, and calls changed when requests begin to fail or to succeed again. Follow calls
// it.
func (s *Store) RecordRequest(err error) {
	s.mu.Lock()
	if err == nil || s.state.Err == nil || apierrors.ReasonForError(err) != apierrors.ReasonForError(s.state.Err) {
		s.state.Since = time.Now()
	}
	turned := (err == nil) != s.state.Current()
	if turned && err == nil {
		s.state.Resumed = time.Now()
	}
	s.state.Err, s.state.Disconnected = err, s.state.Disconnected && err != nil
	s.mu.Unlock()
	if turned {
		s.changed()
	}
}

// recordDisconnect records that the watch has ended.
func (s *Store) recordDisconnect() {
	s.mu.Lock()
	s.state.Disconnected = true
	s.mu.Unlock()
	s.changed()
}

// State returns how well the store follows the cluster. A nil store has the zero state: it was never filled.
func (s *Store) State() SyncState {
	if s == nil {
		return SyncState{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Started returns when the store was made.
func (s *Store) Started() time.Time { return s.started }

// Version returns the resource version of the last list or event, "" before the first list and for a nil store. A list that is not older
// contains everything that the store has reported.
func (s *Store) Version() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// Add stores a new object.
func (s *Store) Add(object any) error { return s.announceEvent(object, s.Store.Add(object)) }

// Update stores a changed object.
func (s *Store) Update(object any) error { return s.announceEvent(object, s.Store.Update(object)) }

// Delete removes an object.
func (s *Store) Delete(object any) error { return s.announceEvent(object, s.Store.Delete(object)) }

// Replace replaces all objects by a list.
func (s *Store) Replace(objects []any, resourceVersion string) error {
	err := s.Store.Replace(objects, resourceVersion)
	s.mu.Lock()
	s.version = resourceVersion
	if err == nil && !s.state.Synced {
		s.state.Synced, s.initial = true, map[types.UID]string{}
		for _, object := range objects {
			if described, ok := object.(meta.Object); ok {
				s.initial[described.GetUID()] = described.GetResourceVersion()
			}
		}
	}
	s.mu.Unlock()
	return s.announce(err)
}

// ChangedSinceSync reports whether an object was created or changed after the first list.
func (s *Store) ChangedSinceSync(object meta.Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	version, listed := s.initial[object.GetUID()]
	return s.state.Synced && (!listed || version != object.GetResourceVersion())
}

// announceEvent records the resource version of an event, whose object has that of the change, also of a deletion.
// Source: kubernetes.io, "Kubernetes API Concepts", Efficient detection of changes.
func (s *Store) announceEvent(object any, err error) error {
	if described, ok := object.(meta.Object); ok {
		s.mu.Lock()
		s.version = described.GetResourceVersion()
		s.mu.Unlock()
	}
	return s.announce(err)
}

func (s *Store) announce(err error) error {
	s.changed()
	return err
}

// All returns the objects of type T in a store, in no order; none for a nil store.
func All[T any](s *Store) []T {
	if s == nil {
		return nil
	}
	var found []T
	for _, object := range s.List() {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}
