package helm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// objectsOf reads a manifest's documents: empty ones are left out, lists are taken apart.
func objectsOf(manifest string) ([]map[string]any, error) {
	reader := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	var objects []map[string]any
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the rendered manifest: %w", err)
		}
		object, err := objectOf(document)
		if err != nil {
			return nil, fmt.Errorf("reading the rendered manifest: %w", err)
		}
		objects = append(objects, parts(object)...)
	}
}

// objectOf keeps whole numbers whole, however large: a user id of ten digits is one.
func objectOf(document []byte) (map[string]any, error) {
	text, err := yaml.ToJSON(document)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	err = json.Unmarshal(text, &object)
	return object, err
}

// parts are the objects of a list, and of any other object itself.
func parts(object map[string]any) []map[string]any {
	if len(object) == 0 {
		return nil
	}
	items, isList := object["items"].([]any)
	kind, _ := object["kind"].(string)
	if !isList || !strings.HasSuffix(kind, "List") {
		return []map[string]any{object}
	}
	var objects []map[string]any
	for _, item := range items {
		if item, ok := item.(map[string]any); ok {
			objects = append(objects, parts(item)...)
		}
	}
	return objects
}

// written is a manifest of the objects.
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

// templates are the paths at which a workload holds what its pods are made from.
var templates = [][]string{
	{"spec", "template"},                        // Deployment, StatefulSet, DaemonSet, Job, and kinds made after them
	{"spec", "jobTemplate", "spec", "template"}, // CronJob
}

func below(path []string, steps ...string) []string { return slices.Concat(path, steps) }

// images lists what the containers of all objects would run.
func images(objects []map[string]any) (list []string) {
	for _, object := range objects {
		if object["kind"] == "Pod" {
			list = append(list, imagesOf(object, "spec")...)
		}
		for _, template := range templates {
			list = append(list, imagesOf(object, below(template, "spec")...)...)
		}
	}
	return list
}

func imagesOf(object map[string]any, spec ...string) (list []string) {
	for _, name := range []string{"initContainers", "containers"} {
		containers, _, _ := unstructured.NestedSlice(object, below(spec, name)...)
		for _, container := range containers {
			if container, ok := container.(map[string]any); ok {
				image, _ := container["image"].(string)
				list = append(list, image)
			}
		}
	}
	return list
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
