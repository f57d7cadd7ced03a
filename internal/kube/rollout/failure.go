package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
)

// maxNamed is how many objects an error lists.
const maxNamed = 20

// failed returns the error for a rollout that cannot become ready.
func (r *rollout) failed(ctx context.Context, known snapshot, object pendingObject) error {
	what := object.nameAndNamespace() + " cannot become ready"
	if r.policy.hook {
		what = fmt.Sprintf("hook %s failed", object.nameAndNamespace())
	}
	if object.givenUp != "" && object.givenUp != object.finding.Reason {
		what += " (" + object.givenUp + ")"
	}
	return &release.BadRelease{Err: r.failure(ctx, known, what, object.finding)}
}

// nameAndNamespace formats an object for messages, with its own namespace, which may be another one than the release's.
func (t trackedObject) nameAndNamespace() string {
	if t.key.namespace == "" { // of the cluster
		return t.object.String()
	}
	return fmt.Sprintf("%s in namespace %q", t.object, t.key.namespace)
}

func (r *rollout) failure(ctx context.Context, known snapshot, what string, found diagnose.Finding) error {
	diagnosis := r.diagnose(ctx, known, found)
	return &release.Failure{What: what, Err: &kube.DiagnosedError{Found: diagnosis}, Do: diagnosis.Advice}
}

// diagnose fetches the evidence for a finding. If the cluster no longer has it, it uses the logs and events that the watch has
// kept.
func (r *rollout) diagnose(ctx context.Context, known snapshot, found diagnose.Finding) release.Diagnosis {
	diagnosis := r.client.Diagnose(ctx, found)
	if len(diagnosis.Events) == 0 {
		diagnosis.Events = diagnose.EventLines(known.events[found.UID])
	}
	if len(diagnosis.Logs) == 0 {
		diagnosis.Logs = r.logs.linesOf(found.Key())
	}
	if r.policy.hook {
		diagnosis = asHookFailure(diagnosis)
	}
	return diagnosis
}

// timedOut returns the error for a rollout whose context has ended. If the cluster does not answer, its last reports do not count
// as the release's failure.
func (r *rollout) timedOut(ctx context.Context, known snapshot, pending []pendingObject) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("watching the rollout in namespace %q: %w", r.namespace, context.Canceled)
	}
	if err := known.neverRead(); err != nil {
		return r.client.Fault(ctx, err, "watching the rollout in namespace %q", r.namespace)
	}
	if len(pending) == 0 { // all objects were ready when the cluster last answered
		return r.client.Fault(ctx, context.DeadlineExceeded, "confirming the rollout in namespace %q", r.namespace)
	}
	names := make([]string, 0, len(pending))
	for _, late := range pending[:min(maxNamed, len(pending))] {
		name := late.object.String()
		if late.key.namespace != r.namespace {
			name = late.nameAndNamespace()
		}
		names = append(names, name)
	}
	now := time.Now()
	what := fmt.Sprintf("not ready in namespace %q within %s: %s", r.namespace, text.Duration(now.Sub(r.began).Round(time.Second)), strings.Join(names, ", "))
	if unanswered := known.unansweredFor(now); unanswered > 0 {
		what += fmt.Sprintf(" (the cluster has not answered for %s)", text.Duration(unanswered.Round(time.Second)))
	}
	found := bestExplained(pending).finding
	found.Code = cmp.Or(found.Code, causes.TimedOut)
	failure := r.failure(ctx, known, what, found)
	if known.unansweredFor(now) > 0 {
		return failure
	}
	return &release.BadRelease{Err: failure}
}

// onlyTolerated reports whether the time is up, the cluster answers, and nothing is late but objects that never make the rollout fail. It
// reports each of them as not waited for any longer.
func (r *rollout) onlyTolerated(ctx context.Context, known snapshot, result assessment) bool {
	isRequired := func(late pendingObject) bool { return late.wait != tolerate }
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) || len(result.pending) == 0 || result.uncertain || slices.ContainsFunc(result.pending, isRequired) ||
		known.neverRead() != nil || known.unansweredFor(time.Now()) > 0 {
		return false
	}
	var steps []release.RolloutStep
	for _, late := range result.pending {
		steps = append(steps, release.RolloutStep{Object: late.object, Ready: -1, Desired: -1, Done: true,
			Message: fmt.Sprintf("WARNING: not ready within %s, and not waited for any longer: %s", text.Duration(time.Since(r.began).Round(time.Second)), late.finding.Short())})
	}
	r.reporter.report(steps)
	return true
}

// bestExplained returns the pending object with the most informative finding: a known cause, or else a pod.
func bestExplained(pending []pendingObject) pendingObject {
	for _, late := range pending {
		if late.finding.Code != "" {
			return late
		}
	}
	for _, late := range pending {
		if late.finding.Object.Kind == "Pod" {
			return late
		}
	}
	return pending[0]
}

// asHookFailure gives a hook's diagnosis the code of failed hooks, and adds the cause's own code in brackets.
func asHookFailure(diagnosis release.Diagnosis) release.Diagnosis {
	hook, cause := causes.HookFailed.Cause(), diagnosis.Code.Cause()
	diagnosis.Code, diagnosis.Advice = hook.Code, hook.Advice
	switch cause.Code {
	case "", causes.JobFailed, causes.TimedOut:
	default:
		diagnosis.Reason += " (" + string(cause.Code) + ")"
		diagnosis.Advice = cause.Advice
	}
	return diagnosis
}
