package helm

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stamp is a post-renderer that marks every object of a release with what it is: commit, environment and digest, the
// run and who started it. Pods are marked with what cannot differ between runs only, or every run would roll them. Hooks
// stay unmarked: Helm 3 does not show them to a post-renderer.
//
// It refuses a release in which no container runs the image.
type stamp struct{ deployment release.Deployment }

func (s stamp) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	objects, err := objectsOf(rendered.String())
	if err != nil {
		return nil, err
	}
	if err := pinned(objects, s.deployment.Image); err != nil {
		return nil, err
	}
	for _, object := range objects {
		merged(object, s.labels(), "metadata", "labels")
		merged(object, s.annotations(), "metadata", "annotations")
		for _, template := range templates {
			if _, found, _ := unstructured.NestedMap(object, below(template, "spec")...); found {
				merged(object, s.labels(), below(template, "metadata", "labels")...)
				merged(object, map[string]string{release.AnnotationDigest: s.deployment.Image.Digest.String()}, below(template, "metadata", "annotations")...)
			}
		}
	}
	return written(objects)
}

func (s stamp) labels() map[string]string {
	return map[string]string{release.LabelCommit: s.deployment.Commit.String(), release.LabelEnvironment: s.deployment.Environment.String()}
}

func (s stamp) annotations() map[string]string {
	return map[string]string{
		release.AnnotationDigest: s.deployment.Image.Digest.String(),
		release.AnnotationRun:    s.deployment.RunURL,
		release.AnnotationActor:  s.deployment.Actor,
	}
}

// merged sets the values that are not empty in an object's map of strings.
func merged(object map[string]any, values map[string]string, path ...string) {
	held, _, err := unstructured.NestedMap(object, path...)
	if err != nil {
		return // not a map: the apiserver will say so better
	}
	if held == nil {
		held = map[string]any{}
	}
	for name, value := range values {
		if value != "" {
			held[name] = value
		}
	}
	if len(held) > 0 {
		_ = unstructured.SetNestedMap(object, held, path...)
	}
}

// neutral is a manifest without what differs from run to run, for comparing.
func neutral(manifest string) (string, error) {
	objects, err := objectsOf(manifest)
	if err != nil {
		return "", err
	}
	for _, object := range objects {
		unstructured.RemoveNestedField(object, "metadata", "annotations", release.AnnotationRun)
		unstructured.RemoveNestedField(object, "metadata", "annotations", release.AnnotationActor)
	}
	text, err := written(objects)
	if err != nil {
		return "", err
	}
	return text.String(), nil
}

// pinned refuses objects of which no container runs exactly the image.
func pinned(objects []map[string]any, image release.Image) error {
	run := images(objects)
	if slices.Contains(run, image.String()) {
		return nil
	}
	what := fmt.Sprintf("no container would run %q, but %q", image, run)
	if len(run) == 0 {
		what = fmt.Sprintf("no container would run %q, nor any other image", image)
	}
	return release.BadInput(whereChart, what, "let the chart build the image from image.repository and image.digest")
}
