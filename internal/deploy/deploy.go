// Package deploy is the verb that brings an image to an environment, watches it become ready, and undoes what does not.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// Result is what deploy did.
type Result struct {
	Outcome     release.Outcome     `json:"outcome"`
	Environment release.Environment `json:"environment"`
	Release     string              `json:"release"`
	Namespace   string              `json:"namespace"`
	Revision    int                 `json:"revision"` // that is live
	URL         string              `json:"url"`
	Image       release.Image       `json:"image"`
	Digest      release.Digest      `json:"digest"`
	Commit      release.Commit      `json:"commit,omitempty"`
	Pods        []string            `json:"pods"`
	Seconds     float64             `json:"readySeconds"`
	State       string              `json:"state,omitempty"`     // of the cluster, in words, where the outcome does not say it all
	Code        causes.Code         `json:"code,omitempty"`      // of the cause of a failure
	NewerRun    string              `json:"newerRun,omitempty"`  // of the run that deployed what supersedes this
	Plan        *release.Plan       `json:"plan,omitempty"`      // of a dry run
	Diagnosis   *release.Diagnosis  `json:"diagnosis,omitempty"` // of a failed rollout
	Healed      *release.Healed     `json:"healed,omitempty"`    // what a dead run had left pending
	Deploys     []Result            `json:"deploys,omitempty"`   // of a matrix
	Skipped     int                 `json:"skipped,omitempty"`   // deploys of a matrix that were not begun, because one before failed
}

// Run brings the image to the environment: everything is checked before anything changes, the release is held against
// other runs, the rollout is watched until it is ready, and the digest in the result is the one that the pods report.
// What fails is explained, and then undone.
func Run(ctx context.Context, settings Settings, world Deps) (Result, error) {
	d := &deploy{settings: settings, Deps: world}
	if settings.Heal {
		return d.heal(ctx)
	}
	if err := d.prepare(ctx); err != nil {
		return d.result(), err
	}
	return d.run(ctx)
}

// run is Run after everything was checked.
func (d *deploy) run(ctx context.Context) (Result, error) {
	d.budget = d.split(d.settings.Timeout)
	if d.settings.DryRun {
		return d.plan(ctx)
	}
	held, giveBack, err := d.hold(ctx, d.settings.Timeout/2)
	if err != nil {
		return d.result(), err
	}
	defer giveBack()
	superseded, err := d.order(held)
	if err != nil || superseded {
		return d.result(), err
	}
	d.budget = d.split(d.settings.Timeout - time.Since(d.budget.began))
	d.foresee(held)
	if err := d.bring(held); err != nil {
		return d.undo(ctx, held, err)
	}
	return d.result(), d.settle(held)
}

// deploy is one run of the verb.
type deploy struct {
	settings Settings
	Deps
	budget     budget
	deployment release.Deployment
	lease      release.Lease
	revisions  []release.Revision
	way        release.RollbackTarget
	backwards  bool // what is deployed is older than what is live, deliberately
	applied    release.Deployed
	done       Result
}

func (d *deploy) result() Result {
	r := d.done
	r.Environment, r.Release, r.Namespace = d.settings.Environment, d.settings.Release, d.settings.Namespace
	r.Image, r.Commit = d.settings.Image, d.deployment.Commit
	if r.Outcome == "" {
		r.Outcome = d.applied.Outcome
	}
	if r.Revision == 0 {
		r.Revision = d.applied.Revision
	}
	return r
}

func (d *deploy) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.settings.Timeout)
	defer cancel()
	d.deployment = release.Deployment{
		Name: d.settings.Release, Namespace: d.settings.Namespace, Environment: d.settings.Environment, Image: d.settings.Image, Commit: d.settings.Commit, Set: d.settings.Set,
		RunURL: d.Holder.URL, Actor: d.Holder.Actor,
	}
	if err := d.locate(); err != nil {
		return err
	}
	if err := errors.Join(d.Chart.Check(d.deployment), d.checkSmoke()); err != nil {
		return err
	}
	if err := d.identify(ctx); err != nil {
		return err
	}
	d.Holder.Commit = d.deployment.Commit
	return d.Cluster.Check(ctx, d.settings.Namespace, d.settings.CreateNamespace)
}

func (d *deploy) checkSmoke() error {
	if d.settings.SmokeChecks == "" {
		return nil
	}
	return d.Smoker.Check(d.checksFile())
}

// checksFile is the file of smoke-checks: "default" stands for the checks that need none.
func (d *deploy) checksFile() string {
	if d.settings.SmokeChecks == "default" {
		return ""
	}
	return d.settings.SmokeChecks
}

// locate resolves the chart and the values files, and tells all that cannot be used at once.
func (d *deploy) locate() error {
	var problems []release.Problem
	inside := func(where, path string) string {
		found, err := d.Workspace.Inside(path)
		if err != nil {
			problems = append(problems, release.Problem{Where: where, What: err.Error(), Do: "name a path inside the work tree"})
		}
		return found
	}
	d.deployment.Chart = inside("--chart (INPUT_CHART)", d.settings.Chart)
	for _, file := range d.settings.Values {
		d.deployment.ValuesFiles = append(d.deployment.ValuesFiles, inside("--values (INPUT_VALUES)", file))
	}
	for i, file := range d.settings.CompareValues {
		d.settings.CompareValues[i] = inside("--compare-values (INPUT_COMPARE_VALUES)", file)
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// identify asks the registry for the image before the cluster is told to pull it, and for the commit it was built from.
func (d *deploy) identify(ctx context.Context) error {
	tagged, found, err := d.Registry.Describe(ctx, d.settings.Image)
	if err != nil {
		return err
	}
	if !found {
		return &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry", d.settings.Image), Do: "build it first, or check the repository"}
	}
	if d.settings.Commit != "" && tagged.Revision != "" && tagged.Revision != d.settings.Commit.String() {
		return &release.Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, not with commit %s", d.settings.Image, tagged.Revision, d.settings.Commit)}
	}
	if commit, err := release.ParseCommit(tagged.Revision); err == nil {
		d.deployment.Commit = commit
	}
	return nil
}

// bring applies the release and sees it through: hooks, rollout, address, what the pods run, smoke.
func (d *deploy) bring(held context.Context) error {
	ctx, cancel := d.budget.until(held, release.PhaseSmoke)
	defer cancel()
	end := d.Reporter.Group(fmt.Sprintf("rollout of %s to %s", d.settings.Release, d.settings.Environment))
	began := time.Now()
	err := d.apply(ctx)
	end()
	if err != nil {
		return err
	}
	d.done.Seconds = time.Since(began).Seconds()
	d.Reporter.Infof("%s: release %q in namespace %q, revision %d, %d objects, %s, ready after %.1f s", d.applied.Outcome, d.settings.Release,
		d.settings.Namespace, d.applied.Revision, len(d.applied.Objects), d.settings.Image.Digest.Short(), d.done.Seconds)
	if err := d.address(ctx); err != nil {
		return err
	}
	if err := d.prove(ctx); err != nil {
		return err
	}
	return d.smoke(ctx)
}

// apply installs or upgrades. What is unchanged is watched too: it may not be ready.
func (d *deploy) apply(ctx context.Context) error {
	wait := d.waiting(d.budget)
	applied, err := d.Chart.Deploy(ctx, d.deployment, wait)
	d.applied = applied
	if err == nil && applied.Outcome == release.Unchanged {
		err = wait(ctx, release.PhaseRollout, applied.Objects)
	}
	return err
}

// waiting watches what Helm has applied, each phase with its own time.
func (d *deploy) waiting(budget budget) release.Wait {
	return func(ctx context.Context, phase release.Phase, objects []release.Object) error {
		ctx, cancel := budget.until(ctx, phase)
		defer cancel()
		if phase == release.PhaseHooks {
			return d.Cluster.WatchHook(ctx, d.settings.Namespace, objects, d.Reporter.Step)
		}
		budget.rolledOut()
		return d.Cluster.Watch(ctx, d.settings.Namespace, objects, d.Reporter.Step)
	}
}

func (d *deploy) address(ctx context.Context) error {
	ctx, cancel := d.budget.until(ctx, release.PhaseAddress)
	defer cancel()
	url, err := d.Cluster.Address(ctx, d.settings.Namespace, d.settings.Release, func(line string) { d.Reporter.Infof("%s", line) })
	d.done.URL = url
	return err
}

// prove holds the digest that was asked for against what the kubelet says that the pods run.
func (d *deploy) prove(ctx context.Context) error {
	images, err := d.Cluster.Images(ctx, d.settings.Namespace, d.settings.Release)
	if err != nil {
		return err
	}
	pods, others := release.SplitByDigest(images, d.settings.Image.Digest)
	if len(others) > 0 {
		return &release.Failure{What: fmt.Sprintf("pod %q of %q runs %s, not %s", others[0].Pod, d.settings.Release, others[0].Digest, d.settings.Image.Digest)}
	}
	d.done.Pods = pods
	if len(pods) > 0 {
		d.done.Digest = d.settings.Image.Digest
	}
	d.Reporter.Infof("%d pods run %s", len(pods), d.settings.Image.Digest)
	if d.done.URL != "" {
		d.Reporter.Infof("served at %s", d.done.URL)
	}
	return nil
}

func (d *deploy) smoke(ctx context.Context) error {
	if d.settings.SmokeChecks == "" {
		return nil
	}
	if d.done.URL == "" {
		return &release.Failure{What: fmt.Sprintf("release %q has no address outside the cluster, so that nothing can be asked", d.settings.Release),
			Do: "leave smoke-checks out, or give its Service an address"}
	}
	ctx, cancel := d.budget.until(ctx, release.PhaseSmoke)
	defer cancel()
	defer d.Reporter.Group("smoke of " + d.done.URL)()
	err := d.Smoker.Smoke(ctx, d.done.URL, d.checksFile(), d.deployment.Commit)
	var wrong *release.Failure
	if errors.As(err, &wrong) {
		return &smokeFailed{err}
	}
	return err
}

// smokeFailed is a release that became ready and answers wrongly: reason enough to go back.
type smokeFailed struct{ error }

func (e *smokeFailed) Error() string { return string(causes.SmokeFailed) + " " + e.error.Error() }

func (e *smokeFailed) Unwrap() error { return e.error }

// settle keeps what has been proved: a revision to go back to, and the pin of a deliberate rollback.
func (d *deploy) settle(held context.Context) error {
	ctx, cancel := context.WithTimeout(held, settleTime)
	defer cancel()
	err := d.Chart.MarkVerified(ctx, d.settings.Release, d.applied.Revision)
	if err != nil || !d.backwards {
		return err
	}
	d.Reporter.Infof("pinned at commit %s: nothing else is deployed here until --unpin", d.deployment.Commit.Short())
	return d.lease.SetPin(ctx, &release.Pin{Commit: d.deployment.Commit, RunURL: d.Holder.URL, Actor: d.Holder.Actor, At: time.Now().UTC()})
}

// settleTime bounds the last writes of a deploy that is ready.
const settleTime = 15 * time.Second
