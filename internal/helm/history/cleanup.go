package history

import (
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/helm/failure"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// FailPending marks the revision that this operation left in progress as failed, if there is one; cause is the operation's
// error. If that does not succeed, it logs so: the next run heals the release.
func (s *Store) FailPending(cause error) {
	pending := s.Pending
	if pending == nil {
		return
	}
	why := "it did not finish"
	if cause != nil {
		why = cause.Error()
	}
	pending.SetStatus(helmrelease.StatusFailed, fmt.Sprintf("onedigest: left %s: %s", pending.Info.Status, why))
	if err := s.Update(recordName(pending.Name, pending.Version), pending); err != nil {
		s.Log(fmt.Sprintf("WARNING: revision %d of release %q could not be marked as failed, the next run will heal it: %s", pending.Version, pending.Name, failure.Sanitize(err.Error())))
	}
}

// maxPruned bounds how many revisions one operation deletes, so that a history that had grown long shrinks step by step.
const maxPruned = 30

// Prune deletes the oldest revisions until MaxRevisions are left. The deployed one and the last verified one stay, however old.
func (s *Store) Prune(release string) {
	if s.Stopped() != nil {
		return
	}
	entries, err := s.Entries(release)
	if err != nil {
		s.Log("WARNING: old revisions are not deleted: " + failure.Sanitize(err.Error()))
		return
	}
	keep := map[int]bool{}
	for _, protected := range []func(Entry) bool{
		func(e Entry) bool { return e.Status == helmrelease.StatusDeployed },
		Entry.Verified,
	} {
		for _, entry := range entries {
			if protected(entry) {
				keep[entry.Revision] = true
				break
			}
		}
	}
	count := len(entries)
	for i := len(entries) - 1; i >= 0 && count > MaxRevisions && len(entries)-count < maxPruned; i-- {
		if keep[entries[i].Revision] {
			continue
		}
		if _, err := s.Delete(entries[i].name); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
			s.Log("WARNING: old revisions are not deleted: " + failure.Sanitize(err.Error()))
			return
		}
		count--
	}
}
