package manifest

import (
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// volatileFields are set by the cluster, or differ from run to run. They say nothing about what was requested.
var volatileFields = [][]string{
	{"status"},
	{"metadata", "managedFields"}, {"metadata", "resourceVersion"}, {"metadata", "generation"}, {"metadata", "uid"},
	{"metadata", "creationTimestamp"}, {"metadata", "selfLink"},
	{"metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"},
	{"metadata", "annotations", "deployment.kubernetes.io/revision"},
	{"metadata", "annotations", "deprecated.daemonset.template.generation"},
	{"metadata", "annotations", "autoscaling.alpha.kubernetes.io/conditions"},      // where autoscaling/v1 has no field for them
	{"metadata", "annotations", "autoscaling.alpha.kubernetes.io/current-metrics"}, // Source: k8s.io/kubernetes, pkg/apis/autoscaling/annotations.go
	{"metadata", "annotations", release.AnnotationRun},
	{"metadata", "annotations", release.AnnotationActor},
}

// WithoutVolatile returns a copy of an object without the fields that the cluster sets or that differ from run to run.
func WithoutVolatile(object map[string]any) map[string]any {
	if object == nil {
		return nil
	}
	kept := runtime.DeepCopyJSON(object)
	for _, path := range volatileFields {
		unstructured.RemoveNestedField(kept, path...)
	}
	return kept
}
