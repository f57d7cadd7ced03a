package chart

import (
	"slices"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Endpoints lists the Services of type LoadBalancer and the Ingresses, and those of them that lead to pods of the deployment's main image: Services by
// their selector, Ingresses by the Services that they name. Objects without a namespace get the deployment's.
func (r *Rendered) Endpoints(deployment release.Deployment) (endpoints, leading []release.Object, err error) {
	objects, err := manifest.Parse(r.Manifest)
	if err != nil {
		return nil, nil, err
	}
	renderer := PostRenderer{Deployment: deployment}
	renderer.Deployment.Images = deployment.Images[:min(1, len(deployment.Images))]
	var pods []podLabels
	for _, object := range objects {
		pods = append(pods, renderer.podsOf(object)...)
	}
	services := map[release.Object]bool{} // whether a Service leads to the pods
	for _, object := range objects {
		if manifest.GroupKind(object) == "/Service" {
			services[manifest.ObjectID(object, deployment.Namespace)] = renderer.selects(object, pods)
		}
	}
	for _, object := range objects {
		id := manifest.ObjectID(object, deployment.Namespace)
		leads := services[id]
		switch {
		case manifest.GroupKind(object) == "/Service" && manifest.ValueAt(object, "spec.type", "") == "LoadBalancer":
		case manifest.GroupKind(object) == "networking.k8s.io/Ingress":
			leads = slices.ContainsFunc(backendsOf(object), func(name string) bool {
				return services[release.Object{APIVersion: "v1", Kind: "Service", Namespace: id.Namespace, Name: name}]
			})
		default:
			continue
		}
		endpoints = append(endpoints, id)
		if leads {
			leading = append(leading, id)
		}
	}
	return endpoints, leading, nil
}

// podsOf returns the labels of an object's pods that run one of the images.
func (r PostRenderer) podsOf(object map[string]any) (pods []podLabels) {
	namespace := manifest.ObjectID(object, r.Deployment.Namespace).Namespace
	if object["kind"] == "Pod" && r.imageIn(manifest.Images(object)) != nil {
		return []podLabels{{namespace, labelsAt(object, "metadata", "labels")}}
	}
	for _, template := range release.PodTemplates(object) {
		if r.imageIn(manifest.PodImages(manifest.PodSpec(template))) != nil {
			pods = append(pods, podLabels{namespace, labelsAt(template, "metadata", "labels")})
		}
	}
	return pods
}

// backendsOf lists the Services to which an Ingress leads.
func backendsOf(ingress map[string]any) (names []string) {
	if name, found, _ := unstructured.NestedString(ingress, "spec", "defaultBackend", "service", "name"); found {
		names = append(names, name)
	}
	rules, _, _ := unstructured.NestedSlice(ingress, "spec", "rules")
	for _, rule := range rules {
		fields, _ := rule.(map[string]any)
		paths, _, _ := unstructured.NestedSlice(fields, "http", "paths")
		for _, path := range paths {
			fields, _ := path.(map[string]any)
			if name, found, _ := unstructured.NestedString(fields, "backend", "service", "name"); found {
				names = append(names, name)
			}
		}
	}
	return names
}
