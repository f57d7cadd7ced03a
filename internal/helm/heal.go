package helm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	helmrelease "helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Heal marks the newest revision as failed if a dead run has left it pending or being uninstalled; nil if there is none such.
// Whoever calls it holds the release's Lease: so a revision that this pipeline has left is a dead run's. One that somebody
// else's Helm has left may be a live one's, which is waited for: until it has given no sign of life for five minutes, Helm's own
// timeout. report tells of that.
//
// A wait that ctx ends is a *release.Failure, and a cluster that does not answer a *release.Fault.
func (c *Client) Heal(ctx context.Context, name string, report func(string)) (*release.Healed, error) {
	s, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end()
	failed := func(err error) error {
		return sorted(ctx, err, "healing release %q in namespace %q", name, c.namespace)
	}
	var waited *foreign
	for {
		heads, err := s.records.headsOf(name)
		if err != nil {
			return nil, failed(err)
		}
		if len(heads) == 0 || !busy(heads[0].status) {
			return nil, nil
		}
		if !heads[0].ours() {
			if waited == nil || !waited.same(heads[0]) {
				waited = c.stranger(name, heads[0], report)
			}
			if left := time.Until(waited.until); left > 0 {
				if !s.pause(min(left, c.patience.look)) {
					return nil, waited.ended(ctx)
				}
				continue
			}
		}
		healed, err := s.heal(heads[0])
		if !errors.Is(err, errChanged) {
			return healed, failed(err)
		}
	}
}

// errChanged is a revision that was written while it was to be healed.
var errChanged = errors.New("it is being changed")

// foreign is a revision that somebody else's Helm is changing, or was.
type foreign struct {
	head  head
	name  string
	until time.Time // without a sign of life
}

// stranger begins to wait for a foreign revision. Its clock is not ours: what it says of the time can only shorten the wait.
func (c *Client) stranger(name string, head head, report func(string)) *foreign {
	age := time.Duration(0)
	if !head.written.IsZero() {
		age = min(max(0, time.Since(head.written)), c.patience.foreign)
	}
	waited := &foreign{head: head, name: name, until: time.Now().Add(c.patience.foreign - age)}
	if age < c.patience.foreign {
		report(fmt.Sprintf("%s; waiting for it, at most %s", waited, (c.patience.foreign - age).Round(time.Second)))
	}
	return waited
}

func (f *foreign) same(h head) bool {
	return f.head.key == h.key && f.head.resourceVersion == h.resourceVersion
}

func (f *foreign) String() string {
	since := ""
	if !f.head.written.IsZero() {
		since = " since " + f.head.written.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("release %q is %s%s (revision %d), by another Helm than this pipeline's", f.name, f.head.status, since, f.head.revision)
}

func (f *foreign) ended(ctx context.Context) error {
	failure := &release.Failure{What: fmt.Sprintf("%s %s, and it did not end in time", causes.ReleaseHeld, f), Do: causes.ReleaseHeld.Cause().Advice}
	if errors.Is(ctx.Err(), context.Canceled) {
		failure.Err = ctx.Err()
	}
	return failure
}

// heal writes onto the very revision that was seen pending: one that has come to life since is left alone.
func (s *session) heal(head head) (*release.Healed, error) {
	kept, err := s.records.Get(head.key)
	if err != nil {
		return nil, err
	}
	if s.records.seen[head.key].ResourceVersion != head.resourceVersion || kept.Info.Status != head.status {
		return nil, errChanged
	}
	healed := &release.Healed{Revision: kept.Version, Status: kept.Info.Status.String(), At: kept.Info.LastDeployed.Time}
	if kept.Info.Status == helmrelease.StatusUninstalling {
		healed.At = kept.Info.Deleted.Time
	} else {
		_, annotations := marksOf(kept)
		healed.RunURL = runOf(annotations, head)
	}
	by := "a run that did not come to its end"
	if healed.RunURL != "" {
		by = healed.RunURL
	}
	kept.SetStatus(helmrelease.StatusFailed, fmt.Sprintf("onedigest: left %s by %s, and marked as failed by the next run", healed.Status, by))
	if err := s.records.Update(head.key, kept); apierrors.IsConflict(err) {
		return nil, errChanged
	} else if err != nil {
		return nil, err
	}
	return healed, nil
}
