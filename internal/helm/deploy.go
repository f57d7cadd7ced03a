package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Deploy installs or upgrades a release and does not wait for its pods. Where nothing would change, run and actor
// aside, it changes nothing and makes no revision. When ctx ends on the way, the revision is marked as failed and Deploy
// returns within two seconds.
//
// The errors are those of Check, a *release.Failure where the cluster refuses the release or another run holds it, and a
// *release.Fault where the cluster does not answer or forbids.
func (c *Client) Deploy(ctx context.Context, deployment release.Deployment) (release.Deployed, error) {
	loaded, values, err := load(deployment)
	if err != nil {
		return release.Deployed{}, err
	}
	s, err := c.open(ctx)
	if err != nil {
		return release.Deployed{}, err
	}
	defer s.end()
	if deployment.CreateNamespace {
		if err := s.createNamespace(ctx, deployment); err != nil {
			return release.Deployed{}, err
		}
	}
	last, err := s.last(ctx, deployment.Name)
	if err != nil {
		return release.Deployed{}, err
	}
	if last == nil || last.Info.Status == helmrelease.StatusUninstalled {
		installed, err := s.install(ctx, deployment, loaded, values, last != nil)
		return deployed(release.Created, installed, err)
	}
	if busy(last) {
		return release.Deployed{}, pending(last)
	}
	same, err := s.unchanged(ctx, deployment, last, loaded, values)
	if err != nil {
		return release.Deployed{}, err
	}
	if same {
		return deployed(release.Unchanged, last, nil)
	}
	upgraded, err := s.upgrade(ctx, deployment, loaded, values)
	return deployed(release.Changed, upgraded, err)
}

// last is the newest revision of a release, nil if there is none.
func (s *session) last(ctx context.Context, name string) (*helmrelease.Release, error) {
	last, err := s.helm.Releases.Last(name)
	switch {
	case errors.Is(err, driver.ErrReleaseNotFound):
		return nil, nil
	case err != nil:
		return nil, sorted(ctx, err, "reading the revisions of release %q in namespace %q", name, s.namespace)
	}
	return last, nil
}

func (s *session) install(ctx context.Context, deployment release.Deployment, loaded *chart.Chart, values map[string]any, again bool) (*helmrelease.Release, error) {
	install := action.NewInstall(s.helm)
	install.ReleaseName, install.Namespace = deployment.Name, deployment.Namespace
	install.Replace = again // an uninstalled release whose history was kept
	install.PostRenderer = stamp{deployment}
	install.Description = describe(deployment)
	install.Timeout = patience(ctx)
	installed, err := install.RunWithContext(ctx, loaded, values)
	return installed, sorted(ctx, err, "installing release %q in namespace %q", deployment.Name, deployment.Namespace)
}

func (s *session) upgrade(ctx context.Context, deployment release.Deployment, loaded *chart.Chart, values map[string]any) (*helmrelease.Release, error) {
	upgraded, err := s.upgrading(ctx, deployment).RunWithContext(ctx, deployment.Name, loaded, values)
	return upgraded, sorted(ctx, err, "upgrading release %q in namespace %q", deployment.Name, deployment.Namespace)
}

func (s *session) upgrading(ctx context.Context, deployment release.Deployment) *action.Upgrade {
	upgrade := action.NewUpgrade(s.helm)
	upgrade.Namespace = deployment.Namespace
	upgrade.MaxHistory = history
	upgrade.PostRenderer = stamp{deployment}
	upgrade.Description = describe(deployment)
	upgrade.Timeout = patience(ctx)
	return upgrade
}

// unchanged renders what would be applied and holds it against the last revision, if that one is deployed and all of it
// still stands: what someone deleted, scaled or gave another image by hand is to come back.
func (s *session) unchanged(ctx context.Context, deployment release.Deployment, last *helmrelease.Release, loaded *chart.Chart, values map[string]any) (bool, error) {
	if last.Info.Status != helmrelease.StatusDeployed {
		return false, nil
	}
	plan := s.upgrading(ctx, deployment)
	plan.DryRun, plan.DryRunOption = true, "server"
	planned, err := plan.RunWithContext(ctx, deployment.Name, loaded, values)
	if err != nil {
		return false, sorted(ctx, err, "planning the upgrade of release %q in namespace %q", deployment.Name, deployment.Namespace)
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
	if before != after || !sameHooks {
		return false, nil
	}
	return s.standing(ctx, last)
}

// standing tells whether every object of a revision is in the cluster, with the images and the replicas that it asks for.
func (s *session) standing(ctx context.Context, last *helmrelease.Release) (bool, error) {
	objects, err := s.helm.KubeClient.Build(strings.NewReader(last.Manifest), false)
	if err != nil {
		return false, sorted(ctx, err, "reading the objects of release %q in namespace %q", last.Name, last.Namespace)
	}
	for _, object := range objects {
		wanted := fieldsOf(object.Object)
		err := object.Get()
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, sorted(ctx, err, "reading %s %q of release %q", object.Mapping.GroupVersionKind.Kind, object.Name, last.Name)
		}
		if drifted(wanted, fieldsOf(object.Object)) {
			return false, nil
		}
	}
	return true, nil
}

func fieldsOf(object runtime.Object) map[string]any {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil
	}
	return fields
}

// drifted tells whether a workload runs other images or another number of replicas than it was asked to. Replicas that
// nobody asks for are an autoscaler's.
func drifted(wanted, live map[string]any) bool {
	if replicas, asked, _ := unstructured.NestedFieldNoCopy(wanted, "spec", "replicas"); asked {
		now, _, _ := unstructured.NestedFieldNoCopy(live, "spec", "replicas")
		if fmt.Sprint(replicas) != fmt.Sprint(now) {
			return true
		}
	}
	running := images([]map[string]any{live})
	for _, image := range images([]map[string]any{wanted}) {
		if !slices.Contains(running, image) {
			return true
		}
	}
	return false
}

// busy tells whether a revision is being changed, or was left so by a run that was killed.
func busy(last *helmrelease.Release) bool {
	return last.Info.Status.IsPending() || last.Info.Status == helmrelease.StatusUninstalling
}

// pending is what is said of a busy release. That such a run is dead cannot be seen from here.
func pending(last *helmrelease.Release) error {
	remedy := "`helm rollback`"
	if last.Version == 1 || last.Info.Status == helmrelease.StatusUninstalling {
		remedy = "`helm uninstall`"
	}
	return &release.Failure{
		What: fmt.Sprintf("release %q in namespace %q is %s since %s (revision %d)", last.Name, last.Namespace, last.Info.Status,
			last.Info.LastDeployed.UTC().Format("2006-01-02 15:04:05 MST"), last.Version),
		Do: "wait for the run that is changing it; if that run is dead, heal the release with " + remedy,
	}
}

func describe(deployment release.Deployment) string {
	return fmt.Sprintf("onedigest: commit %s, %s", deployment.Commit.Short(), deployment.Image.Digest.Short())
}

func deployed(outcome release.Outcome, made *helmrelease.Release, err error) (release.Deployed, error) {
	if err != nil {
		return release.Deployed{}, err
	}
	objects, err := listed(made.Manifest, made.Namespace)
	return release.Deployed{Outcome: outcome, Revision: made.Version, Objects: objects}, err
}
