package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// Deploy installs or upgrades a release and does not wait for its pods. Where nothing would change, run and actor
// aside, it changes nothing and makes no revision. When ctx ends on the way, Helm marks the revision failed.
func (c *Client) Deploy(ctx context.Context, deployment release.Deployment) (release.Deployed, error) {
	loaded, values, err := load(deployment)
	if err != nil {
		return release.Deployed{}, err
	}
	configuration, err := c.configuration()
	if err != nil {
		return release.Deployed{}, err
	}
	if deployment.CreateNamespace {
		if err := c.createNamespace(ctx, deployment); err != nil {
			return release.Deployed{}, err
		}
	}
	last, err := configuration.Releases.Last(deployment.Name)
	switch {
	case errors.Is(err, driver.ErrReleaseNotFound):
		installed, err := c.install(ctx, configuration, deployment, loaded, values)
		return deployed(release.Created, installed, err)
	case err != nil:
		return release.Deployed{}, fault(err, "reading the revisions of release %q in namespace %q", deployment.Name, c.namespace)
	case last.Info.Status.IsPending():
		return release.Deployed{}, pending(last)
	}
	upgrade := c.upgrade(configuration, deployment)
	same, err := c.unchanged(ctx, upgrade, deployment, last, loaded, values)
	if err != nil {
		return release.Deployed{}, err
	}
	if same {
		return deployed(release.Unchanged, last, nil)
	}
	upgraded, err := upgrade.RunWithContext(ctx, deployment.Name, loaded, values)
	return deployed(release.Changed, upgraded, applied(err, deployment, "upgrading"))
}

func (c *Client) install(ctx context.Context, configuration *action.Configuration, deployment release.Deployment, loaded *chart.Chart, values map[string]any) (*helmrelease.Release, error) {
	install := action.NewInstall(configuration)
	install.ReleaseName, install.Namespace = deployment.Name, deployment.Namespace
	install.PostRenderer = stamp{deployment}
	install.Description = describe(deployment)
	installed, err := install.RunWithContext(ctx, loaded, values)
	return installed, applied(err, deployment, "installing")
}

func (c *Client) upgrade(configuration *action.Configuration, deployment release.Deployment) *action.Upgrade {
	upgrade := action.NewUpgrade(configuration)
	upgrade.Namespace = deployment.Namespace
	upgrade.MaxHistory = history
	upgrade.PostRenderer = stamp{deployment}
	upgrade.Description = describe(deployment)
	return upgrade
}

// unchanged renders what would be applied and holds it against the last revision, if that one is deployed.
func (c *Client) unchanged(ctx context.Context, upgrade *action.Upgrade, deployment release.Deployment, last *helmrelease.Release, loaded *chart.Chart, values map[string]any) (bool, error) {
	if last.Info.Status != helmrelease.StatusDeployed {
		return false, nil
	}
	upgrade.DryRun, upgrade.DryRunOption = true, "server"
	defer func() { upgrade.DryRun, upgrade.DryRunOption = false, "" }()
	planned, err := upgrade.RunWithContext(ctx, deployment.Name, loaded, values)
	if err != nil {
		return false, applied(err, deployment, "planning")
	}
	before, err := neutral(last.Manifest)
	if err != nil {
		return false, err
	}
	after, err := neutral(planned.Manifest)
	if err != nil {
		return false, err
	}
	sameHooks := slices.EqualFunc(last.Hooks, planned.Hooks, func(a, b *helmrelease.Hook) bool {
		return a.Path == b.Path && a.Manifest == b.Manifest
	})
	return before == after && sameHooks, nil
}

// pending is a release that another run is changing, or that a killed run left behind.
func pending(last *helmrelease.Release) error {
	return &release.Failure{
		What: fmt.Sprintf("release %q in namespace %q is %s since %s (revision %d)", last.Name, last.Namespace, last.Info.Status,
			last.Info.LastDeployed.Format("2006-01-02 15:04:05 MST"), last.Version),
		Do: "wait for the run that is changing it; if that run is dead, roll back with `helm rollback`",
	}
}

func describe(deployment release.Deployment) string {
	return fmt.Sprintf("onedigest: commit %s, %s", deployment.Commit.Short(), deployment.Image.Digest.Short())
}

func deployed(outcome release.Outcome, made *helmrelease.Release, err error) (release.Deployed, error) {
	if err != nil || made == nil {
		return release.Deployed{}, err
	}
	objects, err := listed(made.Manifest, made.Namespace)
	return release.Deployed{Outcome: outcome, Revision: made.Version, Objects: objects}, err
}
