// Package objects builds, reads and compares the objects of a release in a cluster. It changes none of them.
package objects

import (
	"bytes"
	"io"
	"maps"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
	"helm.sh/helm/v3/pkg/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"
)

// maxParallel is how many requests Each sends in parallel.
const maxParallel = 8

// Each calls do for 0 to n-1, up to maxParallel calls at once, and returns the first error.
func Each(n int, do func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(maxParallel)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}

// Cluster builds objects of the kinds that the cluster serves, according to its mapper.
type Cluster struct {
	*kube.Client
	Mapper  func() meta.RESTMapper
	Refresh func() (asked bool, err error) // asks the cluster for its kinds again, at most once per operation
}

// Build reads a manifest's objects, and writes them as the cluster stores them. It does not validate: the apiserver does so
// itself since 1.27, and the client would have to download the whole schema. After an unknown kind it discovers the cluster's
// kinds again, once.
func (c *Cluster) Build(reader io.Reader, _ bool) (kube.ResourceList, error) {
	content, err := io.ReadAll(reader)
	if err != nil {
		return nil, err
	}
	list, err := c.Client.Build(bytes.NewReader(content), false)
	if !isUnknownKind(err) {
		return normalize(list), err
	}
	if asked, failed := c.Refresh(); failed != nil {
		return nil, failed
	} else if !asked {
		return list, err
	}
	list, err = c.Client.Build(bytes.NewReader(content), false)
	return normalize(list), err
}

// isUnknownKind reports whether the cluster does not serve a kind. It reads the text, because Helm joins errors and drops their
// types.
func isUnknownKind(err error) bool {
	return err != nil && (meta.IsNoMatchError(err) || strings.Contains(err.Error(), "no matches for kind"))
}

// Serves reports whether the cluster serves an object's kind and version.
func (c *Cluster) Serves(object map[string]any) (bool, error) {
	kind := (&unstructured.Unstructured{Object: object}).GroupVersionKind()
	_, err := c.Mapper().RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	return err == nil, err
}

// BuildServed builds the objects of a manifest whose kinds the cluster still serves.
func (c *Cluster) BuildServed(text string) (kube.ResourceList, error) {
	objects, err := manifest.Parse(text)
	if err != nil {
		return nil, err
	}
	var served []map[string]any
	for _, object := range objects {
		isServed, err := c.Serves(object)
		if err != nil {
			return nil, err
		}
		if isServed {
			served = append(served, object)
		}
	}
	if len(served) == 0 {
		return nil, nil
	}
	formatted, err := manifest.Format(served)
	if err != nil {
		return nil, err
	}
	list, err := c.Client.Build(formatted, false)
	return normalize(list), err
}

// Get reads an object from the cluster.
func Get(info *resource.Info) (*resource.Info, error) {
	found, err := resource.NewHelper(info.Client, info.Mapping).Get(info.Namespace, info.Name)
	if err != nil {
		return nil, err
	}
	current := *info
	return &current, current.Refresh(found, true)
}

// ID returns an object's identity.
func ID(info *resource.Info) release.Object {
	kind := info.Mapping.GroupVersionKind
	return release.Object{APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Namespace: info.Namespace, Name: info.Name}
}

// Annotations returns an object's annotations.
func Annotations(info *resource.Info) map[string]string {
	accessor, err := meta.Accessor(info.Object)
	if err != nil {
		return nil
	}
	return accessor.GetAnnotations()
}

// mergeStrings returns the entries of both maps; second overrides first.
func mergeStrings(first, second map[string]string) map[string]string {
	merged := make(map[string]string, len(first)+len(second))
	maps.Copy(merged, first)
	maps.Copy(merged, second)
	return merged
}
