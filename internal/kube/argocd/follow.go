package argocd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// Application is one Application in a cluster.
type Application struct {
	Namespace, Name string

	client *kube.Client
	index  int             // of the source that is the configuration repository
	found  health          // when Check read it
	before map[string]bool // the objects that Check found Degraded, with their messages
}

// New returns an Application; it sends nothing.
func New(client *kube.Client, namespace, name string) *Application {
	return &Application{Namespace: namespace, Name: name, client: client}
}

func (a *Application) String() string { return a.Namespace + "/" + a.Name }

func (a *Application) resource() dynamic.ResourceInterface {
	return a.client.Dynamic.Resource(resource).Namespace(a.Namespace)
}

// Check compares the Application with what it must apply. What differs, and an Application that does not exist, is a *release.InputError; limits are what a missing
// permission or the Application's own settings disable.
func (a *Application) Check(ctx context.Context, expected Expected) (limits []string, err error) {
	object, err := a.resource().Get(ctx, a.Name, meta.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, release.BadSetting("application", fmt.Sprintf("there is no Application %q in namespace %q of %s", a.Name, a.Namespace, a.client.Host), "name one as [NAMESPACE/]NAME, or create it")
	}
	if err != nil {
		return nil, a.client.Fault(ctx, err, "reading Application %q in namespace %q", a.Name, a.Namespace)
	}
	found, err := parse(object)
	if err != nil {
		return nil, a.client.Fault(ctx, err, "reading Application %q in namespace %q", a.Name, a.Namespace)
	}
	index, problems := expected.compare(found, a.String())
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	if limits, err = a.client.CheckPermissions(ctx, a.Namespace, Permissions(a.Name)); err != nil {
		return nil, err
	}
	a.index, a.found, a.before = index, found.Status.Health, map[string]bool{}
	for _, name := range found.degradedObjects() {
		a.before[name] = true
	}
	if !found.automated() {
		limits = append(limits, fmt.Sprintf("Application %q is not synced automatically: the deploy waits until somebody syncs it", a))
	}
	return limits, nil
}

// Permissions are the rules that a deploy needs for an Application, in its namespace. The Roles of docs/rbac leave patch out: it cannot be limited to the annotation.
func Permissions(name string) []release.Permission {
	return []release.Permission{
		{Group: resource.Group, Resource: resource.Resource, Names: []string{name}, Verbs: []string{"get", "list", "watch"}, For: "the Application of the release"},
		{Group: resource.Group, Resource: resource.Resource, Names: []string{name}, Verbs: []string{"patch"}, For: "the annotation that asks Argo CD to read the repository at once",
			Without: "Argo CD reads the repository when it next polls it, or when a webhook tells it to"},
	}
}

// refresh asks Argo CD to read the repository now. Without the permission, Argo CD reads it at its next poll, or when a webhook tells it to.
func (a *Application) refresh(ctx context.Context) (allowed bool, err error) {
	patch := []byte(`{"metadata":{"annotations":{"argocd.argoproj.io/refresh":"normal"}}}`)
	_, err = a.resource().Patch(ctx, a.Name, types.MergePatchType, patch, meta.PatchOptions{})
	if apierrors.IsForbidden(err) {
		return false, nil
	}
	if err != nil {
		return false, a.client.Fault(ctx, err, "refreshing Application %q in namespace %q", a.Name, a.Namespace)
	}
	return true, nil
}

// Watch is how a commit is followed.
type Watch struct {
	Commit release.Commit
	// Includes reports whether a commit is another one or descends from it.
	Includes func(ctx context.Context, commit, other release.Commit) (bool, error)
	// Changed returns an error if a later commit replaces what Commit says.
	Changed func(ctx context.Context, later release.Commit) error
	// Applied watches objects that a sync has applied and waits for.
	Applied func(ctx context.Context, objects []release.Object) error
	// Within limits how long Argo CD may take to begin the sync, or to find that there is nothing to sync; 0: as long as the context.
	Within time.Duration
	Report func(line string)
}

// ErrNotSynced is in the error of a sync that did not come in time.
var ErrNotSynced = errors.New("not synced by Argo CD in time")

// Synced returns once Argo CD has applied the commit, or one that descends from it, with the objects of the Application. A sync that fails is a *release.BadRelease, one that does not
// come in time a *release.Failure with ErrNotSynced.
func (a *Application) Synced(ctx context.Context, watch Watch) (objects []release.Object, err error) {
	allowed, err := a.refresh(ctx)
	if err != nil {
		return nil, err
	}
	if !allowed {
		watch.Report(fmt.Sprintf("Application %q may not be patched: Argo CD reads the repository when it next polls", a))
	}
	watched := false
	within := limitOf(watch.Within)
	defer within.Stop()
	err = a.until(ctx, within.C, watch.Report, func(found application) (bool, string, error) {
		compared, operated := found.comparedCommit(a.index), found.lastSyncCommit(a.index)
		ours, err := a.includes(ctx, watch, compared)
		if err != nil {
			return false, "", err
		}
		oursOperated, err := a.includes(ctx, watch, operated)
		if err != nil {
			return false, "", err
		}
		for _, later := range []struct {
			commit release.Commit
			ours   bool
		}{{compared, ours}, {operated, oursOperated}} {
			if later.ours && later.commit != watch.Commit {
				if err := watch.Changed(ctx, later.commit); err != nil {
					return false, "", err
				}
			}
		}
		state := found.Status.OperationState
		if oursOperated && state.Phase == phaseRunning {
			within.Stop()
		}
		if oursOperated && (state.Phase == phaseFailed || state.Phase == phaseError) {
			return false, "", &release.BadRelease{Err: &release.Failure{What: fmt.Sprintf("Argo CD could not sync Application %q to commit %s: %s", a, operated.Short(), found.whyFailed())}}
		}
		if waited := found.waitedFor(); oursOperated && len(waited) > 0 && !watched {
			watched = true
			if err := watch.Applied(ctx, waited); err != nil {
				return false, "", err
			}
		}
		differing, unpruned := found.outOfSync()
		switch {
		case ours && (found.Status.Sync.Status == synced || len(unpruned) > 0 && len(differing) == 0) && (state == nil || state.Phase != phaseRunning || !oursOperated):
			objects = found.objects()
			for _, name := range unpruned {
				watch.Report(fmt.Sprintf("Argo CD keeps %s, which commit %s does not have: its pruning is off", name, watch.Commit.Short()))
			}
			watch.Report(fmt.Sprintf("Application %q is synced to %s", a, describe(compared, watch.Commit)))
			return true, "", nil
		case len(found.problems()) > 0:
			return false, strings.Join(found.problems(), "; "), nil
		case ours:
			return false, fmt.Sprintf("Argo CD is at commit %s: %s %s", compared.Short(), found.Status.Sync.Status, strings.Join(differing[:min(len(differing), 5)], ", ")), nil
		}
		return false, fmt.Sprintf("Argo CD is at %s, and reads commit %s next", orNone(compared), watch.Commit.Short()), nil
	})
	return objects, err
}

// limitOf returns a timer; one that does not fire for 0.
func limitOf(duration time.Duration) *time.Timer {
	if duration > 0 {
		return time.NewTimer(duration)
	}
	never := time.NewTimer(time.Hour)
	never.Stop()
	return never
}

// includes reports whether a commit that Argo CD names is the awaited one or descends from it.
func (a *Application) includes(ctx context.Context, watch Watch, commit release.Commit) (bool, error) {
	if commit == "" {
		return false, nil
	}
	return watch.Includes(ctx, commit, watch.Commit)
}

func describe(compared, ours release.Commit) string {
	if compared == ours {
		return "commit " + ours.Short()
	}
	return fmt.Sprintf("commit %s, a descendant of %s", compared.Short(), ours.Short())
}

func orNone(commit release.Commit) string {
	if commit == "" {
		return "no commit"
	}
	return "commit " + commit.Short()
}

// degradedGrace is how long an Application may be Degraded although its rollout is ready: Argo CD reports late.
const degradedGrace = 20 * time.Second

// Healthy returns once Argo CD calls the Application healthy, or Degraded by nothing but what Check found Degraded. One that is Degraded otherwise is a
// *release.BadRelease, one that does not become healthy in time a *release.Failure.
func (a *Application) Healthy(ctx context.Context, report func(string)) error {
	began := time.Now()
	return a.until(ctx, nil, report, func(found application) (bool, string, error) {
		ended, err := a.judge(found, time.Since(began), report)
		return ended, "Argo CD calls it " + found.unhealthy(), err
	})
}

// wasSo reports whether a Degraded Application is so by nothing but what Check found: by the same objects, or, where Argo CD does not write their health into the
// Application, without a change of its health since.
func (a *Application) wasSo(found application) bool {
	objects := found.degradedObjects()
	switch {
	case a.found.Status != degraded:
		return false
	case len(objects) == 0 || len(a.before) == 0:
		return a.found.Since != "" && found.Status.Health == a.found
	}
	return !slices.ContainsFunc(objects, func(name string) bool { return !a.before[name] })
}

// judge decides about the health of an Application whose rollout has been ready for so long. ended is false while it may still become healthy.
func (a *Application) judge(found application, after time.Duration, report func(string)) (ended bool, err error) {
	switch status := found.Status.Health.Status; {
	case status == healthy:
		report(fmt.Sprintf("Application %q is healthy", a))
		return true, nil
	case status != degraded || after <= degradedGrace:
		return false, nil
	case a.wasSo(found):
		report(fmt.Sprintf("Application %q is Degraded, as it was before the deploy: %s", a, found.unhealthy()))
		return true, nil
	}
	return false, &release.BadRelease{Err: &release.Failure{What: fmt.Sprintf("Argo CD calls Application %q %s", a, found.unhealthy())}}
}

// pollWhile is how often the state is looked at again while nothing changes.
const pollWhile = 5 * time.Second

// until follows the Application until done says so, or the limit is reached. waiting is what is waited for, which is reported when it changes and said when the time is up.
func (a *Application) until(ctx context.Context, limit <-chan time.Time, report func(string), done func(application) (ok bool, waiting string, err error)) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	empty := new(unstructured.Unstructured)
	empty.SetGroupVersionKind(kind)
	objects := store.Follow(watching, store.From(empty, a.resource().List, a.resource().Watch).WithFields("metadata.name="+a.Name), func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	last, tick := "", time.NewTicker(pollWhile)
	defer tick.Stop()
	for {
		waiting := "Argo CD's Application is not read yet"
		switch state := objects.State(); {
		case state.Refused():
			return a.client.Fault(ctx, state.Err, "watching Application %q in namespace %q", a.Name, a.Namespace)
		case state.Synced:
			found := store.All[*unstructured.Unstructured](objects)
			if len(found) == 0 {
				return &release.Failure{What: fmt.Sprintf("Application %q was deleted", a)}
			}
			parsed, err := parse(found[0])
			if err != nil {
				return a.client.Fault(ctx, err, "reading Application %q in namespace %q", a.Name, a.Namespace)
			}
			ok, text, err := done(parsed)
			if ok || err != nil {
				return err
			}
			if waiting = text; waiting != last {
				report(waiting)
				last = waiting
			}
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-limit:
			return &release.Failure{What: fmt.Sprintf("Application %q: %s", a, waiting), Err: ErrNotSynced, Do: "look at the Application's conditions and at Argo CD's log"}
		case <-ctx.Done():
			if ctx.Err() == context.Canceled {
				return context.Cause(ctx)
			}
			return &release.Failure{What: fmt.Sprintf("Application %q: %s", a, waiting), Err: context.Cause(ctx), Do: "look at the Application's conditions and at Argo CD's log"}
		}
	}
}
