package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// stamp is a post-renderer that marks every object of a release with what it is: commit, environment and digest, the
// run and who started it. Pods are marked with what cannot differ between runs only, or every run would roll them.
type stamp struct{ deployment release.Deployment }

func (s stamp) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	objects, err := objectsOf(rendered.String())
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		merge(object, s.labels(), "metadata", "labels")
		merge(object, s.annotations(), "metadata", "annotations")
		if _, found, _ := unstructured.NestedMap(object, "spec", "template", "spec"); found {
			merge(object, s.labels(), "spec", "template", "metadata", "labels")
			merge(object, map[string]string{release.AnnotationDigest: s.deployment.Image.Digest.String()}, "spec", "template", "metadata", "annotations")
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

// merge sets the values that are not empty in an object's map of strings.
func merge(object map[string]any, values map[string]string, path ...string) {
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

// objectsOf reads a manifest's documents, empty ones aside.
func objectsOf(manifest string) ([]map[string]any, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(manifest), 4096)
	var objects []map[string]any
	for {
		var object map[string]any
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the rendered manifest: %w", err)
		}
		if len(object) > 0 {
			objects = append(objects, object)
		}
	}
}

func written(objects []map[string]any) (*bytes.Buffer, error) {
	var text bytes.Buffer
	for _, object := range objects {
		document, err := sigsyaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("writing the manifest: %w", err)
		}
		text.WriteString("---\n")
		text.Write(document)
	}
	return &text, nil
}

// pinned refuses a manifest in which no container runs exactly the image.
func pinned(manifest string, deployment release.Deployment) error {
	objects, err := objectsOf(manifest)
	if err != nil {
		return err
	}
	var images []string
	for _, object := range objects {
		for _, list := range []string{"containers", "initContainers"} {
			containers, _, _ := unstructured.NestedSlice(object, "spec", "template", "spec", list)
			for _, container := range containers {
				if container, ok := container.(map[string]any); ok {
					image, _ := container["image"].(string)
					images = append(images, image)
				}
			}
		}
	}
	for _, image := range images {
		if image == deployment.Image.String() {
			return nil
		}
	}
	return release.BadInput("--chart (INPUT_CHART)", fmt.Sprintf("no container would run %q, but %q", deployment.Image, images),
		"let the chart build the image from image.repository and image.digest")
}

// listed names a manifest's objects; those without a namespace get the release's.
func listed(manifest, namespace string) ([]release.Object, error) {
	objects, err := objectsOf(manifest)
	if err != nil {
		return nil, err
	}
	list := make([]release.Object, 0, len(objects))
	for _, object := range objects {
		u := unstructured.Unstructured{Object: object}
		item := release.Object{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
		if item.Namespace == "" {
			item.Namespace = namespace
		}
		list = append(list, item)
	}
	return list, nil
}
