package chart

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Stamp is a post-renderer that labels and annotates every object of a release with its commit, environment and digest, the
// run and the actor. Pod templates get only what does not differ between two runs, because otherwise every run would roll the
// pods. Hooks are not stamped: Helm 3 does not pass them to a post-renderer.
//
// It refuses a release in which no container runs the image, with an *release.InputError.
type Stamp struct{ Deployment release.Deployment }

// Run stamps a rendered manifest.
func (s Stamp) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	objects, err := manifest.Parse(rendered.String())
	if err != nil {
		return nil, err
	}
	if err := requireImage(objects, s.Deployment.Image); err != nil {
		return nil, err
	}
	digest := map[string]string{release.AnnotationDigest: s.Deployment.Image.Digest.String()}
	for _, object := range objects {
		manifest.SetStrings(object, s.labels(), "metadata", "labels")
		manifest.SetStrings(object, s.annotations(), "metadata", "annotations")
		for _, template := range manifest.PodTemplates {
			if _, found, _ := unstructured.NestedMap(object, slices.Concat(template, []string{"spec"})...); found {
				manifest.SetStrings(object, s.labels(), slices.Concat(template, []string{"metadata", "labels"})...)
				manifest.SetStrings(object, digest, slices.Concat(template, []string{"metadata", "annotations"})...)
			}
		}
	}
	return manifest.Format(objects)
}

func (s Stamp) labels() map[string]string {
	return map[string]string{release.LabelCommit: s.Deployment.Commit.String(), release.LabelEnvironment: s.Deployment.Environment.String()}
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
