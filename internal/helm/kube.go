package helm

import (
	"io"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/kube"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kubeClient is Helm's client with two changes: it waits by the function given to Deploy, and it considers objects that failed
// revisions may have applied.
type kubeClient struct {
	*objects.Release
	session   *session
	redefined map[schema.GroupKind]bool                                 // kinds whose CRD this operation has changed
	wait      func(phase release.Phase, objects []release.Object) error // nil: nothing waits for the rollout
	explain   func(hook []release.Object) error                         // of one that has failed, for which Helm itself has waited; nil: nobody is asked
	waitErr   error                                                     // error of wait, or of waiting for a deletion

	readsAhead bool // the objects that are built next are read in parallel, before Helm reads them one after the other

	deletes bool // an uninstall has deleted an object of the release, or may have

	deletionMu sync.Mutex
	removed    kube.ResourceList // objects that are no longer part of the release, and were deleted

	retriedHook bool // the hook that is being created existed already when it was created

	doneHooks map[release.Object]doneHook // hooks of earlier attempts of an install
	skipped   map[release.Object]bool     // whether a hook is left as it is, once that is decided
	passed    map[release.Object]bool     // hooks that were created or left as they are: if one is deleted later, it has ended
}

var (
	_ kube.Interface                    = (*kubeClient)(nil)
	_ kube.InterfaceExt                 = (*kubeClient)(nil)
	_ kube.InterfaceThreeWayMerge       = (*kubeClient)(nil)
	_ kube.InterfaceLogs                = (*kubeClient)(nil)
	_ kube.InterfaceDeletionPropagation = (*kubeClient)(nil)
	_ kube.InterfaceResources           = (*kubeClient)(nil)
)

// Build builds objects, and reads them if Helm is about to do so.
func (k *kubeClient) Build(reader io.Reader, validate bool) (kube.ResourceList, error) {
	list, err := k.Release.Build(reader, validate)
	if err == nil && k.readsAhead {
		k.readsAhead = false
		readAhead(list)
	}
	return list, err
}

// IsReachable sends no request, because the cluster answered when the session was opened.
func (k *kubeClient) IsReachable() error { return k.session.stopped() }

// Wait waits for a rollout.
func (k *kubeClient) Wait(resources kube.ResourceList, _ time.Duration) error {
	return k.callWait(release.PhaseRollout, resources)
}

// WaitWithJobs is Wait, which waits for Jobs too.
func (k *kubeClient) WaitWithJobs(resources kube.ResourceList, timeout time.Duration) error {
	return k.Wait(resources, timeout)
}

// hookPoll is how often to check whether the operation was stopped while Helm waits for a hook, because Helm accepts no context.
const hookPoll = 100 * time.Millisecond

// WatchUntilReady waits for a hook: by the caller's wait, or as Helm does. Helm deletes a hook only after the wait has returned,
// so that the evidence of a failed hook can be captured.
func (k *kubeClient) WatchUntilReady(resources kube.ResourceList, _ time.Duration) error {
	if resources = k.withoutSkipped(resources); len(resources) == 0 {
		return nil
	}
	if k.wait != nil {
		return k.callWait(release.PhaseHooks, resources)
	}
	done := make(chan error, 1)
	go func() { done <- k.Client.WatchUntilReady(resources, time.Hour) }()
	for {
		select {
		case err := <-done:
			return k.explained(resources, err)
		case <-time.After(hookPoll):
			if err := k.session.stopped(); err != nil {
				return err
			}
		}
	}
}

// hookFailed matches Helm's error of a Job or a Pod that has failed. Source: helm.sh/helm/v3, pkg/kube/client.go, waitForJob and waitForPodSuccess.
var hookFailed = regexp.MustCompile(`job (?:\S+ )?failed|[Pp]od \S+ failed`)

// explained returns the error of a hook for which Helm has waited. That of a hook that has failed is stored, because Helm would turn it into text.
func (k *kubeClient) explained(resources kube.ResourceList, err error) error {
	if err == nil || k.session.stopped() != nil || !hookFailed.MatchString(err.Error()) {
		return err
	}
	list := objectsOf(resources)
	if k.explain != nil {
		if k.waitErr = k.explain(list); k.waitErr != nil {
			return k.waitErr
		}
	}
	k.waitErr = failure.HookFailed(list, err)
	return k.waitErr
}

func objectsOf(resources kube.ResourceList) []release.Object {
	list := make([]release.Object, len(resources))
	for i, info := range resources {
		list[i] = objects.ID(info)
	}
	return list
}

// callWait calls the caller's wait for the objects, and stores its error.
func (k *kubeClient) callWait(phase release.Phase, resources kube.ResourceList) error {
	if err := k.session.stopped(); err != nil || k.wait == nil {
		return err
	}
	if err := k.wait(phase, objectsOf(resources)); err != nil {
		k.waitErr = err
		return err
	}
	return nil
}

// WaitForDelete returns when every object that Delete deletes is gone, because only then a hook can be created again.
func (k *kubeClient) WaitForDelete(resources kube.ResourceList, _ time.Duration) error {
	for _, info := range k.deletable(resources) {
		if err := k.awaitGone(info); err != nil {
			return err
		}
	}
	return nil
}

// Create creates the objects of a first install, or of a hook.
func (k *kubeClient) Create(resources kube.ResourceList) (*kube.Result, error) {
	if len(resources) > 0 && isHook(resources[0]) {
		return k.createHook(resources)
	}
	result, err := k.Client.Create(resources)
	if apierrors.IsAlreadyExists(err) {
		// A request of an earlier, cancelled operation came late: what it created is the release's own.
		if own, failed := k.ownExisting(resources); failed == nil && len(own) > 0 {
			return k.Update(own, resources, false)
		}
	}
	if err != nil {
		return result, err
	}
	return result, k.deleteRemoved(nil, resources, result)
}

// ownExisting returns the objects of a list that exist; none if one of them is not the release's.
func (k *kubeClient) ownExisting(resources kube.ResourceList) (own kube.ResourceList, err error) {
	exist := make([]bool, len(resources))
	alien := make([]bool, len(resources))
	err = objects.Each(len(resources), func(i int) error {
		current, err := objects.Get(resources[i])
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			exist[i], alien[i] = true, !k.Owns(current)
		}
		return err
	})
	if err != nil || slices.Contains(alien, true) {
		return nil, err
	}
	for i, info := range resources {
		if exist[i] {
			own = append(own, info)
		}
	}
	return own, nil
}

// GetPodList returns none. Helm would print the logs of a failed hook's pods, which the caller's wait has captured.
func (k *kubeClient) GetPodList(string, metav1.ListOptions) (*core.PodList, error) {
	return &core.PodList{}, nil
}

// OutputContainerLogsForPodList prints nothing.
func (k *kubeClient) OutputContainerLogsForPodList(*core.PodList, string, func(namespace, pod, container string) io.Writer) error {
	return nil
}
