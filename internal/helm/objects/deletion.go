package objects

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/resource"
)

// IsDeleting reports whether an object is being deleted, and which finalizers keep it in the cluster until then.
func IsDeleting(info *resource.Info) (finalizers []string, deleting bool) {
	accessor, err := meta.Accessor(info.Object)
	if err != nil || accessor.GetDeletionTimestamp().IsZero() {
		return nil, false
	}
	return accessor.GetFinalizers(), true
}

// OfControllers returns the finalizers that a controller has set: without those of the garbage collector, which waits for the objects
// that the object owns. Source: kubernetes.io, "Garbage Collection", Cascading deletion.
func OfControllers(finalizers []string) []string {
	return slices.DeleteFunc(slices.Clone(finalizers), func(name string) bool {
		return name == metav1.FinalizerDeleteDependents || name == metav1.FinalizerOrphanDependents
	})
}
