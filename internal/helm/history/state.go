package history

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	helmrelease "helm.sh/helm/v3/pkg/release"
)

// State is the state of a release before it is changed.
type State struct {
	Entries   []Entry                // newest first
	Revisions []*helmrelease.Release // newest first, down to the last deployed revision, at most MaxRevisions
	Install   bool                   // it was never deployed, or is being uninstalled: the next change is an install
}

// stateReads is how often the state is read if another run deletes its newest revision meanwhile, as pruning and an uninstall do.
const stateReads = 3

// RecentState reads the state of a release as the apiserver's cache has it, which may lack the last changes. The apiserver answers at once: for a list
// that lacks none it may wait for its cache, up to 100 ms. Source: kubernetes.io, "Kubernetes API Concepts", Resource versions (Any).
func (s *Store) RecentState(ctx context.Context, name string) (State, error) {
	s.recent = true
	defer func() { s.recent = false }()
	return s.State(ctx, name)
}

// State reads the state of a release.
func (s *Store) State(ctx context.Context, name string) (State, error) {
	for range stateReads {
		state, err := s.readState(ctx, name)
		if !errors.Is(err, errDeleted) {
			return state, err
		}
	}
	return State{}, failure.Conflict("release %q in namespace %q: its newest revision is deleted again and again while it is read", name, s.Namespace)
}

// errDeleted says that the newest revision was deleted between the list and the read.
var errDeleted = errors.New("the newest revision was deleted while it was read")

// readState reads the state of a release once.
func (s *Store) readState(ctx context.Context, name string) (State, error) {
	entries, err := s.Entries(name)
	if err != nil {
		return State{}, failure.Classify(ctx, err, "reading the revisions of release %q in namespace %q", name, s.Namespace)
	}
	state := State{Entries: entries, Install: true}
	if len(entries) == 0 {
		return state, s.checkOtherDrivers(ctx, name)
	}
	count := min(len(entries), MaxRevisions)
	if entries[0].Status == helmrelease.StatusUninstalled {
		count = 1
	} else if at := indexOfDeployed(entries); at >= 0 {
		count = min(count, at+1)
	}
	if state.Revisions, err = s.read(entries[:count], requiredEntries(entries)...); err != nil {
		return State{}, failure.Classify(ctx, err, "reading the revisions of release %q in namespace %q", name, s.Namespace)
	}
	if len(state.Revisions) == 0 || state.Revisions[0].Version != entries[0].Revision {
		return State{}, errDeleted
	}
	state.Install = state.neverDeployed() || state.IsUninstalled()
	return state, nil
}

// IsUninstalled reports whether an uninstall of the release has ended, with its history kept, or has begun and did not end: the next change is an install,
// and no rollback goes back beyond it.
func (s State) IsUninstalled() bool {
	newest := s.Newest()
	return newest != nil && !newest.Info.Deleted.IsZero()
}

// IsSame reports whether the release has the same records in another state.
func (s State) IsSame(other State) bool {
	return slices.EqualFunc(s.Entries, other.Entries, func(a, b Entry) bool { return a.name == b.name && a.resourceVersion == b.resourceVersion })
}

// Newest returns the newest revision, nil if there is none.
func (s State) Newest() *helmrelease.Release {
	if len(s.Revisions) == 0 {
		return nil
	}
	return s.Revisions[0]
}

// NextRevision returns the number of the next revision, from 1.
func (s State) NextRevision() int {
	if newest := s.Newest(); newest != nil {
		return newest.Version + 1
	}
	return 1
}

// uninstallBegan reports whether an uninstall of a revision has begun, as far as its record was read.
func (s State) uninstallBegan(entry Entry) bool {
	return slices.ContainsFunc(s.Revisions, func(r *helmrelease.Release) bool { return r.Version == entry.Revision && !r.Info.Deleted.IsZero() })
}

// neverDeployed reports whether no revision was ever deployed, or none since the release was uninstalled with its history kept, or an uninstall was interrupted.
func (s State) neverDeployed() bool {
	for _, entry := range s.Entries {
		switch {
		case entry.Status == helmrelease.StatusUninstalled, s.uninstallBegan(entry):
			return true
		case entry.Status == helmrelease.StatusDeployed, entry.Status == helmrelease.StatusSuperseded:
			return false
		}
	}
	return true
}

// AppliedManifests returns the manifests that may have been applied since the last deployed revision, including that one, oldest
// first. It returns none if the deployed revision is the newest, because Helm itself compares with that.
func (s State) AppliedManifests() (manifests []string) {
	newest := s.Newest()
	if newest == nil || newest.Info.Status == helmrelease.StatusDeployed || newest.Info.Status == helmrelease.StatusUninstalled {
		return nil
	}
	for _, revision := range slices.Backward(s.Revisions) {
		manifests = append(manifests, revision.Manifest)
	}
	return manifests
}

// CheckIdle returns a *release.Failure if the newest revision is in progress. The record does not show whether the run that
// changes it is still alive.
func (s State) CheckIdle() error {
	newest := s.Newest()
	if newest == nil || !InProgress(newest.Info.Status) {
		return nil
	}
	return &release.Failure{
		What: fmt.Sprintf("%s release %q in namespace %q is %s since %s (revision %d)", causes.ReleaseHeld, newest.Name, newest.Namespace, newest.Info.Status,
			newest.Info.LastDeployed.UTC().Format("2006-01-02 15:04:05 MST"), newest.Version),
		Do: "wait for the run that is changing it; if that run was killed, run deploy --heal",
	}
}
