package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
	helmrelease "helm.sh/helm/v3/pkg/release"
	helmtime "helm.sh/helm/v3/pkg/time"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// HealPolicy says how long to wait for a revision that another Helm client has in progress.
type HealPolicy struct {
	Timeout time.Duration // since its record was last written
	Poll    time.Duration // between two reads of the record
	Sleep   func(time.Duration) (ok bool)
	Report  func(line string) // called when the wait begins
	// IsWhole reports whether every object of a revision is certainly in the cluster; nil if that is not known.
	IsWhole func(*helmrelease.Release) bool
}

// Heal marks the newest revision as failed if a killed run has left it in progress, and returns nil if none is. The caller holds
// the release's Lease, so that no other run of this pipeline can be alive. A revision of another Helm client may still be in progress: Heal waits until its record has not been written
// for the policy's timeout. A revision that is being uninstalled, and of which nothing was deleted, counts as installed again.
//
// A wait that ctx ends is a *release.Failure, and a cluster that does not answer a *release.Fault.
func (s *Store) Heal(ctx context.Context, name string, policy HealPolicy) (*release.Healed, error) {
	classify := func(err error) error {
		return failure.Classify(ctx, err, "healing release %q in namespace %q", name, s.Namespace)
	}
	var other *otherHelm
	for {
		entries, err := s.Entries(name)
		if err != nil {
			return nil, classify(err)
		}
		if len(entries) == 0 || !entries[0].InProgress() {
			return nil, nil
		}
		newest := entries[0]
		if !newest.statusIsOurs() {
			if other == nil || !other.isUnchanged(newest) {
				other = startWaiting(ctx, name, newest, policy)
			}
			if left := time.Until(other.deadline); left > 0 {
				if !policy.Sleep(min(left, policy.Poll)) {
					return nil, other.timeoutError(ctx)
				}
				continue
			}
		}
		healed, err := s.heal(newest, policy.IsWhole)
		if !errors.Is(err, errInUse) {
			return healed, classify(err)
		}
	}
}

// errInUse is returned if a revision is written while it is being healed.
var errInUse = errors.New("it is being changed")

// heal marks a revision as failed, unless it was written after its entry was read. One of which an uninstall has deleted nothing is deployed again, if it
// has a mark: its record does not say what it was before.
func (s *Store) heal(entry Entry, isWhole func(*helmrelease.Release) bool) (*release.Healed, error) {
	revision, err := s.Get(entry.name)
	if err != nil {
		return nil, err
	}
	if s.known[entry.name].ResourceVersion != entry.resourceVersion || revision.Info.Status != entry.Status {
		return nil, errInUse
	}
	healed := &release.Healed{Revision: revision.Version, Status: revision.Info.Status.String(), At: revision.Info.LastDeployed.Time}
	if revision.Info.Status == helmrelease.StatusUninstalling {
		healed.At = revision.Info.Deleted.Time
	} else {
		_, annotations := stampOf(revision)
		healed.RunURL = authorOf(annotations, entry).RunURL
	}
	by := "a run that did not finish"
	if healed.RunURL != "" {
		by = healed.RunURL
	}
	status := helmrelease.StatusFailed
	if healed.Uninstalling() && isWhole != nil && isWhole(revision) {
		healed.Whole = true
		revision.Info.Deleted = helmtime.Time{}
		if entry.mark() != "" {
			status = helmrelease.StatusDeployed
		}
	}
	revision.SetStatus(status, fmt.Sprintf("onedigest: left %s by %s, and marked as %s by the next run", healed.Status, by, status))
	if err := s.Update(entry.name, revision); apierrors.IsConflict(err) {
		return nil, errInUse
	} else if err != nil {
		return nil, err
	}
	return healed, nil
}

// otherHelm is a revision that a Helm client other than onedigest left in progress; that client may still be working or was killed.
type otherHelm struct {
	release  string
	entry    Entry
	deadline time.Time
}

// startWaiting starts to wait for a revision; the wait ends with ctx. The time in the record is from another machine's clock, so
// it can only shorten the wait.
func startWaiting(ctx context.Context, name string, entry Entry, policy HealPolicy) *otherHelm {
	age := time.Duration(0)
	if !entry.writtenAt.IsZero() {
		age = min(max(0, time.Since(entry.writtenAt)), policy.Timeout)
	}
	other := &otherHelm{release: name, entry: entry, deadline: time.Now().Add(policy.Timeout - age)}
	if age < policy.Timeout {
		wait := policy.Timeout - age
		if deadline, limited := ctx.Deadline(); limited {
			wait = min(wait, max(0, time.Until(deadline)))
		}
		policy.Report(fmt.Sprintf("%s; waiting for it, at most %s", other, text.Duration(wait.Round(time.Second))))
	}
	return other
}

func (o *otherHelm) isUnchanged(entry Entry) bool {
	return o.entry.name == entry.name && o.entry.resourceVersion == entry.resourceVersion
}

func (o *otherHelm) String() string {
	since := ""
	if !o.entry.writtenAt.IsZero() {
		since = " since " + o.entry.writtenAt.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("release %q is %s%s (revision %d), by another Helm than this pipeline's", o.release, o.entry.Status, since, o.entry.Revision)
}

// timeoutError returns the error if ctx ended while the revision of another Helm client was still in progress.
func (o *otherHelm) timeoutError(ctx context.Context) error {
	held := &release.Failure{What: fmt.Sprintf("%s %s, and it did not end in time", causes.ReleaseHeld, o), Do: causes.ReleaseHeld.Cause().Advice}
	if errors.Is(ctx.Err(), context.Canceled) {
		held.Err = ctx.Err()
	}
	return held
}
