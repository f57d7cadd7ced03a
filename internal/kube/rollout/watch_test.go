package rollout

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// watching is a watch that runs while a test changes the cluster.
type watching struct {
	t     *testing.T
	steps chan release.RolloutStep
	ended chan error
}

// patience is longer than anything that a test awaits takes on a busy machine; no test uses it up.
const patience = 5 * time.Minute

func observe(t *testing.T, watcher *Watcher, objects ...release.Object) *watching {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	r := &watching{t: t, steps: make(chan release.RolloutStep, 1000), ended: make(chan error, 1)}
	go func() {
		r.ended <- watcher.Watch(ctx, space, objects, release.Baseline{}, func(step release.RolloutStep) { r.steps <- step })
		close(r.steps)
	}()
	return r
}

// deadline is a context whose time is up when the channel is closed.
type deadline struct{ passed chan struct{} }

func (d deadline) Deadline() (time.Time, bool) { return time.Time{}, false }

func (d deadline) Value(any) any { return nil }

func (d deadline) Done() <-chan struct{} { return d.passed }

func (d deadline) Err() error {
	select {
	case <-d.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// outOfTime watches until enough has been reported, and then its time is up.
func outOfTime(watch func(context.Context, func(release.RolloutStep)) error, enough func(release.RolloutStep) bool) (steps []release.RolloutStep, err error) {
	ctx := deadline{make(chan struct{})}
	var once sync.Once
	err = watch(ctx, func(step release.RolloutStep) {
		if steps = append(steps, step); enough(step) {
			once.Do(func() { close(ctx.passed) })
		}
	})
	return steps, err
}

// until waits for a step.
func (r *watching) until(what string, matches func(release.RolloutStep) bool) release.RolloutStep {
	r.t.Helper()
	for step := range r.steps {
		if matches(step) {
			return step
		}
	}
	r.t.Fatalf("the watch ended (%v) without a step that is %s", <-r.ended, what)
	return release.RolloutStep{}
}

func (r *watching) untilReady(ready int) {
	r.t.Helper()
	r.until(fmt.Sprintf("%d ready", ready), func(step release.RolloutStep) bool { return step.Ready == ready && !step.Done })
}

// rest is everything reported from here to the end, and the end.
func (r *watching) rest() (steps []release.RolloutStep, err error) {
	for step := range r.steps {
		step.At = 0
		steps = append(steps, step)
	}
	return steps, <-r.ended
}

func ready(revision int, count int32) runtime.Object {
	set := replicaSet(revision)
	set.Status.ReadyReplicas = count
	return set
}

func TestWatchReportsEachChangeUntilReady(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(deployment(1, 2, 2, 2), ready(1, 2), pod("old-a", 1), pod("old-b", 1))
	old := deployment(1, 2, 2, 2)
	old.Generation = 2 // changed, and its controller has not looked
	s.Put(old)
	r := observe(t, s.watcher(), ofDeployment)
	first := r.until("the first", func(release.RolloutStep) bool { return true })
	if first.Done || first.Ready != 0 || first.Message != "not observed by its controller yet" {
		t.Errorf("the rollout of the generation before counts: %+v", first)
	}
	s.Put(deployment(2, 2, 1, 2), ready(2, 0)) // the two that are available are old ones
	r.until("none ready", func(step release.RolloutStep) bool {
		return step.Ready == 0 && strings.HasPrefix(step.Message, "Updated")
	})
	s.Put(ready(2, 1))
	r.untilReady(1)
	s.Put(ready(2, 2), deployment(2, 2, 2, 2))
	steps, err := r.rest()
	if err != nil {
		t.Fatal(err)
	}
	want := release.RolloutStep{Object: ofDeployment, Ready: 2, Desired: 2, Done: true}
	if diff := cmp.Diff(want, steps[len(steps)-1]); diff != "" {
		t.Errorf("last step (-want +got):\n%s", diff)
	}
	for i := 1; i < len(steps); i++ {
		if steps[i] == steps[i-1] {
			t.Errorf("step %d says nothing new: %+v", i, steps[i])
		}
	}
}

func TestWatchIsReadyWhenAllObjectsAre(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(deployment(1, 1, 1, 1), statefulSet(2, 2, 2, 2), daemonSet(3, 3), job(batch.JobComplete, ""), claim(core.ClaimBound))
	steps, err := observe(t, s.watcher(), ofDeployment, ofStateful, ofDaemon, ofJobs, ofClaim,
		release.Object{APIVersion: "v1", Kind: "Secret", Name: "s"}, release.Object{APIVersion: "v1", Kind: "Service", Name: "s"},
		release.Object{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Name: "h"}, release.Object{APIVersion: "unknown.example/v1", Kind: "Thing", Name: "t"}).rest()
	if err != nil {
		t.Fatal(err)
	}
	final := map[release.Object]bool{}
	for _, step := range steps {
		final[step.Object] = step.Done
	}
	want := map[release.Object]bool{ofDeployment: true, ofStateful: true, ofDaemon: true, ofJobs: true, ofClaim: true}
	if diff := cmp.Diff(want, final); diff != "" {
		t.Errorf("reported (-want +got):\n%s", diff)
	}
	if n := s.Count("get /api/v1/namespaces/staging/secrets") + s.Count("watch /api/v1/namespaces/staging/secrets"); n > 0 {
		t.Error("Secrets were asked for")
	}
}

func TestWatchWaitsForEachKind(t *testing.T) {
	t.Parallel()
	steady := func(available int32) *apps.StatefulSet {
		set := statefulSet(2, 2, 2, 2)
		set.Spec.MinReadySeconds, set.Status.AvailableReplicas = 10, available
		return set
	}
	widget := func(ready string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": "w", "namespace": space},
			"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": ready, "reason": "Any", "message": "any"}}}}}
	}
	mounting := pod("shop-a", 1)
	mounting.Spec.Volumes = []core.Volume{{Name: "v", VolumeSource: core.VolumeSource{PersistentVolumeClaim: &core.PersistentVolumeClaimVolumeSource{ClaimName: "disk"}}}}
	tests := map[string]struct {
		object        release.Object
		before, after []runtime.Object
	}{
		"Deployment absent":                   {ofDeployment, nil, []runtime.Object{deployment(1, 1, 1, 1)}},
		"StatefulSet not observed":            {ofStateful, []runtime.Object{statefulSet(1, 2, 2, 2)}, []runtime.Object{statefulSet(2, 2, 2, 2)}},
		"StatefulSet not ready":               {ofStateful, []runtime.Object{statefulSet(2, 2, 2, 1)}, []runtime.Object{statefulSet(2, 2, 2, 2)}},
		"StatefulSet not yet for long enough": {ofStateful, []runtime.Object{steady(1)}, []runtime.Object{steady(2)}},
		"DaemonSet not ready":                 {ofDaemon, []runtime.Object{daemonSet(3, 2)}, []runtime.Object{daemonSet(3, 3)}},
		"Job running":                         {ofJobs, []runtime.Object{job("", "")}, []runtime.Object{job(batch.JobComplete, "")}},
		"claim that a pod mounts":             {ofClaim, []runtime.Object{claim(core.ClaimPending), mounting}, []runtime.Object{claim(core.ClaimBound)}},
		"custom": {release.Object{APIVersion: "example.com/v1", Kind: "Widget", Namespace: space, Name: "w"},
			[]runtime.Object{widget("False")}, []runtime.Object{widget("True")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(test.before...)
			r := observe(t, s.watcher(), test.object)
			if step := r.until("the first", func(release.RolloutStep) bool { return true }); step.Done {
				t.Errorf("done at once: %+v", step)
			}
			s.Put(test.after...)
			if _, err := r.rest(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWatchDoesNotWaitForSomeObjects(t *testing.T) {
	t.Parallel()
	suspended := job("", "")
	suspended.Spec.Suspend = ptr(true)
	hidden := release.Object{APIVersion: "example.com/v1", Kind: "Widget", Namespace: space, Name: "w"}
	paused := deployment(1, 1, 1, 1)
	paused.Spec.Paused, paused.Spec.ProgressDeadlineSeconds = true, ptr(int32(600))
	paused.Status.Conditions[len(paused.Status.Conditions)-1] = apps.DeploymentCondition{Type: apps.DeploymentProgressing, Status: core.ConditionUnknown, Reason: "DeploymentPaused"}
	relabelled := replicaSet(1)
	relabelled.Spec.Replicas, relabelled.Generation = ptr(int32(1)), 1
	relabelled.Status = apps.ReplicaSetStatus{ObservedGeneration: 1, Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	tests := map[string]struct {
		object release.Object
		there  []runtime.Object
		broken func(*http.Request) int
	}{
		"a Deployment that is paused, and complete": {ofDeployment, []runtime.Object{paused}, nil},
		"a ReplicaSet of another template":          {release.Object{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: space, Name: "shop-1"}, []runtime.Object{relabelled, pod("shop-a", 1)}, nil},
		"a claim that no pod mounts":                {ofClaim, []runtime.Object{claim(core.ClaimPending)}, nil},
		"a suspended Job":                           {ofJobs, []runtime.Object{suspended}, nil},
		"a kind that we may not see": {hidden, nil, func(r *http.Request) int {
			if strings.HasSuffix(r.URL.Path, "/widgets") {
				return http.StatusForbidden
			}
			return 0
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(test.there...)
			s.Break(test.broken)
			if _, err := observe(t, s.watcher(), test.object).rest(); err != nil {
				t.Error(err)
			}
		})
	}
}

// brokenRollout is a Deployment whose second revision does not come up.
func brokenRollout(s *server, pods ...runtime.Object) {
	s.Put(deployment(2, 2, 1, 1), replicaSet(1), replicaSet(2), pod("good", 1))
	s.Put(pods...)
}

func diagnosisOf(t *testing.T, err error) release.Diagnosis {
	t.Helper()
	var failure *release.Failure
	var diagnosed release.Diagnosed
	if !errors.As(err, &failure) || !errors.As(err, &diagnosed) {
		t.Fatalf("got %v, want a diagnosed failure", err)
	}
	return diagnosed.Diagnosis()
}

// certain holds an error to one line that says which object cannot become ready, rather than that time was up.
func certain(t *testing.T, err error, object release.Object) {
	t.Helper()
	if !strings.HasPrefix(err.Error(), object.String()+` in namespace "staging" cannot become ready`) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q", err)
	}
}

// TestAnErrorNamesTheObjectsOwnNamespace: a chart may have objects in other namespaces than the release's.
func TestAnErrorNamesTheObjectsOwnNamespace(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	failed := job(batch.JobFailed, "BackoffLimitExceeded")
	failed.Namespace = "tools"
	s.Put(failed)
	object := ofJobs
	object.Namespace = "tools"
	_, err := observe(t, s.watcher(), object).rest()
	if !strings.HasPrefix(fmt.Sprint(err), object.String()+` in namespace "tools" cannot become ready`) {
		t.Errorf("got %v", err)
	}
}

// TestWatchReadsThePodsOfAFailedJob: that a Job failed may be known before its pods are, which say why.
func TestWatchReadsThePodsOfAFailedJob(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	failed := waits(pod("migrate-a", 1), "", "")
	failed.OwnerReferences[0].UID, failed.Status.Phase = "uid-migrate", core.PodFailed
	s.Put(job(batch.JobFailed, "BackoffLimitExceeded"), failed)
	listed := make(chan struct{})
	s.Break(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/pods") {
			<-listed
		}
		return 0
	})
	r := observe(t, s.watcher(), ofJobs)
	r.until("the first", func(release.RolloutStep) bool { return true })
	close(listed)
	_, err := r.rest()
	if got := diagnosisOf(t, err); got.Object != diagnose.PodObject(failed) {
		t.Errorf("got %+v, want the pod", got)
	}
	certain(t, err, ofJobs)
}

func TestWatchFailsFastOnRefusedPodsWithoutCondition(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	set := statefulSet(2, 2, 2, 1)
	s.Put(set, event("before", set.ObjectMeta, "FailedCreate", "of another rollout"))
	r := observe(t, s.hasty(), ofStateful)
	r.until("the first", func(release.RolloutStep) bool { return true })
	s.Put(statefulSet(2, 2, 2, 0)) // seen after the event of before was: that must not count
	r.untilReady(0)
	// The controller tries, and tells, again and again; the watch of events may begin between two.
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	var err error
	for over := false; !over; {
		s.Put(event("now", set.ObjectMeta, "FailedCreate", "violates PodSecurity"))
		select {
		case err = <-r.ended:
			over = true
		case <-retry.C:
		}
	}
	if got := diagnosisOf(t, err); got.Reason != "FailedCreate" || got.Message != "violates PodSecurity" || len(got.Events) != 2 {
		t.Errorf("got %+v", got)
	}
	certain(t, err, ofStateful)
}

// TestWatchTolerates has a rollout recover from what may pass, after it was seen.
func TestWatchTolerates(t *testing.T) {
	t.Parallel()
	bad := pod("bad", 2)
	stale := crashes(pod("stale", 1))
	going := crashes(pod("going", 2))
	going.DeletionTimestamp, going.Finalizers = ptr(meta.Now()), []string{"test/keep"}
	unschedulable := bad.DeepCopy()
	unschedulable.Status = core.PodStatus{Phase: core.PodPending, Conditions: []core.PodCondition{{Type: core.PodScheduled, Status: core.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}}
	crowdedSet := replicaSet(2)
	crowdedSet.Status.Conditions = append(crowdedSet.Status.Conditions, replicaFailure("exceeded quota: pods"))
	tests := map[string]runtime.Object{
		"an old pod that crashes":         stale,
		"a deleted pod that crashes":      going,
		"no node yet":                     unschedulable,
		"one failed pull":                 waits(bad, "ErrImagePull", "dial tcp: i/o timeout"),
		"a container being created":       waits(bad, "ContainerCreating", ""),
		"a kubelet out of step":           waits(bad, "CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"),
		"a quota while old pods go":       crowdedSet,
		"a Secret that comes a bit later": waits(bad, "CreateContainerConfigError", `secret "shop" not found`),
	}
	// What time decides; the others are tolerated however short the grace is.
	timed := map[string]bool{"no node yet": true, "a kubelet out of step": true, "a quota while old pods go": true, "a Secret that comes a bit later": true}
	for name, trouble := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			brokenRollout(s, trouble)
			watcher := s.hasty()
			if timed[name] {
				watcher.grace = func(time.Duration) time.Duration { return time.Hour }
			}
			r := observe(t, watcher, ofDeployment)
			r.until("the first", func(release.RolloutStep) bool { return true })
			s.Put(ready(2, 1)) // a change that is seen after the trouble was
			r.untilReady(1)
			s.Put(deployment(2, 2, 2, 2))
			if _, err := r.rest(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWatchCountsTime has a cause stand for its grace while the cluster says nothing more.
func TestWatchCountsTime(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	brokenRollout(s, waits(pod("bad", 2), "CreateContainerConfigError", `secret "shop" not found`))
	watcher := s.watcher()
	watcher.grace = func(time.Duration) time.Duration { return 300 * time.Millisecond }
	r := observe(t, watcher, ofDeployment)
	r.until("tolerating it", func(step release.RolloutStep) bool { return strings.Contains(step.Message, "not found") })
	_, err := r.rest()
	if got := diagnosisOf(t, err); got.Code != causes.ConfigurationAbsent {
		t.Errorf("got %+v", got)
	}
	certain(t, err, ofDeployment)
}

// TestWatchNamesAnEarlierPod: a StatefulSet does not go on past a pod that is not ready, whatever its template.
func TestWatchNamesAnEarlierPod(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	earlier := crashes(pod("db-0", 1))
	earlier.OwnerReferences[0].UID = "uid-db"
	s.Put(statefulSet(2, 2, 0, 1), earlier)
	s.Break(func(r *http.Request) int {
		if r.Method == http.MethodDelete {
			return http.StatusForbidden
		}
		return 0
	})
	said := func(step release.RolloutStep) bool {
		return strings.Contains(step.Message, "may not be deleted: delete it by hand")
	}
	steps, err := outOfTime(func(ctx context.Context, report func(release.RolloutStep)) error {
		return s.watcher().Watch(ctx, space, []release.Object{ofStateful}, release.Baseline{}, report)
	}, said)
	if got := diagnosisOf(t, err); got.Reason != "CrashLoopBackOff" || !strings.Contains(err.Error(), "not ready in namespace") {
		t.Errorf("got %+v, %v", got, err)
	}
	if n := s.Count("delete "); n != 1 || !slices.ContainsFunc(steps, said) {
		t.Errorf("%d attempts to delete it, steps %+v", n, steps)
	}
}

// TestWatchReplacesAnEarlierPod: the controller creates it again from the present template.
func TestWatchReplacesAnEarlierPod(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	earlier := crashes(pod("db-0", 1))
	earlier.OwnerReferences[0].UID = "uid-db"
	s.Put(statefulSet(2, 1, 0, 0), earlier)
	s.Break(func(r *http.Request) int {
		if r.Method == http.MethodDelete && s.Count("delete ") == 1 {
			return http.StatusConflict // it has changed since
		}
		return 0
	})
	r := observe(t, s.watcher(), ofStateful)
	for s.Count("delete ") == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Put(earlier) // the change is received
	r.until("deleted", func(step release.RolloutStep) bool {
		return step.Object.Name == "db-0" && strings.HasPrefix(step.Message, "deleted: it was not ready")
	})
	s.Put(statefulSet(2, 1, 1, 1))
	if _, err := r.rest(); err != nil || s.Count("delete ") < 2 {
		t.Errorf("%d attempts to delete it, then %v", s.Count("delete "), err)
	}
}

func TestWatchCountsFailedPulls(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	bad := pod("bad", 2)
	brokenRollout(s, waits(bad, "ErrImagePull", "dial tcp: i/o timeout"))
	r := observe(t, s.watcher(), ofDeployment)
	said := func(reason string) func(release.RolloutStep) bool {
		return func(step release.RolloutStep) bool { return strings.Contains(step.Message, reason) }
	}
	for range 2 {
		r.until("a pull", said("ErrImagePull"))
		s.Put(waits(bad, "ImagePullBackOff", `Back-off pulling image "x"`))
		r.until("a pause", said("ImagePullBackOff"))
		s.Put(waits(bad, "ErrImagePull", "dial tcp: i/o timeout"))
	}
	_, err := r.rest()
	if got := diagnosisOf(t, err); got.Code != causes.ImageNotPulled || got.Message != "dial tcp: i/o timeout" {
		t.Errorf("got %+v", got)
	}
	certain(t, err, ofDeployment)
}

// TestTimedOutExample holds the documentation's example to what is said when the time for a rollout is used up.
func TestTimedOutExample(t *testing.T) {
	t.Parallel()
	play(t, false, []release.Object{ofDeployment}, func(s *stage) {
		ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Minute)
		defer cancel()
		s.Put(deployment(2, 2, 1, 1), replicaSet(2), amend(unreadyPod(), waitsFor("ContainerCreating", "")))
		s.fails("at first", "")
		time.Sleep(4 * time.Minute)
		s.fails("at the end", "")
		if err, looks := s.r.timedOut(ctx, s.known, s.last.pending), causes.TimedOut.Cause().Example; looks != err.Error() {
			t.Errorf("causes.All shows\n\t%s\nand it says\n\t%s", looks, err)
		}
	})
}

func TestWatchOutOfTimeSaysWhy(t *testing.T) {
	t.Parallel()
	bad := pod("bad", 2)
	unschedulable := bad.DeepCopy()
	unschedulable.Status = core.PodStatus{Phase: core.PodPending, Conditions: []core.PodCondition{{Type: core.PodScheduled, Status: core.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}}
	unready := bad.DeepCopy()
	unready.Status.Conditions[0].Status = core.ConditionFalse
	unready.Status.ContainerStatuses[0].Ready = false
	unready.Spec.Containers = []core.Container{{Name: "app", ReadinessProbe: &core.Probe{}}}
	tests := map[string]struct {
		there []runtime.Object
		want  release.Diagnosis
	}{
		"no node":      {[]runtime.Object{unschedulable}, release.Diagnosis{Code: causes.Unschedulable, Object: diagnose.PodObject(bad), Reason: "Unschedulable", Message: "0/3 nodes", Events: []string{"Warning Any: it said"}}},
		"not ready":    {[]runtime.Object{unready}, release.Diagnosis{Code: causes.NotReady, Object: diagnose.PodObject(bad), Container: "app", Reason: "NotReady", Message: "running, but its readiness probe has not passed", Events: []string{"Warning Any: it said"}, Logs: []string{"starting"}}},
		"not started":  {[]runtime.Object{waits(bad, "ContainerCreating", "")}, release.Diagnosis{Code: causes.TimedOut, Object: diagnose.PodObject(bad), Container: "app", Reason: "ContainerCreating", Events: []string{"Warning Any: it said"}}},
		"no pod known": {nil, release.Diagnosis{Code: causes.TimedOut, Object: ofDeployment, Reason: "NotReady", Message: "Updated: 1/2"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServerInBubble(t)
				s.SetLog("bad/app", "starting\n")
				s.Put(event("e", bad.ObjectMeta, "Any", "it said"))
				brokenRollout(s, test.there...)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				err := s.watcher().Watch(ctx, space, []release.Object{ofDeployment}, release.Baseline{}, func(release.RolloutStep) {})
				test.want.Advice = test.want.Code.Cause().Advice
				if diff := cmp.Diff(test.want, diagnosisOf(t, err)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if !strings.Contains(err.Error(), "not ready in namespace") || strings.Contains(err.Error(), "deadline") {
					t.Errorf("error %q", err)
				}
			})
		})
	}
}

// TestWatchToleratesAClaimThatNoPodMounts: a custom resource that never becomes ready does not make the rollout wait for a claim, unless a pod mounts it.
func TestWatchToleratesAClaimThatNoPodMounts(t *testing.T) {
	t.Parallel()
	notReady := widget(nil, map[string]any{"type": "Ready", "status": "False", "reason": "Any", "message": "why"})
	for name, test := range map[string]struct {
		there []runtime.Object
		ready bool
	}{
		"unmounted": {[]runtime.Object{notReady, claim(core.ClaimPending)}, true},
		"mounted":   {[]runtime.Object{notReady, claim(core.ClaimPending), amend(unreadyPod(), mounts(ofDisk))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServerInBubble(t)
				s.Put(test.there...)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				reported := map[string]string{}
				err := s.watcher().Watch(ctx, space, []release.Object{ofWidget, ofClaim}, release.Baseline{}, func(step release.RolloutStep) { reported[step.Object.String()] = step.Message })
				if (err == nil) != test.ready || err != nil && !strings.Contains(err.Error(), "PersistentVolumeClaim/disk") {
					t.Errorf("got %v", err)
				}
				if told := reported["PersistentVolumeClaim/disk"]; test.ready != strings.Contains(told, "not waited for any longer") {
					t.Errorf("reported %q", told)
				}
			})
		})
	}
}

func TestWatchRecreatedObject(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	brokenRollout(s, pod("new", 2))
	r := observe(t, s.watcher(), ofDeployment)
	r.untilReady(0)
	s.Remove(deployment(2, 2, 1, 1))
	r.until("gone", func(step release.RolloutStep) bool { return step.Message == "does not exist yet" && !step.Done })
	s.Put(deployment(2, 2, 2, 2))
	if _, err := r.rest(); err != nil {
		t.Error(err)
	}
}

func TestWatchResumes(t *testing.T) {
	t.Parallel()
	tests := map[string]func(s *server){
		"a dropped watch": func(s *server) { s.Drop() },
		"an expired watch": func(s *server) {
			s.Expire()
			s.Drop()
		},
		"503, then back": func(s *server) {
			s.Break(failTimes(6, http.StatusServiceUnavailable))
			s.Drop()
		},
		"401, then back": func(s *server) {
			s.Break(failTimes(6, http.StatusUnauthorized))
			s.Drop()
		},
		"403 while the apiserver starts": func(s *server) {
			s.Break(failTimes(6, http.StatusForbidden))
			s.Drop()
		},
	}
	for name, trouble := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			brokenRollout(s, pod("new", 2))
			r := observe(t, s.watcher(), ofDeployment)
			r.untilReady(0)
			for round := range int32(2) {
				trouble(s)
				s.Put(ready(2, round+1))
				r.untilReady(int(round) + 1)
			}
			trouble(s)
			s.Put(deployment(2, 2, 2, 2))
			if _, err := r.rest(); err != nil {
				t.Error(err)
			}
		})
	}
}

// failTimes fails so many requests, and serves the others.
func failTimes(times, code int) func(*http.Request) int {
	var mu sync.Mutex
	return func(*http.Request) int {
		mu.Lock()
		defer mu.Unlock()
		if times--; times < 0 {
			return 0
		}
		return code
	}
}

func TestWatchReadsNothingStale(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(deployment(1, 1, 1, 1))
	s.Break(func(r *http.Request) int {
		if r.URL.Query().Get("resourceVersion") == "0" {
			t.Errorf("%s may be answered from any version", r.URL)
		}
		if r.URL.Query().Get("sendInitialEvents") != "" {
			return http.StatusUnprocessableEntity // an apiserver that cannot stream lists
		}
		return 0
	})
	if _, err := observe(t, s.watcher(), ofDeployment).rest(); err != nil {
		t.Error(err)
	}
	if s.Count("get /apis/apps/v1/namespaces/staging/deployments") == 0 {
		t.Error("nothing was listed")
	}
}

// TestRunningAfterAWatch: when a watch ends, the client knows how new the pods and the ReplicaSets are that it has reported.
func TestRunningAfterAWatch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	image, err := release.ParseImage("localhost:5000/shop@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	workload := deployment(1, 1, 1, 1)
	workload.Labels = map[string]string{"app.kubernetes.io/instance": "shop"}
	workload.Spec.Selector = &meta.LabelSelector{MatchLabels: workload.Labels}
	workload.Spec.Template.Spec.Containers = []core.Container{{Name: "app", Image: image.String()}}
	s.Put(workload, ready(1, 1))
	watcher := s.watcher()
	if _, err := observe(t, watcher, ofDeployment).rest(); err != nil {
		t.Fatal(err)
	}
	var lists sync.Map // whether a list asks for a resource version, by resource
	s.Break(func(r *http.Request) int {
		lists.Store(path.Base(r.URL.Path), r.URL.Query().Get("resourceVersion") != "")
		return 0
	})
	if running, err := watcher.client.Running(t.Context(), space, "shop", image); err != nil || len(running.Workloads) != 1 {
		t.Fatalf("got %+v, %v", running, err)
	}
	for _, resource := range []string{"pods", "replicasets"} {
		if known, listed := lists.Load(resource); !listed || known != true {
			t.Errorf("%s: listed %t, with a resource version: %v", resource, listed, known)
		}
	}
}

func TestWatchDoesNotPoll(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	brokenRollout(s, pod("new", 2))
	r := observe(t, s.watcher(), ofDeployment)
	r.untilReady(0)
	for i := range int32(50) {
		s.Put(ready(2, 1+i%2))
		r.untilReady(int(1 + i%2))
	}
	s.Put(deployment(2, 2, 2, 2))
	if _, err := r.rest(); err != nil {
		t.Fatal(err)
	}
	if asked := s.Requests(); len(asked) > 8 { // a list or streamed list and perhaps a watch for Deployments, ReplicaSets, pods and events
		t.Errorf("%d requests for 50 changes: %v", len(asked), asked)
	}
}

func TestWatchForbidden(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Break(func(*http.Request) int { return http.StatusForbidden })
	_, err := observe(t, s.hasty(), ofDeployment).rest()
	var fault *release.Fault
	if !errors.As(err, &fault) || fault.Side != "cluster" || !strings.Contains(err.Error(), "Role") {
		t.Errorf("got %v, want a fault of the cluster", err)
	}
}

func TestWatchNeedsNoPods(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(deployment(1, 1, 1, 1))
	s.Break(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/deployments") {
			return 0
		}
		return http.StatusForbidden
	})
	if _, err := observe(t, s.watcher(), ofDeployment).rest(); err != nil {
		t.Error(err)
	}
}

func TestWatchUnreachableCluster(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Break(func(*http.Request) int { return http.StatusServiceUnavailable })
	ctx := deadline{make(chan struct{})}
	go func() {
		for s.Count("watch ")+s.Count("get ") < 10 {
			time.Sleep(time.Millisecond)
		}
		close(ctx.passed)
	}()
	err := s.watcher().Watch(ctx, space, []release.Object{ofDeployment}, release.Baseline{}, func(release.RolloutStep) {})
	var fault *release.Fault
	if !errors.As(err, &fault) || fault.Side != "cluster" {
		t.Errorf("got %v, want a fault of the cluster", err)
	}
}

func TestWatchEndsWhenCancelled(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	brokenRollout(s, pod("new", 2))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := s.watcher().Watch(ctx, space, []release.Object{ofDeployment}, release.Baseline{}, func(release.RolloutStep) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestWatchWithoutObjects(t *testing.T) {
	t.Parallel()
	if _, err := observe(t, newServer(t).watcher()).rest(); err != nil {
		t.Error(err)
	}
}

func TestDiagnosisIsBoundedAndInert(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	bad := crashes(pod("bad", 2))
	bad.Status.ContainerStatuses[0].LastTerminationState.Terminated.Message = "one\ntwo\x1b[31m\u202e" + long
	for i := range 9 {
		s.Put(event(fmt.Sprintf("e%d", i), bad.ObjectMeta, "Any", fmt.Sprintf("%d\n::error::%s", i, long)))
	}
	s.SetLog("bad/app?previous", strings.Repeat("::set-output name=x::y\x07\r\n", 40)+long)
	brokenRollout(s, bad)
	_, err := observe(t, s.watcher(), ofDeployment).rest()
	got := diagnosisOf(t, err)
	if len(got.Events) != 5 || len(got.Logs) > 20 || len(got.Logs) == 0 {
		t.Errorf("%d events and %d lines", len(got.Events), len(got.Logs))
	}
	whole := got.Message + strings.Join(got.Events, "") + strings.Join(got.Logs, "")
	if len(whole) > 80<<10 {
		t.Errorf("%d bytes", len(whole))
	}
	if strings.ContainsAny(whole, "\n\r\x07\x1b\u202e") {
		t.Error("control characters pass")
	}
}
