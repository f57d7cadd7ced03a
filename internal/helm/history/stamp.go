package history

import (
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stampOf returns the labels and annotations that a deploy left on a revision's objects. Somebody who deploys the chart without
// us (Terraform's helm_release) may set them on the pods only, by the chart's values: these are used if the objects have none.
func stampOf(revision *helmrelease.Release) (labels, annotations map[string]string) {
	objects, err := manifest.Parse(revision.Manifest)
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

// Describe returns what a revision's record says of it: its commit, digest and run, as far as they are known.
func Describe(revision *helmrelease.Release, entry Entry) release.Revision {
	described := release.Revision{Number: revision.Version, Status: revision.Info.Status.String(), At: revision.Info.LastDeployed.Time, Verified: entry.Verified(),
		Description: failure.Sanitize(revision.Info.Description)}
	labels, annotations := stampOf(revision)
	if commit, err := release.ParseCommit(labels[release.LabelCommit]); err == nil {
		described.Commit = commit
	}
	if digest, err := release.ParseDigest(annotations[release.AnnotationDigest]); err == nil {
		described.Digest = digest
	}
	described.RunURL = runURL(annotations, entry)
	return described
}

// runURL returns the run that created a revision, "" if it is not known. After a rollback by another Helm the objects still name
// the run of an older revision: the annotation counts only if the record's label agrees.
func runURL(annotations map[string]string, entry Entry) string {
	url := annotations[release.AnnotationRun]
	if !entry.createdByUs() || entry.labels[runLabel] != (Author{RunURL: url}).label() {
		return ""
	}
	return url
}
