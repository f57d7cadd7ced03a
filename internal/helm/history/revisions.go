package history

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
)

// Revisions describes the revisions of a release, newest first and at most MaxRevisions; none if it is not installed.
func (s *Store) Revisions(ctx context.Context, name string) ([]release.Revision, error) {
	entries, err := s.Entries(name)
	if err != nil {
		return nil, failure.Classify(ctx, err, "reading the revisions of release %q in namespace %q", name, s.Namespace)
	}
	entries = entries[:min(len(entries), MaxRevisions)]
	revisions, err := s.read(entries)
	if err != nil {
		return nil, failure.Classify(ctx, err, "reading the revisions of release %q in namespace %q", name, s.Namespace)
	}
	var described []release.Revision
	for _, revision := range revisions {
		at := slices.IndexFunc(entries, func(e Entry) bool { return e.Revision == revision.Version })
		described = append(described, Describe(revision, entries[at]))
	}
	return described, nil
}

// Revision reads one revision. One that does not exist is a *release.Failure, which names the newest.
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

// MarkVerified labels a revision as one to roll back to. It changes nothing else, and leaves one that is labelled already alone. A
// revision that is not deployed is a *release.Failure.
func (s *Store) MarkVerified(ctx context.Context, name string, revision int) error {
	for {
		err := s.markVerified(ctx, name, revision)
		if !apierrors.IsConflict(err) || ctx.Err() != nil {
			return failure.Classify(ctx, err, "marking revision %d of release %q in namespace %q as verified", revision, name, s.Namespace)
		}
	}
}

func (s *Store) markVerified(ctx context.Context, name string, revision int) error {
	item, err := s.metadata.Get(ctx, recordName(name, revision), meta.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &release.Failure{What: fmt.Sprintf("release %q in namespace %q has no revision %d to mark as verified", name, s.Namespace, revision)}
	}
	if err != nil {
		return err
	}
	entry, ok := entryOf(*item)
	switch {
	case !ok || entry.Status != helmrelease.StatusDeployed:
		return &release.Failure{What: fmt.Sprintf("revision %d of release %q in namespace %q is not verified, because it is %s", revision, name, s.Namespace, item.Labels[labelStatus]),
			Do: "find out who else changes the release"}
	case entry.Verified():
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": item.ResourceVersion, "labels": map[string]any{verifiedLabel: fmt.Sprint(revision)},
	}})
	if err != nil {
		return err
	}
	return s.retry(func(bool) error {
		_, err := s.metadata.Patch(ctx, item.Name, types.MergePatchType, patch, meta.PatchOptions{FieldManager: manifest.FieldManager})
		return err
	})
}
