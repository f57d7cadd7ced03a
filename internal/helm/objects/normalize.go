package objects

import (
	"cmp"
	"encoding/base64"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"helm.sh/helm/v3/pkg/kube"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"
)

// normalize writes objects as a cluster stores them, because a three-way merge needs that to remove fields: a merge of a Secret's
// stringData removes nothing from its data, a merge of null replicas resets what an autoscaler has set, and a field that the
// apiserver has filled from another one stays when the other one goes.
func normalize(list kube.ResourceList) kube.ResourceList {
	for _, info := range list {
		object, ok := info.Object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		spec, _ := object.Object["spec"].(map[string]any)
		if spec != nil && spec["replicas"] == nil {
			delete(spec, "replicas")
		}
		switch info.Mapping.GroupVersionKind.GroupKind().String() {
		case "Secret":
			encodeStringData(object.Object)
		case "Pod":
			mirrorServiceAccount(spec)
		case "NetworkPolicy.networking.k8s.io":
			fillPolicyTypes(spec)
		}
		switch info.Mapping.GroupVersionKind.Group {
		case "", "apps", "batch":
			for _, template := range release.PodTemplates(object.Object) {
				mirrorServiceAccount(manifest.PodSpec(template))
			}
		}
	}
	return list
}

// mirrorServiceAccount gives the service account under both of its names, as an apiserver does: it fills the one that is removed from the other.
// Source: kubernetes.io, API reference, PodSpec, serviceAccount.
func mirrorServiceAccount(pod map[string]any) {
	name, _ := pod["serviceAccountName"].(string)
	deprecated, _ := pod["serviceAccount"].(string)
	if name = cmp.Or(name, deprecated); name != "" {
		pod["serviceAccountName"], pod["serviceAccount"] = name, name
	}
}

// fillPolicyTypes sets the types of a NetworkPolicy that has none from its rules, as an apiserver does when it creates the policy: it does not
// set them again when the rules change.
// Source: kubernetes.io, API reference, NetworkPolicySpec, policyTypes.
func fillPolicyTypes(spec map[string]any) {
	if types, _ := spec["policyTypes"].([]any); spec == nil || len(types) > 0 {
		return
	}
	types := []any{"Ingress"}
	if rules, _ := spec["egress"].([]any); len(rules) > 0 {
		types = append(types, "Egress")
	}
	spec["policyTypes"] = types
}

// withRollingUpdate returns the earlier StatefulSet with an empty rollingUpdate if the target has the strategy OnDelete, and any other object as it is: an
// apiserver refuses the rollingUpdate that it has filled in itself beside OnDelete, and a merge removes only what the earlier object has.
// Source: kubernetes.io, API reference, StatefulSetUpdateStrategy.
func withRollingUpdate(earlier, target *resource.Info) *resource.Info {
	if target == nil || target.Mapping.GroupVersionKind.GroupKind().String() != "StatefulSet.apps" ||
		manifest.ValueAt(manifest.Fields(target.Object), "spec.updateStrategy.type", "") != "OnDelete" {
		return earlier
	}
	fields := runtime.DeepCopyJSON(manifest.Fields(earlier.Object))
	if _, found, err := unstructured.NestedMap(fields, "spec", "updateStrategy", "rollingUpdate"); found || err != nil {
		return earlier
	}
	if unstructured.SetNestedMap(fields, map[string]any{}, "spec", "updateStrategy", "rollingUpdate") != nil {
		return earlier
	}
	filled := *earlier
	filled.Object = &unstructured.Unstructured{Object: fields}
	return &filled
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
