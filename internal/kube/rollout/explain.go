package rollout

import (
	"strings"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// explain says why an object is not ready. It tries in this order: the object is paused; the most important finding among its
// pods; its pods may not be created; a pod that is not ready; the object's own status.
func (a *assessor) explain(o observedObject, cond readiness) diagnose.Finding {
	own := diagnose.Finding{Object: o.object, Reason: "NotReady", Message: cond.message, Grace: diagnose.GraceNever}
	if cond.failed != "" {
		own.Reason = cond.failed
	}
	if o.content == nil {
		if cause, recorded := a.memory.podCauses[o.object]; recorded {
			return cause
		}
		return own
	}
	if own.UID = o.content.GetUID(); o.wait != require {
		if cond.declared != "" {
			own.Reason, own.Code, own.Grace = cond.declared, causes.CustomResourceFailed, diagnose.GraceTransient
			return a.observed(own)
		}
		return own
	}
	if o.object.Kind == "PersistentVolumeClaim" {
		if found := a.explainClaim(o.content); found != nil {
			a.ignoreBaselineFinding(found)
			return a.observed(*found)
		}
		return own
	}
	if found := diagnose.Paused(o.content); found != nil {
		return a.observed(*found)
	}
	current := a.currentPods(o)
	worst := a.worstOf(o, a.onAnsweringNodes(o, current))
	if worst != nil && worst.Code != "" {
		return a.recordCause(o, *worst, cond)
	}
	if found := a.refused(o); found != nil {
		a.ignoreBaselineFinding(found)
		return a.observed(*found)
	}
	if worst == nil {
		if worst = a.worstOf(o, diagnose.EarlierPods(o.content, current, a.namespaceOf(o).pods)); worst != nil {
			worst.Grace = diagnose.GraceNever // it is not about this release
		}
	}
	if worst != nil {
		return a.recordCause(o, *worst, cond)
	}
	if cause, recorded := a.memory.podCauses[o.object]; recorded && o.object.Kind == "Job" {
		return a.recordCause(o, cause, cond)
	}
	if cond.failed != "" {
		return a.observed(own)
	}
	return own
}

// observed records a finding in the memory, which measures its age, and returns the finding.
func (a *assessor) observed(found diagnose.Finding) diagnose.Finding {
	a.memory.observe(found, a.now)
	return found
}

// worstOf returns the most important finding among pods of an object, nil if all pods are ready. The order is: its grace has expired and it
// depends on no other object; its grace has expired; its cause is known; any other; a Job's pod that its controller has killed.
func (a *assessor) worstOf(o observedObject, pods []*core.Pod) (worst *diagnose.Finding) {
	best := 0
	for _, pod := range pods {
		examined := a.pod(pod, o.object.Kind == "Job")
		examined.Deadline = statedDeadline(o.content)
		found, history := examined.Examine()
		a.memory.containers[pod.UID] = history
		a.recordBaselineState(pod)
		if found == nil {
			continue
		}
		a.ignoreBaselineFinding(found)
		a.memory.observe(*found, a.now)
		expired, _ := a.graceExpired(*found)
		rank := 2
		switch {
		case expired && !found.Dependent:
			rank = 5
		case expired:
			rank = 4
		case found.Code != "":
			rank = 3
		case found.Killed:
			rank = 1
		}
		if rank > best {
			worst, best = found, rank
		}
	}
	return worst
}

// refused returns the finding if the pods of a workload may not be created. If the workload existed before the release was applied, events from before
// the watch are ignored, because they are about another rollout. A new one's controller may report before the watch begins.
func (a *assessor) refused(o observedObject) *diagnose.Finding {
	workload := diagnose.Workload{Unstructured: o.content, ReplicaSets: a.namespaceOf(o).replicaSets, Pods: a.namespaceOf(o).pods, Wanted: wantedPods(o.content),
		Leaving: a.namespaceOf(o).leaving}
	for _, event := range a.known.events[o.content.GetUID()] {
		if !a.known.oldEvents[event.UID] || a.known.before.Seen != nil && !a.seenBefore(o.content.GetUID()) {
			workload.Events = append(workload.Events, event)
		}
	}
	return workload.Refused()
}

// wantedPods returns the least number of pods that a workload wants at the same time.
func wantedPods(object *unstructured.Unstructured) int {
	if object.GetKind() == "Job" {
		return status.GetIntField(object.Object, ".spec.parallelism", 1)
	}
	_, desired := podCounts(object)
	return desired
}

// recordCause stores why the pods of a Job or a hook fail, because the pods may be deleted together with it. For a Job,
// DeadlineExceeded is more informative than a pod without a cause of its own.
func (a *assessor) recordCause(o observedObject, found diagnose.Finding, cond readiness) diagnose.Finding {
	if o.object.Kind != "Job" && !a.policy.hook {
		return found
	}
	if failed := diagnose.Conditions(o.content)["Failed"]; o.object.Kind == "Job" && cond.failed != "" && found.Code == "" && failed.Reason == "DeadlineExceeded" {
		found.Reason, found.Message = failed.Reason, failed.Message
	}
	if failedBefore := "; it had failed before this deploy, and Kubernetes runs it again only once it is deleted"; o.object.Kind == "Job" && cond.failed != "" &&
		a.seenBefore(o.content.GetUID()) && !strings.HasSuffix(found.Message, failedBefore) {
		found.Message += failedBefore
	}
	if last, recorded := a.memory.podCauses[o.object]; recorded && found.Killed && !last.Killed {
		return last // the attempt that failed by itself shows the cause
	}
	if diagnose.IsStarting(found.Reason) {
		return found // it says nothing once the container runs
	}
	a.memory.podCauses[o.object] = found
	return found
}

// explainClaims returns the finding about the claims that a pod mounts, nil if they have no known problem.
func (a *assessor) explainClaims(pod *core.Pod) *diagnose.Finding {
	names := diagnose.ClaimNames(pod)
	if len(names) == 0 {
		return nil
	}
	a.claimsIn = append(a.claimsIn, pod.Namespace)
	for _, name := range names {
		if claim := a.known.namespaces[pod.Namespace].claims[name]; claim != nil {
			if found := a.explainClaim(claim); found != nil {
				return found
			}
		}
	}
	return nil
}

// explainClaim returns the finding about one claim, nil if it has no known problem.
func (a *assessor) explainClaim(object *unstructured.Unstructured) *diagnose.Finding {
	claim := &core.PersistentVolumeClaim{}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, claim) != nil {
		return nil
	}
	return diagnose.Claim(claim, a.known.events[claim.UID])
}
