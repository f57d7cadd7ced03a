package helm

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const finalizer = "example.com/cleanup"

// beginDeletion is what the apiserver does with an object that has a finalizer when somebody deletes it.
func beginDeletion(object map[string]any) {
	_ = unstructured.SetNestedStringSlice(object, []string{finalizer}, "metadata", "finalizers")
	_ = unstructured.SetNestedField(object, "2026-01-01T00:00:00Z", "metadata", "deletionTimestamp")
}

// loggingClient returns a client, and what it has logged.
func (s *server) loggingClient(t *testing.T) (*Client, func() string) {
	t.Helper()
	var (
		mu    sync.Mutex
		lines []string
	)
	c, err := New(&s.config, "staging", func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(lines, "\n")
	}
}

// TestWhatIsBeingDeletedIsWaitedFor: a change of an object that is being deleted is accepted, and lost with the object.
func TestWhatIsBeingDeletedIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		object string // that is being deleted
		next   string // what is deployed then
		never  bool   // its finalizer is never removed
	}{
		"an object":                    {"/configmaps/shop", "two", false},
		"an object of the same commit": {"/configmaps/shop", "one", false},
		"a workload":                   {"/deployments/shop", "two", false},
		"a hook":                       {"/jobs/after", "two", false},
		"an object for ever":           {"/configmaps/shop", "two", true},
		"a hook for ever":              {"/jobs/after", "two", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServerInBubble(t)
				c, logged := s.loggingClient(t)
				d := wideDeployment(t)
				if _, err := c.Deploy(t.Context(), withWord(d, "one"), ready); err != nil {
					t.Fatal(err)
				}
				s.change(test.object, beginDeletion)
				if !test.never {
					go func() {
						time.Sleep(20 * time.Second)
						s.remove(test.object)
					}()
				}
				began := time.Now()
				deployed, err := c.Deploy(t.Context(), withWord(d, test.next), ready)
				if want := "is being deleted, is gone: it is kept by its finalizers (" + finalizer + ")"; strings.Count(logged(), want) != 1 {
					t.Errorf("logged, want %q once:\n%s", want, logged())
				}
				if test.never {
					var failed *release.Failure
					if !errors.As(err, &failed) || release.IsBadRelease(err) || !strings.Contains(failed.Error(), "OD-218 ") || !strings.Contains(failed.Error(), finalizer) {
						t.Errorf("got %v", err)
					}
					if took := time.Since(began); took < deletionStuck || took > deletionStuck+10*time.Second {
						t.Errorf("gave up after %s", took)
					}
					return
				}
				if err != nil || deployed.Outcome != release.Changed {
					t.Fatalf("got %q, %v", deployed.Outcome, err)
				}
				object := s.object(test.object)
				if object == nil || (&unstructured.Unstructured{Object: object}).GetDeletionTimestamp() != nil {
					t.Errorf("the cluster has %v", object)
				}
			})
		})
	}
}

// TestAKeptObjectIsReported: Helm does not wait for what it deletes.
func TestAKeptObjectIsReported(t *testing.T) {
	t.Parallel()
	const want = "ConfigMap/shop-one is no longer part of the release, and is still being deleted: it is kept by its finalizers (" + finalizer + ")"
	for name, remove := range map[string]func(*Client, release.Deployment) error{
		"upgrade": func(c *Client, d release.Deployment) error {
			_, err := c.Deploy(t.Context(), withWord(d, "two"), ready)
			return err
		},
		"uninstall": func(c *Client, d release.Deployment) error { return c.Uninstall(t.Context(), d.Name) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, logged := s.loggingClient(t)
			d := wideDeployment(t)
			if _, err := c.Deploy(t.Context(), withWord(d, "one"), ready); err != nil {
				t.Fatal(err)
			}
			s.change("/configmaps/shop-one", func(object map[string]any) {
				_ = unstructured.SetNestedStringSlice(object, []string{finalizer}, "metadata", "finalizers")
			})
			if err := remove(c, d); err != nil {
				t.Fatal(err)
			}
			if strings.Count(logged(), want) != 1 {
				t.Errorf("logged, want %q once:\n%s", want, logged())
			}
		})
	}
}

// TestAnObjectOfNobodyThatIsBeingDeletedIsNamed: Helm says only that it exists.
func TestAnObjectOfNobodyThatIsBeingDeletedIsNamed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	object := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "shop", "namespace": "staging"}}
	beginDeletion(object)
	s.put("/api/v1/namespaces/staging/configmaps/shop", object)
	_, err := s.client("staging").Deploy(t.Context(), withWord(wideDeployment(t), "one"), ready)
	if err == nil || !strings.Contains(err.Error(), "OD-218 ConfigMap/shop") || !strings.Contains(err.Error(), finalizer) {
		t.Errorf("got %v", err)
	}
}

// TestALateCreateOfACancelledOperation: a cancelled operation's last request may create an object after the next operation has asked for
// it.
func TestALateCreateOfACancelledOperation(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before, path string
		alien        bool // it is another release's
	}{
		"of an upgrade":            {"one", "/configmaps/shop-two", false},
		"of an install":            {"", "/configmaps/shop", false},
		"of a hook":                {"one", "/jobs/before", false},
		"of another release":       {"one", "/configmaps/shop-two", true},
		"of another at an install": {"", "/configmaps/shop", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), wideDeployment(t)
			if test.before != "" {
				if _, err := c.Deploy(t.Context(), withWord(d, test.before), ready); err != nil {
					t.Fatal(err)
				}
			}
			collection, object, _ := strings.Cut(test.path[1:], "/")
			var once sync.Once
			s.answers(func(r *http.Request) (int, string) {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/"+collection) || !bytes.Contains(body, []byte(`"name":"`+object+`"`)) {
					return 0, ""
				}
				once.Do(func() {
					late := r.Clone(r.Context())
					late.Body = io.NopCloser(bytes.NewReader(body))
					created := s.sent(late, kinds[collection])
					if test.alien {
						_ = unstructured.SetNestedField(created, "cart", "metadata", "annotations", "meta.helm.sh/release-name")
					}
					s.put(r.URL.Path+"/"+object, created)
				})
				return 0, ""
			})
			_, err := c.Deploy(t.Context(), withWord(d, "two"), ready)
			once.Do(func() { t.Fatal("it was not created") })
			switch {
			case test.alien && (err == nil || !strings.Contains(err.Error(), "OD-202")):
				t.Errorf("got %v", err)
			case !test.alien && err != nil:
				t.Error(err)
			}
		})
	}
}
