package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
)

// History lists the revisions of a release, newest first and at most ten; none if it is not installed.
func (c *Client) History(ctx context.Context, name string) ([]release.Revision, error) {
	s, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end()
	heads, err := s.records.headsOf(name)
	if err != nil {
		return nil, sorted(ctx, err, "reading the revisions of release %q in namespace %q", name, c.namespace)
	}
	heads = heads[:min(len(heads), history)]
	kept, err := s.records.read(heads)
	if err != nil {
		return nil, sorted(ctx, err, "reading the revisions of release %q in namespace %q", name, c.namespace)
	}
	var revisions []release.Revision
	for _, one := range kept {
		at := slices.IndexFunc(heads, func(h head) bool { return h.revision == one.Version })
		revisions = append(revisions, revision(one, heads[at]))
	}
	return revisions, nil
}

// marksOf are what the stamp left on a revision's objects. Who deploys the chart without us (Terraform's helm_release) may mark
// the pods by the chart's values: their marks are taken where the objects have none.
func marksOf(kept *helmrelease.Release) (labels, annotations map[string]string) {
	objects, err := objectsOf(kept.Manifest)
	if err != nil || len(objects) == 0 {
		return nil, nil
	}
	first := unstructured.Unstructured{Object: objects[0]}
	if labels, annotations = first.GetLabels(), first.GetAnnotations(); labels[release.LabelCommit] != "" || annotations[release.AnnotationDigest] != "" {
		return labels, annotations
	}
	for _, object := range objects {
		labels, _, _ := unstructured.NestedStringMap(object, "spec", "template", "metadata", "labels")
		annotations, _, _ := unstructured.NestedStringMap(object, "spec", "template", "metadata", "annotations")
		if labels[release.LabelCommit] != "" {
			return labels, annotations
		}
	}
	return labels, annotations
}

func revision(kept *helmrelease.Release, head head) release.Revision {
	found := release.Revision{Number: kept.Version, Status: kept.Info.Status.String(), At: kept.Info.LastDeployed.Time, Verified: head.verified(),
		Description: told(kept.Info.Description)}
	labels, annotations := marksOf(kept)
	if commit, err := release.ParseCommit(labels[release.LabelCommit]); err == nil {
		found.Commit = commit
	}
	if digest, err := release.ParseDigest(annotations[release.AnnotationDigest]); err == nil {
		found.Digest = digest
	}
	found.RunURL = runOf(annotations, head)
	return found
}

// runOf is the run that made a revision. The objects of one that somebody else's Helm has rolled back to name a run before.
func runOf(annotations map[string]string, head head) string {
	url := annotations[release.AnnotationRun]
	if !head.made() || head.labels[runLabel] != (author{runURL: url}).label() {
		return ""
	}
	return url
}

// MarkVerified marks a revision as one to go back to. Only its record's labels change; one that is marked already is left alone. A
// revision that is not deployed (any more) is a *release.Failure.
func (c *Client) MarkVerified(ctx context.Context, name string, revision int) error {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	for {
		err := s.verify(ctx, name, revision)
		if !apierrors.IsConflict(err) || ctx.Err() != nil {
			return sorted(ctx, err, "marking revision %d of release %q in namespace %q as verified", revision, name, c.namespace)
		}
	}
}

func (s *session) verify(ctx context.Context, name string, revision int) error {
	item, err := s.records.heads.Get(ctx, keyOf(name, revision), meta.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &release.Failure{What: fmt.Sprintf("release %q in namespace %q has no revision %d to mark as verified", name, s.namespace, revision)}
	}
	if err != nil {
		return err
	}
	head, is := headOf(*item)
	switch {
	case !is || head.status != helmrelease.StatusDeployed:
		return &release.Failure{What: fmt.Sprintf("revision %d of release %q in namespace %q is not verified, because it is %s", revision, name, s.namespace, item.Labels[labelStatus]),
			Do: "see who else changes the release"}
	case head.verified():
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": item.ResourceVersion, "labels": map[string]any{verifiedLabel: fmt.Sprint(revision)},
	}})
	if err != nil {
		return err
	}
	return s.records.persist(func(bool) error {
		_, err := s.records.heads.Patch(ctx, item.Name, types.MergePatchType, patch, meta.PatchOptions{FieldManager: fieldManager})
		return err
	})
}

// revisionOf reads one revision whole.
func (s *session) revisionOf(ctx context.Context, name string, number, newest int) (*helmrelease.Release, error) {
	kept, err := s.records.Get(keyOf(name, number))
	if errors.Is(err, driver.ErrReleaseNotFound) || number < 1 {
		return nil, &release.Failure{What: fmt.Sprintf("release %q has no revision %d", name, number), Do: fmt.Sprintf("the newest is %d, and at most %d are kept", newest, history)}
	}
	if err != nil {
		return nil, sorted(ctx, err, "reading revision %d of release %q", number, name)
	}
	return kept, nil
}
