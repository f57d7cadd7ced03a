package rollout

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release/causes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// verdict is what an assessment says about the first object that is not ready.
type verdict struct {
	Code      causes.Code
	Kind      string // of what the finding is about
	Container string
	Reason    string
	Failed    bool
	Recheck   time.Duration // after which the assessment may change by itself; 0: it does not
}

func verdictOf(a assessment) (v verdict) {
	object := a.failure
	if object == nil && len(a.pending) > 0 {
		object = &a.pending[0]
	}
	if object != nil {
		found := object.finding
		v = verdict{Code: found.Code, Kind: found.Object.Kind, Container: found.Container, Reason: found.Reason, Failed: a.failure != nil}
	}
	v.Recheck = a.recheckAfter
	return v
}

// conclusions are what each of testdata/snapshots amounts to when it is the first that is known of a rollout, and whether it has
// failed, or is ready, if nothing has changed when the next assessment is due.
var conclusions = map[string]struct {
	first verdict
	then  string // "failed", "ready", or "" if time alone decides nothing
}{
	"ready":                {verdict{Kind: "Deployment", Reason: "NotReady", Recheck: 3 * time.Second}, "ready"}, // its container has to run for 3 s
	"crash-loop":           {verdict{Code: causes.CrashLoop, Kind: "Pod", Container: "app", Reason: "CrashLoopBackOff", Failed: true}, ""},
	"init-crash-loop":      {verdict{Code: causes.CrashLoop, Kind: "Pod", Container: "first", Reason: "CrashLoopBackOff"}, ""}, // it may try again
	"image-pull":           {verdict{Code: causes.ImageNotPulled, Kind: "Pod", Container: "app", Reason: "ErrImagePull"}, ""},  // the registry does not answer
	"image-never-pulled":   {verdict{Code: causes.ImageNotPulled, Kind: "Pod", Container: "app", Reason: "ErrImageNeverPull", Failed: true}, ""},
	"image-name":           {verdict{Code: causes.ImageNameInvalid, Kind: "Pod", Container: "app", Reason: "InvalidImageName", Failed: true}, ""},
	"secret-absent":        {verdict{Code: causes.ConfigurationAbsent, Kind: "Pod", Container: "app", Reason: "CreateContainerConfigError", Recheck: 20 * time.Second}, "failed"},
	"volume-secret-absent": {verdict{Code: causes.ConfigurationAbsent, Kind: "Pod", Reason: "FailedMount", Recheck: 40 * time.Second}, "failed"},
	"no-command":           {verdict{Code: causes.ContainerNotStarted, Kind: "Pod", Container: "app", Reason: "RunContainerError", Recheck: 2 * time.Second}, "failed"},
	"not-ready":            {verdict{Code: causes.NotReady, Kind: "Pod", Container: "app", Reason: "Unhealthy", Recheck: 30 * time.Second}, "failed"},
	"not-alive":            {verdict{Code: causes.NotAlive, Kind: "Pod", Container: "app", Reason: "Unhealthy", Failed: true}, ""},
	"never-started":        {verdict{Code: causes.NotAlive, Kind: "Pod", Container: "app", Reason: "Unhealthy", Failed: true}, ""},
	"unschedulable":        {verdict{Code: causes.Unschedulable, Kind: "Pod", Reason: "Unschedulable", Recheck: 30 * time.Second}, "failed"},
	"quota":                {verdict{Code: causes.QuotaExceeded, Kind: "ReplicaSet", Reason: "FailedCreate", Recheck: 2 * time.Second}, "failed"},
	"quota-of-statefulset": {verdict{Code: causes.QuotaExceeded, Kind: "StatefulSet", Reason: "FailedCreate", Recheck: 2 * time.Second}, "failed"},
	"admission":            {verdict{Code: causes.AdmissionRefused, Kind: "ReplicaSet", Reason: "FailedCreate", Recheck: 2 * time.Second}, "failed"},
	"claim":                {verdict{Code: causes.VolumePending, Kind: "PersistentVolumeClaim", Reason: "ProvisioningFailed", Recheck: 2 * time.Second}, "failed"},
	"progress-deadline":    {verdict{Code: causes.ProgressDeadline, Kind: "Pod", Reason: "NotReady", Failed: true}, ""},
	"paused":               {verdict{Code: causes.DeploymentPaused, Kind: "Deployment", Reason: "DeploymentPaused", Recheck: 20 * time.Second}, "failed"},
	"job-failed":           {verdict{Code: causes.JobFailed, Kind: "Pod", Container: "app", Reason: "PodFailed", Failed: true}, ""},
	"job-out-of-time":      {verdict{Kind: "Job", Reason: "JobFailed", Recheck: catchUpTime}, "failed"}, // its pod is gone, or not read yet
	"hook-failed":          {verdict{Code: causes.JobFailed, Kind: "Pod", Container: "app", Reason: "PodFailed", Failed: true}, ""},
	"hook-gone":            {verdict{Code: causes.JobFailed, Kind: "Job", Reason: "JobFailed", Failed: true}, ""}, // its events say how it ended
}

func TestAssessRecordedSnapshots(t *testing.T) {
	t.Parallel()
	for name, want := range conclusions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := readRecording(t, name)
			known, policy := r.snapshot(t), policy{hook: r.Hook}
			first := assess(known, policy, r.Taken)
			if diff := cmp.Diff(want.first, verdictOf(first)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			known.memory = first.memory
			if want.then == "" {
				if later := assess(known, policy, r.Taken.Add(time.Hour)); (later.failure != nil) != want.first.Failed {
					t.Errorf("an hour later: %+v", later.failure)
				}
				return
			}
			early := assess(known, policy, r.Taken.Add(want.first.Recheck-time.Millisecond))
			if early.failure != nil || len(early.pending) == 0 {
				t.Errorf("decided before its time: %+v", early)
			}
			late := assess(known, policy, r.Taken.Add(want.first.Recheck))
			if failed := late.failure != nil; failed != (want.then == "failed") || want.then == "ready" && len(late.pending) > 0 {
				t.Errorf("not %s after %s: %+v", want.then, want.first.Recheck, late)
			}
		})
	}
}

func TestEveryRecordingIsAssessed(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir("testdata/snapshots")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file.Name(), ".yaml")
		if _, listed := conclusions[name]; !listed {
			t.Errorf("%s is not in the table of conclusions", file.Name())
		}
	}
}

// TestAssessIsPure holds assess to equal results of equal arguments, which it does not change.
func TestAssessIsPure(t *testing.T) {
	t.Parallel()
	for name := range conclusions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := readRecording(t, name)
			policy := policy{hook: r.Hook}
			remembered := assess(r.snapshot(t), policy, r.Taken).memory
			known, untouched := r.snapshot(t), r.snapshot(t)
			known.memory, untouched.memory = remembered, assess(r.snapshot(t), policy, r.Taken).memory
			at := r.Taken.Add(time.Minute)
			if first, second := assess(known, policy, at), assess(known, policy, at); !reflect.DeepEqual(first, second) {
				t.Errorf("two results of the same arguments:\n%+v\n%+v", first, second)
			}
			if !reflect.DeepEqual(known, untouched) {
				t.Error("the snapshot was changed")
			}
		})
	}
}

// TestNoVerdictWhileAStoreLags: what a store shows while it is disconnected, or has not caught up, is not what is.
func TestNoVerdictWhileAStoreLags(t *testing.T) {
	t.Parallel()
	unavailable := apierrors.NewServiceUnavailable("starting")
	disconnect := func(s *storeSync) *storeSync {
		lagging := *s
		lagging.Disconnected = true
		return &lagging
	}
	tests := map[string]func(known *snapshot, namespace *namespaceSnapshot, now time.Time){
		"the watch of the object has ended":  func(k *snapshot, _ *namespaceSnapshot, _ time.Time) { k.objects[0].sync.Disconnected = true },
		"the watch of pods has ended":        func(_ *snapshot, n *namespaceSnapshot, _ time.Time) { n.podSync = disconnect(n.podSync) },
		"the watch of ReplicaSets has ended": func(_ *snapshot, n *namespaceSnapshot, _ time.Time) { n.replicaSetSync = disconnect(n.replicaSetSync) },
		"the requests for the object fail": func(k *snapshot, _ *namespaceSnapshot, now time.Time) {
			k.objects[0].sync.Err, k.objects[0].sync.Since = unavailable, now
		},
		"requests for pods fail": func(_ *snapshot, n *namespaceSnapshot, now time.Time) {
			n.podSync = disconnect(n.podSync)
			n.podSync.Err, n.podSync.Since = unavailable, now
		},
		"pods are followed again for a moment": func(_ *snapshot, n *namespaceSnapshot, now time.Time) {
			resumed := *n.podSync
			resumed.Resumed = now.Add(time.Millisecond - catchUpTime)
			n.podSync = &resumed
		},
	}
	for _, name := range []string{"crash-loop", "image-name", "progress-deadline", "ready"} {
		for lag, apply := range tests {
			t.Run(name+", "+lag, func(t *testing.T) {
				t.Parallel()
				r := readRecording(t, name)
				at := r.Taken.Add(time.Minute)
				known := r.snapshot(t)
				known.memory = assess(known, policy{}, r.Taken).memory
				if sure := assess(known, policy{}, at); sure.uncertain || sure.failure == nil && len(sure.pending) > 0 {
					t.Fatalf("undecided while nothing lags: %+v", sure)
				}
				namespace := known.namespaces[r.Namespace]
				apply(&known, &namespace, at)
				known.namespaces[r.Namespace] = namespace
				got := assess(known, policy{}, at)
				if !got.uncertain || got.failure != nil {
					t.Errorf("uncertain %t, failure %+v", got.uncertain, got.failure)
				}
			})
		}
	}
	t.Run("not if the cluster refuses for good", func(t *testing.T) {
		t.Parallel()
		r := readRecording(t, "crash-loop")
		known, at := r.snapshot(t), r.Taken.Add(time.Minute)
		namespace := known.namespaces[r.Namespace]
		refused := *namespace.replicaSetSync
		refused.Err, refused.Since = apierrors.NewForbidden(schema.GroupResource{}, "", nil), r.Taken
		namespace.replicaSetSync = &refused
		known.namespaces[r.Namespace] = namespace
		if got := assess(known, policy{}, at); got.uncertain || got.failure == nil {
			t.Errorf("uncertain %t, failure %+v", got.uncertain, got.failure)
		}
	})
}

// TestThirdRecordedPullCounts: an image that cannot be pulled counts once three attempts have failed.
func TestThirdRecordedPullCounts(t *testing.T) {
	t.Parallel()
	r := readRecording(t, "image-pull")
	known := r.snapshot(t)
	pod := known.namespaces[r.Namespace].pods[0]
	for attempt := range 3 {
		got := assess(known, policy{}, r.Taken)
		if failed := got.failure != nil; failed != (attempt == 2) {
			t.Errorf("attempt %d: failed %t", attempt+1, failed)
		}
		known.memory = got.memory
		history := known.memory.containers[pod.UID]["app"]
		history.WaitingReason = "" // between two attempts
		known.memory.containers[pod.UID]["app"] = history
	}
}
