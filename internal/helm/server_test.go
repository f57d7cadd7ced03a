package helm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube/kubetest"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// kinds are the kinds that the server serves, by resource.
var kinds = map[string]schema.GroupVersionKind{
	"namespaces":                      {Version: "v1", Kind: "Namespace"},
	"secrets":                         {Version: "v1", Kind: "Secret"},
	"configmaps":                      {Version: "v1", Kind: "ConfigMap"},
	"services":                        {Version: "v1", Kind: "Service"},
	"serviceaccounts":                 {Version: "v1", Kind: "ServiceAccount"},
	"pods":                            {Version: "v1", Kind: "Pod"},
	"persistentvolumeclaims":          {Version: "v1", Kind: "PersistentVolumeClaim"},
	"deployments":                     {Group: "apps", Version: "v1", Kind: "Deployment"},
	"statefulsets":                    {Group: "apps", Version: "v1", Kind: "StatefulSet"},
	"jobs":                            {Group: "batch", Version: "v1", Kind: "Job"},
	"cronjobs":                        {Group: "batch", Version: "v1", Kind: "CronJob"},
	"horizontalpodautoscalers":        {Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	"poddisruptionbudgets":            {Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	"networkpolicies":                 {Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
	"roles":                           {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
	"rolebindings":                    {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
	"customresourcedefinitions":       {Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
	"validatingwebhookconfigurations": {Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"},
	"widgets":                         {Group: "example.com", Version: "v1", Kind: "Widget"},
}

// server is as much of an apiserver as Helm uses: discovery, and objects that can be created, read, patched and deleted, each with
// a resource version; dry runs, and lists of metadata only. It fails the test on requests that it does not know.
type server struct {
	t      *testing.T
	config rest.Config

	mu        sync.Mutex
	objects   map[string]map[string]any // path to object
	version   int
	answer    func(r *http.Request) (code int, message string)
	coldCache bool     // lists that may come from the cache are empty; must not be set while a request is served
	warning   string   // sent with every change
	asked     []string // "METHOD path"
	api       *clusterAPI
	admit     func(object map[string]any) // changes what is sent, as a mutating webhook does
	watched   func()                      // called when something is watched; nothing ever happens to it
	mayDelete []string                    // service accounts, as namespace:name, that may delete everything; nil: none
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, objects: map[string]map[string]any{}, config: rest.Config{QPS: 1000, Burst: 1000}}
	web := httptest.NewServer(s)
	s.config.Host = web.URL
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return s
}

// newServerInBubble is a server in the bubble of a synctest.
func newServerInBubble(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, objects: map[string]map[string]any{}, config: rest.Config{Host: "http://cluster.example.com", QPS: 1000, Burst: 1000}}
	s.config.Dial = kubetest.ServePipes(t, s, func() {}).Dial
	return s
}

func (s *server) client(namespace string) *Client {
	s.t.Helper()
	client, err := New(&s.config, namespace, func(line string) { s.t.Log(line) })
	if err != nil {
		s.t.Fatal(err)
	}
	client.timeouts.otherHelm, client.timeouts.poll = 300*time.Millisecond, 5*time.Millisecond
	return client
}

// discovered returns the server's API, which is discovered once.
func (s *server) discovered(t *testing.T) *clusterAPI {
	t.Helper()
	if s.api == nil {
		var err error
		if s.api, err = s.client("any").connection.apiNewerThan(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	return s.api
}

// answers makes requests fail with a code and the apiserver's message; code 0 serves them.
func (s *server) answers(with func(*http.Request) (int, string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = with
}

// warn makes the server answer every change with a warning.
func (s *server) warn(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warning = text
}

// requests returns the requests since the last call.
func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// changes returns the requests since the last call that change something other than Helm's records.
func (s *server) changes() (list []string) {
	for _, asked := range s.requests() {
		if !strings.HasPrefix(asked, "GET ") && !strings.Contains(asked, "/secrets") && !strings.HasSuffix(asked, "accessreviews") && !strings.HasSuffix(asked, "dryRun=All") {
			list = append(list, asked)
		}
	}
	return list
}

// named returns the objects of a resource.
func (s *server) named(resource string) (list []map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, object := range s.objects {
		if strings.Contains(path, "/"+resource+"/") {
			list = append(list, object)
		}
	}
	return list
}

// object returns the object whose path ends in a suffix, nil if there is none.
func (s *server) object(suffix string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, object := range s.objects {
		if strings.HasSuffix(path, suffix) {
			return runtime.DeepCopyJSON(object)
		}
	}
	return nil
}

// snapshot returns a copy of all objects.
func (s *server) snapshot() map[string]map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := map[string]map[string]any{}
	for path, object := range s.objects {
		copied[path] = runtime.DeepCopyJSON(object)
	}
	return copied
}

// restore replaces all objects by a snapshot.
func (s *server) restore(snapshot map[string]map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = map[string]map[string]any{}
	for path, object := range snapshot {
		s.objects[path] = runtime.DeepCopyJSON(object)
	}
}

func (s *server) remove(suffix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path := range s.objects {
		if strings.HasSuffix(path, suffix) {
			delete(s.objects, path)
			return
		}
	}
	s.t.Errorf("there is no %q", suffix)
}

// put creates or replaces an object without any checks.
func (s *server) put(path string, object map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(path, object, false)
}

// change edits an object as a person would.
func (s *server) change(suffix string, edit func(object map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, object := range s.objects {
		if strings.HasSuffix(path, suffix) {
			edit(object)
			s.store(path, object, false)
			return
		}
	}
	s.t.Errorf("there is no %q", suffix)
}

// store keeps an object, unless it is a dry run, with a new resource version.
func (s *server) store(path string, object map[string]any, dry bool) {
	s.version++
	u := unstructured.Unstructured{Object: object}
	u.SetResourceVersion(strconv.Itoa(s.version))
	if u.GetUID() == "" {
		_ = unstructured.SetNestedField(object, fmt.Sprintf("uid-%d", s.version), "metadata", "uid")
		_ = unstructured.SetNestedField(object, "2026-01-01T00:00:00Z", "metadata", "creationTimestamp")
	}
	if !dry {
		s.objects[path] = object
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := r.Method + " " + r.URL.Path
	if r.URL.Query().Has("dryRun") {
		asked += "?dryRun=" + r.URL.Query().Get("dryRun")
	}
	s.mu.Lock()
	s.asked = append(s.asked, asked)
	answer := s.answer
	s.mu.Unlock()
	// Only after the body is read does net/http notice that a client has gone.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if answer != nil {
		if code, message := answer(r); code != 0 {
			refuse(w, code, message)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if document := discoveryDocument(r.URL.Path); document != nil {
		_ = json.NewEncoder(w).Encode(document)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/localsubjectaccessreviews") {
		s.review(w, body)
		return
	}
	if s.watched != nil && r.URL.Query().Has("watch") {
		w.(http.Flusher).Flush()
		s.watched()
		<-r.Context().Done()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warning != "" && r.Method != http.MethodGet {
		w.Header().Set("Warning", fmt.Sprintf("299 - %q", s.warning))
	}
	s.serve(w, r)
}

// review answers a LocalSubjectAccessReview about the deletion of an object.
func (s *server) review(w io.Writer, body []byte) {
	decoded, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), body)
	review, ok := decoded.(*authorization.LocalSubjectAccessReview)
	if err != nil || !ok {
		s.t.Errorf("a review: %v", err)
		return
	}
	account, isAccount := strings.CutPrefix(review.Spec.User, "system:serviceaccount:")
	if asked := review.Spec.ResourceAttributes; !isAccount || len(review.Spec.Groups) != 3 || asked == nil || !strings.HasPrefix(asked.Verb, "delete") || asked.Resource != "deployments" || asked.Namespace != review.Namespace {
		s.t.Errorf("the review asks %+v", review.Spec)
	}
	review.Status.Allowed = slices.Contains(s.mayDelete, account)
	review.TypeMeta = metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "LocalSubjectAccessReview"}
	_ = json.NewEncoder(w).Encode(review)
}

var reasons = map[int]string{400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "AlreadyExists", 422: "Invalid", 503: "ServiceUnavailable"}

func refuse(w http.ResponseWriter, code int, message string) {
	reason := reasons[code]
	if strings.Contains(message, "the object has been modified") {
		reason = "Conflict"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": message})
}

// discoveryDocument returns the discovery document at a path, nil if the path is another one.
func discoveryDocument(path string) any {
	resources := func(group string) map[string]any {
		list, version := []any{}, ""
		for resource, kind := range kinds {
			if kind.Group == group {
				version = kind.GroupVersion().String()
				namespaced := resource != "namespaces" && resource != "customresourcedefinitions"
				list = append(list, map[string]any{"name": resource, "kind": kind.Kind, "namespaced": namespaced, "verbs": []string{"get", "list", "create", "patch", "delete"}})
			}
		}
		return map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": list}
	}
	groups, described := []any{}, map[string]bool{}
	for _, kind := range kinds {
		version := map[string]any{"groupVersion": kind.GroupVersion().String(), "version": kind.Version}
		at := "/apis/" + kind.GroupVersion().String()
		if kind.Group == "" {
			at = "/api/v1"
		} else if !described[at] {
			groups = append(groups, map[string]any{"name": kind.Group, "versions": []any{version}, "preferredVersion": version})
		}
		described[at] = true
		if path == at {
			return resources(kind.Group)
		}
	}
	switch path {
	case "/version":
		return map[string]any{"major": "1", "minor": "37", "gitVersion": "v1.37.0"}
	case "/api":
		return map[string]any{"kind": "APIVersions", "versions": []string{"v1"}}
	case "/apis":
		return map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
	}
	return nil
}

// serve works on the objects: a path ends in a resource, or in a resource and a name.
func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	steps := strings.Split(r.URL.Path, "/")
	collection := steps[len(steps)-1]
	kind, isCollection := kinds[collection]
	if !isCollection {
		collection = steps[len(steps)-2]
		kind = kinds[collection]
	}
	dry, admit := r.URL.Query().Get("dryRun") == "All", s.admit
	if admit == nil {
		admit = func(map[string]any) {}
	}
	object := runtime.DeepCopyJSON(s.objects[r.URL.Path])
	switch {
	case isCollection && r.Method == http.MethodGet:
		s.list(w, r, kind)
		return
	case isCollection && r.Method == http.MethodPost:
		if object = s.sent(r, kind); object == nil {
			refuse(w, http.StatusBadRequest, "it cannot be read")
			return
		}
		admit(object)
		u := unstructured.Unstructured{Object: object}
		path := r.URL.Path + "/" + u.GetName()
		if s.objects[path] != nil {
			refuse(w, http.StatusConflict, fmt.Sprintf("%s %q already exists", collection, u.GetName()))
			return
		}
		s.store(path, object, dry)
	case object == nil:
		refuse(w, http.StatusNotFound, fmt.Sprintf("%s %q not found", collection, steps[len(steps)-1]))
		return
	case r.Method == http.MethodGet:
	case r.Method == http.MethodPut:
		sent := s.sent(r, kind)
		if !s.checkVersion(w, object, sent, collection) {
			return
		}
		object = sent
		s.store(r.URL.Path, object, dry)
	case r.Method == http.MethodPatch:
		made := s.patch(object, r, kind)
		if !s.checkVersion(w, object, made, collection) || !s.checkSelector(w, object, made) {
			return
		}
		admit(made)
		object = made
		s.store(r.URL.Path, object, dry)
	case r.Method == http.MethodDelete:
		u := unstructured.Unstructured{Object: object}
		switch {
		case dry:
		case len(u.GetFinalizers()) == 0:
			delete(s.objects, r.URL.Path)
		case u.GetDeletionTimestamp() == nil:
			_ = unstructured.SetNestedField(object, "2026-01-01T00:00:00Z", "metadata", "deletionTimestamp")
			s.store(r.URL.Path, object, false)
		}
	default:
		s.t.Errorf("unknown request %s %s", r.Method, r.URL)
		refuse(w, http.StatusBadRequest, "unknown")
		return
	}
	s.send(w, r, object)
}

// checkVersion refuses a write to another resource version than the current one.
func (s *server) checkVersion(w http.ResponseWriter, kept, sent map[string]any, collection string) bool {
	have, want := &unstructured.Unstructured{Object: kept}, &unstructured.Unstructured{Object: sent}
	if version := want.GetResourceVersion(); version != "" && version != have.GetResourceVersion() {
		refuse(w, http.StatusConflict, fmt.Sprintf("Operation cannot be fulfilled on %s %q: the object has been modified; please apply your changes to the latest version and try again", collection, have.GetName()))
		return false
	}
	return true
}

// checkSelector refuses a change of a selector, as an apiserver does.
func (s *server) checkSelector(w http.ResponseWriter, kept, sent map[string]any) bool {
	before, _, _ := unstructured.NestedFieldNoCopy(kept, "spec", "selector", "matchLabels")
	after, _, _ := unstructured.NestedFieldNoCopy(sent, "spec", "selector", "matchLabels")
	if kept["kind"] == "Deployment" && fmt.Sprint(before) != fmt.Sprint(after) {
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("Deployment.apps %q is invalid: spec.selector: Invalid value: {}: field is immutable", (&unstructured.Unstructured{Object: kept}).GetName()))
		return false
	}
	return true
}

// send answers with an object, or with its metadata if that is what is asked for.
func (s *server) send(w http.ResponseWriter, r *http.Request, object map[string]any) {
	if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
		object = map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]}
	}
	_ = json.NewEncoder(w).Encode(object)
}

// sent is the object in a request: typed clients send protobuf, the others JSON.
func (s *server) sent(r *http.Request, kind schema.GroupVersionKind) map[string]any {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	if !scheme.Scheme.Recognizes(kind) {
		var object map[string]any
		if err := json.Unmarshal(body, &object); err != nil {
			s.t.Error(err)
		}
		return object
	}
	decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, &kind, nil)
	if err != nil {
		s.t.Errorf("%s: %v", body, err)
		return nil
	}
	return s.plain(decoded, kind)
}

// plain is an object as JSON has it, with the defaults that an apiserver sets.
func (s *server) plain(decoded runtime.Object, kind schema.GroupVersionKind) map[string]any {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(decoded)
	if err != nil {
		s.t.Error(err)
	}
	object["apiVersion"], object["kind"] = kind.GroupVersion().String(), kind.Kind
	if spec, found, _ := unstructured.NestedMap(object, "spec", "template", "spec"); found {
		for name, value := range map[string]string{"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"} {
			if spec[name] == nil {
				_ = unstructured.SetNestedField(object, value, "spec", "template", "spec", name)
			}
		}
	}
	if text, found, _ := unstructured.NestedStringMap(object, "stringData"); found && kind.Kind == "Secret" {
		for name, value := range text {
			_ = unstructured.SetNestedField(object, base64.StdEncoding.EncodeToString([]byte(value)), "data", name)
		}
		delete(object, "stringData")
	}
	return object
}

func (s *server) list(w http.ResponseWriter, r *http.Request, kind schema.GroupVersionKind) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		s.t.Error(err)
	}
	metadataOnly := strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList")
	items := []any{}
	for path, object := range s.objects {
		u := unstructured.Unstructured{Object: object}
		if s.coldCache && r.URL.Query().Get("resourceVersion") == "0" || path != r.URL.Path+"/"+u.GetName() || !selector.Matches(labels.Set(u.GetLabels())) {
			continue
		}
		if metadataOnly {
			object = map[string]any{"metadata": object["metadata"]}
		}
		items = append(items, object)
	}
	list := map[string]any{"kind": kind.Kind + "List", "apiVersion": kind.GroupVersion().String(), "metadata": map[string]any{}, "items": items}
	if metadataOnly {
		list["kind"], list["apiVersion"] = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	_ = json.NewEncoder(w).Encode(list)
}

// patch is an object with a patch applied to it; the kept one is left as it is.
func (s *server) patch(object map[string]any, r *http.Request, kind schema.GroupVersionKind) map[string]any {
	var patch map[string]any
	_ = json.NewDecoder(r.Body).Decode(&patch)
	if r.Header.Get("Content-Type") == "application/merge-patch+json" {
		return mergePatched(runtime.DeepCopyJSON(object), patch)
	}
	if got := r.Header.Get("Content-Type"); got != "application/strategic-merge-patch+json" {
		s.t.Errorf("a patch of type %q", got)
	}
	example, err := scheme.Scheme.New(kind)
	if err != nil {
		s.t.Fatal(err)
	}
	made, err := strategicpatch.StrategicMergeMapPatch(runtime.DeepCopyJSON(object), patch, example)
	if err != nil {
		s.t.Error(err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(made, example); err != nil {
		s.t.Error(err)
	}
	return s.plain(example, kind)
}

// mergePatched is RFC 7386.
func mergePatched(object, patch map[string]any) map[string]any {
	for name, value := range patch {
		inner, isMap := value.(map[string]any)
		held, wasMap := object[name].(map[string]any)
		switch {
		case value == nil:
			delete(object, name)
		case isMap && wasMap:
			object[name] = mergePatched(held, inner)
		case isMap:
			object[name] = mergePatched(map[string]any{}, inner)
		default:
			object[name] = value
		}
	}
	return object
}

// on picks requests by method and the end of their path.
func on(method, suffix string, code int, message string) func(*http.Request) (int, string) {
	return func(r *http.Request) (int, string) {
		if r.Method == method && strings.HasSuffix(r.URL.Path, suffix) {
			return code, message
		}
		return 0, ""
	}
}
