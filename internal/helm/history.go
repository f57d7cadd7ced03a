package helm

import (
	"context"
	"errors"
	"sync"

	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
)

// History lists the revisions of a release, newest first and at most ten; none if it is not installed.
func (c *Client) History(ctx context.Context, name string) ([]release.Revision, error) {
	s, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.store.Revisions(ctx, name)
}

// Mark marks a revision with the result of its rollout or its smoke. It changes only a label of the revision's record, and
// nothing if the existing mark takes precedence. Only a deployed revision can be marked as ready or proved; for any other the
// error is a *release.Failure.
func (c *Client) Mark(ctx context.Context, name string, revision int, mark release.Mark) error {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return s.store.Mark(ctx, name, revision, mark)
}

// Heal marks the newest revision as failed if a killed run left it pending or uninstalling; it returns nil if there is none. The
// caller holds the release's Lease, so that no other run of this pipeline can be active. Another Helm client may still be working on its own pending revision: Heal waits until the record has not been written for five minutes, Helm's own timeout. It calls report
// when that wait begins.
//
// If ctx ends the wait, the error is a *release.Failure; if the cluster does not answer, a *release.Fault.
func (c *Client) Heal(ctx context.Context, name string, report func(string)) (*release.Healed, error) {
	s, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.store.Heal(ctx, name, history.HealPolicy{Timeout: c.timeouts.otherHelm, Poll: c.timeouts.poll, Sleep: s.sleep, Report: report, IsWhole: s.isWhole})
}

// isWhole reports whether every object of a revision is in the cluster, and none is being deleted. It returns false if that is not known.
func (s *session) isWhole(revision *helmrelease.Release) bool {
	rendered, err := manifest.Parse(revision.Manifest)
	if err != nil {
		return false
	}
	s.kube.Name, s.kube.TargetNamespace = revision.Name, s.namespace
	list, err := s.built(rendered)
	if err != nil || len(list) != len(rendered) {
		return false
	}
	return objects.Each(len(list), func(i int) error {
		current, err := objects.Get(list[i])
		if err == nil && isDeleting(current) {
			err = errDeleting
		}
		return err
	}) == nil
}

var errDeleting = errors.New("it is being deleted")

// authors stores, for each release, the author of the last deploy by this client. A rollback gets the author of the deploy that
// failed.
type authors struct {
	mu        sync.Mutex
	byRelease map[[2]string]history.Author // by namespace and name
}

// remember stores the author of a deployment, and returns it.
func (a *authors) remember(deployment release.Deployment) history.Author {
	author := history.Author{RunURL: deployment.RunURL, Actor: deployment.Actor}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byRelease == nil {
		a.byRelease = map[[2]string]history.Author{}
	}
	a.byRelease[[2]string{deployment.Namespace, deployment.Name}] = author
	return author
}

// authorOf returns the author of a release's last deploy, or the zero author if there was none.
func (a *authors) authorOf(namespace, name string) history.Author {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byRelease[[2]string{namespace, name}]
}
