// Package rollout watches the objects of a release until they are ready, or until it is certain that they will not become ready.
// It reads the cluster, and deletes nothing except broken pods that block the update of a StatefulSet.
//
// It has three parts: stores hold what the cluster reported and take snapshots of it; assess decides from a snapshot, without a
// clock, a client or a lock; the reporter passes on what changed.
package rollout

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	discoverycache "k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
)

// Watcher watches rollouts in one cluster. It may be used by several goroutines.
type Watcher struct {
	client *kube.Client
	mapper meta.RESTMapper                   // maps the kinds that the cluster serves
	grace  func(time.Duration) time.Duration // nil except in tests
}

// New makes a watcher; it sends nothing.
func New(client *kube.Client) (*Watcher, error) {
	config, httpClient := client.RESTConfig()
	kinds, err := discovery.NewDiscoveryClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing access to %q: %w", client.Host, err)
	}
	return &Watcher{client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(discoverycache.NewMemCacheClient(kinds))}, nil
}

// Watch returns when every object is ready, or with the reason why one will not be. It reports one step per change, from its own
// goroutine, and repeats the steps of what it still waits for while nothing changes. Objects of kinds that are ready once they exist (a Secret) are not reported; a Service of type LoadBalancer and a
// HorizontalPodAutoscaler are reported and not waited for; custom resources and their definitions are waited for, but do not make
// the rollout fail unless annotations say when (release.AnnotationReadyWhen, release.AnnotationFailedWhen). What was reported before the release was applied, by the baseline, does not count until it is reported again.
// Pods of an older template that keep a StatefulSet from being rolled out are deleted, so that its controller replaces them; a pod
// that is ready never is. The cluster is watched, never polled. A cluster that drops watches, does not answer or asks for another token
// is waited for, and nothing counts as ready or failed until it answers again.
//
// The error is a *release.Failure that wraps a release.Diagnosed as soon as it is certain that only another release helps, and
// when the context's deadline has passed; a *release.Fault if the cluster could not be read at all. A cancelled context ends the
// watch at once, without a diagnosis.
func (w *Watcher) Watch(ctx context.Context, namespace string, objects []release.Object, before release.Baseline, report func(release.RolloutStep)) error {
	return w.watch(ctx, namespace, objects, before, false, report)
}

// WatchHook returns when the Jobs and Pods among a hook's objects have completed, or with the reason why one has not; every other
// object is ready once it exists. A Pod must complete too, where Watch is content if it runs. It reports one step per change, from
// its own goroutine.
//
// A failure is a *release.Failure that wraps a release.Diagnosed with code causes.HookFailed. Its evidence has been fetched when it
// is returned, since Helm may delete the hook then. Faults and a cancelled context are as for Watch.
// Source: helm.sh/docs, "Chart Hooks", hook resources and deletion policies.
func (w *Watcher) WatchHook(ctx context.Context, namespace string, objects []release.Object, before release.Baseline, report func(release.RolloutStep)) error {
	completing := slices.DeleteFunc(slices.Clone(objects), func(o release.Object) bool {
		return o.Kind != "Job" && o.Kind != "Pod"
	})
	return w.watch(ctx, namespace, completing, before, true, report)
}

// rollout is a rollout that is being watched.
type rollout struct {
	client    *kube.Client
	namespace string
	policy    policy
	began     time.Time
	changed   chan struct{} // has room for one element: any number of changes cause one evaluation

	stores   *stores
	memory   memory
	logs     *logCache
	reporter *reporter
	replaced map[types.UID]bool // pods that were deleted, or that may not be deleted
}

// watch opens the stores of a rollout and evaluates every change until it is ready or has failed.
func (w *Watcher) watch(ctx context.Context, namespace string, objects []release.Object, before release.Baseline, hook bool, report func(release.RolloutStep)) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	r, err := w.newRollout(ctx, namespace, objects, before, hook, report)
	if err != nil {
		return err
	}
	r.start(watching, func(source store.Source) *store.Store { return store.Follow(watching, source, r.wake) })
	for {
		known, result := r.evaluate()
		r.replace(ctx, result.stuck)
		switch {
		case result.fault != nil:
			return w.client.Fault(ctx, result.fault, "watching the rollout in namespace %q", namespace)
		case result.failure != nil:
			return r.failed(ctx, known, *result.failure)
		case len(result.pending) == 0 && !result.uncertain:
			r.stores.recordObserved()
			return nil
		}
		r.reporter.remind(result.pending)
		if err := r.wait(ctx, result.recheckAfter); err != nil {
			if r.onlyTolerated(ctx, known, result) {
				return nil
			}
			return r.timedOut(ctx, known, result.pending)
		}
	}
}

// newRollout finds the stores that the objects need, and reads the definitions of custom resources.
func (w *Watcher) newRollout(ctx context.Context, namespace string, objects []release.Object, before release.Baseline, hook bool, report func(release.RolloutStep)) (*rollout, error) {
	began := time.Now()
	hookCreates := slices.ContainsFunc(before.Hooks, isCustom) // a Job among them has ended
	r := &rollout{
		client: w.client, namespace: namespace, began: began, changed: make(chan struct{}, 1),
		policy: policy{hook: hook, scale: w.grace, hasCreators: hookCreates}, reporter: newReporter(began, report), replaced: map[types.UID]bool{},
	}
	var tracked []trackedObject
	definitions := map[schema.GroupVersionResource]map[string]string{}
	for _, object := range objects {
		key, wanted, err := locateWithRetry(ctx, w.mapper, object, namespace)
		if err != nil {
			return nil, w.client.Fault(ctx, err, "reading what kind of object %s %s is", object.APIVersion, object)
		}
		r.policy.hasCreators = r.policy.hasCreators || mayCreateObjects(object)
		if wanted != ignore {
			object.Namespace = key.namespace
			if _, asked := definitions[key.resource]; !asked && wanted == tolerate && key.resource != definitionsResource {
				if definitions[key.resource], err = w.definitionAnnotations(ctx, key.resource, r.reporter.report); err != nil {
					return nil, err
				}
			}
			tracked = append(tracked, trackedObject{object: object, key: key, wait: wanted, defaults: definitions[key.resource]})
		}
	}
	r.stores = newStores(w.client, tracked, before)
	return r, nil
}

// unlistedTime limits how long the list of kinds is read again for a kind that it lacks. The object was applied, so the list is older than the
// kind's definition, which may be part of the same release.
const unlistedTime = 10 * time.Second

// locateWithRetry returns the store that an object is read from and how the rollout waits for it. It repeats a request
// that the cluster does not answer every second until ctx ends. A kind that the cluster does not list within unlistedTime is not waited for.
func locateWithRetry(ctx context.Context, mapper meta.RESTMapper, object release.Object, namespace string) (key watchKey, wanted waitPolicy, err error) {
	began := time.Now()
	stopped := wait.PollUntilContextCancel(ctx, time.Second, true, func(context.Context) (bool, error) {
		if key, wanted, err = locate(mapper, object, namespace); meta.IsNoMatchError(err) {
			meta.MaybeResetRESTMapper(mapper)
			key, wanted, err = locate(mapper, object, namespace)
		}
		if meta.IsNoMatchError(err) && time.Since(began) >= unlistedTime {
			err = nil
		}
		return err == nil, nil
	})
	if stopped != nil && err == nil {
		err = stopped
	}
	return key, wanted, err
}

// start opens the stores, and fetches logs until the context ends.
func (r *rollout) start(ctx context.Context, open func(store.Source) *store.Store) {
	r.logs = newLogCache(ctx, r.client)
	r.stores.start(open)
}

// wake ends the current or the next call of wait.
func (r *rollout) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// evaluate assesses the current snapshot, reports changes, and keeps the memory for the next evaluation. It assesses again if it
// had to open stores of claims, because a pod mounts one.
func (r *rollout) evaluate() (snapshot, assessment) {
	for {
		now := time.Now()
		known := r.stores.snapshot(r.memory, now)
		result := assess(known, r.policy, now)
		r.memory = result.memory
		r.reporter.report(result.steps)
		r.logs.fetch(result.endedRuns)
		if !r.stores.followClaims(result.claimsIn) {
			return known, result
		}
	}
}

// wait returns after a change, after the given time unless that is 0, or when a reminder is due; it returns an error when the context ends.
func (r *rollout) wait(ctx context.Context, recheckAfter time.Duration) error {
	due := r.reporter.untilReminder()
	if recheckAfter > 0 {
		due = min(due, recheckAfter)
	}
	timer := time.NewTimer(due)
	defer timer.Stop()
	select {
	case <-r.changed:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}
