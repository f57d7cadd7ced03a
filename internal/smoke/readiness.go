package smoke

import (
	"context"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
)

// gatewayErrors are the statuses of a gateway that cannot reach what it serves. Source: RFC 9110, sections 15.6.3 to 15.6.5.
var gatewayErrors = []int{502, 503, 504}

// warmUp is the phase in which a gateway's error does not count against the service. It ends when the service has answered, or
// when a pod was ready, and does not start again: a service that goes down later is down for its users.
type warmUp struct{ over bool }

// observe ends the warm-up if an answer of a round names a commit, because then the service has answered, not only a gateway.
func (w *warmUp) observe(answers []release.Answer) {
	w.over = w.over || slices.ContainsFunc(answers, func(answer release.Answer) bool {
		return answer.Commit != "" && !slices.Contains(gatewayErrors, answer.Status)
	})
}

// covers reports whether the wrong answers do not count yet: each is a gateway's error, and no pod is ready. It asks the cluster only if all
// wrong answers are such errors. If the cluster does not answer, the warm-up continues, because the time may have been up.
func (w *warmUp) covers(ctx context.Context, answers []release.Answer, subject Subject, deps Deps) bool {
	if w.over || deps.Cluster == nil || subject.Image.IsZero() {
		return false
	}
	for _, answer := range answers {
		if !answer.OK() && !answer.Stage.Inconclusive() && !slices.Contains(gatewayErrors, answer.Status) {
			return false
		}
	}
	for _, image := range subject.images() {
		running, err := deps.Cluster.Running(ctx, subject.Namespace, subject.Release, image)
		if err != nil {
			return true
		}
		w.over = w.over || slices.ContainsFunc(running.Workloads, release.RunningWorkload.HasReadyPod)
	}
	return !w.over
}

// podState is the state of the pods of a service that cannot be reached.
type podState int

const (
	podsUnknown podState = iota // there is no cluster to ask, or it names no workload that wants pods
	podsReady
	podsDown    // a workload that wants pods is down
	podsWaiting // a workload is down only because its pods cannot be scheduled, and no other is down
)

// readPodState asks the cluster for the pods of a service that could not be reached, even when the time was up, and says which
// workload is down, or waits for a node. An error means that the cluster did not answer.
func readPodState(ctx context.Context, subject Subject, deps Deps) (state podState, why string, err error) {
	if deps.Cluster == nil || subject.Image.IsZero() {
		return podsUnknown, "", nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	for _, image := range subject.images() {
		running, err := deps.Cluster.Running(ctx, subject.Namespace, subject.Release, image)
		if err != nil {
			return podsUnknown, "", fmt.Errorf("asking for the pods of release %q: %w", subject.Release, err)
		}
		for _, workload := range running.Workloads {
			down, awaits := workload.Down(), workload.AwaitsNode()
			switch {
			case awaits != "":
				state, why = podsWaiting, awaits
			case down != "":
				return podsDown, down, nil
			case workload.WantsPods && state == podsUnknown:
				state = podsReady
			}
		}
	}
	return state, why, nil
}
