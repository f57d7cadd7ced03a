package helm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// kinds are what the server knows, by the resource's name.
var kinds = map[string]schema.GroupVersionKind{
	"namespaces":               {Version: "v1", Kind: "Namespace"},
	"secrets":                  {Version: "v1", Kind: "Secret"},
	"configmaps":               {Version: "v1", Kind: "ConfigMap"},
	"services":                 {Version: "v1", Kind: "Service"},
	"serviceaccounts":          {Version: "v1", Kind: "ServiceAccount"},
	"deployments":              {Group: "apps", Version: "v1", Kind: "Deployment"},
	"horizontalpodautoscalers": {Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	"poddisruptionbudgets":     {Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
}

// server is as much of an apiserver as Helm asks of one: discovery, and objects that can be made, read, patched and
// deleted. A request that it does not know is an error of the test.
type server struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	objects map[string]map[string]any // path to object
	answer  func(r *http.Request) (code int, message string)
	warning string   // sent with every change
	asked   []string // "METHOD path"
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, objects: map[string]map[string]any{}}
	web := httptest.NewServer(s)
	s.url = web.URL
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return s
}

func (s *server) client(namespace string) *Client {
	s.t.Helper()
	client, err := New(&rest.Config{Host: s.url, QPS: 1000, Burst: 1000}, namespace, func(line string) { s.t.Log(line) })
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// answers makes requests fail with a code and the apiserver's message; code 0 serves them.
func (s *server) answers(with func(*http.Request) (int, string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = with
}

// warn makes the server warn of every change.
func (s *server) warn(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warning = text
}

// changes are the requests since the last call that would change something, Helm's own records aside.
func (s *server) changes() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, asked := range s.asked {
		if !strings.HasPrefix(asked, "GET ") && !strings.Contains(asked, "/secrets") {
			list = append(list, asked)
		}
	}
	s.asked = nil
	return list
}

// named are the objects of a resource.
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

func (s *server) put(path string, object map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[path] = object
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
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
	if document := known(r.URL.Path); document != nil {
		_ = json.NewEncoder(w).Encode(document)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warning != "" && r.Method != http.MethodGet {
		w.Header().Set("Warning", fmt.Sprintf("299 - %q", s.warning))
	}
	s.serve(w, r)
}

var reasons = map[int]string{400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "AlreadyExists", 422: "Invalid", 503: "ServiceUnavailable"}

func refuse(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reasons[code], "code": code, "message": message})
}

// known answers what kinds there are; nil if the path asks for something else.
func known(path string) any {
	resources := func(group string) map[string]any {
		list, version := []any{}, ""
		for resource, kind := range kinds {
			if kind.Group == group {
				version = kind.GroupVersion().String()
				list = append(list, map[string]any{"name": resource, "kind": kind.Kind, "namespaced": resource != "namespaces", "verbs": []string{"get", "list", "create", "patch", "delete"}})
			}
		}
		return map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": list}
	}
	groups, described := []any{}, map[string]any{}
	for _, kind := range kinds {
		version := map[string]any{"groupVersion": kind.GroupVersion().String(), "version": kind.Version}
		at := "apis/" + kind.GroupVersion().String()
		if kind.Group == "" {
			at = "api/v1"
		} else if described[at] == nil {
			groups = append(groups, map[string]any{"name": kind.Group, "versions": []any{version}, "preferredVersion": version})
		}
		described[at] = map[string]any{"serverRelativeURL": "/openapi/v3/" + at}
		switch path {
		case "/" + at:
			return resources(kind.Group)
		case "/openapi/v3/" + at:
			return operations(kind.Group)
		}
	}
	switch path {
	case "/version":
		return map[string]any{"major": "1", "minor": "37", "gitVersion": "v1.37.0"}
	case "/api":
		return map[string]any{"kind": "APIVersions", "versions": []string{"v1"}}
	case "/apis":
		return map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
	case "/openapi/v3":
		return map[string]any{"paths": described}
	}
	return nil
}

// operations tells that the server validates fields itself, as every apiserver since 1.27 does.
func operations(group string) any {
	paths := map[string]any{}
	for resource, kind := range kinds {
		if kind.Group == group {
			paths["/"+resource] = map[string]any{"patch": map[string]any{
				"x-kubernetes-group-version-kind": map[string]string{"group": kind.Group, "version": kind.Version, "kind": kind.Kind},
				"parameters":                      []any{map[string]any{"name": "fieldValidation", "in": "query"}}}}
		}
	}
	return map[string]any{"openapi": "3.0.0", "info": map[string]any{"title": "test", "version": "1"}, "paths": paths}
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
	object := s.objects[r.URL.Path]
	switch {
	case isCollection && r.Method == http.MethodGet:
		s.list(w, r, kind)
		return
	case isCollection && r.Method == http.MethodPost:
		object = s.sent(r, kind)
		u := unstructured.Unstructured{Object: object}
		if path := r.URL.Path + "/" + u.GetName(); s.objects[path] == nil {
			s.objects[path] = object
		} else {
			refuse(w, http.StatusConflict, fmt.Sprintf("%s %q already exists", collection, u.GetName()))
			return
		}
	case object == nil:
		refuse(w, http.StatusNotFound, fmt.Sprintf("%s %q not found", collection, steps[len(steps)-1]))
		return
	case r.Method == http.MethodGet:
	case r.Method == http.MethodPut:
		object = s.sent(r, kind)
		s.objects[r.URL.Path] = object
	case r.Method == http.MethodPatch:
		object = s.patch(object, r, kind)
	case r.Method == http.MethodDelete:
		delete(s.objects, r.URL.Path)
	default:
		s.t.Errorf("unknown request %s %s", r.Method, r.URL)
		refuse(w, http.StatusBadRequest, "unknown")
		return
	}
	_ = json.NewEncoder(w).Encode(object)
}

// sent is the object in a request: typed clients send protobuf, the others JSON.
func (s *server) sent(r *http.Request, kind schema.GroupVersionKind) map[string]any {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, &kind, nil)
	if err != nil {
		s.t.Error(err)
		return nil
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(decoded)
	if err != nil {
		s.t.Error(err)
	}
	object["apiVersion"], object["kind"] = kind.GroupVersion().String(), kind.Kind
	return object
}

func (s *server) list(w http.ResponseWriter, r *http.Request, kind schema.GroupVersionKind) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		s.t.Error(err)
	}
	items := []any{}
	for path, object := range s.objects {
		u := unstructured.Unstructured{Object: object}
		if path == r.URL.Path+"/"+u.GetName() && selector.Matches(labels.Set(u.GetLabels())) {
			items = append(items, object)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": kind.Kind + "List", "apiVersion": kind.GroupVersion().String(), "metadata": map[string]any{}, "items": items})
}

func (s *server) patch(object map[string]any, r *http.Request, kind schema.GroupVersionKind) map[string]any {
	var patch map[string]any
	if got := r.Header.Get("Content-Type"); got != "application/strategic-merge-patch+json" {
		s.t.Errorf("a patch of type %q", got)
	}
	_ = json.NewDecoder(r.Body).Decode(&patch)
	example, err := scheme.Scheme.New(kind)
	if err != nil {
		s.t.Fatal(err)
	}
	made, err := strategicpatch.StrategicMergeMapPatch(object, patch, example)
	if err != nil {
		s.t.Error(err)
	}
	s.objects[r.URL.Path] = made
	return made
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
