package kube

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// recordKey is the key of a revision in the Secret in which Helm stores it; maxRecord bounds it decompressed, in bytes.
// Source: helm.sh/helm/v3, pkg/storage/driver/secrets.go and util.go.
const (
	recordKey = "release"
	maxRecord = 64 << 20
)

// errNoRecord is returned for a release that Helm has no record of in the namespace.
var errNoRecord = errors.New("no record of Helm was found")

// appliedRevision reads a release's deployed revision, or its newest if none is deployed, where Helm keeps it. A record that was read before is read again
// only if it has changed. This package does not use Helm, which would make smoke 40 MB larger.
func (c *Client) appliedRevision(ctx context.Context, namespace, name string) (applied, error) {
	record, err := c.appliedRecord(ctx, namespace, name)
	if err != nil {
		return applied{}, err
	}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if found, _ := c.revisions.Load(key); found != nil {
		if last, _ := found.(recordedRevision); last.uid == record.UID && last.version == record.ResourceVersion {
			return last.applied, nil
		}
	}
	secret, err := c.secrets(namespace).Get(ctx, record.Name, meta.GetOptions{})
	if err != nil {
		return applied{}, err
	}
	decoded, err := decodeRecord(secret.Data[recordKey])
	if err != nil {
		return applied{}, fmt.Errorf("reading Secret/%s: %w", record.Name, err)
	}
	decoded.recorded = secret.CreationTimestamp.Time
	c.revisions.Store(key, recordedRevision{secret.UID, secret.ResourceVersion, decoded})
	return decoded, nil
}

// recordedRevision is a revision with the uid and the resource version of the Secret that contains it.
type recordedRevision struct {
	uid     types.UID
	version string
	applied applied
}

// applied is a revision as Helm has recorded it.
type applied struct {
	Name     string        `json:"name"`
	Manifest string        `json:"manifest"` // of the objects, without the hooks
	Hooks    []appliedHook `json:"hooks"`

	recorded time.Time // when Helm began to apply it, by the cluster's clock
}

// appliedHook is a hook of a revision. Source: helm.sh/helm/v3/pkg/release, hook.go.
type appliedHook struct {
	Manifest string `json:"manifest"`
	LastRun  struct {
		Phase string `json:"phase"`
	} `json:"last_run"`
}

// hookSucceeded is the phase of a hook that ended well.
const hookSucceeded = "Succeeded"

// hooksThatRan finds the hooks that name the image by its digest and succeeded.
func (a applied) hooksThatRan(namespace string, image release.Image) (hooks []release.Object, err error) {
	for _, hook := range a.Hooks {
		if hook.LastRun.Phase != hookSucceeded {
			continue
		}
		found, err := workloadsNaming(hook.Manifest, namespace, image)
		if err != nil {
			return nil, err
		}
		for _, one := range found {
			if len(one.containers) > 0 {
				hooks = append(hooks, one.object)
			}
		}
	}
	return hooks, nil
}

// naming finds the objects and hooks that hold an image's digest anywhere, at most maxNaming.
func (a applied) naming(namespace string, digest release.Digest) (objects []release.Object, err error) {
	manifests := []string{a.Manifest}
	for _, hook := range a.Hooks {
		manifests = append(manifests, hook.Manifest)
	}
	for _, manifest := range manifests {
		err := eachObject(manifest, "@"+digest.String(), func(object map[string]any) {
			if len(objects) < maxNaming {
				objects = append(objects, objectID(object, namespace))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// maxNaming is how many objects are told that name an image outside of a workload.
const maxNaming = 3

// appliedRecord returns the metadata of the Secret of the newest deployed revision, or of the newest one if none is deployed.
func (c *Client) appliedRecord(ctx context.Context, namespace, name string) (applied *meta.PartialObjectMetadata, err error) {
	list, err := c.listRecords(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	isDeployed := false
	for i := range list {
		item := &list[i]
		if revisionOf(item) == 0 || item.Labels[recordStatus] == statusUninstalled {
			continue
		}
		deployed := item.Labels[recordStatus] == statusDeployed
		if applied == nil || deployed && !isDeployed || deployed == isDeployed && revisionOf(item) > revisionOf(applied) {
			applied, isDeployed = item, deployed
		}
	}
	if applied == nil {
		return nil, errNoRecord
	}
	return applied, nil
}

// decodeRecord decodes the revision in a record. Early versions of Helm 3 did not compress it.
func decodeRecord(content []byte) (record applied, err error) {
	decoded, err := base64.StdEncoding.AppendDecode(nil, content)
	if err != nil {
		return record, err
	}
	if bytes.HasPrefix(decoded, []byte{0x1f, 0x8b, 0x08}) {
		in, err := gzip.NewReader(bytes.NewReader(decoded))
		if err != nil {
			return record, err
		}
		if decoded, err = httpx.ReadAll(in, maxRecord); err != nil {
			return record, fmt.Errorf("decompressing it: %w", err)
		}
	}
	if err := json.Unmarshal(decoded, &record); err != nil {
		return applied{}, err
	}
	if record.Name == "" {
		return applied{}, errors.New("it is not a release record")
	}
	return record, nil
}

// templated is a workload of a record, with the containers of its pod template that name an image.
type templated struct {
	object     release.Object
	containers []string     // containers that name the image
	others     []string     // containers that name another image of its repository: "CONTAINER: IMAGE"
	labels     []labels.Set // of its pods
	// mayBeUnread: a deploy goes on without the right to read it, or what owns its pods, and tells that nothing is known of them.
	mayBeUnread bool
	since       time.Time // when Helm began to apply the revision; zero if that is not known
	suspended   bool      // as its manifest says
	loose       bool      // it names the image outside of a pod template only, so that it need not have pods
}

// workloadsNaming finds the workloads of a manifest whose pod template names an image of the repository. Objects without a namespace
// get the given one. Documents that do not hold the repository's name are not parsed.
func workloadsNaming(manifest, namespace string, image release.Image) (found []templated, err error) {
	err = eachObject(manifest, image.Repository.String(), func(object map[string]any) {
		if one, names := namesImage(object, namespace, image); names {
			found = append(found, one)
		}
	})
	return found, err
}

// eachObject calls a function for every object in the documents of a manifest that hold a text.
func eachObject(manifest, text string, call func(object map[string]any)) error {
	reader := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the release's manifest: %w", err)
		}
		if !bytes.Contains(document, []byte(text)) {
			continue
		}
		content, err := yaml.ToJSON(document)
		if err != nil {
			return fmt.Errorf("reading the release's manifest: %w", err)
		}
		var object map[string]any
		if json.Unmarshal(content, &object) != nil {
			continue // not an object
		}
		for _, object := range release.ListItems(object) {
			call(object)
		}
	}
}

// namesImage reports whether a workload's pod template names an image of the repository, and in which containers.
func namesImage(object map[string]any, namespace string, image release.Image) (templated, bool) {
	result := templated{object: objectID(object, namespace), suspended: isSuspended(object)}
	templates := release.PodTemplates(object)
	if result.object.Kind == "Pod" {
		templates = []map[string]any{object}
	}
	for _, template := range templates {
		own, _, _ := unstructured.NestedStringMap(template, "metadata", "labels")
		result.labels = append(result.labels, own)
		spec, _ := template["spec"].(map[string]any)
		for _, list := range []string{"initContainers", "containers"} {
			items, _ := spec[list].([]any)
			for _, item := range items {
				container, _ := item.(map[string]any)
				result.add(container, image)
			}
		}
	}
	result.loose = len(result.containers) == 0
	for _, container := range release.LooseContainers(object) {
		result.add(container, image)
	}
	return result, len(result.containers)+len(result.others) > 0
}

// add adds a container that names an image of the repository.
func (t *templated) add(container map[string]any, image release.Image) {
	name, _ := container["name"].(string)
	reference, _ := container["image"].(string)
	switch {
	case namesDigest(reference, image.Digest):
		t.containers = append(t.containers, name)
	case namesRepository(reference, image.Repository):
		t.others = append(t.others, text.Line(name+": "+reference, 300))
	}
}

// objectID returns an object's identity. An object without a namespace gets the given one.
func objectID(object map[string]any, namespace string) release.Object {
	u := unstructured.Unstructured{Object: object}
	return release.Object{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: cmp.Or(u.GetNamespace(), namespace), Name: u.GetName()}
}

// namesDigest reports whether an image reference names the digest, with any repository and any tag: the digest alone decides
// what runs.
func namesDigest(reference string, digest release.Digest) bool {
	return !digest.IsZero() && strings.HasSuffix(reference, "@"+digest.String())
}

// namesRepository reports whether an image reference is of a repository.
func namesRepository(reference string, repository release.Repository) bool {
	rest, found := strings.CutPrefix(reference, repository.String())
	return found && (rest == "" || rest[0] == ':' || rest[0] == '@')
}

// labelledWorkloads finds the workloads that are labelled as the release's, by the chart or by deploy, and whose pod template contains an image of the
// repository. It is for a release that was not made with Helm, or whose records this user may not read. It skips kinds that this
// user may not list, and returns them as unread. If it finds nothing in the other kinds, the error is that they may not be
// listed.
func (c *Client) labelledWorkloads(ctx context.Context, namespace, name string, image release.Image) (found []templated, unread []string, err error) {
	var forbidden error
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		list, err := c.Dynamic.Resource(workloadResource("apps/v1", kind)).Namespace(namespace).List(ctx, meta.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if apierrors.IsForbidden(err) {
			forbidden, unread = cmp.Or(forbidden, err), append(unread, kind)
			continue
		}
		if err != nil {
			return nil, nil, c.Fault(ctx, err, "listing the workloads of release %q in namespace %q", name, namespace)
		}
		for _, item := range list.Items {
			own := item.GetLabels()
			if own[instanceLabel] != name && own[release.LabelRelease] != name {
				continue
			}
			if one, names := namesImage(item.Object, namespace, image); names {
				found = append(found, one)
			}
		}
	}
	if forbidden != nil && len(found) == 0 {
		return nil, nil, c.Fault(ctx, forbidden, "listing the workloads of release %q in namespace %q", name, namespace)
	}
	return found, unread, nil
}
