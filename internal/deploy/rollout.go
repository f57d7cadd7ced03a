package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
)

// markTime limits the last writes of a deploy that is ready.
const markTime = 15 * time.Second

// rolloutResult is the result of a rollout, also if it failed.
type rolloutResult struct {
	applied release.Deployed
	ready   time.Duration // from applying the release until it was ready
	url     string
	pods    []string
	digest  release.Digest // of the main image
	images  []ImageResult
	// unproved: the pods do not prove the release (proved.unproved).
	unproved bool
}

// addTo returns the deploy's result with that of the rollout.
func (o rolloutResult) addTo(result Result) Result {
	result.Outcome, result.Revision, result.ConfigCommit = o.applied.Outcome, o.applied.Revision, o.applied.ConfigCommit
	result.Seconds, result.URL, result.Pods, result.Digest, result.Images = o.ready.Seconds(), o.url, o.pods, o.digest, o.images
	return result
}

// rollout applies the release, waits until it is ready, and checks its address, the digest of its pods and its answers.
func (r request) rollout(leaseCtx context.Context, budget budget) (rolloutResult, error) {
	ctx, cancel := budget.withDeadline(leaseCtx, release.PhaseSmoke)
	defer cancel()
	var reached rolloutResult
	var err error
	began := time.Now()
	if reached.applied, err = r.apply(ctx, budget); err != nil {
		return reached, err
	}
	reached.ready = time.Since(began)
	r.Reporter.Infof("%s: release %q in namespace %q, revision %d, %d objects, %s, ready after %.1f s", reached.applied.Outcome, r.settings.Release,
		r.settings.Namespace, reached.applied.Revision, len(reached.applied.Objects), r.settings.Image.Digest.Short(), reached.ready.Seconds())
	proof, err := r.prove(ctx, budget)
	reached.pods, reached.images, reached.unproved = proof.pods, proof.images, proof.unproved
	if err != nil {
		return reached, err
	}
	if len(reached.images) > 0 {
		reached.digest = reached.images[0].Digest
	}
	url, noAddress, err := r.waitForAddress(ctx, budget)
	if reached.url = url; err != nil {
		return reached, err
	}
	r.reportAddress(ctx, reached.url, proof)
	if proof.heldBack && r.settings.SmokeChecks != "" {
		r.Reporter.Infof("pods of an older revision also answer, as the workload's update strategy keeps them: the smoke checks do not compare the commit")
	}
	err = r.smoke(ctx, budget, reached.url, proof)
	if err != nil && !release.IsBadRelease(err) { // the missing address may be the reason
		err = errors.Join(err, noAddress)
	}
	return reached, err
}

// apply installs or upgrades and waits until the release is ready. An unchanged release is watched too: it may not be ready.
func (r request) apply(ctx context.Context, budget budget) (release.Deployed, error) {
	defer r.Reporter.Group(fmt.Sprintf("rollout of %s to %s", r.settings.Release, r.settings.Environment))()
	if err := r.lease.Renew(ctx); err != nil {
		return release.Deployed{}, err
	}
	wait := r.wait(budget, r.baseline(ctx))
	applied, err := r.Chart.Deploy(ctx, r.deployment, wait)
	if err == nil && applied.Outcome == release.Unchanged {
		err = wait(ctx, release.PhaseRollout, applied.Objects)
	}
	return applied, err
}

// wait watches what Helm has applied since the baseline, within the time of each phase. Hooks that run after the rollout use its
// time. The hooks that were applied are known to the watches after theirs.
func (r request) wait(budget budget, before release.Baseline) release.Wait {
	return func(ctx context.Context, phase release.Phase, objects []release.Object) error {
		ctx, cancel := budget.withDeadline(ctx, phase)
		defer cancel()
		if phase == release.PhaseHooks {
			before.Hooks = append(before.Hooks, objects...)
			return r.Cluster.WatchHook(ctx, r.settings.Namespace, objects, before, r.Reporter.Step)
		}
		budget = budget.afterRollout()
		return r.Cluster.Watch(ctx, r.settings.Namespace, objects, before, r.Reporter.Step)
	}
}

// contents combines the registry and the cluster for release.Running.Prove.
type contents struct {
	Registry
	Cluster
}

// proofPause is the time between two checks of pods that have not started yet.
const proofPause = time.Second

// minReadyTime is how long pods must stay ready if no workload's status reports it: as long as a rollout wants a container without a probe to run.
const minReadyTime = 3 * time.Second

// proveImage finds the pods that run an image by what the kubelets report, and fails if one runs another image, or none runs where pods are
// wanted. A custom resource may count as ready before its controller has created any pod: those are waited for as long as the rollout may take, or for the
// proof's patience if no field says that any are wanted. It adds the workloads' pods to placed.
func (r request) proveImage(ctx context.Context, budget budget, image release.Image, placed map[podPlace]bool) (release.RunningProof, error) {
	rolling, stop := budget.withDeadline(ctx, release.PhaseRollout)
	defer stop()
	stayed := -1 // restarts of such pods when all was proved before
	var awaited awaitedControllers
	for {
		running, err := r.Cluster.Running(ctx, r.settings.Namespace, r.settings.Release, image)
		if err != nil {
			return release.RunningProof{}, err
		}
		proof, err := running.Prove(ctx, image, contents{r.Registry, r.Cluster})
		if err != nil {
			return proof, err
		}
		if restarts, byPods := running.RestartsByPods(); byPods && len(proof.Problems) == 0 && restarts != stayed {
			if stayed = restarts; rolling.Err() == nil {
				pause(rolling, minReadyTime)
				continue
			}
			proof.Problems = append(proof.Problems, fmt.Sprintf("its pods did not stay ready for %s", text.Duration(minReadyTime)))
		}
		if (proof.Pending || len(proof.Problems) == 0 && awaited.mayStillCreatePods(proof, r.Reporter)) && rolling.Err() == nil {
			stayed = -1
			pause(rolling, proofPause)
			continue
		}
		for _, note := range proof.Notes {
			r.Reporter.Infof("%s", note)
		}
		for _, unfound := range proof.Unfound {
			r.Reporter.Warnf("%s", unfound)
		}
		for _, object := range proof.Awaited {
			if len(proof.Problems) > 0 || slices.ContainsFunc(proof.Unfound, func(unfound string) bool { return strings.HasPrefix(unfound, object.String()+" ") }) {
				continue
			}
			r.Reporter.Warnf("%s: its controller has created no pod in %s, so nothing shows that it runs %s; this is expected if it creates pods only when there is work; otherwise check that its controller runs",
				object, text.Age(time.Since(awaited.began)), image.Digest.Short())
		}
		switch {
		case len(proof.Problems) == 0:
			r.addPlaced(placed, running)
			return proof, nil
		case ctx.Err() != nil:
			return proof, context.Cause(ctx)
		}
		return proof, &release.BadRelease{Err: &release.Failure{What: fmt.Sprintf("release %q: %s", r.settings.Release, strings.Join(proof.Problems, "; "))}}
	}
}

// awaitedControllers is the wait for the controllers of custom resources without pods.
type awaitedControllers struct {
	began, since time.Time
	patience     time.Duration
}

// mayStillCreatePods reports whether the patience with the controllers is not used up. It begins again once, when a controller that was silent has spoken.
func (a *awaitedControllers) mayStillCreatePods(proof release.RunningProof, reporter release.Reporter) bool {
	if len(proof.Awaited) == 0 || !proof.ChangedRecently(time.Now()) {
		return false
	}
	if a.began.IsZero() {
		a.began, a.since, a.patience = time.Now(), time.Now(), proof.Patience
		reporter.Infof("waiting up to %s for the controller of %s to create pods", text.Duration(proof.Patience), proof.Awaited[0])
	}
	if proof.Patience < a.patience {
		a.since, a.patience = time.Now(), proof.Patience
	}
	return time.Since(a.since) < a.patience
}

// pause waits, at most until the context ends.
func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// smoke runs the smoke checks, if any were asked for, against the address and every pod.
func (r request) smoke(ctx context.Context, budget budget, url string, proof proved) error {
	switch {
	case r.settings.SmokeChecks == "":
		return nil
	case proof.idle && len(proof.pods) == 0 && url == "":
		r.Reporter.Infof("smoke: no request is sent: the workloads are scaled to zero or have finished")
		return nil
	}
	asked := SmokeRequest{URL: url, Checks: r.settings.checksFile(), Environment: r.settings.Environment, Namespace: r.settings.Namespace, Release: r.settings.Release, Address: r.address,
		Image: r.settings.Image, Pods: proof.pods, Commit: cmp.Or(r.deployment.Main().Commit, r.deployment.Commit), AnyCommit: proof.heldBack, Ended: proof.idle, Soak: r.settings.SmokeSoak, MaxErrors: r.settings.SmokeMaxErrors}
	for _, other := range r.settings.Images[min(1, len(r.settings.Images)):] {
		asked.Others = append(asked.Others, other.Image)
	}
	where := url
	if url == "" {
		where = "the pods of " + r.settings.Release
	}
	ctx, cancel := budget.withDeadline(ctx, release.PhaseSmoke)
	defer cancel()
	defer r.Reporter.Group("smoke of " + where)()
	err := r.SmokeRunner.Smoke(ctx, asked)
	if release.IsBadRelease(err) {
		return &smokeFailedError{err}
	}
	return err
}

// smokeFailedError is the error of a release that became ready and gives wrong answers.
type smokeFailedError struct{ error }

func (e *smokeFailedError) Error() string {
	return string(causes.SmokeFailed) + " " + e.error.Error()
}

func (e *smokeFailedError) Unwrap() error { return e.error }
