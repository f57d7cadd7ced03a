// Package manifest reads and writes manifests, and reads single fields of their objects. It uses neither Helm nor a cluster.
package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// Parse reads the objects of a manifest. Empty documents are dropped, and lists are replaced by their items.
func Parse(manifest string) ([]map[string]any, error) {
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
		object, err := ParseObject(document)
		if err != nil {
			return nil, fmt.Errorf("reading the rendered manifest: %w", err)
		}
		objects = append(objects, release.ListItems(object)...)
	}
}

// ParseObject reads one document. Integers stay integers, whatever their size: a user id may have ten digits.
func ParseObject(document []byte) (map[string]any, error) {
	text, err := yaml.ToJSON(document)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	err = json.Unmarshal(text, &object)
	return object, err
}

// Format writes the objects as a manifest of one YAML document each.
func Format(objects []map[string]any) (*bytes.Buffer, error) {
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

// ListObjects returns the identities of a manifest's objects. Those without a namespace get the given one.
func ListObjects(manifest, namespace string) ([]release.Object, error) {
	objects, err := Parse(manifest)
	if err != nil {
		return nil, err
	}
	list := make([]release.Object, 0, len(objects))
	for _, object := range objects {
		list = append(list, ObjectID(object, namespace))
	}
	return list, nil
}

// ObjectID returns an object's identity. An object without a namespace gets the given one.
func ObjectID(object map[string]any, namespace string) release.Object {
	u := unstructured.Unstructured{Object: object}
	id := release.Object{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
	if id.Namespace == "" {
		id.Namespace = namespace
	}
	return id
}
