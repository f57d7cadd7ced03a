package chart

import (
	"fmt"
	"slices"
	"strconv"

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

// ServicesWithoutPort says which Services send requests to a port by a name that no container has of the objects' pods which they select. A Service that selects none of
// these pods is left out. Objects without a namespace get the given one.
func ServicesWithoutPort(objects []map[string]any, namespace string) (found []string) {
	for _, service := range objects {
		selector := labelsAt(service, "spec", "selector")
		if manifest.GroupKind(service) != "/Service" || len(selector) == 0 {
			continue
		}
		ports, isSelecting := portsSelected(objects, selector, manifest.ObjectID(service, namespace).Namespace, namespace)
		declared, _, _ := unstructured.NestedSlice(service, "spec", "ports")
		for _, each := range declared {
			port, _ := each.(map[string]any)
			target, isName := port["targetPort"].(string)
			if _, err := strconv.Atoi(target); isSelecting && isName && err != nil && !slices.Contains(ports, target) {
				found = append(found, fmt.Sprintf("%s sends requests to port %q, which no container of the pods that it selects has: nothing answers behind it", manifest.ObjectID(service, namespace), target))
			}
		}
	}
	return found
}

// portsSelected returns the names of the ports of the objects' pods that a selector selects in a namespace, and whether it selects any.
func portsSelected(objects []map[string]any, selector map[string]string, in, namespace string) (names []string, isSelecting bool) {
	for _, object := range objects {
		templates := release.PodTemplates(object)
		if object["kind"] == "Pod" {
			templates = []map[string]any{object}
		}
		for _, template := range templates {
			own := labelsAt(template, "metadata", "labels")
			isSelected := manifest.ObjectID(object, namespace).Namespace == in
			for name, value := range selector {
				isSelected = isSelected && own[name] == value
			}
			if !isSelected {
				continue
			}
			isSelecting = true
			for _, list := range []string{"containers", "initContainers"} {
				containers, _ := manifest.PodSpec(template)[list].([]any)
				for _, each := range containers {
					container, _ := each.(map[string]any)
					ports, _ := container["ports"].([]any)
					for _, each := range ports {
						port, _ := each.(map[string]any)
						name, _ := port["name"].(string)
						names = append(names, name)
					}
				}
			}
		}
	}
	return names, isSelecting
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
