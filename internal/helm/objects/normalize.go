package objects

import (
	"encoding/base64"

	"helm.sh/helm/v3/pkg/kube"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// normalize writes objects as a cluster stores them, because a three-way merge needs that to remove fields: a merge of a Secret's
// stringData removes nothing from its data, and a merge of null replicas resets what an autoscaler has set.
func normalize(list kube.ResourceList) kube.ResourceList {
	for _, info := range list {
		object, ok := info.Object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		if kind := info.Mapping.GroupVersionKind; kind.Group == "" && kind.Kind == "Secret" {
			encodeStringData(object.Object)
		}
		if spec, ok := object.Object["spec"].(map[string]any); ok && spec["replicas"] == nil {
			delete(spec, "replicas")
		}
	}
	return list
}

// encodeStringData moves a Secret's stringData to its data, as an apiserver does. It does not change a Secret that an apiserver
// would refuse.
// Source: kubernetes.io, API reference, Secret, stringData.
func encodeStringData(secret map[string]any) {
	texts, ok := secret["stringData"].(map[string]any)
	data, hasData := secret["data"].(map[string]any)
	if !ok || !hasData && secret["data"] != nil {
		return
	}
	encoded := make(map[string]any, len(data)+len(texts))
	for name, value := range data {
		encoded[name] = value
	}
	for name, value := range texts {
		text, ok := value.(string)
		if !ok {
			return
		}
		encoded[name] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	delete(secret, "stringData")
	secret["data"] = encoded
}
