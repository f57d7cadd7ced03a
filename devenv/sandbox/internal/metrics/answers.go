package metrics

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	api "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

var (
	version = api.SchemeGroupVersion.String()
	pods    = schema.GroupResource{Group: api.GroupName, Resource: "pods"}
	nodes   = schema.GroupResource{Group: api.GroupName, Resource: "nodes"}
)

// routes serves what metrics-server serves: discovery, lists of nodes and pods by selector, and a single node or pod by name. It
// supports no watch and no write.
func (s *Server) routes() http.Handler {
	routes := http.NewServeMux()
	base := "/apis/" + version
	routes.HandleFunc("/apis/"+api.GroupName, answer(schema.GroupResource{}, discoverGroup))
	routes.HandleFunc(base, answer(schema.GroupResource{}, discoverResources))
	routes.HandleFunc(base+"/nodes", answer(nodes, s.listNodes))
	routes.HandleFunc(base+"/nodes/{name}", answer(nodes, s.getNode))
	routes.HandleFunc(base+"/pods", answer(pods, s.listPods))
	routes.HandleFunc(base+"/namespaces/{namespace}/pods", answer(pods, s.listPods))
	routes.HandleFunc(base+"/namespaces/{namespace}/pods/{name}", answer(pods, s.getPod))
	routes.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, unknown()) })
	return routes
}

// onlyAggregator refuses clients with a valid certificate that are not the API server.
func (s *Server) onlyAggregator(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != Aggregator {
			refuse(w, apierrors.NewUnauthorized("Unauthorized"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// answer returns a handler for one resource.
func answer(resource schema.GroupResource, read func(*http.Request) (runtime.Object, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if verb := verbOf(r); verb != "get" {
			refuse(w, apierrors.NewMethodNotSupported(resource, verb))
			return
		}
		object, err := read(r)
		if err != nil {
			refuse(w, err)
			return
		}
		send(w, http.StatusOK, object)
	}
}

// verbOf returns the API server's verb for a request; a list counts as a get.
func verbOf(r *http.Request) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return map[string]string{
			http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
		}[r.Method]
	}
	if watch := r.URL.Query()["watch"]; slices.ContainsFunc(watch, isTrue) {
		return "watch"
	}
	return "get"
}

// isTrue parses a boolean of a query like an API server: any other value is true, even an empty one.
func isTrue(text string) bool {
	said, err := strconv.ParseBool(text)
	return err != nil || said
}

// listOptions returns the supported list options of a request.
func listOptions(r *http.Request) metav1.ListOptions {
	query := r.URL.Query()
	return metav1.ListOptions{LabelSelector: query.Get("labelSelector"), FieldSelector: query.Get("fieldSelector")}
}

// unknown answers a path that is not served, like an API server.
func unknown() *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{},
	}}
}

// refuse answers an error in the form of an API server. An error with a status, like the API server's own, is answered with it.
func refuse(w http.ResponseWriter, err error) {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	send(w, int(status.Code), &status)
}

func send(w http.ResponseWriter, code int, object runtime.Object) {
	var text strings.Builder
	if err := json.NewEncoder(&text).Encode(object); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(code)
	w.Write([]byte(text.String())) //nolint:errcheck,gosec // the caller is gone if it fails
}
