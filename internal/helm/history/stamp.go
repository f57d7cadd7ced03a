package history

import (
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stampOf returns the labels and annotations that a deploy left on the objects that run the image. Somebody who deploys the chart
// without us (Terraform's helm_release) may set them on the pods only, by the chart's values: these are used if no object has them.
func stampOf(revision *helmrelease.Release) (labels, annotations map[string]string) {
	objects, err := manifest.Parse(revision.Manifest)
	if err != nil {
		return nil, nil
	}
	for _, object := range objects {
		u := unstructured.Unstructured{Object: object}
		if labels, annotations := u.GetLabels(), u.GetAnnotations(); labels[release.LabelCommit] != "" || annotations[release.AnnotationDigest] != "" {
			return labels, annotations
		}
	}
	for _, object := range objects {
		if labels, annotations := podStamp(object); labels[release.LabelCommit] != "" || annotations[release.AnnotationDigest] != "" {
			return labels, annotations
		}
	}
	return nil, nil
}

// podStamp returns the labels and annotations of an object's pods.
func podStamp(object map[string]any) (labels, annotations map[string]string) {
	labels, _, _ = unstructured.NestedStringMap(object, "spec", "template", "metadata", "labels")
	annotations, _, _ = unstructured.NestedStringMap(object, "spec", "template", "metadata", "annotations")
	return labels, annotations
}

// IsStamped reports whether an object, or its pods, are annotated with the digest that they run.
func IsStamped(object map[string]any) bool {
	_, ofPods := podStamp(object)
	own := (&unstructured.Unstructured{Object: object}).GetAnnotations()
	return own[release.AnnotationDigest] != "" || ofPods[release.AnnotationDigest] != ""
}

// Describe returns what a revision's record says of it: its commit, digest and run, as far as they are known; not its mark.
func Describe(revision *helmrelease.Release, entry Entry) release.Revision {
	described := release.Revision{Number: revision.Version, Status: revision.Info.Status.String(), At: revision.Info.LastDeployed.Time,
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
