// Package kubetest has an apiserver for the tests of kube and its subpackages. It serves only the requests that they need.
package kubetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	authorization "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// Server is an apiserver that serves lists, watches, logs and access reviews. Watches can be dropped and can expire. A request
// that it does not know fails the test.
type Server struct {
	t      *testing.T
	config rest.Config

	mu      sync.Mutex
	turn    *sync.Cond
	version int
	objects map[string]map[string]any // API path to object
	history []change
	oldest  int                       // resource version of the oldest change that a watch can start after
	round   int                       // incremented when watches are dropped
	broken  func(r *http.Request) int // status code of the failure to answer with; 0: none
	denied  map[string]bool           // "verb resource"
	named   map[string]bool           // "verb resource name": allowed although the verb is denied on other objects
	logs    map[string]string         // "pod/container" to log; "pod/container?previous" for the previous run
	asked   []string                  // "verb path"
	custom  map[schema.GroupVersionKind]metav1.APIResource
}

type change struct {
	version int
	kind    string
	path    string // of the object
	object  map[string]any
}

// New starts a server that ends with the test.
func New(t *testing.T) *Server {
	t.Helper()
	s := newServer(t)
	web := httptest.NewServer(s)
	s.config.Host = web.URL
	t.Cleanup(func() {
		s.Drop()
		web.CloseClientConnections()
		web.Close()
	})
	return s
}

// NewInBubble starts a server in the bubble of a synctest, which must be the caller's.
func NewInBubble(t *testing.T) *Server {
	t.Helper()
	s := newServer(t)
	s.config.Host, s.config.Dial = "http://cluster.example.com", ServePipes(t, s, s.Drop).Dial
	return s
}

func newServer(t *testing.T) *Server {
	s := &Server{t: t, version: 100, objects: map[string]map[string]any{}, denied: map[string]bool{}, named: map[string]bool{}, logs: map[string]string{},
		custom: map[schema.GroupVersionKind]metav1.APIResource{}, config: rest.Config{QPS: 1000, Burst: 1000}}
	s.turn = sync.NewCond(&s.mu)
	return s
}

// Config reaches the server, without a limit of requests.
func (s *Server) Config() *rest.Config { return rest.CopyConfig(&s.config) }

// Deny makes access reviews refuse a verb on a resource: "create leases", "get pods/log".
func (s *Server) Deny(access string) {
	s.mu.Lock()
	s.denied[access] = true
	s.mu.Unlock()
}

// AllowNamed makes access reviews allow a verb on one object of a resource, as resourceNames do: "get configmaps shop".
func (s *Server) AllowNamed(access string) {
	s.mu.Lock()
	s.named[access] = true
	s.mu.Unlock()
}

// SetLog sets the log of a container ("pod/container") or of its previous run ("pod/container?previous").
func (s *Server) SetLog(container, text string) {
	s.mu.Lock()
	s.logs[container] = text
	s.mu.Unlock()
}

// Serve makes a custom kind known to discovery: its resource is not the plural that a rule would make of the kind.
func (s *Server) Serve(kind schema.GroupVersionKind, resource string, namespaced bool) {
	s.mu.Lock()
	s.custom[kind] = metav1.APIResource{Kind: kind.Kind, Name: resource, Namespaced: namespaced}
	s.mu.Unlock()
}

// Requests returns the requests received so far, as "verb path".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// path returns the API path of an object, and the object's fields.
func (s *Server) path(object runtime.Object) (string, map[string]any) {
	s.t.Helper()
	content, ok := object.(*unstructured.Unstructured)
	if !ok {
		kinds, _, err := scheme.Scheme.ObjectKinds(object)
		if err != nil {
			s.t.Fatal(err)
		}
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			s.t.Fatal(err)
		}
		content = &unstructured.Unstructured{Object: fields}
		content.SetGroupVersionKind(kinds[0])
	}
	content = content.DeepCopy()
	resource, _ := meta.UnsafeGuessKindToResource(content.GroupVersionKind())
	s.mu.Lock()
	if served, found := s.custom[content.GroupVersionKind()]; found {
		resource.Resource = served.Name
	}
	s.mu.Unlock()
	base := "/apis/" + resource.Group + "/" + resource.Version
	if resource.Group == "" {
		base = "/api/" + resource.Version
	}
	if content.GetNamespace() != "" {
		base += "/namespaces/" + content.GetNamespace()
	}
	return base + "/" + resource.Resource + "/" + content.GetName(), content.Object
}

// Put creates or changes an object.
func (s *Server) Put(objects ...runtime.Object) {
	s.t.Helper()
	for _, object := range objects {
		path, content := s.path(object)
		s.mu.Lock()
		s.version++
		kind := "ADDED"
		if s.objects[path] != nil {
			kind = "MODIFIED"
		}
		described := content["metadata"].(map[string]any)
		described["resourceVersion"] = strconv.Itoa(s.version)
		s.objects[path] = content
		s.history = append(s.history, change{s.version, kind, path, content})
		s.mu.Unlock()
	}
	s.turn.Broadcast()
}

// Remove deletes an object.
func (s *Server) Remove(object runtime.Object) {
	s.t.Helper()
	path, _ := s.path(object)
	s.mu.Lock()
	s.version++
	s.history = append(s.history, change{s.version, "DELETED", path, s.objects[path]})
	delete(s.objects, path)
	s.mu.Unlock()
	s.turn.Broadcast()
}

// Drop ends all running watches.
func (s *Server) Drop() {
	s.mu.Lock()
	s.round++
	s.mu.Unlock()
	s.turn.Broadcast()
}

// Expire forgets earlier changes, so that clients must list again.
func (s *Server) Expire() {
	s.mu.Lock()
	s.version++
	s.oldest = s.version
	s.mu.Unlock()
}

// Break makes requests fail with the status that the function returns; 0 serves the request.
func (s *Server) Break(with func(*http.Request) int) {
	s.mu.Lock()
	s.broken = with
	s.mu.Unlock()
}

// Count returns how many received requests have the prefix in "verb path".
func (s *Server) Count(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, asked := range s.asked {
		if strings.HasPrefix(asked, prefix) {
			n++
		}
	}
	return n
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	verb := strings.ToLower(r.Method)
	if r.URL.Query().Get("watch") != "" {
		verb = "watch"
	}
	s.mu.Lock()
	s.asked = append(s.asked, verb+" "+r.URL.Path)
	broken := s.broken
	s.mu.Unlock()
	if broken != nil {
		if code := broken(r); code != 0 {
			refuse(w, code)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "accessreviews"):
		s.review(w, r)
	case strings.HasSuffix(r.URL.Path, "/selfsubjectreviews"):
		fmt.Fprint(w, `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":"deployer"}}}`)
	case strings.HasSuffix(r.URL.Path, "/log"):
		s.log(w, r)
	case r.URL.Path == "/api", r.URL.Path == "/apis", r.URL.Path == "/apis/example.com/v1", r.URL.Path == "/api/v1":
		serveDiscovery(w, r.URL.Path)
	case verb == "get" && strings.HasPrefix(r.URL.Path, "/apis/") && strings.Count(r.URL.Path, "/") == 3:
		s.serveGroup(w, r.URL.Path)
	case verb == "watch":
		s.watch(w, r)
	case verb == "get" && wantsMetadata(r):
		s.listMetadata(w, r)
	case verb == "patch" && wantsMetadata(r):
		s.patchLabels(w, r)
	case verb == "get":
		s.get(w, r)
	case verb == "delete":
		s.delete(w, r)
	default:
		s.t.Errorf("unknown request %s %s", r.Method, r.URL)
		refuse(w, http.StatusNotImplemented)
	}
}

func refuse(w http.ResponseWriter, code int) {
	reason := map[int]string{401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired", 503: "ServiceUnavailable"}[code]
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"the test's %s"}`, reason, code, reason)
}

// serveDiscovery answers a request of API discovery. A path that it does not know gets an empty body.
func serveDiscovery(w http.ResponseWriter, path string) {
	fmt.Fprint(w, map[string]string{
		"/api":                 `{"kind":"APIVersions","versions":["v1"]}`,
		"/api/v1":              `{"kind":"APIResourceList","groupVersion":"v1","resources":[]}`,
		"/apis":                `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"example.com","versions":[{"groupVersion":"example.com/v1","version":"v1"}],"preferredVersion":{"groupVersion":"example.com/v1","version":"v1"}}]}`,
		"/apis/example.com/v1": `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"example.com/v1","resources":[{"name":"widgets","singularName":"widget","namespaced":true,"kind":"Widget","verbs":["list","watch"]}]}`,
	}[path])
}

// serveGroup answers which resources a group and version has: those of Serve; 404 if there are none.
func (s *Server) serveGroup(w http.ResponseWriter, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: strings.TrimPrefix(path, "/apis/")}
	for kind, resource := range s.custom {
		if kind.GroupVersion().String() == list.GroupVersion {
			list.APIResources = append(list.APIResources, resource, metav1.APIResource{Kind: kind.Kind, Name: resource.Name + "/status", Namespaced: resource.Namespaced})
		}
	}
	if len(list.APIResources) == 0 {
		refuse(w, http.StatusNotFound)
		return
	}
	json.NewEncoder(w).Encode(list)
}

// review answers a SelfSubjectAccessReview. A verb and resource given to Deny are denied, except on objects given to AllowNamed;
// everything else is allowed. The verb "*" is allowed if nothing is denied, as by RBAC.
func (s *Server) review(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	review := &authorization.SelfSubjectAccessReview{}
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, review); err != nil {
		s.t.Error(err)
	}
	wanted := review.Spec.ResourceAttributes
	s.mu.Lock()
	defer s.mu.Unlock()
	access := wanted.Verb + " " + path.Join(wanted.Resource, wanted.Subresource)
	fmt.Fprintf(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":%t}}`, s.allows(access, wanted.Name))
}

// allows reports whether an access, a verb and a resource, is allowed on the object of a name.
func (s *Server) allows(access, name string) bool {
	if access == "* *" {
		return len(s.denied) == 0
	}
	return !s.denied[access] || s.named[access+" "+name]
}

// log answers with the log that the test set for the container, 404 if it set none.
func (s *Server) log(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	key := parts[len(parts)-2] + "/" + r.URL.Query().Get("container")
	if r.URL.Query().Get("previous") == "true" {
		key += "?previous"
	}
	s.mu.Lock()
	text, found := s.logs[key]
	s.mu.Unlock()
	if !found {
		refuse(w, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, text)
}

// get answers with the object at the path, or with the list of the selected objects if the path is that of a resource.
func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if object := s.objects[r.URL.Path]; object != nil {
		json.NewEncoder(w).Encode(object)
		return
	}
	resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	parts := strings.Count(strings.TrimPrefix(r.URL.Path, "/apis"), "/")
	if strings.Contains(r.URL.Path, "/customresourcedefinitions/") || parts == 4 && strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/") || parts == 6 {
		refuse(w, http.StatusNotFound) // one definition, one namespace, or one object in it
		return
	}
	list := map[string]any{"kind": kindOf[resource] + "List", "apiVersion": apiVersion(r.URL.Path), "metadata": map[string]any{"resourceVersion": strconv.Itoa(s.version)}}
	items := []any{}
	for path, object := range s.objects {
		if wanted(r, path, object) {
			items = append(items, object)
		}
	}
	list["items"] = items
	json.NewEncoder(w).Encode(list)
}

// delete deletes an object if it has the resource version in the request.
func (s *Server) delete(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	options := &metav1.DeleteOptions{}
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, options); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	object := s.objects[r.URL.Path]
	s.mu.Unlock()
	switch wanted := options.Preconditions; {
	case object == nil:
		refuse(w, http.StatusNotFound)
	case wanted != nil && wanted.ResourceVersion != nil && *wanted.ResourceVersion != object["metadata"].(map[string]any)["resourceVersion"]:
		refuse(w, http.StatusConflict)
	default:
		s.Remove(&unstructured.Unstructured{Object: object})
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
	}
}

var kindOf = map[string]string{"deployments": "Deployment", "replicasets": "ReplicaSet", "pods": "Pod", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet",
	"jobs": "Job", "persistentvolumeclaims": "PersistentVolumeClaim", "events": "Event", "services": "Service", "ingresses": "Ingress", "widgets": "Widget",
	"secrets": "Secret", "cronjobs": "CronJob", "rollouts": "Rollout", "horizontalpodautoscalers": "HorizontalPodAutoscaler", "customresourcedefinitions": "CustomResourceDefinition", "nodes": "Node"}

func apiVersion(path string) string {
	parts := strings.Split(path, "/")
	if parts[1] == "api" {
		return parts[2]
	}
	return parts[2] + "/" + parts[3]
}

// wanted reports whether an object is in the requested collection and matches the request's selectors.
func wanted(r *http.Request, path string, object map[string]any) bool {
	if path[:strings.LastIndex(path, "/")] != r.URL.Path {
		return false
	}
	content := unstructured.Unstructured{Object: object}
	labelled, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil || !labelled.Matches(labels.Set(content.GetLabels())) {
		return false
	}
	selector, err := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	if err != nil {
		return false
	}
	reason, _, _ := unstructured.NestedString(object, "reason")
	uid, _, _ := unstructured.NestedString(object, "involvedObject", "uid")
	return selector.Matches(fields.Set{"metadata.name": content.GetName(), "reason": reason, "involvedObject.uid": uid})
}

// watch sends the changes after a resource version, and with sendInitialEvents all objects first, until the request ends or the test
// drops the watches.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	initial := r.URL.Query().Get("sendInitialEvents") == "true"
	out, flush := json.NewEncoder(w), w.(http.Flusher)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !initial && after < s.oldest {
		out.Encode(map[string]any{"type": "ERROR", "object": map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}})
		return
	}
	if initial {
		for path, object := range s.objects {
			if wanted(r, path, object) {
				out.Encode(map[string]any{"type": "ADDED", "object": object})
			}
		}
		after = s.version
		resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		out.Encode(map[string]any{"type": "BOOKMARK", "object": map[string]any{"kind": kindOf[resource], "apiVersion": apiVersion(r.URL.Path), "metadata": map[string]any{
			"resourceVersion": strconv.Itoa(after), "annotations": map[string]any{"k8s.io/initial-events-end": "true"}}}})
	}
	flush.Flush()
	stop := r.Context()
	go func() { <-stop.Done(); s.turn.Broadcast() }()
	for round := s.round; round == s.round && stop.Err() == nil; s.turn.Wait() {
		for _, change := range s.history {
			if change.version > after && wanted(r, change.path, change.object) {
				out.Encode(map[string]any{"type": change.kind, "object": change.object})
			}
		}
		after = s.version
		flush.Flush()
	}
}
