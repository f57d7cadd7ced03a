package manifest

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// PodTemplates are the paths of the pod templates in workloads: in Deployments, StatefulSets, DaemonSets, Jobs and the custom
// kinds that follow them, and in CronJobs.
var PodTemplates = [][]string{
	{"spec", "template"},
	{"spec", "jobTemplate", "spec", "template"},
}

// ContainerLists are the lists of containers in a pod spec.
var ContainerLists = []string{"initContainers", "containers", "ephemeralContainers"}

// PodSpecs returns copies of the pod specs in an object: of a pod, and of each pod template.
func PodSpecs(object map[string]any) (specs []map[string]any) {
	var paths [][]string
	if object["kind"] == "Pod" {
		paths = append(paths, []string{"spec"})
	}
	for _, template := range PodTemplates {
		paths = append(paths, slices.Concat(template, []string{"spec"}))
	}
	for _, path := range paths {
		if spec, found, _ := unstructured.NestedMap(object, path...); found {
			specs = append(specs, spec)
		}
	}
	return specs
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
