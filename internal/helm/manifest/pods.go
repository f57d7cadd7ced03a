package manifest

import (
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// ContainerLists are the lists of containers in a pod spec.
var ContainerLists = []string{"initContainers", "containers", "ephemeralContainers"}

// PodSpecs returns copies of the pod specs in an object: of a pod, and of each pod template.
func PodSpecs(object map[string]any) (specs []map[string]any) {
	if spec, isMap := object["spec"].(map[string]any); isMap && object["kind"] == "Pod" {
		specs = append(specs, runtime.DeepCopyJSON(spec))
	}
	for _, template := range release.PodTemplates(object) {
		specs = append(specs, runtime.DeepCopyJSON(PodSpec(template)))
	}
	return specs
}

// PodSpec returns the pod spec of a pod template, not a copy; nil if it has none.
func PodSpec(template map[string]any) map[string]any {
	spec, _ := template["spec"].(map[string]any)
	return spec
}

// Images returns the images of all containers in the pods of the objects, init and ephemeral containers included.
func Images(objects ...map[string]any) (images []string) {
	for _, object := range objects {
		for _, spec := range PodSpecs(object) {
			images = append(images, PodImages(spec)...)
		}
	}
	return images
}

// PodImages returns the images of all containers of a pod spec, init and ephemeral containers included.
func PodImages(spec map[string]any) (images []string) {
	for _, list := range ContainerLists {
		containers, _, _ := unstructured.NestedSlice(spec, list)
		for _, container := range containers {
			if container, ok := container.(map[string]any); ok {
				image, _ := container["image"].(string)
				images = append(images, image)
			}
		}
	}
	return images
}
