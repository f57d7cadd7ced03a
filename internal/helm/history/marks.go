package history

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
)

// Marks returns the marks of all revisions that have one: from their records, and from rollbacks by another Helm client. Such a rollback
// means that the skipped revisions are bad, and that the earlier one is good.
func (s *Store) Marks(entries []Entry) (map[int]release.Mark, error) {
	marks := map[int]release.Mark{}
	for _, entry := range entries {
		if mark := entry.mark(); mark != "" {
			marks[entry.Revision] = mark
		}
	}
	rollbacks, err := s.rollbacksByOthers(entries)
	if err != nil {
		return nil, err
	}
	for _, entry := range slices.Backward(entries) { // oldest first, because a rollback may go back to an earlier rollback
		source, found := rollbacks[entry.Revision]
		if !found {
			continue
		}
		if _, marked := marks[entry.Revision]; !marked && marks[source] != "" {
			marks[entry.Revision] = marks[source]
		}
		for _, left := range entries {
			if left.Revision > source && left.Revision < entry.Revision && marks[left.Revision].Verified() {
				marks[left.Revision] = release.MarkRolledBack
			}
		}
	}
	return marks, nil
}

// rollbacksByOthers returns the revisions that another Helm client, such as the helm command, made by a rollback, each with the number of the revision that
// it rolled back to. It reads no record if this pipeline made all revisions.
func (s *Store) rollbacksByOthers(entries []Entry) (map[int]int, error) {
	if !slices.ContainsFunc(entries, Entry.deployedByPlainHelm) {
		return nil, nil
	}
	revisions, err := s.read(entries[:min(len(entries), MaxRevisions)])
	if err != nil {
		return nil, err
	}
	rollbacks := map[int]int{}
	for i, revision := range revisions {
		at := slices.IndexFunc(entries, func(e Entry) bool { return e.Revision == revision.Version })
		if at < 0 || !entries[at].deployedByPlainHelm() {
			continue
		}
		if source := sourceOf(revision, revisions[i+1:]); source > 0 {
			rollbacks[revision.Version] = source
		}
	}
	return rollbacks, nil
}

// deployedByPlainHelm reports whether another Helm client made the revision and the revision became live.
func (e Entry) deployedByPlainHelm() bool {
	return !e.createdByUs() && (e.Status == helmrelease.StatusDeployed || e.Status == helmrelease.StatusSuperseded)
}

// helmsRollback matches Helm's description of a revision that a rollback made (helm.sh/helm/v3/pkg/action/rollback.go).
var helmsRollback = regexp.MustCompile(`^Rollback to ([0-9]{1,9})$`)

// descriptionPrefix is the start of the description of every revision that this pipeline creates.
const descriptionPrefix = "onedigest: "

// sourceOf returns the number of the earlier revision that a rollback repeated: the number in the revision's description, or the
// newest revision with the same objects, unless that is the previous one. It returns 0 if there is none. older is newest first.
func sourceOf(revision *helmrelease.Release, older []*helmrelease.Release) int {
	if strings.HasPrefix(revision.Info.Description, descriptionPrefix) {
		return 0 // of this pipeline, before it labelled what it creates
	}
	if match := helmsRollback.FindStringSubmatch(revision.Info.Description); match != nil {
		if source, err := strconv.Atoi(match[1]); err == nil && source < revision.Version {
			return source
		}
	}
	at := slices.IndexFunc(older, func(o *helmrelease.Release) bool { return o.Manifest == revision.Manifest })
	if at < 1 {
		return 0
	}
	return older[at].Version
}

// maxUnproved is how many revisions without a smoke may be newer than a proved one that a rollback prefers. More of them in a row
// mean that the pipeline no longer runs smoke.
const maxUnproved = 3

// LastVerified returns the target of a rollback. That is the newest revision that smoke proved, unless more than maxUnproved
// newer revisions became ready without a smoke. Otherwise it is the newest revision that became ready. It returns false if there
// is none, or none since the release was uninstalled with its history kept.
func LastVerified(entries []Entry, marks map[int]release.Mark) (Entry, bool) {
	var ready *Entry
	unproved := 0
	for i, entry := range entries {
		if entry.Status == helmrelease.StatusUninstalled { // what it and earlier ones had is gone
			break
		}
		if entry.InProgress() {
			continue
		}
		switch marks[entry.Revision] {
		case release.MarkProved:
			return entry, true
		case release.MarkReady:
			if ready == nil {
				ready = &entries[i]
			}
			if unproved++; unproved > maxUnproved {
				return *ready, true
			}
		}
	}
	if ready == nil {
		return Entry{}, false
	}
	return *ready, true
}

// LastReadable returns the target of a rollback, as LastVerified does; nil if there is none. It skips a revision whose record
// cannot be read, and logs that.
func (s *Store) LastReadable(entries []Entry, marks map[int]release.Mark) (*helmrelease.Release, Entry, error) {
	marks = maps.Clone(marks)
	for {
		entry, found := LastVerified(entries, marks)
		if !found {
			return nil, Entry{}, nil
		}
		revisions, err := s.read([]Entry{entry})
		if err != nil {
			return nil, Entry{}, err
		}
		if len(revisions) > 0 && !revisions[0].Info.Deleted.IsZero() { // uninstalled, and replaced by another Helm client, which calls it superseded
			return nil, Entry{}, nil
		}
		if len(revisions) > 0 {
			return revisions[0], entry, nil
		}
		delete(marks, entry.Revision)
	}
}

// Since returns the revisions after a given one, newest first, without those whose records cannot be read.
func (s *Store) Since(entries []Entry, revision int) ([]*helmrelease.Release, error) {
	if at := slices.IndexFunc(entries, func(e Entry) bool { return e.Revision <= revision }); at >= 0 {
		entries = entries[:at]
	}
	return s.read(entries)
}

// Mark marks a revision. It changes only that label of the record, and nothing if the existing mark takes precedence. Only a
// deployed revision can be verified; for any other the error is a *release.Failure.
func (s *Store) Mark(ctx context.Context, name string, revision int, mark release.Mark) error {
	for {
		err := s.mark(ctx, name, revision, mark)
		if !apierrors.IsConflict(err) || ctx.Err() != nil {
			return failure.Classify(ctx, err, "marking revision %d of release %q in namespace %q as %s", revision, name, s.Namespace, mark)
		}
	}
}

// mark reads the revision's record and changes the label of its mark.
func (s *Store) mark(ctx context.Context, name string, revision int, mark release.Mark) error {
	item, err := s.metadata.Get(ctx, recordName(name, revision), meta.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &release.Failure{What: fmt.Sprintf("release %q in namespace %q has no revision %d to mark as %s", name, s.Namespace, revision, mark), Do: "find out who deleted the revision"}
	}
	if err != nil {
		return err
	}
	entry, ok := entryOf(*item)
	switch {
	case !ok || mark.Verified() && entry.Status != helmrelease.StatusDeployed:
		return &release.Failure{What: fmt.Sprintf("revision %d of release %q in namespace %q is not marked as %s, because it is %s", revision, name, s.Namespace, mark, item.Labels[labelStatus]),
			Do: "find out who else changes the release"}
	case !mark.Replaces(entry.mark()):
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": item.ResourceVersion, "labels": map[string]any{release.LabelMark: mark.LabelValue(revision)},
	}})
	if err != nil {
		return err
	}
	return s.retry(func(bool) error {
		_, err := s.metadata.Patch(ctx, item.Name, types.MergePatchType, patch, meta.PatchOptions{FieldManager: manifest.FieldManager})
		return err
	})
}
