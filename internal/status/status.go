// Package status says what runs where: for each environment, what the cluster's records and pods say of the release, and what the registry's records
// say of its image. It changes nothing.
package status

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"golang.org/x/sync/errgroup"
)

// Deps are what the verb works with.
type Deps struct {
	// Connect returns a cluster. It is called by several goroutines at once.
	Connect  func(ctx context.Context, ref setting.ClusterRef) (Cluster, error)
	Registry Registry
	Evidence Evidence
	Policy   policy.Policy     // without a file, the settings are the rules
	Keys     map[string]string // the names of keys by their IDs
	Matrix   []byte            // content of the matrix, nil without one
	Reporter release.Reporter
	Now      func() time.Time
}

// Cluster is where releases run. Its errors are a *release.Fault unless they say otherwise.
type Cluster interface {
	// Rules returns the rules of RBAC that are needed.
	Rules() []release.Permission
	// Missing returns those of the rules that the user lacks in a namespace; asked is false if the cluster does not let the user ask.
	Missing(ctx context.Context, namespace string, rules []release.Permission) (missing []release.Permission, asked bool, err error)
	// Revisions lists the revisions of a release, newest first; none if it is not installed.
	Revisions(ctx context.Context, namespace, name string) ([]release.Revision, error)
	// Pin reads a release's pin; nil if there is none.
	Pin(ctx context.Context, namespace, name string) (*release.Pin, error)
	// Running lists what the release's workloads run whose pod template names the image.
	Running(ctx context.Context, namespace, name string, image release.Image) (release.Running, error)
	// ByArgoCD reads which workloads of a release Argo CD applies.
	ByArgoCD(ctx context.Context, namespace, name string) (release.ByArgoCD, error)
	// Target names a release as records do.
	Target(namespace, name string) release.Target
	// NodePlatform is the platform of a node.
	NodePlatform(ctx context.Context, node string) (release.Platform, error)
}

// Registry reads tags and what they name.
type Registry interface {
	// Find reads what a tag names; false if it does not exist.
	Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error)
	// Describe reads an image's revision label; false if the registry does not have the image.
	Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error)
	// Platforms lists the images of a digest: the image itself, or the children of an index; false if the registry does not have it.
	Platforms(ctx context.Context, image release.Image) ([]release.PlatformImage, bool, error)
}

// Evidence reads all records about an image, and decides what counts in the environments of a ladder as promote and deploy do.
type Evidence interface {
	Overview(ctx context.Context, image release.Image, ladder []policy.Rung) (policy.Overview, error)
}

// Result is what runs where.
type Result struct {
	At       time.Time     `json:"at"`
	Policy   policy.Source `json:"policy,omitzero"` // of the rules
	Releases []Row         `json:"releases"`        // in the order of the environments
	Unread   int           `json:"unread"`          // how many of them could not be read
}

// Row is one release in one environment.
type Row struct {
	Environment release.Environment `json:"environment"`
	Service     string              `json:"service,omitempty"`
	Cluster     string              `json:"cluster,omitempty"`
	Namespace   string              `json:"namespace"`
	Release     string              `json:"release"`
	State       State               `json:"state"`
	Commit      release.Commit      `json:"commit,omitempty"`
	Digest      release.Digest      `json:"digest,omitzero"`
	Repository  release.Repository  `json:"repository,omitempty"`
	References  []string            `json:"references,omitempty"`  // of the images, if another tool made the revision
	Application string              `json:"application,omitempty"` // of Argo CD, which applies it
	Revision    int                 `json:"revision,omitempty"`
	Since       time.Time           `json:"since,omitzero"`
	By          string              `json:"by,omitempty"`
	Run         string              `json:"run,omitempty"`
	Mark        release.Mark        `json:"mark,omitempty"`
	Pin         *Pin                `json:"pin,omitempty"`
	Attempt     *Attempt            `json:"attempt,omitempty"` // a newer revision that is not live
	Pods        *Pods               `json:"pods,omitempty"`    // nil if they were not compared
	Verified    *Verified           `json:"verified,omitempty"`
	Promoted    *Promoted           `json:"promoted,omitempty"`
	Entry       *policy.Decision    `json:"entry,omitempty"` // whether the image may enter the environment that it runs in, now
	Next        []Next              `json:"next"`
	Limits      []string            `json:"limits,omitempty"` // what is not known, and why
	Error       string              `json:"error,omitempty"`  // why it could not be read, "" if it could

	target  Target
	where   release.Target // as records name it
	guarded bool           // the environment takes only what an earlier one proved or ran
	failed  error
}

// State says how far a release is known.
type State string

// The states.
const (
	StateLive         State = "live"          // a revision is deployed, or Argo CD applies it
	StateNotDeployed  State = "not deployed"  // there are revisions, and none is deployed
	StateNotInstalled State = "not installed" // Helm has no record of it, and Argo CD applies none of its workloads
	StateUnread       State = "unread"        // the cluster could not be read
)

// Pin says that the release is kept at a commit.
type Pin struct {
	Commit release.Commit `json:"commit"`
	Run    string         `json:"run,omitempty"`
	By     string         `json:"by,omitempty"`
	At     time.Time      `json:"at"`
}

// Attempt is a revision that is newer than the live one.
type Attempt struct {
	Revision int            `json:"revision"`
	Status   string         `json:"status"` // Helm's own: failed, pending-upgrade…
	Commit   release.Commit `json:"commit,omitempty"`
	At       time.Time      `json:"at"`
}

// Pods says what the pods run, compared with the image of the record.
type Pods struct {
	Matching []string `json:"matching"`          // that run the image
	Differs  []string `json:"differs,omitempty"` // why they do not run it; those that stay at an older revision (OnDelete, a partition) included
	Notes    []string `json:"notes,omitempty"`
}

// Verified is the newest verdict of smoke about the image at the row's own target: its cluster, namespace and release. Where none is recorded of that, it is the newest that names
// no target.
type Verified struct {
	Verdict release.Verdict `json:"verdict,omitempty"` // "" if none is recorded
	At      time.Time       `json:"at,omitzero"`
	By      string          `json:"by,omitempty"`      // whose signature counts; "" if none does
	Problem string          `json:"problem,omitempty"` // a newer verdict cannot be read
	// Against are the reasons why the image is rejected, and Failures say which smoke failed there: each keeps the image from the environment.
	Against  []string `json:"against,omitempty"`
	Failures []string `json:"failures,omitempty"`
}

// Promoted says how the image came into the environment.
type Promoted struct {
	At       time.Time   `json:"at,omitzero"`        // of the record; zero if only a tag says it
	By       string      `json:"by,omitempty"`       // who promoted it
	Override string      `json:"override,omitempty"` // why a rule was overridden
	Tag      release.Tag `json:"tag,omitempty"`
}

// podsMatch reports whether the pods were compared with the record and none differs.
func (r Row) podsMatch() bool { return r.Pods != nil && len(r.Pods.Differs) == 0 }

// InOrder reports whether all that was asked about a release is known, and nothing of it needs a look: its newest revision is live, passed smoke or was not smoked, its pods run
// what the record says, and nothing keeps the image from the environment.
func (r Row) InOrder() bool {
	if r.State != StateLive || r.Error != "" || r.Attempt != nil || !r.podsMatch() || len(r.Limits) > 0 || r.Mark == release.MarkFailed {
		return false
	}
	if v := r.Verified; v != nil && (len(v.Against) > 0 || len(v.Failures) > 0 || v.Problem != "" || v.Verdict != "" && v.Verdict != release.Pass) {
		return false
	}
	return r.Entry == nil || r.Entry.Opens
}

// Next is an environment to which the image may be promoted next, or may not.
type Next struct {
	Environment release.Environment `json:"environment"`
	Opens       bool                `json:"opens"`    // the rules let it in now
	Promoted    bool                `json:"promoted"` // it has the environment's tag already
	Runs        bool                `json:"runs"`     // the environment runs it already
	Missing     []string            `json:"missing,omitempty"`
}

// UnreadError says which releases could not be read. It does not unwrap: whatever the reason, it is a fault, because what was not read is not known to be
// in order.
type UnreadError struct{ Errs []error }

func (e *UnreadError) Error() string {
	lines := make([]string, len(e.Errs))
	for i, err := range e.Errs {
		lines[i] = strings.TrimRight(err.Error(), "\n")
	}
	return strings.Join(lines, "\n")
}

// Run reads all environments at the same time. The result has all of them, also if the error says that some could not be read: then it is an
// *UnreadError. Bad input is a *release.InputError, and nothing was read.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	targets, err := settings.targets(deps.Policy, deps.Matrix)
	if err != nil {
		return Result{}, err
	}
	result := Result{At: deps.Now().UTC(), Policy: deps.Policy.Source, Releases: make([]Row, len(targets))}
	r := reader{Deps: deps, settings: settings}
	if err := r.ladders(targets); err != nil {
		return Result{}, err
	}
	each(settings.Concurrency, len(targets), func(i int) { result.Releases[i] = r.read(ctx, targets[i]) })
	if !settings.ClusterOnly {
		r.readRecords(ctx, result.Releases)
	}
	if ctx.Err() != nil {
		return result, fmt.Errorf("reading what runs: %w", context.Cause(ctx))
	}
	unread := new(UnreadError)
	for i := range result.Releases {
		if row := &result.Releases[i]; row.failed != nil {
			row.Error = row.failed.Error()
			unread.Errs = append(unread.Errs, fmt.Errorf("%s is not read: %w", row.target.title(), row.failed))
		}
	}
	if result.Unread = len(unread.Errs); result.Unread > 0 {
		return result, unread
	}
	return result, nil
}

// each calls a function for 0 to n-1, some at once.
func each(limit, n int, call func(i int)) {
	var group errgroup.Group
	group.SetLimit(max(1, limit))
	for i := range n {
		group.Go(func() error {
			call(i)
			return nil
		})
	}
	_ = group.Wait() // nil: a row has its own error
}
