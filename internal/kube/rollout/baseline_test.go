package rollout

import (
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// earlier is a recorded snapshot of which everything was there before the release was applied.
func (r recording) earlier(t *testing.T) snapshot {
	t.Helper()
	known := r.snapshot(t)
	known.before = release.Baseline{Seen: map[string]string{}}
	for _, object := range r.Objects {
		known.before.Seen[string(object.GetUID())] = progressReport(object)
	}
	for uid, events := range known.events {
		known.before.Seen[string(uid)] += ""
		for _, event := range events {
			known.oldEvents[event.UID] = true
		}
	}
	return known
}

// restart makes a pod's container end once more.
func restart(known *snapshot, namespace string) {
	pods := known.namespaces[namespace].pods
	pod := pods[0].DeepCopy()
	for _, statuses := range [][]core.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			statuses[i].RestartCount++
		}
	}
	pods[0] = pod
}

// repeat makes an event of a kind occur once more.
func repeat(reason string) func(known *snapshot, namespace string) {
	return func(known *snapshot, _ string) {
		for _, events := range known.events {
			for _, event := range events {
				if event.Reason == reason {
					delete(known.oldEvents, event.UID)
				}
			}
		}
	}
}

// waiting gives the containers of a pod that wait another reason.
func waiting(known *snapshot, namespace, reason string) {
	pods := known.namespaces[namespace].pods
	pod := pods[0].DeepCopy()
	for i := range pod.Status.ContainerStatuses {
		pod.Status.ContainerStatuses[i].State = core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: reason, Message: "not found"}}
	}
	pods[0] = pod
}

// TestEarlierProblemsCountWhenTheyHappenAgain: what fails a rollout at once does not, if it is from before the release was applied; it
// does as soon as it happens again.
func TestEarlierProblemsCountWhenTheyHappenAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		after time.Duration // for which it is tolerated although it does not happen again; 0: for as long as there is time
		renew func(known *snapshot, namespace string)
		code  causes.Code
	}{
		"crash-loop":           {0, restart, causes.CrashLoop},
		"never-started":        {0, restart, causes.NotAlive},
		"not-alive":            {0, restart, causes.NotAlive},
		"image-never-pulled":   {0, repeat("Failed"), causes.ImageNotPulled},
		"image-name":           {0, repeat("InspectFailed"), causes.ImageNameInvalid},
		"secret-absent":        {diagnose.GraceEarlier, repeat("Failed"), causes.ConfigurationAbsent},
		"volume-secret-absent": {0, repeat("FailedMount"), causes.ConfigurationAbsent},
		"no-command":           {0, repeat("Failed"), causes.ContainerNotStarted},
		"quota":                {0, repeat("FailedCreate"), causes.QuotaExceeded},
		"claim":                {0, repeat("ProvisioningFailed"), causes.VolumePending},
		"progress-deadline": {diagnose.GraceEarlier, func(known *snapshot, _ string) {
			known.before = release.Baseline{}
		}, causes.ProgressDeadline},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := readRecording(t, name)
			known := r.earlier(t)
			first := assess(known, policy{}, r.Taken)
			if first.failure != nil || len(first.pending) == 0 {
				t.Fatalf("failed for what was there before: %+v", first.failure)
			}
			known.memory = first.memory
			if test.after == 0 {
				known.memory = assess(known, policy{}, r.Taken.Add(time.Hour)).memory
				if later := assess(known, policy{}, r.Taken.Add(time.Hour)); later.failure != nil {
					t.Errorf("failed an hour later: %+v", later.failure)
				}
			} else {
				if early := assess(known, policy{}, r.Taken.Add(test.after-time.Millisecond)); early.failure != nil || first.recheckAfter != test.after {
					t.Errorf("next look after %s, failed before: %+v", first.recheckAfter, early.failure)
				}
				if late := assess(known, policy{}, r.Taken.Add(test.after)); late.failure == nil {
					t.Errorf("not failed after %s", test.after)
				}
			}
			test.renew(&known, r.Namespace)
			at := r.Taken.Add(time.Second)
			known.memory = assess(known, policy{}, at).memory
			again := assess(known, policy{}, at.Add(2*diagnose.GraceTransient))
			if again.failure != nil {
				setGivenUpCode(again.failure)
			}
			if again.failure == nil || again.failure.finding.Code != test.code {
				t.Errorf("it happened again, and is not named: %+v", again.pending)
			}
		})
	}
}

// TestOtherWarningsRenewNothing: a warning about a container that has started since, or one of a policy, does not say that an earlier problem
// has happened again.
func TestOtherWarningsRenewNothing(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"Unhealthy", "PolicyViolation", "BackOff"} {
		r := readRecording(t, "volume-secret-absent")
		known := r.earlier(t)
		known.memory = assess(known, policy{}, r.Taken).memory
		for about, events := range known.events {
			event := events[0].DeepCopy()
			event.UID, event.Type, event.Reason = types.UID(reason), core.EventTypeWarning, reason
			event.InvolvedObject.FieldPath = "spec.containers{app}"
			known.events[about] = append(events, event)
		}
		at := r.Taken.Add(time.Second)
		known.memory = assess(known, policy{}, at).memory
		if got := assess(known, policy{}, at.Add(2*diagnose.GraceTransient)); got.failure != nil {
			t.Errorf("%s: failed: %+v", reason, got.failure)
		}
	}
}

// TestARefusalBeforeTheWatchCounts: the controller of a new workload may report a refusal between the apply and the beginning of the watch.
func TestARefusalBeforeTheWatchCounts(t *testing.T) {
	t.Parallel()
	r := readRecording(t, "quota-of-statefulset")
	for isNew := range map[bool]bool{false: true, true: true} {
		known := r.earlier(t)
		if isNew {
			known.before.Seen = map[string]string{}
		}
		known.memory = assess(known, policy{}, r.Taken).memory
		if got := assess(known, policy{}, r.Taken.Add(diagnose.GraceShort)); (got.failure != nil) != isNew {
			t.Errorf("new %t: failed %t, pending %+v", isNew, got.failure != nil, got.pending)
		}
	}
}

// TestAnEarlierPullCountsWhenItIsTriedAgain: the back-off between two pulls says nothing new, another failed pull does.
func TestAnEarlierPullCountsWhenItIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := readRecording(t, "image-pull")
	known := r.earlier(t)
	for _, step := range []struct {
		reason string
		fails  bool
	}{{"ImagePullBackOff", false}, {"ImagePullBackOff", false}, {"ErrImagePull", true}, {"ImagePullBackOff", true}} {
		waiting(&known, r.Namespace, step.reason)
		got := assess(known, policy{}, r.Taken)
		if (got.failure != nil) != step.fails {
			t.Errorf("%s: failed %t, want %t", step.reason, got.failure != nil, step.fails)
		}
		known.memory = got.memory
	}
}

// TestAJobThatHadFailedIsFinal: Kubernetes does not run it again, whatever has been mended since.
func TestAJobThatHadFailedIsFinal(t *testing.T) {
	t.Parallel()
	r := readRecording(t, "job-failed")
	got := assess(r.earlier(t), policy{}, r.Taken)
	if got.failure == nil || !strings.HasSuffix(got.failure.finding.Message, "it had failed before this deploy, and Kubernetes runs it again only once it is deleted") {
		t.Errorf("got %+v", got.failure)
	}
}

// TestNewPodsAreNotPartOfTheBaseline: a pod that was created since counts as ever, whatever else was there before.
func TestNewPodsAreNotPartOfTheBaseline(t *testing.T) {
	t.Parallel()
	r := readRecording(t, "crash-loop")
	known := r.earlier(t)
	for _, pod := range known.namespaces[r.Namespace].pods {
		delete(known.before.Seen, string(pod.UID))
	}
	if got := assess(known, policy{}, r.Taken); got.failure == nil {
		t.Errorf("tolerated: %+v", got.pending)
	}
}

// TestBaselineHoldsWhatExists reads one from the cluster.
func TestBaselineHoldsWhatExists(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	stopped := deployment(1, 1, 0, 0)
	s.Put(stopped, replicaSet(1), pod("shop-a", 1), claim(core.ClaimPending), job("", ""), event("e", described("gone", "", nil), "Failed", "about what is gone"))
	got := s.watcher().Baseline(t.Context(), []string{space})
	for _, uid := range []types.UID{"uid-shop", "uid-shop-1", "uid-shop-a", "uid-disk", "uid-migrate", "uid-gone"} {
		if _, seen := got.Seen[string(uid)]; !seen {
			t.Errorf("%s is missing in %v", uid, got.Seen)
		}
	}
	if got.Seen["uid-shop"] == "" || got.Failed {
		t.Errorf("got %+v", got)
	}
}

// TestBaselineOfOtherNamespaces: a release may have objects in several, and what each contains is no fault of the deploy.
func TestBaselineOfOtherNamespaces(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	elsewhere := crashes(pod("elsewhere", 1))
	elsewhere.Namespace = "other"
	s.Put(pod("here", 1), elsewhere)
	got := s.watcher().Baseline(t.Context(), []string{space, "other"})
	for _, uid := range []string{"uid-here", "uid-elsewhere"} {
		if _, seen := got.Seen[uid]; !seen {
			t.Errorf("%s is missing in %v", uid, got.Seen)
		}
	}
}

// stuckSet is a StatefulSet whose pod db-1 has an older template than the present one, db-b.
func stuckSet(amend func(*unstructured.Unstructured, *core.Pod)) snapshot {
	set := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "StatefulSet",
		"metadata": map[string]any{"name": "db", "namespace": space, "uid": "uid-db", "generation": int64(2)},
		"spec":     map[string]any{"replicas": int64(2)},
		"status":   map[string]any{"observedGeneration": int64(2), "updateRevision": "db-b", "replicas": int64(2), "readyReplicas": int64(1), "updatedReplicas": int64(1)}}}
	newest, stuck := pod("db-0", 1), unready("db-1")
	newest.OwnerReferences[0].UID, stuck.OwnerReferences[0].UID = "uid-db", "uid-db"
	newest.Labels, stuck.Labels = map[string]string{"controller-revision-hash": "db-b"}, map[string]string{"controller-revision-hash": "db-a"}
	amend(set, stuck)
	sync := &storeSync{started: time.Unix(0, 0)}
	sync.Synced = true
	return snapshot{
		objects:    []observedObject{{trackedObject{object: ofStateful, key: watchKey{namespace: space}, wait: require}, sync.SyncState, set}},
		namespaces: map[string]namespaceSnapshot{space: {pods: []*core.Pod{newest, stuck}, podSync: sync, eventSync: sync}},
		events:     map[types.UID][]*core.Event{}, before: release.Baseline{Seen: map[string]string{"uid-db": "", "uid-db-0": "", "uid-db-1": ""}},
	}
}

func unready(name string) *core.Pod {
	p := pod(name, 1)
	p.Spec.Containers = []core.Container{{Name: "app", ReadinessProbe: &core.Probe{}}}
	p.Status.Conditions[0].Status = core.ConditionFalse
	p.Status.ContainerStatuses[0].Ready = false
	return p
}

// TestStuckPodsAreReplaced: a StatefulSet's controller never replaces a broken pod of a template that was taken back.
func TestStuckPodsAreReplaced(t *testing.T) {
	t.Parallel()
	set := func(value any, path ...string) func(*unstructured.Unstructured, *core.Pod) {
		return func(s *unstructured.Unstructured, _ *core.Pod) {
			_ = unstructured.SetNestedField(s.Object, value, path...)
		}
	}
	none := func(*unstructured.Unstructured, *core.Pod) {}
	later := func(s *unstructured.Unstructured, p *core.Pod) {
		set(int64(1), "spec", "updateStrategy", "rollingUpdate", "partition")(s, p)
		set(int64(1), "spec", "ordinals", "start")(s, p)
	}
	tests := map[string]struct {
		amend  func(*unstructured.Unstructured, *core.Pod)
		failed bool // the revision before
		want   bool
	}{
		"not ready, after a failure":             {none, true, true},
		"not ready, in any other rollout":        {none, false, false},
		"in a crash loop":                        {func(_ *unstructured.Unstructured, p *core.Pod) { p.Status = crashes(p).Status }, false, true},
		"ready, after a failure":                 {func(_ *unstructured.Unstructured, p *core.Pod) { p.Status.Conditions[0].Status = core.ConditionTrue }, true, false},
		"created since":                          {func(_ *unstructured.Unstructured, p *core.Pod) { p.UID = "uid-new" }, true, false},
		"of the present template":                {func(_ *unstructured.Unstructured, p *core.Pod) { p.Labels["controller-revision-hash"] = "db-b" }, true, false},
		"of another owner":                       {func(_ *unstructured.Unstructured, p *core.Pod) { p.OwnerReferences[0].UID = "uid-other" }, true, false},
		"below the partition":                    {set(int64(2), "spec", "updateStrategy", "rollingUpdate", "partition"), true, false},
		"above the partition":                    {set(int64(1), "spec", "updateStrategy", "rollingUpdate", "partition"), true, true},
		"below the partition from an ordinal on": {later, true, false},
		"replaced by a person only":              {set("OnDelete", "spec", "updateStrategy", "type"), true, false},
		"replaced by the controller all at once": {set("Parallel", "spec", "podManagementPolicy"), true, false},
		"not observed":                           {set(int64(1), "status", "observedGeneration"), true, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := stuckSet(test.amend)
			known.before.Failed = test.failed
			got := assess(known, policy{}, time.Now())
			if (len(got.stuck) == 1) != test.want {
				t.Errorf("to be replaced: %d pods", len(got.stuck))
			}
			if test.want && (got.stuck[0].Name != "db-1" || got.failure != nil) {
				t.Errorf("%s is to be replaced, failure %+v", got.stuck[0].Name, got.failure)
			}
		})
	}
}
