package kube

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxReads is how many referenced objects are read in parallel.
const maxReads = 8

// metadataOnly requests an object without its content
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches).
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// referencedKinds maps the kinds that a pod refers to by name to their resources.
var referencedKinds = map[string]string{"Secret": "secrets", "ConfigMap": "configmaps", "ServiceAccount": "serviceaccounts",
	"PersistentVolumeClaim": "persistentvolumeclaims"}

// referencedObject is the target of one or more references. It is in the namespace of the workload with the reference.
type referencedObject struct{ kind, namespace, name string }

// objectState is the result of reading a referenced object.
type objectState struct {
	wantedKeys map[string]bool // keys that references contain
	exists     bool
	forbidden  bool
	keys       map[string]bool // those of wantedKeys that exist
}

// MissingReferences finds the references whose object does not exist or lacks the key, in the order given. References to objects that this
// user may not read are unchecked. Optional references are ignored, and so is the service account "default", which Kubernetes
// creates in every namespace.
//
// Each object is read once, by its metadata alone where no key is named; values are not kept. A reference of a kind other than
// Secret, ConfigMap, ServiceAccount and PersistentVolumeClaim is an error, and a cluster that does not answer is a *release.Fault.
func (c *Client) MissingReferences(ctx context.Context, namespace string, references []release.Reference) (missing, unchecked []release.Reference, err error) {
	objects := map[referencedObject]*objectState{}
	for _, reference := range references {
		if isIgnored(reference) {
			continue
		}
		if referencedKinds[reference.Kind] == "" {
			return nil, nil, fmt.Errorf("reading %s: a pod cannot refer to this kind", reference)
		}
		object := objectOf(reference, namespace)
		if objects[object] == nil {
			objects[object] = &objectState{wantedKeys: map[string]bool{}, keys: map[string]bool{}}
		}
		if reference.Key != "" {
			objects[object].wantedKeys[reference.Key] = true
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxReads)
	for object, state := range objects {
		group.Go(func() error { return c.readReferenced(groupCtx, object, state) })
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for _, reference := range references {
		if isIgnored(reference) {
			continue
		}
		switch state := objects[objectOf(reference, namespace)]; {
		case state.forbidden:
			unchecked = append(unchecked, reference)
		case !state.exists, reference.Key != "" && !state.keys[reference.Key]:
			missing = append(missing, reference)
		}
	}
	return missing, unchecked, nil
}

func isIgnored(reference release.Reference) bool {
	return reference.Optional || reference.Kind == "ServiceAccount" && reference.Name == "default"
}

// objectOf returns the object of a reference, in the namespace of the workload with the reference, or else in the release's.
func objectOf(reference release.Reference, namespace string) referencedObject {
	if reference.By.Namespace != "" {
		namespace = reference.By.Namespace
	}
	return referencedObject{reference.Kind, namespace, reference.Name}
}

// readReferenced reads a referenced object and records in state whether it exists and which keys it has.
func (c *Client) readReferenced(ctx context.Context, object referencedObject, state *objectState) error {
	err := c.readKeys(ctx, object, state)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsForbidden(err):
		state.forbidden = true
		return nil
	case err != nil:
		return c.Fault(ctx, err, "reading %s/%s in namespace %q", object.kind, object.name, object.namespace)
	}
	state.exists = true
	return nil
}

// readKeys reads an object. It reads the content only if a reference contains a key.
func (c *Client) readKeys(ctx context.Context, object referencedObject, state *objectState) error {
	switch {
	case object.kind == "Secret" && len(state.wantedKeys) > 0:
		secret, err := c.secrets(object.namespace).Get(ctx, object.name, meta.GetOptions{})
		if err == nil {
			recordKeys(state, secret.Data)
		}
		return err
	case object.kind == "ConfigMap" && len(state.wantedKeys) > 0:
		config, err := c.configMaps(object.namespace).Get(ctx, object.name, meta.GetOptions{})
		if err == nil {
			recordKeys(state, config.Data)
			recordKeys(state, config.BinaryData)
		}
		return err
	}
	return c.apis.core.Get().SetHeader("Accept", metadataOnly).
		Namespace(object.namespace).Resource(referencedKinds[object.kind]).Name(object.name).Do(ctx).Error()
}

// recordKeys records which wanted keys the content has, without their values.
func recordKeys[V any](state *objectState, content map[string]V) {
	for key := range state.wantedKeys {
		if _, found := content[key]; found {
			state.keys[key] = true
		}
	}
}
