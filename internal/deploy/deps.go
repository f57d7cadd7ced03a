package deploy

import (
	"context"

	"github.com/onedigest/onedigest/internal/release"
)

// Deps is what deploy needs of everything around it.
type Deps struct {
	Workspace Workspace
	Registry  Registry
	Chart     Chart
	Cluster   Cluster
	Ancestry  Ancestry
	Smoker    Smoker
	Reporter  release.Reporter
	Holder    release.Holder // this run, as other runs are told of it
}

// Workspace is the part of the disk that the verb may read.
type Workspace interface {
	// Inside makes a path absolute, symbolic links resolved, and refuses one outside the work tree.
	Inside(path string) (string, error)
}

// Registry holds the images.
type Registry interface {
	// Describe reads what an image is labelled with.
	Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error)
}

// Chart renders and applies a release, and keeps its revisions.
type Chart interface {
	// Check finds everything wrong with the chart, its values and their fit, without the cluster.
	Check(deployment release.Deployment) error
	// MissingKeys lists the keys that other values files set and the deployment's own do not.
	MissingKeys(deployment release.Deployment, other []string) ([]string, error)
	// Plan finds out what Deploy would do.
	Plan(ctx context.Context, deployment release.Deployment) (release.Plan, error)
	// History lists the revisions, newest first.
	History(ctx context.Context, name string) ([]release.Revision, error)
	// Heal marks what a dead run left pending as failed; nil if nothing was. The release's Lease must be held.
	Heal(ctx context.Context, name string, report func(string)) (*release.Healed, error)
	// RollbackTarget finds what a rollback would go back to, and what is against it.
	RollbackTarget(ctx context.Context, deployment release.Deployment) (release.RollbackTarget, error)
	// Deploy installs or upgrades; wait is called for hooks and for the rollout.
	Deploy(ctx context.Context, deployment release.Deployment, wait release.Wait) (release.Deployed, error)
	// Rollback applies an earlier revision again.
	Rollback(ctx context.Context, name string, to int, wait release.Wait) (release.Deployed, error)
	// MarkVerified marks a revision as one to go back to.
	MarkVerified(ctx context.Context, name string, revision int) error
	// Uninstall deletes a release.
	Uninstall(ctx context.Context, name string) error
}

// Cluster is where the release runs.
type Cluster interface {
	// Check finds out whether the cluster answers and lets us deploy, before anything changes.
	Check(ctx context.Context, namespace string, create bool) error
	// CreateNamespace makes the namespace if it is absent.
	CreateNamespace(ctx context.Context, namespace string, environment release.Environment) error
	// Hold takes the release's Lease, and waits for a live holder.
	AcquireLease(ctx context.Context, hold release.LeaseRequest, report func(string)) (release.Lease, error)
	// MissingReferences lists what is referred to and not there, and what may not be looked at.
	MissingReferences(ctx context.Context, namespace string, references []release.Reference) (missing, unchecked []release.Reference, err error)
	// Watch returns when every object is ready, or with the reason why one will not be.
	Watch(ctx context.Context, namespace string, objects []release.Object, report func(release.RolloutStep)) error
	// WatchHook returns when every object of a hook has done its work.
	WatchHook(ctx context.Context, namespace string, objects []release.Object, report func(release.RolloutStep)) error
	// Address waits for the release's external address; "" if its Service has none by design.
	Address(ctx context.Context, namespace, name string, report func(string)) (string, error)
	// Images is what the kubelet says the release's pods run.
	Images(ctx context.Context, namespace, name string) ([]release.PodImage, error)
}

// Ancestry knows which commit grew from which.
type Ancestry interface {
	// IsAncestor tells whether the second commit grew from the first, or is it. The error says why it cannot be told.
	IsAncestor(ctx context.Context, ancestor, descendant release.Commit) (bool, error)
}

// Smoker asks a served release whether it works.
type Smoker interface {
	// Check reads a checks file, "" for the default checks, and says what is wrong with it.
	Check(checks string) error
	// Smoke puts the checks to the service; the error is a *release.Failure if the answers were wrong.
	Smoke(ctx context.Context, url, checks string, commit release.Commit) error
}
