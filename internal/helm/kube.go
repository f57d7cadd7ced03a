package helm

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/kube"
	helmrelease "helm.sh/helm/v3/pkg/release"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/resource"
)

// kubeClient is Helm's own client with the waiting taken out of it, and with what Helm forgets put in: what a failed revision
// left behind is known when the next one is applied.
type kubeClient struct {
	*kube.Client
	session *session
	release string // whose objects these are, and in which namespace
	space   string
	wait    func(phase release.Phase, objects []release.Object) error // nil: a rollout is not waited for
	failed  error                                                     // what wait said
	remains []string                                                  // manifests of the revisions since the last deployed one, oldest first; none if that is the newest
}

var (
	_ kube.Interface                    = (*kubeClient)(nil)
	_ kube.InterfaceExt                 = (*kubeClient)(nil)
	_ kube.InterfaceThreeWayMerge       = (*kubeClient)(nil)
	_ kube.InterfaceLogs                = (*kubeClient)(nil)
	_ kube.InterfaceDeletionPropagation = (*kubeClient)(nil)
	_ kube.InterfaceResources           = (*kubeClient)(nil)
)

// IsReachable asks nothing: that the cluster answers is known since the session was opened.
func (k *kubeClient) IsReachable() error { return k.session.over() }

// Build reads a manifest's objects. Whether they are valid is for the apiserver to say, which every one since 1.27 does
// itself; the client would have to load its whole description for that. A kind that is not known is asked for again, once.
func (k *kubeClient) Build(reader io.Reader, _ bool) (kube.ResourceList, error) {
	content, err := io.ReadAll(reader)
	if err != nil {
		return nil, err
	}
	list, err := k.Client.Build(bytes.NewReader(content), false)
	if !unknownKind(err) || k.session.refreshed {
		return list, err
	}
	if err := k.session.refresh(); err != nil {
		return nil, err
	}
	return k.Client.Build(bytes.NewReader(content), false)
}

// unknownKind tells whether an error is of a kind that the cluster does not serve. Helm joins errors and drops their types.
func unknownKind(err error) bool {
	return err != nil && (meta.IsNoMatchError(err) || strings.Contains(err.Error(), "no matches for kind"))
}

// Wait hands the waiting for a rollout to whoever deploys.
func (k *kubeClient) Wait(resources kube.ResourceList, _ time.Duration) error {
	return k.await(release.PhaseRollout, resources)
}

// WaitWithJobs is Wait: whoever waits knows Jobs.
func (k *kubeClient) WaitWithJobs(resources kube.ResourceList, timeout time.Duration) error {
	return k.Wait(resources, timeout)
}

// WatchUntilReady hands the waiting for a hook to whoever deploys. Helm deletes the hook, if it is to be deleted, only after it
// has returned: so the evidence of a failed hook is complete. A hook is waited for in any case; without a waiter, as Helm does.
func (k *kubeClient) WatchUntilReady(resources kube.ResourceList, _ time.Duration) error {
	if k.wait != nil {
		return k.await(release.PhaseHooks, resources)
	}
	done := make(chan error, 1)
	go func() { done <- k.Client.WatchUntilReady(resources, time.Hour) }()
	for {
		select {
		case err := <-done:
			return err
		case <-time.After(hookLook):
			if err := k.session.over(); err != nil {
				return err
			}
		}
	}
}

// hookLook is how often it is looked whether Helm's own wait for a hook is still wanted: it takes no context.
const hookLook = 100 * time.Millisecond

func (k *kubeClient) await(phase release.Phase, resources kube.ResourceList) error {
	if err := k.session.over(); err != nil || k.wait == nil {
		return err
	}
	objects := make([]release.Object, len(resources))
	for i, info := range resources {
		objects[i] = objectOfInfo(info)
	}
	if err := k.wait(phase, objects); err != nil {
		k.failed = err
		return err
	}
	return nil
}

func objectOfInfo(info *resource.Info) release.Object {
	kind := info.Mapping.GroupVersionKind
	return release.Object{APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Namespace: info.Namespace, Name: info.Name}
}

// WaitForDelete returns when none of the objects is there any more: a hook that is made anew must be gone first.
func (k *kubeClient) WaitForDelete(resources kube.ResourceList, _ time.Duration) error {
	wait := 20 * time.Millisecond
	for len(resources) > 0 {
		_, err := live(resources[0])
		switch {
		case apierrors.IsNotFound(err):
			resources = resources[1:]
			continue
		case err != nil && !transient(err):
			return err
		}
		if !k.session.pause(wait) {
			return k.session.over()
		}
		wait = min(2*wait, time.Second)
	}
	return nil
}

// live is an object as the cluster has it.
func live(info *resource.Info) (*resource.Info, error) {
	found, err := resource.NewHelper(info.Client, info.Mapping).Get(info.Namespace, info.Name)
	if err != nil {
		return nil, err
	}
	current := *info
	return &current, current.Refresh(found, true)
}

// Create makes objects: those of a first install, or one of a hook. Hooks are marked as the release's, which Helm does not do:
// one that a dead run left behind is known by it, and makes room.
func (k *kubeClient) Create(resources kube.ResourceList) (*kube.Result, error) {
	if len(resources) > 0 && isHook(resources[0]) {
		return k.createHook(resources)
	}
	result, err := k.Client.Create(resources)
	if err != nil {
		return result, err
	}
	return result, k.clean(nil, resources, result)
}

func isHook(info *resource.Info) bool { return annotationsOf(info)[helmrelease.HookAnnotation] != "" }

func annotationsOf(info *resource.Info) map[string]string {
	accessor, err := meta.Accessor(info.Object)
	if err != nil {
		return nil
	}
	return accessor.GetAnnotations()
}

func (k *kubeClient) createHook(resources kube.ResourceList) (*kube.Result, error) {
	for _, info := range resources {
		if accessor, err := meta.Accessor(info.Object); err == nil {
			accessor.SetAnnotations(both(accessor.GetAnnotations(), map[string]string{ownerName: k.release, ownerSpace: k.space}))
		}
	}
	var left kube.ResourceList
	for _, info := range resources {
		current, err := live(info)
		if err == nil && isHook(current) && k.owns(current) {
			left = append(left, info)
		}
	}
	if len(left) > 0 {
		if _, errs := k.Client.Delete(left); len(errs) > 0 {
			return nil, errors.Join(errs...)
		}
		if err := k.WaitForDelete(left, 0); err != nil {
			return nil, err
		}
	}
	return k.Client.Create(resources)
}

// GetPodList answers none: Helm would print their logs, which whoever waits has captured.
func (k *kubeClient) GetPodList(string, metav1.ListOptions) (*core.PodList, error) {
	return &core.PodList{}, nil
}

// OutputContainerLogsForPodList prints nothing.
func (k *kubeClient) OutputContainerLogsForPodList(*core.PodList, string, func(namespace, pod, container string) io.Writer) error {
	return nil
}
