package history

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// Revisions describes the revisions of a release, newest first: at most MaxRevisions, and the deployed one if it is older; none
// if the release is not installed. A revision that cannot be read, and that the release can do without, has only its number,
// status and mark.
func (s *Store) Revisions(ctx context.Context, name string) ([]release.Revision, error) {
	entries, err := s.Entries(name)
	if err != nil {
		return nil, failure.Classify(ctx, err, "reading the revisions of release %q in namespace %q", name, s.Namespace)
	}
	shown := slices.Clone(entries[:min(len(entries), MaxRevisions)])
	if at := indexOfDeployed(entries); at >= MaxRevisions {
		shown = append(shown, entries[at])
	}
	revisions, err := s.read(shown, requiredEntries(entries)...)
	if err != nil {
		return nil, failure.Classify(ctx, err, "reading the revisions of release %q in namespace %q", name, s.Namespace)
	}
	marks, err := s.Marks(entries)
	if err != nil {
		return nil, failure.Classify(ctx, err, "reading the revisions of release %q in namespace %q", name, s.Namespace)
	}
	var described []release.Revision
	for _, entry := range shown {
		one := release.Revision{Number: entry.Revision, Status: string(entry.Status)}
		if at := slices.IndexFunc(revisions, func(r *helmrelease.Release) bool { return r.Version == entry.Revision }); at >= 0 {
			one = Describe(revisions[at], entry)
		}
		one.Mark = marks[one.Number]
		described = append(described, one)
	}
	return described, nil
}

// Revision reads one revision. If it does not exist, the error is a *release.Failure that names the newest.
func (s *Store) Revision(ctx context.Context, name string, number, newest int) (*helmrelease.Release, error) {
	revision, err := s.Get(recordName(name, number))
	if errors.Is(err, driver.ErrReleaseNotFound) || number < 1 {
		return nil, &release.Failure{What: fmt.Sprintf("release %q has no revision %d", name, number), Do: fmt.Sprintf("the newest is %d, and at most %d are kept", newest, MaxRevisions)}
	}
	if err != nil {
		return nil, failure.Classify(ctx, err, "reading revision %d of release %q", number, name)
	}
	return revision, nil
}
