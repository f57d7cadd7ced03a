package history

import (
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stampOf returns the labels and annotations that a deploy has set on the objects that run the image. If no object has them, it
// returns those of the pods: somebody who deploys the chart without this pipeline (Terraform's helm_release) may set them by the
// chart's values.
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

// podStamp returns the labels and annotations of an object's pod template.
func podStamp(object map[string]any) (labels, annotations map[string]string) {
	for _, template := range release.PodTemplates(object) {
		labels, _, _ = unstructured.NestedStringMap(template, "metadata", "labels")
		annotations, _, _ = unstructured.NestedStringMap(template, "metadata", "annotations")
		if labels[release.LabelCommit] != "" || annotations[release.AnnotationDigest] != "" {
			break
		}
	}
	return labels, annotations
}

// IsStamped reports whether an object, or its pod template, is annotated with the digest that it runs.
func IsStamped(object map[string]any) bool {
	_, ofPods := podStamp(object)
	own := (&unstructured.Unstructured{Object: object}).GetAnnotations()
	return own[release.AnnotationDigest] != "" || ofPods[release.AnnotationDigest] != ""
}

// Describe returns the content of a revision's record: commit, digest and run, as far as they are known. It does not set the
// mark.
func Describe(revision *helmrelease.Release, entry Entry) release.Revision {
	described := release.Revision{Number: revision.Version, Status: revision.Info.Status.String(), At: revision.Info.LastDeployed.Time,
		Description: failure.Sanitize(revision.Info.Description), Uninstalled: !revision.Info.Deleted.IsZero()}
	labels, annotations := stampOf(revision)
	if commit, err := release.ParseCommit(labels[release.LabelCommit]); err == nil {
		described.Commit = commit
	}
	if digest, err := release.ParseDigest(annotations[release.AnnotationDigest]); err == nil {
		described.Digest = digest
	}
	if objects, err := manifest.Parse(revision.Manifest); err == nil {
		references := manifest.Images(objects...)
		if described.Commit == "" && described.Digest.IsZero() {
			described.References = references
		}
		described.Image = imageOf(references, described.Digest)
	}
	author := authorOf(annotations, entry)
	described.RunURL, described.Actor = author.RunURL, author.Actor
	return described
}

// EnvironmentOf returns the environment of a revision's deploy; "" if that is unknown.
func EnvironmentOf(revision *helmrelease.Release) release.Environment {
	labels, _ := stampOf(revision)
	environment, err := release.ParseEnvironment(labels[release.LabelEnvironment])
	if err != nil {
		return ""
	}
	return environment
}

// imageOf returns the first of the references that names the digest; the zero value if none does.
func imageOf(references []string, digest release.Digest) release.Image {
	for _, reference := range references {
		if image, err := release.ParseImage(reference); err == nil && !digest.IsZero() && image.Digest == digest {
			return image
		}
	}
	return release.Image{}
}

// authorOf returns who created a revision; nobody if that is unknown. After a rollback by another Helm client the objects have the
// annotations of an older revision's run: they count only if the record's label agrees.
func authorOf(annotations map[string]string, entry Entry) Author {
	author := Author{RunURL: annotations[release.AnnotationRun], Actor: annotations[release.AnnotationActor]}
	if !entry.createdByUs() || entry.labels[runLabel] != author.label() {
		return Author{}
	}
	return author
}
