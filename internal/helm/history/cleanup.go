package history

import (
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/helm/failure"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// FailPending marks the revision that this operation left in progress as failed, if there is one; cause is the operation's error.
// If it cannot, it logs a warning: the next run heals the release.
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

// KeepInstalled takes back that this operation has begun to uninstall a release, of which it has deleted nothing: the revision is recorded again as it was
// before. A revision that was in progress, or whose uninstall had begun earlier, stays with FailPending.
func (s *Store) KeepInstalled(before *helmrelease.Release) {
	pending := s.Pending
	if pending == nil || pending.Version != before.Version || !before.Info.Deleted.IsZero() || InProgress(before.Info.Status) {
		return
	}
	deleted := pending.Info.Deleted
	pending.Info.Deleted = before.Info.Deleted
	pending.SetStatus(before.Info.Status, before.Info.Description)
	if err := s.Update(recordName(pending.Name, pending.Version), pending); err != nil {
		pending.Info.Deleted = deleted
		pending.SetStatus(helmrelease.StatusUninstalling, "onedigest: nothing was deleted")
		s.Log(fmt.Sprintf("WARNING: revision %d of release %q could not be recorded as installed, although nothing of it was deleted: %s", pending.Version, pending.Name, failure.Sanitize(err.Error())))
	}
}

// maxPruned is how many revisions one operation deletes at most, so that a long history shrinks step by step.
const maxPruned = 30

// Prune deletes the oldest revisions until MaxRevisions are left. It never deletes the deployed revision and the target of a
// rollback.
func (s *Store) Prune(name string) {
	if s.Stopped() != nil {
		return
	}
	entries, err := s.Entries(name)
	var keep map[int]bool
	if err == nil && len(entries) > MaxRevisions {
		keep, err = s.kept(entries)
	}
	if err != nil {
		s.Log("WARNING: old revisions are not deleted: " + failure.Sanitize(err.Error()))
		return
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

// kept returns the numbers of the revisions that must not be deleted; entries are newest first.
func (s *Store) kept(entries []Entry) (map[int]bool, error) {
	marks, err := s.Marks(entries)
	if err != nil {
		return nil, err
	}
	keep := map[int]bool{}
	if at := indexOfDeployed(entries); at >= 0 {
		keep[entries[at].Revision] = true
	}
	target, entry, err := s.LastReadable(entries, marks)
	if err != nil {
		return nil, err
	}
	if target != nil {
		keep[entry.Revision] = true
	}
	return keep, nil
}
