package deploy

import (
	"context"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/setting"
)

// Deps are the adapters and the identity that a deploy works with.
type Deps struct {
	Workspace   Workspace
	Charts      Charts
	Plans       Plans
	Registry    Registry
	Chart       Chart
	Cluster     Cluster
	Commits     Commits
	SmokeRunner SmokeRunner
	Secrets     SecretStore    // nil if no value is a secret
	Facts       Facts          // nil: nothing is recorded
	Proposals   Proposals      // nil: changes are made, not proposed
	Target      release.Target // in what is recorded
	Origin      fact.Origin
	Gate        policy.Gate
	Policy      policy.Policy
	Reporter    release.Reporter
	Holder      release.Holder // this run, as its Lease names it
	Announcer   Announcer      // nil: nothing is announced
}

// Announcer announces a deploy to others, such as GitHub. A failed announcement does not fail the deploy.
type Announcer interface {
	// Begin is called when every check has passed and the release is about to be changed; ended is then called once. The images are those that the release will run, the
	// main one, which was built from the commit, first.
	Begin(ctx context.Context, commit release.Commit, images []release.BuiltImage) (ended func(result Result, failed error))
	// Failed is called when a deploy is rolled back that was announced as a success, because smoke failed it afterwards. digest is that of the commit's main image.
	Failed(ctx context.Context, commit release.Commit, digest release.Digest, why string)
}

// Workspace is the work tree, the only part of the disk that the verb may read.
type Workspace interface {
	// Inside makes a path absolute and resolves symbolic links. A path that leaves the work tree is an error.
	Inside(path string) (string, error)
	// Absolute makes a path absolute and leaves its symbolic links as they are.
	Absolute(path string) string
}

// Charts finds charts.
type Charts interface {
	// Locate fetches a chart with its dependencies and stores it on the disk.
	Locate(ctx context.Context, ref release.ChartRef) (release.LocatedChart, error)
}

// Plans keeps plans in files of the work tree.
type Plans interface {
	// Read reads a plan's file; the error is a *release.InputError if there is none.
	Read(path string) ([]byte, error)
	// CheckWritable refuses a file that Write could not write.
	CheckWritable(path string) error
	// Write writes a plan's file, or replaces it.
	Write(path string, content []byte) error
	// Redact replaces the secrets of this run in a JSON document.
	Redact(json string) string
	// Now is the time.
	Now() time.Time
}

// Facts records facts about images.
type Facts interface {
	// ValuesDigest returns a digest over the contents of values files, in their order.
	ValuesDigest(files []string) (release.Digest, error)
	// CheckSigning refuses an image that no statement may be signed about, before anything is changed.
	CheckSigning(ctx context.Context, image release.Image) error
	// RecordFact attaches a fact to its image, unless it is recorded already. It returns the digest of the record, and whether it is new.
	RecordFact(ctx context.Context, f fact.Fact) (record release.Digest, created bool, err error)
}

// Proposals proposes changes that somebody else makes.
type Proposals interface {
	// Propose proposes a deployment, with lines that say what it does; false if it is what the environment is to run already.
	Propose(ctx context.Context, deployment release.Deployment, lines []string) (release.Proposal, bool, error)
}

// SecretStore reads values that are kept in a store of secrets. What it has read, nothing prints.
type SecretStore interface {
	// Read returns the values in the order of the references. References that name nothing are a *release.InputError.
	Read(ctx context.Context, references []release.SecretRef) ([]string, error)
}

// Registry holds the images.
type Registry interface {
	// Describe reads an image's revision label; false if the registry does not have the image.
	Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error)
	// Find finds the image that a tag names; false if the tag does not exist.
	Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error)
	// Platforms lists the images of a digest: the image itself, or the children of an index; false if the registry does not have it.
	Platforms(ctx context.Context, image release.Image) ([]release.PlatformImage, bool, error)
}

// Chart renders a Helm release, applies it and keeps its revisions.
type Chart interface {
	// Check validates the chart and its values without the cluster, and reports all problems together.
	Check(deployment release.Deployment) error
	// Render renders what Deploy would apply, for the cluster's version and kinds, and changes nothing. It refuses a template that fails, and
	// an image that would not be pinned.
	Render(ctx context.Context, deployment release.Deployment) (release.Rendering, error)
	// MissingKeys lists the keys that other values files set and the deployment's own do not set.
	MissingKeys(deployment release.Deployment, other []string) ([]string, error)
	// Plan reports what Deploy would do, and changes nothing. Deploy applies what it has rendered if the deployment says AsPlanned.
	Plan(ctx context.Context, deployment release.Deployment) (release.Plan, error)
	// CheckChangeable refuses a deployment that would change a field which the cluster does not allow to change, as a *release.Failure, and changes nothing.
	CheckChangeable(ctx context.Context, deployment release.Deployment) error
	// History lists the revisions, newest first.
	History(ctx context.Context, name string) ([]release.Revision, error)
	// Heal marks a revision that a killed run left pending as failed; nil if there is none. The caller must hold the Lease.
	Heal(ctx context.Context, name string, report func(string)) (*release.Healed, error)
	// RollbackTarget finds the revision that a rollback would apply, and what would keep the rollback from working.
	RollbackTarget(ctx context.Context, deployment release.Deployment) (release.RollbackTarget, error)
	// LiveRollbackTarget is RollbackTarget for a release as it is; of the deployment, only the name, the run and the actor are used.
	LiveRollbackTarget(ctx context.Context, deployment release.Deployment) (release.RollbackTarget, error)
	// Deploy installs or upgrades; wait is called for hooks and for the rollout.
	Deploy(ctx context.Context, deployment release.Deployment, wait release.Wait) (release.Deployed, error)
	// Rollback applies an earlier revision again.
	Rollback(ctx context.Context, name string, to int, wait release.Wait) (release.Deployed, error)
	// Mark marks a revision with what is known of it, unless its mark says more already.
	Mark(ctx context.Context, name string, revision int, mark release.Mark) error
	// Uninstall deletes a release.
	Uninstall(ctx context.Context, name string) error
}

// Cluster is where the release runs.
type Cluster interface {
	// Check reports whether the cluster answers and the credentials may deploy; create says that the namespace may be absent. The
	// limits say which features a missing optional permission disables.
	Check(ctx context.Context, namespace string, create bool) (limits []string, err error)
	// CheckKinds reports whether the credentials may apply objects of the kinds. The limits are those of Check.
	CheckKinds(ctx context.Context, namespace string, kinds []release.AppliedKind) (limits []string, err error)
	// CheckDeclared reports what is wrong with the annotations by which objects declare when they are ready or have failed.
	CheckDeclared(ctx context.Context, declared []release.Declared) error
	// UnrunnableTemplates lists the templates whose pods only nodes of other platforms can run. What is not known of the nodes does not count.
	UnrunnableTemplates(ctx context.Context, templates []release.PodTemplate, platforms []release.Platform) ([]release.UnrunnableTemplate, error)
	// CreateNamespace makes the namespace if it is absent, with a Pod Security Standard that it enforces, and reports whether it did.
	CreateNamespace(ctx context.Context, namespace string, environment release.Environment, security release.PodSecurity) (bool, error)
	// AcquireLease takes the release's Lease, and waits until ctx ends for another run that holds it.
	AcquireLease(ctx context.Context, request release.LeaseRequest, report func(string)) (release.Lease, error)
	// Pin reads a release's pin without taking its Lease; nil if there is none.
	Pin(ctx context.Context, namespace, release string) (*release.Pin, error)
	// MissingReferences lists the referenced objects and keys that do not exist, and those that the credentials may not read.
	MissingReferences(ctx context.Context, namespace string, references []release.Reference) (missing, unchecked []release.Reference, err error)
	// Baseline records what the namespaces contain, before a release is applied there.
	Baseline(ctx context.Context, namespaces []string) release.Baseline
	// Watch returns when every object is ready, or with the reason why one cannot become ready.
	Watch(ctx context.Context, namespace string, objects []release.Object, before release.Baseline, report func(release.RolloutStep)) error
	// WatchHook returns when every object of a hook has completed, or with the reason why one cannot.
	WatchHook(ctx context.Context, namespace string, objects []release.Object, before release.Baseline, report func(release.RolloutStep)) error
	// Address waits for the URL of the release's external address; "" if it has none by design.
	Address(ctx context.Context, namespace, name string, address release.Address, report func(string)) (string, error)
	// RecentlyBehind finds to which ready endpoints a URL leads, as the cluster knew some milliseconds ago; none if no Service and no Ingress of the release has its host.
	RecentlyBehind(ctx context.Context, namespace, name, url string, address release.Address) ([]release.Route, error)
	// Running lists what the release's workloads run whose pod template names the image, as the kubelets report it.
	Running(ctx context.Context, namespace, name string, image release.Image) (release.Running, error)
	// NodePlatform is the platform of a node.
	NodePlatform(ctx context.Context, node string) (release.Platform, error)
}

// Commits knows how commits relate to each other.
type Commits interface {
	// Compare returns how the next commit relates to the live one. The error says why that is unknown.
	Compare(ctx context.Context, live, next release.Commit) (release.Comparison, error)
	// KnownRelation is Compare by the history that is at hand; false if that does not show it.
	KnownRelation(ctx context.Context, live, next release.Commit) (release.Relation, bool)
	// CheckedOut compares the commits from which files and directories are checked out with another one. The error says why that is
	// unknown.
	CheckedOut(ctx context.Context, paths []string, commit release.Commit) (release.CheckedOut, error)
}

// SmokeRunner runs smoke checks against a deployed release.
type SmokeRunner interface {
	// Check parses a checks file, "" for the default checks, and reports what is wrong with it.
	Check(checks string) error
	// Smoke runs the checks against the release; the error is a *release.BadRelease if an answer was wrong, which is recorded as evidence
	// against the image if only pods of it were asked.
	Smoke(ctx context.Context, request SmokeRequest) error
}

// SmokeRequest describes the release that the smoke checks of a deploy check. Its pods were compared with its image before.
type SmokeRequest struct {
	URL         string // outside the cluster; "" if the release has none, so that its pods alone are asked
	Checks      string // file; "" for the default checks
	Environment release.Environment
	Namespace   string
	Release     string
	Address     release.Address
	Image       release.Image
	Others      []release.Image // other images that the release is pinned to
	Pods        []string        // pods that run the image
	Commit      release.Commit  // the commit that answers must name, if they name one; "" if unknown
	AnyCommit   bool            // some pods are held back at an older revision, whose answers are right too
	Ended       bool            // no workload wants a pod any more, so that none has to be ready
	Soak        time.Duration
	MaxErrors   setting.Share
}
