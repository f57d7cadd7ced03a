package kube

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// readsAtOnce is how many objects are read at once.
const readsAtOnce = 8

// metadataOnly asks for an object without its content
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches).
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// referred is an object that references name, in the namespace of the workload that names it.
type referred struct{ kind, namespace, name string }

// reading is what reading an object came to.
type reading struct {
	needed    map[string]bool // keys that are asked for
	found     bool
	forbidden bool
	keys      map[string]bool // of those, that it has
}

// Missing finds out which references lead nowhere, in the order given: an object that is not there, or that lacks the key.
// Those to what we may not read are unchecked. Optional ones are left out, and so is the service account "default", which
// the cluster makes in every namespace.
//
// Each object is read once, without its content where no key is asked for; no value is kept. A reference of any kind but
// Secret, ConfigMap, ServiceAccount and PersistentVolumeClaim is an error, and a cluster that does not answer is a
// *release.Fault.
func (c *Client) MissingReferences(ctx context.Context, namespace string, references []release.Reference) (missing, unchecked []release.Reference, err error) {
	objects := map[referred]*reading{}
	for _, reference := range references {
		if skipped(reference) {
			continue
		}
		if resourceOf[reference.Kind] == "" {
			return nil, nil, fmt.Errorf("looking %s up: it is no kind that a pod refers to", reference)
		}
		object := referredBy(reference, namespace)
		if objects[object] == nil {
			objects[object] = &reading{needed: map[string]bool{}, keys: map[string]bool{}}
		}
		if reference.Key != "" {
			objects[object].needed[reference.Key] = true
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for object, into := range objects {
		group.Go(func() error { return c.readReferred(groupCtx, object, into) })
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for _, reference := range references {
		if skipped(reference) {
			continue
		}
		switch read := objects[referredBy(reference, namespace)]; {
		case read.forbidden:
			unchecked = append(unchecked, reference)
		case !read.found, reference.Key != "" && !read.keys[reference.Key]:
			missing = append(missing, reference)
		}
	}
	return missing, unchecked, nil
}

func skipped(reference release.Reference) bool {
	return reference.Optional || reference.Kind == "ServiceAccount" && reference.Name == "default"
}

func referredBy(reference release.Reference, namespace string) referred {
	if reference.By.Namespace != "" {
		namespace = reference.By.Namespace
	}
	return referred{reference.Kind, namespace, reference.Name}
}

// resourceOf is the API's name for a kind that a pod refers to.
var resourceOf = map[string]string{"Secret": "secrets", "ConfigMap": "configmaps", "ServiceAccount": "serviceaccounts",
	"PersistentVolumeClaim": "persistentvolumeclaims"}

func (c *Client) readReferred(ctx context.Context, object referred, into *reading) error {
	err := c.readKeys(ctx, object, into)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsForbidden(err):
		into.forbidden = true
		return nil
	case err != nil:
		return c.Fault(ctx, err, "reading %s/%s in namespace %q", object.kind, object.name, object.namespace)
	}
	into.found = true
	return nil
}

func (c *Client) readKeys(ctx context.Context, object referred, into *reading) error {
	switch {
	case object.kind == "Secret" && len(into.needed) > 0:
		secret, err := c.Kube.CoreV1().Secrets(object.namespace).Get(ctx, object.name, meta.GetOptions{})
		if err == nil {
			noteKeys(into, secret.Data)
		}
		return err
	case object.kind == "ConfigMap" && len(into.needed) > 0:
		config, err := c.Kube.CoreV1().ConfigMaps(object.namespace).Get(ctx, object.name, meta.GetOptions{})
		if err == nil {
			noteKeys(into, config.Data)
			noteKeys(into, config.BinaryData)
		}
		return err
	}
	return c.Kube.CoreV1().RESTClient().Get().SetHeader("Accept", metadataOnly).
		Namespace(object.namespace).Resource(resourceOf[object.kind]).Name(object.name).Do(ctx).Error()
}

// noteKeys keeps which of the needed keys there are, and nothing of what they hold.
func noteKeys[V any](into *reading, content map[string]V) {
	for key := range into.needed {
		if _, found := content[key]; found {
			into.keys[key] = true
		}
	}
}
