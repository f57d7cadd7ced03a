package history

import (
	"context"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	helmrelease "helm.sh/helm/v3/pkg/release"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// unreadableError is the error for a record whose content is not a revision, or is not the revision in its name.
type unreadableError struct {
	secret string
	error
}

func (e *unreadableError) Unwrap() error { return e.error }

// refuse returns the error of an operation that needs a record which cannot be read.
func (s *Store) refuse(unreadable *unreadableError) error {
	return &release.Failure{
		What: fmt.Sprintf("%s Secret %q in namespace %q, which the release needs, cannot be read (%s); kubectl -n %s delete secret %s deletes it", causes.RecordUnreadable,
			unreadable.secret, s.Namespace, failure.Sanitize(unreadable.Error()), s.Namespace, unreadable.secret),
		Do: causes.RecordUnreadable.Cause().Advice,
	}
}

// warnSkipped logs that a record cannot be read and is skipped.
func (s *Store) warnSkipped(unreadable *unreadableError) {
	s.Log(fmt.Sprintf("WARNING: %s Secret %q in namespace %q cannot be read and is skipped: %s; delete it: kubectl -n %s delete secret %s", causes.RecordUnreadable,
		unreadable.secret, s.Namespace, failure.Sanitize(unreadable.Error()), s.Namespace, unreadable.secret))
}

// requiredEntries returns the entries whose content is needed to change a release: the newest, and the newest that is deployed.
func requiredEntries(entries []Entry) (needed []Entry) {
	if len(entries) > 0 {
		needed = append(needed, entries[0])
	}
	if at := indexOfDeployed(entries); at > 0 {
		needed = append(needed, entries[at])
	}
	return needed
}

func indexOfDeployed(entries []Entry) int {
	return slices.IndexFunc(entries, func(e Entry) bool { return e.Status == helmrelease.StatusDeployed })
}

// checkOtherDrivers returns a *release.Failure if a release has no records in Secrets but some in ConfigMaps, where Helm stores
// them with HELM_DRIVER=configmap: an install would take over its objects and lose its history. A user who may not list
// ConfigMaps gets no error. The apiserver answers from its cache as it is: a consistent list waits up to 100 ms for the cache.
func (s *Store) checkOtherDrivers(ctx context.Context, name string) error {
	by := labels.SelectorFromSet(labels.Set{labelName: name, labelOwner: "helm"}).String()
	found, err := s.configMaps.List(ctx, meta.ListOptions{LabelSelector: by, Limit: 1, ResourceVersion: "0"})
	if err != nil || len(found.Items) == 0 {
		return nil
	}
	return &release.Failure{
		What: fmt.Sprintf("%s release %q in namespace %q is recorded in ConfigMaps (%s), not in Secrets", causes.RecordElsewhere, name, s.Namespace, found.Items[0].Name),
		Do:   causes.RecordElsewhere.Cause().Advice,
	}
}
