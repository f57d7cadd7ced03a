package lease

import (
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
	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// leaseServer runs in the bubble of a synctest. It stores Leases as an apiserver does: every write needs the current resource version, a PUT of an object
// that is gone is a conflict if it names the object's UID and creates it if not (the registry's AllowCreateOnUpdate), a list
// has a version to watch from.
type leaseServer struct {
	t     *testing.T
	pipes *kubetest.Pipes

	mu          sync.Mutex
	changed     *sync.Cond // broadcast at every request and every change
	version     int
	leases      map[string]*coordination.Lease // by namespace/name
	history     []leaseChange
	round       int                                              // of watches: dropWatches begins another
	refuses     func(verb string, r *http.Request) int           // status to refuse a request with, 0: serve it
	dropsAnswer func(verb string, r *http.Request) bool          // true: serve the request and drop the connection instead of answering
	hangs       func(verb string, r *http.Request) bool          // true: do not serve the request and do not answer
	delays      func(verb string, r *http.Request) time.Duration // serve the request after a time, also if nobody waits for the answer
	silent      func(r *http.Request) bool                       // true: a watch reports nothing, as one whose events are lost
	asked       map[string]int                                   // by verb
	onWrite     func(verb string, lease *coordination.Lease)     // called with each write, in order
}

type leaseChange struct {
	version int
	kind    string
	lease   *coordination.Lease
}

func newLeaseServer(t *testing.T) *leaseServer {
	t.Helper()
	s := &leaseServer{t: t, version: 100, leases: map[string]*coordination.Lease{}, asked: map[string]int{}}
	s.changed = sync.NewCond(&s.mu)
	s.pipes = kubetest.ServePipes(t, s, s.dropWatches)
	return s
}

// client is another machine: it shares no connection and no rate limit with other clients.
func (s *leaseServer) client() *Leases { return s.clientOf("") }

// clientOf is a client with a user agent of its own.
func (s *leaseServer) clientOf(agent string) *Leases {
	s.t.Helper()
	leases, err := NewForConfig(&rest.Config{Host: "http://cluster.example.com", Dial: s.pipes.Dial, QPS: 1000, Burst: 1000, UserAgent: agent})
	if err != nil {
		s.t.Fatal(err)
	}
	return leases
}

// dropWatches ends all watches.
func (s *leaseServer) dropWatches() {
	s.with(func() { s.round++ })
}

// with changes the server.
func (s *leaseServer) with(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	s.changed.Broadcast()
}

// refuse refuses requests; nil serves them again.
func (s *leaseServer) refuse(refuses func(verb string, r *http.Request) int) {
	s.with(func() { s.refuses = refuses })
}

func (s *leaseServer) count(verb string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[verb]
}

// now is the Lease of the release shop, nil if there is none.
func (s *leaseServer) now() *coordination.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leases[testNamespace+"/onedigest-shop"].DeepCopy()
}

// waitFor waits for a state of the Lease of the release shop, at most ten seconds.
func (s *leaseServer) waitFor(what string, reached func(*coordination.Lease) bool) {
	s.t.Helper()
	late := false
	timer := time.AfterFunc(10*time.Second, func() { s.with(func() { late = true }) })
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !reached(s.leases[testNamespace+"/onedigest-shop"].DeepCopy()) {
		if late {
			s.t.Fatalf("the Lease is not %s within 10 s: %+v", what, s.leases[testNamespace+"/onedigest-shop"])
		}
		s.changed.Wait()
	}
}

// waitForMoreRequests waits for a number of requests of a verb from now on.
func (s *leaseServer) waitForMoreRequests(verb string, more int) {
	s.t.Helper()
	before := s.count(verb)
	s.waitFor(fmt.Sprintf("asked to %s %d times", verb, more), func(*coordination.Lease) bool { return s.asked[verb] >= before+more })
}

// waitForRequests waits until a number of requests of a verb has come.
func (s *leaseServer) waitForRequests(verb string, n int) {
	s.t.Helper()
	s.waitFor(fmt.Sprintf("asked to %s", verb), func(*coordination.Lease) bool { return s.asked[verb] >= n })
}

// writeUnchecked writes without checks, as a person may. A Lease without UID is a new one.
func (s *leaseServer) writeUnchecked(lease *coordination.Lease) {
	lease = lease.DeepCopy()
	s.with(func() {
		kind := "MODIFIED"
		if lease.UID == "" {
			kind = "ADDED"
		}
		s.store(kind, lease)
	})
}

func (s *leaseServer) remove() {
	s.with(func() {
		lease := s.leases[testNamespace+"/onedigest-shop"].DeepCopy()
		delete(s.leases, testNamespace+"/onedigest-shop")
		s.version++
		s.history = append(s.history, leaseChange{s.version, "DELETED", lease})
	})
}

func (s *leaseServer) store(kind string, lease *coordination.Lease) {
	s.version++
	if lease.UID == "" {
		lease.UID = types.UID("uid-" + strconv.Itoa(s.version))
	}
	lease.ResourceVersion = strconv.Itoa(s.version)
	s.leases[lease.Namespace+"/"+lease.Name] = lease
	s.history = append(s.history, leaseChange{s.version, kind, lease})
}

func (s *leaseServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	namespace, name := "", ""
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // apis/coordination.k8s.io/v1/namespaces/NAMESPACE/leases[/NAME]
	if len(parts) >= 6 && parts[1] == "coordination.k8s.io" && parts[5] == "leases" {
		namespace = parts[4]
	}
	if len(parts) == 7 {
		name = parts[6]
	}
	verb := map[string]string{"GET": "get", "POST": "create", "PUT": "update"}[r.Method]
	if verb == "get" && name == "" {
		verb = "list"
		if r.URL.Query().Get("watch") != "" {
			verb = "watch"
		}
	}
	if namespace == "" || verb == "" || name == "" && verb == "update" {
		s.t.Errorf("unknown request %s %s", r.Method, r.URL)
	}
	var sent *coordination.Lease
	if r.Method != http.MethodGet {
		sent = s.decode(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[verb]++
	s.changed.Broadcast()
	if s.hangs != nil && s.hangs(verb, r) {
		s.mu.Unlock()
		<-r.Context().Done()
		s.mu.Lock()
		return
	}
	if s.delays != nil {
		if late := s.delays(verb, r); late > 0 {
			s.mu.Unlock()
			time.Sleep(late)
			s.mu.Lock()
		}
	}
	if s.refuses != nil {
		if code := s.refuses(verb, r); code != 0 {
			respondStatus(w, code, "")
			return
		}
	}
	if s.dropsAnswer != nil && s.dropsAnswer(verb, r) {
		s.serve(httptest.NewRecorder(), verb, namespace, name, sent)
		panic(http.ErrAbortHandler)
	}
	if verb == "watch" {
		s.watch(w, r, namespace)
		return
	}
	if verb == "list" {
		s.list(w, r, namespace)
		return
	}
	s.serve(w, verb, namespace, name, sent)
}

func (s *leaseServer) decode(r *http.Request) *coordination.Lease {
	body, _ := io.ReadAll(r.Body)
	lease := &coordination.Lease{}
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, lease); err != nil {
		s.t.Error(err)
	}
	return lease
}

func (s *leaseServer) serve(w http.ResponseWriter, verb, namespace, name string, sent *coordination.Lease) {
	if sent != nil {
		name = sent.Name
		if seconds := sent.Spec.LeaseDurationSeconds; seconds != nil && *seconds <= 0 {
			respondStatus(w, http.StatusUnprocessableEntity, "Invalid")
			return
		}
	}
	stored := s.leases[namespace+"/"+name]
	switch {
	case namespace == "absent" && verb == "create", verb == "get" && stored == nil:
		respondStatus(w, http.StatusNotFound, "")
	case verb == "get":
		respond(w, stored)
	case verb == "create" && stored != nil:
		respondStatus(w, http.StatusConflict, "AlreadyExists")
	case verb == "create", stored == nil && sent.UID == "":
		sent.UID, sent.Namespace = "", namespace
		s.store("ADDED", sent)
		s.notifyWrite(verb, sent)
		respond(w, sent)
	case stored == nil, sent.UID != "" && sent.UID != stored.UID, sent.ResourceVersion != "" && sent.ResourceVersion != stored.ResourceVersion:
		respondStatus(w, http.StatusConflict, "Conflict")
	case sent.ResourceVersion == "":
		respondStatus(w, http.StatusUnprocessableEntity, "Invalid")
	default:
		sent.UID = stored.UID
		s.store("MODIFIED", sent)
		s.notifyWrite(verb, sent)
		respond(w, sent)
	}
	s.changed.Broadcast()
}

func (s *leaseServer) notifyWrite(verb string, lease *coordination.Lease) {
	if s.onWrite != nil {
		s.onWrite(verb, lease.DeepCopy())
	}
}

func (s *leaseServer) list(w http.ResponseWriter, r *http.Request, namespace string) {
	list := &coordination.LeaseList{ListMeta: meta.ListMeta{ResourceVersion: strconv.Itoa(s.version)}}
	for _, lease := range s.leases {
		if selected(r, namespace, lease) {
			list.Items = append(list.Items, *lease)
		}
	}
	respond(w, list)
}

func selected(r *http.Request, namespace string, lease *coordination.Lease) bool {
	name, _ := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
	return lease.Namespace == namespace && lease.Name == name
}

// watch is called with the lock, and waits without it.
func (s *leaseServer) watch(w http.ResponseWriter, r *http.Request, namespace string) {
	after, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil {
		s.t.Errorf("a watch from version %q may begin in the past", r.URL.Query().Get("resourceVersion"))
	}
	w.Header().Set("Content-Type", "application/json")
	out, flush := json.NewEncoder(w), w.(http.Flusher)
	flush.Flush()
	stop := r.Context()
	go func() { <-stop.Done(); s.changed.Broadcast() }()
	for round := s.round; round == s.round && stop.Err() == nil; s.changed.Wait() {
		for _, change := range s.history {
			if s.silent != nil && s.silent(r) {
				break
			}
			if change.version > after && selected(r, namespace, change.lease) {
				out.Encode(map[string]any{"type": change.kind, "object": withTypeMeta(change.lease)})
			}
		}
		after = s.version
		flush.Flush()
	}
}

func withTypeMeta(object any) any {
	switch object := object.(type) {
	case *coordination.Lease:
		object = object.DeepCopy()
		object.TypeMeta = meta.TypeMeta{Kind: "Lease", APIVersion: "coordination.k8s.io/v1"}
		return object
	case *coordination.LeaseList:
		object = object.DeepCopy()
		object.TypeMeta = meta.TypeMeta{Kind: "LeaseList", APIVersion: "coordination.k8s.io/v1"}
		return object
	}
	return object
}

func respond(w http.ResponseWriter, object any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(withTypeMeta(object))
}

func respondStatus(w http.ResponseWriter, code int, reason string) {
	if reason == "" {
		reason = map[int]string{401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 500: "InternalError", 503: "ServiceUnavailable"}[code]
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"the test's %s"}`, reason, code, reason)
}

// refusingTo refuses some verbs with one status.
func refusingTo(code int, verbs ...string) func(string, *http.Request) int {
	return func(verb string, _ *http.Request) int {
		if slices.Contains(verbs, verb) {
			return code
		}
		return 0
	}
}
