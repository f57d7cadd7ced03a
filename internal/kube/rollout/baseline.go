package rollout

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// baselineTime limits the requests for a baseline.
const baselineTime = 10 * time.Second

// baselineResources are the kinds that can show problems from before a release was applied.
var baselineResources = []schema.GroupVersionResource{
	{Version: "v1", Resource: "pods"}, {Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "apps", Version: "v1", Resource: "replicasets"},
	{Group: "batch", Version: "v1", Resource: "jobs"}, claimsResource,
}

// Baseline records what the namespaces of a release contain before it is applied there. What cannot be read within ten seconds is missing,
// and counts as new.
func (w *Watcher) Baseline(ctx context.Context, namespaces []string) release.Baseline {
	ctx, cancel := context.WithTimeout(ctx, baselineTime)
	defer cancel()
	var (
		requests sync.WaitGroup
		mu       sync.Mutex
		before   = release.Baseline{Seen: map[string]string{}}
	)
	for _, namespace := range namespaces {
		for _, resource := range baselineResources {
			requests.Go(func() {
				list, err := w.client.Dynamic.Resource(resource).Namespace(namespace).List(ctx, meta.ListOptions{})
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for i := range list.Items {
					before.Seen[string(list.Items[i].GetUID())] = progressReport(&list.Items[i])
				}
			})
		}
		requests.Go(func() {
			list, err := w.client.Events(namespace).List(ctx, meta.ListOptions{FieldSelector: withoutRoutine})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range list.Items {
				about := string(list.Items[i].InvolvedObject.UID)
				if _, seen := before.Seen[about]; !seen {
					before.Seen[about] = ""
				}
			}
		})
	}
	requests.Wait()
	return before
}

// progressReport identifies a Deployment's last progress report; "" for any other kind.
func progressReport(object *unstructured.Unstructured) string {
	if object.GetKind() != "Deployment" {
		return ""
	}
	progress := diagnose.Conditions(object)["Progressing"]
	return cmp.Or(progress.Reason, "none") + " " + progress.Updated
}

// seenBefore reports whether an object existed before the release was applied.
func (a *assessor) seenBefore(uid types.UID) bool {
	_, seen := a.known.before.Seen[string(uid)]
	return seen
}

// containerBaseline is the state in which a container of an earlier pod was first observed. A failure from before the deploy counts only once it has happened again.
type containerBaseline struct {
	endedRuns   int32
	waiting     string // reason at the first observation; "" once the container was seen in another state
	failedAgain bool
}

// backOffs are the kubelet's reasons for a pause before the next attempt.
var backOffs = []string{"ImagePullBackOff", "CrashLoopBackOff"}

// recordBaselineState records the state in which the containers of a pod from before the deploy are first observed, and whether one of them has failed again since.
func (a *assessor) recordBaselineState(pod *core.Pod) {
	if !a.seenBefore(pod.UID) {
		return
	}
	starts := cloneMap(a.memory.starts[pod.UID])
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		waiting := ""
		if status.State.Waiting != nil {
			waiting = status.State.Waiting.Reason
		}
		start, known := starts[status.Name]
		switch {
		case !known:
			start = containerBaseline{endedRuns: diagnose.EndedRuns(status), waiting: waiting}
		case diagnose.EndedRuns(status) > start.endedRuns:
			start.failedAgain = true
		case waiting != start.waiting:
			start.waiting = ""
			start.failedAgain = start.failedAgain || waiting != "" && !slices.Contains(backOffs, waiting) && diagnose.IsTrouble(waiting)
		}
		starts[status.Name] = start
	}
	a.memory.starts[pod.UID] = starts
}

// ignoreBaselineFinding makes a finding harmless that is based only on reports from before the release was applied: since then
// the Secret or the ServiceAccount may have been created or the image pushed, without the kubelet or the controller having tried again. The finding counts once it is
// reported again.
func (a *assessor) ignoreBaselineFinding(found *diagnose.Finding) {
	if found.Grace < 0 || found.Grace > diagnose.GraceShort && found.Code != causes.ConfigurationAbsent && found.Report == "" || !a.seenBefore(found.UID) || a.renewed(*found) {
		return
	}
	found.Grace = diagnose.GraceNever
	if found.Code == causes.ConfigurationAbsent && found.Container != "" {
		found.Grace = diagnose.GraceEarlier // the kubelet may limit its events, and retries every 10 to 15 s
	}
}

// renewed reports whether the problem of a finding has occurred again since the watch began.
func (a *assessor) renewed(found diagnose.Finding) bool {
	for _, o := range a.known.objects {
		if o.object.Kind == "Deployment" && o.content != nil && o.content.GetUID() == found.UID {
			return a.known.before.Seen[string(found.UID)] != progressReport(o.content)
		}
	}
	if a.memory.starts[found.UID][found.Container].failedAgain {
		return true
	}
	switch found.Code {
	case causes.CrashLoop, causes.OutOfMemory, causes.NotAlive:
		return false // only a further run of the container can show it
	}
	for _, event := range a.known.events[found.UID] {
		if !a.known.oldEvents[event.UID] && diagnose.IsFailedAttempt(event) &&
			(found.Container == "" || diagnose.IsAboutContainer(event, found.Container)) {
			return true
		}
	}
	return false
}

// ignoreBaselineDeadline treats a Deployment that existed before the release was applied as progressing, until its own deadline
// has passed since then. Its controller counts from the last progress, and keeps reporting the expired deadline until a pod
// becomes available.
func (a *assessor) ignoreBaselineDeadline(o observedObject, cond readiness) readiness {
	if o.object.Kind != "Deployment" || cond.failed == "" || o.content == nil || !a.seenBefore(o.content.GetUID()) {
		return cond
	}
	patience := max(progressDeadline(o.content), diagnose.GraceEarlier)
	if !a.due(a.policy.grace(patience) - a.now.Sub(a.memory.began)) {
		cond.failed = ""
	}
	return cond
}

// defaultProgressDeadline is the deadline of a Deployment that sets none, and of kinds without this field.
// Source: k8s.io/api/apps/v1, DeploymentSpec, progressDeadlineSeconds.
const defaultProgressDeadline = 600 * time.Second

// statedDeadline returns how long a pod may make no progress by its Deployment's own spec if that is longer than the default: its author says that a start
// may take that long. It returns 0 otherwise: a shorter deadline is there to fail sooner.
func statedDeadline(object *unstructured.Unstructured) time.Duration {
	if deadline := progressDeadline(object); object.GetKind() == "Deployment" && deadline > defaultProgressDeadline {
		return deadline
	}
	return 0
}

// progressDeadline returns how long a pod may make no progress by its workload's own settings.
func progressDeadline(object *unstructured.Unstructured) time.Duration {
	seconds, found, _ := unstructured.NestedInt64(object.Object, "spec", "progressDeadlineSeconds")
	if !found || seconds <= 0 {
		return defaultProgressDeadline
	}
	return time.Duration(seconds) * time.Second
}
