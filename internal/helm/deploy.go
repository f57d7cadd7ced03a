package helm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// Deploy installs or upgrades a release. Where nothing would change, run and actor aside, it changes nothing and makes no
// revision. What Check has read of the same deployment is what is deployed.
//
// wait is called for the objects of each hook, before Helm deletes them, and for the release's objects when they are applied;
// until it returns the revision is pending, and what it returns is what Deploy returns. With a nil wait hooks are waited for as
// Helm does, and the rollout is not. When ctx ends on the way, the revision is marked as failed and Deploy returns within two
// seconds.
//
// The errors are those of Check and of wait, a *release.Failure where the cluster refuses the release or another run holds it,
// and a *release.Fault where the cluster does not answer or forbids. The revision and its objects are told with an error too.
func (c *Client) Deploy(ctx context.Context, deployment release.Deployment, wait release.Wait) (release.Deployed, error) {
	read, err := c.prepared.get(deployment, true)
	if err != nil {
		return release.Deployed{}, err
	}
	c.runs.remember(deployment)
	s, err := c.open(ctx)
	if err != nil {
		return release.Deployed{}, err
	}
	defer s.end()
	base, err := s.footing(ctx, deployment.Name)
	if err != nil {
		return release.Deployed{}, err
	}
	if last := base.last(); last != nil && busy(last.Info.Status) {
		return release.Deployed{}, pending(last)
	}
	same, err := s.unchanged(ctx, deployment, read, base)
	if err != nil {
		return release.Deployed{}, err
	}
	if same {
		objects, err := listed(base.last().Manifest, s.namespace)
		return release.Deployed{Outcome: release.Unchanged, Revision: base.last().Version, Objects: objects}, err
	}
	s.change(deployment.Name, base, waiting(ctx, wait))
	s.records.marking = func(*helmrelease.Release) author { return author{deployment.RunURL, deployment.Actor} }
	if base.install {
		err := s.install(ctx, deployment, read, base)
		return s.done(ctx, release.Created, err, "installing release %q in namespace %q", deployment.Name, deployment.Namespace)
	}
	upgrade := action.NewUpgrade(s.helm)
	upgrade.Namespace, upgrade.Wait = deployment.Namespace, true
	upgrade.PostRenderer, upgrade.Description, upgrade.SkipSchemaValidation = stamp{deployment}, describe(deployment), true
	_, err = upgrade.Run(deployment.Name, read.chart, read.values)
	return s.done(ctx, release.Changed, err, "upgrading release %q in namespace %q", deployment.Name, deployment.Namespace)
}

func (s *session) install(ctx context.Context, deployment release.Deployment, read *prepared, base footing) error {
	if err := s.installCRDs(ctx, read.chart.CRDObjects()); err != nil {
		return err
	}
	install := action.NewInstall(s.helm)
	install.ReleaseName, install.Namespace, install.Wait = deployment.Name, deployment.Namespace, true
	install.Replace = base.last() != nil // an uninstalled release whose history was kept, or a first install that failed
	install.SkipCRDs, install.SkipSchemaValidation = true, true
	install.PostRenderer, install.Description = stamp{deployment}, describe(deployment)
	_, err := install.Run(read.chart, read.values)
	return err
}

func describe(deployment release.Deployment) string {
	return fmt.Sprintf("onedigest: commit %s, %s", deployment.Commit.Short(), deployment.Image.Digest.Short())
}

// change prepares the session for changing a release.
func (s *session) change(name string, base footing, wait func(release.Phase, []release.Object) error) {
	s.kube.release, s.kube.space = name, s.namespace
	s.kube.wait, s.kube.remains = wait, base.remains()
}

// lastWords is how long a wait may go on when its context has ended: a watch that is stopped says what it was waiting for.
const lastWords = time.Second

// waiting calls wait with the operation's context, which Helm does not pass on.
func waiting(ctx context.Context, wait release.Wait) func(release.Phase, []release.Object) error {
	if wait == nil {
		return nil
	}
	return func(phase release.Phase, objects []release.Object) error {
		answer := make(chan error, 1)
		go func() { answer <- wait(ctx, phase, objects) }()
		select {
		case err := <-answer:
			return err
		case <-ctx.Done():
		}
		select {
		case err := <-answer:
			return err
		case <-time.After(lastWords):
			return context.Cause(ctx)
		}
	}
}

// done ends a change of the release: what Helm left pending is marked as failed, what is kept too long is deleted, and the
// error is told as what it is.
func (s *session) done(ctx context.Context, outcome release.Outcome, err error, format string, subjects ...any) (release.Deployed, error) {
	s.settle(err)
	var deployed release.Deployed
	if made := s.records.made; made != nil {
		deployed.Revision = made.Version
		deployed.Objects, _ = listed(made.Manifest, s.namespace) // it was read when it was stamped
		s.prune(made.Name)
	}
	switch {
	case s.kube.failed != nil:
		return deployed, s.kube.failed
	case err == nil && s.records.unwritten != nil:
		err = fmt.Errorf("recording that it is deployed: %w", s.records.unwritten)
	}
	if err != nil {
		return deployed, sorted(ctx, err, format, subjects...)
	}
	deployed.Outcome = outcome
	return deployed, nil
}

// settle sees to it that nothing stays pending.
func (s *session) settle(err error) {
	open := s.records.open
	if open == nil {
		return
	}
	why := "it did not come to an end"
	if err != nil {
		why = err.Error()
	}
	open.SetStatus(helmrelease.StatusFailed, fmt.Sprintf("onedigest: left %s: %s", open.Info.Status, why))
	if err := s.records.Update(keyOf(open.Name, open.Version), open); err != nil {
		s.client.log(fmt.Sprintf("WARNING: revision %d of release %q could not be marked as failed, the next run will heal it: %s", open.Version, open.Name, told(err.Error())))
	}
}

// pruned bounds how many revisions one change of a release deletes: a history that somebody let grow shrinks step by step.
const pruned = 30

// prune deletes the oldest revisions until no more than are to be kept are left. The deployed one and the last verified one
// stay, however old.
func (s *session) prune(name string) {
	if s.over() != nil {
		return
	}
	heads, err := s.records.headsOf(name)
	if err != nil {
		s.client.log("WARNING: old revisions stay: " + told(err.Error()))
		return
	}
	keep := map[int]bool{}
	for _, protect := range []func(head) bool{
		func(h head) bool { return h.status == helmrelease.StatusDeployed },
		head.verified,
	} {
		for _, head := range heads {
			if protect(head) {
				keep[head.revision] = true
				break
			}
		}
	}
	count := len(heads)
	for i := len(heads) - 1; i >= 0 && count > history && len(heads)-count < pruned; i-- {
		if keep[heads[i].revision] {
			continue
		}
		if _, err := s.records.Delete(heads[i].key); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
			s.client.log("WARNING: old revisions stay: " + told(err.Error()))
			return
		}
		count--
	}
}
