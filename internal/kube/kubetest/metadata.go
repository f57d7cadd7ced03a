package kubetest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// wantsMetadata reports whether a request asks for the metadata of objects only
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches).
func wantsMetadata(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata")
}

// listMetadata answers a list request with the metadata of the objects.
func (s *Server) listMetadata(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []any{}
	for path, object := range s.objects {
		if wanted(r, path, object) {
			items = append(items, metadataOf(object))
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "items": items,
		"metadata": map[string]any{"resourceVersion": strconv.Itoa(s.version)}})
}

func metadataOf(object map[string]any) map[string]any {
	return map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]}
}

// patchLabels merges labels into an object. The patch must contain the object's resource version.
func (s *Server) patchLabels(w http.ResponseWriter, r *http.Request) {
	var patch struct {
		Metadata struct {
			ResourceVersion string
			Labels          map[string]string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	object := s.objects[r.URL.Path]
	if object == nil {
		refuse(w, http.StatusNotFound)
		return
	}
	content := unstructured.Unstructured{Object: object}
	if patch.Metadata.ResourceVersion != content.GetResourceVersion() {
		refuse(w, http.StatusConflict)
		return
	}
	labels := content.GetLabels()
	for name, value := range patch.Metadata.Labels {
		labels[name] = value
	}
	s.version++
	content.SetLabels(labels)
	content.SetResourceVersion(strconv.Itoa(s.version))
	json.NewEncoder(w).Encode(metadataOf(object))
}

// Decode decodes an object that a client sends, in JSON or protobuf.
func Decode(body []byte) (map[string]any, error) {
	object, kind, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		return nil, err
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err == nil {
		fields["apiVersion"], fields["kind"] = kind.GroupVersion().String(), kind.Kind
	}
	return fields, err
}
