package helm

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/plan"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	helmrelease "helm.sh/helm/v3/pkg/release"
)

// Deploy installs or upgrades a release. If nothing would change, run and actor aside, it changes nothing and creates no
// revision. If Check was called for the same deployment, the files that it has read are deployed, and what Render has rendered of them, unless
// the cluster may let them render otherwise now.
//
// wait is called for the objects of each hook, before Helm deletes them, and for the release's objects after they were applied.
// Until it returns the revision is pending, and its error is Deploy's. If wait is nil, Helm itself waits for hooks, and
// nothing waits for the rollout. When ctx ends, the revision is marked as failed and Deploy returns within two seconds.
//
// The errors are those of Check and of wait, a *release.Failure if the cluster refuses the release or another run holds it, and
// a *release.Fault if the cluster does not answer or denies access. The revision and its objects are returned with an error too.
func (c *Client) Deploy(ctx context.Context, deployment release.Deployment, wait release.Wait) (release.Deployed, error) {
	loaded, err := c.charts.Take(deployment)
	if err != nil {
		return release.Deployed{}, err
	}
	defer c.rendered.Delete(releaseKey(deployment)) // the next deploy renders its chart
	author := c.authors.remember(deployment)
	s, err := c.open(ctx)
	if err != nil {
		return release.Deployed{}, err
	}
	defer s.close()
	state, err := s.store.State(ctx, deployment.Name)
	if err != nil {
		return release.Deployed{}, err
	}
	if err := state.CheckIdle(); err != nil {
		return release.Deployed{}, err
	}
	var rendered *chart.Rendered
	if deployment.AsPlanned {
		if rendered, err = s.renderAsPlanned(deployment, state); err != nil {
			return release.Deployed{}, err
		}
	}
	redefined, err := s.applyCRDs(ctx, deployment, loaded.Chart.CRDObjects(), state.Install)
	if err != nil {
		return release.Deployed{}, failure.Classify(ctx, err, "applying the CRDs of release %q", deployment.Name)
	}
	if rendered == nil {
		rendered, err = s.render(deployment, loaded, state)
	}
	if err != nil {
		return release.Deployed{}, failure.Classify(ctx, err, "rendering release %q", deployment.Name)
	}
	unchanged := false
	if !redefined { // after a changed CRD, the fields that the API server pruned by the older schema are applied again
		unchanged, err = plan.Unchanged(ctx, rendered, state, s.kube.Release)
	}
	if err != nil {
		return release.Deployed{}, err
	}
	if unchanged {
		objects, err := manifest.ListObjects(state.Newest().Manifest, s.namespace)
		return release.Deployed{Outcome: release.Unchanged, Revision: state.Newest().Version, Objects: objects}, err
	}
	s.beginChange(deployment.Name, state, withContext(ctx, wait))
	recorded, err := loaded.Recorded(deployment)
	if err != nil {
		return release.Deployed{}, err
	}
	pin := chart.PostRenderer{Deployment: deployment}
	s.store.AuthorOf = func(revision *helmrelease.Release) (history.Author, error) {
		revision.Chart, revision.Config = loaded.Chart, recorded // the record has the chart itself, not the literal one that is installed
		if len(deployment.SecretValues) > 0 {
			revision.Info.Notes = c.collector.redact(revision.Info.Notes)
		}
		return author, pin.PinHooks(revision.Hooks)
	}
	if state.Install {
		err := s.explainExisting(s.install(ctx, deployment, loaded, loaded.Literal(rendered), state), rendered.Manifest)
		return s.finish(ctx, release.Created, err, "installing release %q in namespace %q", deployment.Name, deployment.Namespace)
	}
	upgrade := action.NewUpgrade(s.helm)
	upgrade.Namespace, upgrade.Wait = deployment.Namespace, true
	upgrade.PostRenderer, upgrade.Description, upgrade.SkipSchemaValidation = pin, describe(deployment), true
	_, err = upgrade.Run(deployment.Name, loaded.Literal(rendered), loaded.Values)
	return s.finish(ctx, release.Changed, s.explainExisting(err, rendered.Manifest), "upgrading release %q in namespace %q", deployment.Name, deployment.Namespace)
}

// install installs a release. It replaces a release that was uninstalled with its history kept, and one whose first install failed. After a
// failed install it does not repeat the hooks that have succeeded.
func (s *session) install(ctx context.Context, deployment release.Deployment, loaded *chart.Chart, literal *helmchart.Chart, state history.State) error {
	if err := s.installCRDs(ctx, loaded.Chart.CRDObjects()); err != nil {
		return err
	}
	if newest := state.Newest(); newest != nil && newest.Info.Deleted.IsZero() {
		var err error
		if s.kube.doneHooks, err = s.kube.hooksDoneBefore(state); err != nil {
			return err
		}
	}
	install := action.NewInstall(s.helm)
	install.ReleaseName, install.Namespace, install.Wait = deployment.Name, deployment.Namespace, true
	install.Replace = state.Newest() != nil
	install.SkipCRDs, install.SkipSchemaValidation = true, true
	install.PostRenderer, install.Description = chart.PostRenderer{Deployment: deployment}, describe(deployment)
	s.kube.readsAhead = true
	s.store.Recorded = func() { // before the rollout, which may be killed
		for _, revision := range state.Revisions {
			if revision.Info.Deleted.IsZero() || revision.Info.Status != helmrelease.StatusFailed {
				continue
			}
			if recordErr := s.store.MarkUninstalled(revision); recordErr != nil {
				s.client.log("WARNING: revision " + strconv.Itoa(revision.Version) + " is not recorded as uninstalled: " + failure.Sanitize(recordErr.Error()))
			}
		}
	}
	_, err := install.Run(literal, loaded.Values)
	return err
}

func describe(deployment release.Deployment) string {
	return fmt.Sprintf("onedigest: commit %s, %s", deployment.Commit.Short(), deployment.Main().Image.Digest.Short())
}

// waitGrace is how long a wait may continue after its context has ended, so that it can return what it was waiting for.
const waitGrace = time.Second

// withContext returns a function that calls wait with the operation's context, because Helm passes no context on; nil if wait is
// nil.
func withContext(ctx context.Context, wait release.Wait) func(release.Phase, []release.Object) error {
	if wait == nil {
		return nil
	}
	return func(phase release.Phase, objects []release.Object) error {
		result := make(chan error, 1)
		go func() { result <- wait(ctx, phase, objects) }()
		select {
		case err := <-result:
			return err
		case <-ctx.Done():
		}
		select {
		case err := <-result:
			return err
		case <-time.After(waitGrace):
			return context.Cause(ctx)
		}
	}
}

// finish ends a change of the release: it marks a revision that Helm left pending as failed, prunes the history, and classifies
// the error.
func (s *session) finish(ctx context.Context, outcome release.Outcome, err error, format string, subjects ...any) (release.Deployed, error) {
	s.store.FailPending(err)
	var deployed release.Deployed
	if created := s.store.Created; created != nil {
		deployed.Revision = created.Version
		deployed.Objects, _ = manifest.ListObjects(created.Manifest, s.namespace) // stamping has parsed it
		if created.Version > history.MaxRevisions {
			s.store.Prune(created.Name)
		}
	}
	s.kube.reportKept()
	switch {
	case s.kube.waitErr != nil:
		return deployed, s.kube.waitErr
	case err == nil && s.store.WriteErr != nil:
		err = fmt.Errorf("recording that it is deployed: %w", s.store.WriteErr)
	}
	if err != nil {
		return deployed, failure.ClassifyIn(ctx, s.namespace, err, format, subjects...)
	}
	deployed.Outcome = outcome
	return deployed, nil
}
