package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/client-go/rest"
)

// objectServer serves objects by path, and only their metadata to requests for PartialObjectMetadata.
type objectServer struct {
	t       *testing.T
	objects map[string]string // path below /api/v1/namespaces/ to the object's content
	status  map[string]int    // path to the status of a refusal

	mu           sync.Mutex
	asked        map[string]int  // path
	metadataOnly map[string]bool // path to whether only metadata was requested
	inFlight     int
	maxInFlight  int
	hold         chan struct{} // requests wait until it is closed; nil: none does
}

func (s *objectServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/")
	metadataOnly := strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata")
	s.mu.Lock()
	s.asked[path]++
	s.metadataOnly[path] = metadataOnly
	s.inFlight++
	s.maxInFlight = max(s.maxInFlight, s.inFlight)
	s.mu.Unlock()
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	s.inFlight--
	s.mu.Unlock()
	content, found := s.objects[path]
	switch {
	case s.status[path] != 0:
		respondStatus(w, s.status[path], "")
	case !found || r.Method != http.MethodGet:
		respondStatus(w, http.StatusNotFound, "")
	default:
		w.Header().Set("Content-Type", "application/json")
		parts := strings.Split(path, "/")
		kind := map[string]string{"secrets": "Secret", "configmaps": "ConfigMap", "serviceaccounts": "ServiceAccount", "persistentvolumeclaims": "PersistentVolumeClaim"}[parts[1]]
		if metadataOnly {
			fmt.Fprintf(w, `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":%q}}`, parts[2])
			return
		}
		object := map[string]any{}
		if err := json.Unmarshal([]byte(content), &object); err != nil {
			s.t.Error(err)
		}
		object["kind"], object["apiVersion"], object["metadata"] = kind, "v1", map[string]string{"name": parts[2]}
		json.NewEncoder(w).Encode(object)
	}
}

func newObjectServer(t *testing.T, objects map[string]string) (*objectServer, *Client) {
	t.Helper()
	s := &objectServer{t: t, objects: objects, status: map[string]int{}, asked: map[string]int{}, metadataOnly: map[string]bool{}}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	client, err := New(&rest.Config{Host: web.URL, QPS: 1000, Burst: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return s, client
}

func TestMissingReferences(t *testing.T) {
	t.Parallel()
	s, client := newObjectServer(t, map[string]string{
		"staging/secrets/database":               `{"data":{"url":"cG9zdGdyZXM6Ly8=","empty":""}}`,
		"staging/secrets/pull":                   `{}`,
		"staging/configmaps/settings":            `{"data":{"level":"info"},"binaryData":{"icon":"AAEC"}}`,
		"staging/serviceaccounts/shop":           `{}`,
		"staging/persistentvolumeclaims/uploads": `{}`,
		"jobs/secrets/database":                  `{"data":{"password":"eA=="}}`,
	})
	s.status["staging/secrets/locked"] = http.StatusForbidden
	by := release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: space, Name: "shop"}
	worker := release.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: "worker"}
	job := release.Object{APIVersion: "batch/v1", Kind: "Job", Namespace: "jobs", Name: "migrate"}
	references := []release.Reference{
		{Kind: "Secret", Name: "database", Key: "url", By: by},
		{Kind: "Secret", Name: "database", Key: "empty", By: by},
		{Kind: "Secret", Name: "database", Key: "password", By: by},  // missing
		{Kind: "Secret", Name: "database", Key: "password", By: job}, // there, in its namespace
		{Kind: "Secret", Name: "database", By: worker},
		{Kind: "Secret", Name: "pull", By: by},
		{Kind: "Secret", Name: "absent", By: by},                             // missing
		{Kind: "Secret", Name: "absent", Key: "any", By: worker},             // missing
		{Kind: "Secret", Name: "optional", Optional: true, By: by},           //
		{Kind: "Secret", Name: "locked", By: by},                             // unchecked
		{Kind: "Secret", Name: "locked", Key: "any", By: worker},             // unchecked
		{Kind: "ConfigMap", Name: "settings", Key: "level", By: by},          //
		{Kind: "ConfigMap", Name: "settings", Key: "icon", By: by},           //
		{Kind: "ConfigMap", Name: "settings", Key: "colour", By: by},         // missing
		{Kind: "ServiceAccount", Name: "shop", By: by},                       //
		{Kind: "ServiceAccount", Name: "default", By: by},                    //
		{Kind: "ServiceAccount", Name: "nobody", By: by},                     // missing
		{Kind: "PersistentVolumeClaim", Name: "uploads", By: by},             //
		{Kind: "PersistentVolumeClaim", Name: "thumbnails", By: by},          // missing
		{Kind: "ConfigMap", Name: "settings", Key: "colour", By: worker},     // missing, for another
		{Kind: "ConfigMap", Name: "other", Optional: true, Key: "k", By: by}, //
	}
	missing, unchecked, err := client.MissingReferences(t.Context(), space, references)
	if err != nil {
		t.Fatal(err)
	}
	choose := func(indices ...int) (chosen []release.Reference) {
		for _, i := range indices {
			chosen = append(chosen, references[i])
		}
		return chosen
	}
	if diff := cmp.Diff(choose(2, 6, 7, 13, 16, 18, 19), missing); diff != "" {
		t.Errorf("missing: %s", diff)
	}
	if diff := cmp.Diff(choose(9, 10), unchecked); diff != "" {
		t.Errorf("unchecked: %s", diff)
	}
	metadataOnly := map[string]bool{
		"staging/secrets/database": false, "jobs/secrets/database": false, "staging/configmaps/settings": false, "staging/secrets/absent": false, "staging/secrets/locked": false,
		"staging/secrets/pull": true, "staging/serviceaccounts/shop": true, "staging/serviceaccounts/nobody": true,
		"staging/persistentvolumeclaims/uploads": true, "staging/persistentvolumeclaims/thumbnails": true,
	}
	if diff := cmp.Diff(metadataOnly, s.metadataOnly); diff != "" {
		t.Errorf("asked for without content: %s", diff)
	}
	for path, n := range s.asked {
		if n != 1 {
			t.Errorf("%s was read %d times", path, n)
		}
	}
}

func TestReferencesAreReadEightAtATime(t *testing.T) {
	t.Parallel()
	s, client := newObjectServer(t, nil)
	s.hold = make(chan struct{})
	var references []release.Reference
	for i := range 30 {
		references = append(references, release.Reference{Kind: "ConfigMap", Name: fmt.Sprint("c", i)})
	}
	done := make(chan int, 1)
	go func() {
		missing, _, err := client.MissingReferences(t.Context(), space, references)
		if err != nil {
			t.Error(err)
		}
		done <- len(missing)
	}()
	for range 1000 {
		s.mu.Lock()
		now := s.inFlight
		s.mu.Unlock()
		if now == maxReads {
			break
		}
		time.Sleep(10 * time.Millisecond) // until all that may come have come
	}
	close(s.hold)
	if n := receive(t, done, "answer"); n != len(references) || s.maxInFlight != maxReads {
		t.Errorf("%d missing, %d at once", n, s.maxInFlight)
	}
}

func TestMissingReferencesErrors(t *testing.T) {
	t.Parallel()
	s, client := newObjectServer(t, nil)
	s.status["staging/secrets/database"] = http.StatusServiceUnavailable
	for name, test := range map[string]struct {
		kind string
		want []string
		code int
	}{
		"of a cluster out of order": {"Secret", []string{"cluster: reading Secret/database", space}, release.ExitFault},
		"of an unknown kind":        {"Node", []string{"reading Node/database"}, release.ExitFault},
	} {
		_, _, err := client.MissingReferences(t.Context(), space, []release.Reference{{Kind: test.kind, Name: "database"}})
		if release.ExitCode(err) != test.code {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q lacks %q", name, err, want)
			}
		}
	}
	if missing, unchecked, err := client.MissingReferences(t.Context(), space, nil); err != nil || len(missing)+len(unchecked) != 0 {
		t.Errorf("nothing referred to: %v, %v, %v", missing, unchecked, err)
	}
}
