package apptest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Cluster is as much of an apiserver as the verbs need that read releases or remove them: it has objects, and lets everybody do everything.
type Cluster struct {
	// Decode decodes an object that a client sends; clients of Kubernetes' own kinds send protobuf.
	Decode func(body []byte) (map[string]any, error)

	mu      sync.Mutex
	objects map[string]map[string]any // by path
	version int
}

// NewCluster returns a cluster without objects.
func NewCluster() *Cluster {
	return &Cluster{objects: map[string]map[string]any{}, Decode: func(body []byte) (fields map[string]any, err error) {
		err = json.Unmarshal(body, &fields)
		return fields, err
	}}
}

// Put adds an object, as JSON, at its path.
func (c *Cluster) Put(t *testing.T, at, object string) {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(object), &fields); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(at, fields)
}

// Has reports whether there is an object at a path.
func (c *Cluster) Has(at string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects[at] != nil
}

// put adds or replaces an object. The caller holds the lock.
func (c *Cluster) put(at string, fields map[string]any) map[string]any {
	c.version++
	described, _ := fields["metadata"].(map[string]any)
	if described == nil {
		described = map[string]any{}
	}
	described["name"], described["resourceVersion"], described["uid"] = path.Base(at), strconv.Itoa(c.version), strconv.Itoa(c.version)
	if parts := strings.Split(at, "/"); slices.Contains(parts, "namespaces") && len(parts) > 6 {
		described["namespace"] = parts[slices.Index(parts, "namespaces")+1]
	}
	fields["metadata"] = described
	c.objects[at] = fields
	return fields
}

// PutRevision adds Helm's record of a deployed revision, which onedigest made. Source: helm.sh/helm/v3, pkg/storage/driver.
func (c *Cluster) PutRevision(t *testing.T, namespace, name string, number int, manifest string) {
	t.Helper()
	record, err := json.Marshal(map[string]any{"name": name, "namespace": namespace, "version": number, "manifest": manifest, "chart": map[string]any{"metadata": map[string]any{"name": name, "version": "1.0.0"}},
		"info": map[string]any{"status": "deployed", "first_deployed": "2026-03-04T05:06:07Z", "last_deployed": "2026-03-04T05:06:07Z", "description": Hostile}})
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	out := gzip.NewWriter(&packed)
	_, _ = out.Write(record)
	_ = out.Close()
	content := base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(packed.Bytes())))
	at := fmt.Sprintf("sh.helm.release.v1.%s.v%d", name, number)
	labels, _ := json.Marshal(map[string]string{"name": name, "owner": "helm", "status": "deployed", "version": strconv.Itoa(number), //nolint:errchkjson // strings
		"onedigest.dev/created": strconv.Itoa(number), "onedigest.dev/verified": fmt.Sprintf("%d.proved", number)})
	c.Put(t, "/api/v1/namespaces/"+namespace+"/secrets/"+at, fmt.Sprintf(`{"kind":"Secret","apiVersion":"v1","type":"helm.sh/release.v1","metadata":{"labels":%s},"data":{"release":%q}}`, labels, content))
}

// resources are the kinds that the cluster serves.
const (
	coreResources = `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"namespaces","namespaced":false,"kind":"Namespace","verbs":["get"]},{"name":"secrets","namespaced":true,"kind":"Secret","verbs":["get"]},` +
		`{"name":"pods","namespaced":true,"kind":"Pod","verbs":["get"]},{"name":"configmaps","namespaced":true,"kind":"ConfigMap","verbs":["get"]},{"name":"services","namespaced":true,"kind":"Service","verbs":["get"]},` +
		`{"name":"persistentvolumeclaims","namespaced":true,"kind":"PersistentVolumeClaim","verbs":["get"]}]}`
	appsResources = `{"kind":"APIResourceList","groupVersion":"apps/v1","resources":[{"name":"deployments","namespaced":true,"kind":"Deployment","verbs":["get"]},{"name":"statefulsets","namespaced":true,"kind":"StatefulSet","verbs":["get"]},` +
		`{"name":"replicasets","namespaced":true,"kind":"ReplicaSet","verbs":["get"]}]}`
	leaseResources = `{"kind":"APIResourceList","groupVersion":"coordination.k8s.io/v1","resources":[{"name":"leases","namespaced":true,"kind":"Lease","verbs":["get"]}]}`
)

var discovery = map[string]string{
	"/version": `{"major":"1","minor":"33","gitVersion":"v1.33.0"}`, "/api": `{"kind":"APIVersions","versions":["v1"]}`, "/api/v1": coreResources, "/apis/apps/v1": appsResources, "/apis/coordination.k8s.io/v1": leaseResources,
	"/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}},` +
		`{"name":"coordination.k8s.io","versions":[{"groupVersion":"coordination.k8s.io/v1","version":"v1"}],"preferredVersion":{"groupVersion":"coordination.k8s.io/v1","version":"v1"}}]}`,
}

func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if known := discovery[r.URL.Path]; known != "" {
		fmt.Fprint(w, known)
		return
	}
	if r.URL.Query().Get("watch") != "" {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	if strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
		fmt.Fprint(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var sent map[string]any
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			sent, err = c.Decode(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	at := r.URL.Path
	existing := c.objects[at]
	switch {
	case r.Method == http.MethodPost:
		described, _ := sent["metadata"].(map[string]any)
		if at = path.Join(at, fmt.Sprint(described["name"])); c.objects[at] != nil {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"AlreadyExists","code":409,"message":"already exists"}`)
			return
		}
		c.answer(w, c.put(at, sent))
	case r.Method == http.MethodGet && existing == nil && isCollection(at):
		c.answer(w, c.list(r))
	case existing == nil:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"not found"}`)
	case r.Method == http.MethodPut:
		c.answer(w, c.put(at, sent))
	case r.Method == http.MethodDelete:
		delete(c.objects, at)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
	default:
		c.answer(w, existing)
	}
}

// isCollection reports whether a path is that of a resource and not of an object.
func isCollection(at string) bool {
	parts := strings.Split(strings.Trim(at, "/"), "/")
	parts = parts[min(len(parts), map[string]int{"api": 2, "apis": 3}[parts[0]]):]
	return len(parts) == 1 || len(parts) == 3
}

// list returns the objects of a resource that have the wanted labels.
func (c *Cluster) list(r *http.Request) map[string]any {
	items := []any{}
	for at, object := range c.objects {
		if path.Dir(at) == r.URL.Path && isLabelled(object, r.URL.Query().Get("labelSelector")) {
			items = append(items, object)
		}
	}
	if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
		return map[string]any{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": map[string]any{"resourceVersion": strconv.Itoa(c.version)}, "items": items}
	}
	kind, version := "List", "v1"
	if len(items) > 0 {
		first, _ := items[0].(map[string]any)
		kind, version = fmt.Sprint(first["kind"], "List"), fmt.Sprint(first["apiVersion"])
	}
	return map[string]any{"kind": kind, "apiVersion": version, "metadata": map[string]any{"resourceVersion": strconv.Itoa(c.version)}, "items": items}
}

// isLabelled compares an object with a selector of equalities.
func isLabelled(object map[string]any, selector string) bool {
	described, _ := object["metadata"].(map[string]any)
	labels, _ := described["labels"].(map[string]any)
	for part := range strings.SplitSeq(selector, ",") {
		if name, value, is := strings.Cut(part, "="); is && labels[name] != value {
			return false
		}
	}
	return true
}

func (c *Cluster) answer(w http.ResponseWriter, object map[string]any) {
	_ = json.NewEncoder(w).Encode(object) // whoever has hung up does not read it
}
