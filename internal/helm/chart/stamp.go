package chart

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Stamp is a post-renderer that labels and annotates what runs the image, and nothing else: the objects themselves with the commit,
// environment and digest, the run and the actor; their pod templates only with what changes no more often than the image does,
// because anything else would replace pods for nothing. A Job's template cannot be changed and gets nothing. Hooks are not
// stamped: Helm 3 does not pass them to a post-renderer.
//
// It refuses a release in which no container runs the image, with an *release.InputError.
type Stamp struct{ Deployment release.Deployment }

// Run implements Helm's PostRenderer: it labels and annotates the objects that run the image, and their pod templates except a Job's,
// which is immutable.
func (s Stamp) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	objects, err := manifest.Parse(rendered.String())
	if err != nil {
		return nil, err
	}
	image := s.Deployment.Image
	if err := requireImage(objects, image); err != nil {
		return nil, err
	}
	digest := map[string]string{release.AnnotationDigest: image.Digest.String()}
	for _, object := range objects {
		if !slices.Contains(manifest.Images(object), image.String()) {
			continue
		}
		manifest.SetStrings(object, s.labels(s.Deployment.Commit), "metadata", "labels")
		manifest.SetStrings(object, s.annotations(), "metadata", "annotations")
		if manifest.GroupKind(object) == "batch/Job" {
			continue
		}
		for _, template := range manifest.PodTemplates {
			spec, _, _ := unstructured.NestedMap(object, slices.Concat(template, []string{"spec"})...)
			if slices.Contains(manifest.PodImages(spec), image.String()) {
				manifest.SetStrings(object, s.labels(s.Deployment.ImageCommit), slices.Concat(template, []string{"metadata", "labels"})...)
				manifest.SetStrings(object, digest, slices.Concat(template, []string{"metadata", "annotations"})...)
			}
		}
	}
	return manifest.Format(objects)
}

func (s Stamp) labels(commit release.Commit) map[string]string {
	return map[string]string{release.LabelCommit: commit.String(), release.LabelEnvironment: s.Deployment.Environment.String()}
}

func (s Stamp) annotations() map[string]string {
	return map[string]string{
		release.AnnotationDigest: s.Deployment.Image.Digest.String(),
		release.AnnotationRun:    s.Deployment.RunURL,
		release.AnnotationActor:  s.Deployment.Actor,
	}
}

// requireImage refuses objects of which no container runs exactly the image.
func requireImage(objects []map[string]any, image release.Image) error {
	images := manifest.Images(objects...)
	if slices.Contains(images, image.String()) {
		return nil
	}
	what := fmt.Sprintf("no container would run %q, but %q", image, images)
	if len(images) == 0 {
		what = fmt.Sprintf("no container would run %q, nor any other image", image)
	}
	return release.BadSetting(settingChart, what, "let the chart build the image from image.repository and image.digest")
}
