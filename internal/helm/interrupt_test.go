package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/client-go/rest"
)

// wideDeployment is of a chart with many features: hooks that are deleted and kept, lists that are merged, and objects that the
// values add and remove.
func wideDeployment(t *testing.T) release.Deployment {
	t.Helper()
	hook := func(name, when, policy string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: " + name + "\n  annotations: {helm.sh/hook: '" + when + "'" + policy + "}\n" +
			"spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}}}\n"
	}
	d := deployment(t, "staging")
	d.ValuesFiles, d.Chart = nil, files(t, map[string]string{
		"Chart.yaml":  looseChart,
		"values.yaml": "word: one\n",
		"templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {word: '{{ .Values.word }}'}\n" +
			"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: 'shop-{{ .Values.word }}'}\n",
		"templates/workload.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  selector: {matchLabels: {app: shop}}\n" +
			"  template:\n    metadata: {labels: {app: shop}}\n    spec:\n      containers:\n        - name: app\n          image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'\n" +
			"          env: [{name: WORD, value: x}, {name: 'WORD_{{ .Values.word }}', value: z}]\n",
		"templates/service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: shop, annotations: {'word-{{ .Values.word }}': x}}\nspec: {ports: [{port: 80}]}\n",
		"templates/before.yaml":  hook("before", "pre-install,pre-upgrade,pre-rollback", ", helm.sh/hook-delete-policy: hook-succeeded"),
		"templates/after.yaml":   hook("after", "post-install,post-upgrade,post-rollback", ""),
	})
	return d
}

// withWord deploys with another value, which changes objects of every kind.
func withWord(d release.Deployment, word string) release.Deployment {
	d.Set = []string{"word=" + word}
	return d
}

// ready is a wait that returns at once.
func ready(context.Context, release.Phase, []release.Object) error { return nil }

// stableObjects returns all objects except Helm's records, without the fields that differ from run to run.
func (s *server) stableObjects() map[string]any {
	objects := map[string]any{}
	for path, object := range s.snapshot() {
		if !strings.Contains(path, "/secrets/sh.helm.release") {
			objects[path] = manifest.WithoutEmpty(manifest.WithoutVolatile(object))
		}
	}
	return objects
}

// interruptedTransport interrupts an operation at its at-th request: it stops the context, or like a killed process it loses the
// answer of that request and sends no more. A request that was sent is served in any case, as by an apiserver that has received it.
type interruptedTransport struct {
	at   int
	stop context.CancelFunc
	kill bool

	mu    sync.Mutex
	count int
	sent  sync.WaitGroup // requests that the server has not answered yet
}

var errKilled = errors.New("killed")

func (m *interruptedTransport) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		m.mu.Lock()
		m.count++
		count := m.count
		m.mu.Unlock()
		if m.kill && count > m.at {
			return nil, errKilled
		}
		if count == m.at && !m.kill {
			m.stop()
		}
		response, err := m.send(next, r)
		if count != m.at || !m.kill {
			return response, err
		}
		if err == nil {
			response.Body.Close()
		}
		m.stop() // a killed process does not wait on
		return nil, errKilled
	})
}

// send sends a request unless its context has ended, and waits for the answer until then. The request itself does not end with the context.
func (m *interruptedTransport) send(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	type answer struct {
		response *http.Response
		err      error
	}
	answered := make(chan answer, 1)
	m.sent.Go(func() {
		response, err := next.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
		if err == nil {
			var body []byte
			body, err = io.ReadAll(response.Body)
			response.Body.Close()
			response.Body = io.NopCloser(bytes.NewReader(body))
		}
		answered <- answer{response, err}
	})
	select {
	case a := <-answered:
		return a.response, a.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// interruption is how an operation ended.
type interruption struct {
	err      error
	took     time.Duration // from the interruption to the end
	happened bool          // it sent as many requests
}

// interrupt runs an operation and interrupts it at its at-th request.
func (s *server) interrupt(t *testing.T, at int, kill bool, do func(context.Context, *Client) error) interruption {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var interrupted time.Time
	m := &interruptedTransport{at: at, kill: kill, stop: func() { interrupted = time.Now(); stop() }}
	config := rest.CopyConfig(&s.config)
	config.Wrap(m.wrap)
	c, err := New(config, "staging", nil)
	if err != nil {
		t.Fatal(err)
	}
	if kill {
		c.timeouts.records = 10 * time.Millisecond
	}
	c.connection.api = s.discovered(t) // discovery changes nothing, so that it need not be interrupted
	err = do(ctx, c)
	done := interruption{err: err, happened: m.count >= at}
	if done.happened {
		done.took = time.Since(interrupted)
	}
	m.sent.Wait() // one that is served later would change what the next operation has read
	return done
}

// TestInterruptedAtAnyRequest interrupts every operation at every request that it sends, as by SIGINT and as by SIGKILL. After the
// first, nothing may be pending. After either, healing and running it again succeeds, and the cluster is as without the interruption.
func TestInterruptedAtAnyRequest(t *testing.T) {
	t.Parallel()
	d := wideDeployment(t)
	deploying := func(value string) func(context.Context, *Client) error {
		return func(ctx context.Context, c *Client) error {
			d := withWord(d, value)
			d.RunURL = "https://github.com/example/shop/actions/runs/2"
			_, err := c.Deploy(ctx, d, ready)
			return err
		}
	}
	rolling := func(ctx context.Context, c *Client) error {
		_, err := c.Rollback(ctx, "shop", 1, ready)
		return err
	}
	removing := func(ctx context.Context, c *Client) error { return c.Uninstall(ctx, "shop") }
	failing := func(t *testing.T, s *server) { // revision 3 has applied some of its objects
		s.answers(on("PATCH", "/deployments/shop", 422, `Deployment.apps "shop" is invalid: spec.x`))
		if err := deploying("three")(t.Context(), s.client("staging")); err == nil {
			t.Fatal("it did not fail")
		}
		s.answers(nil)
	}
	prepared := func(words ...string) func(*testing.T, *server) {
		return func(t *testing.T, s *server) {
			for _, one := range words {
				if err := deploying(one)(t.Context(), s.client("staging")); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	failed := func(words ...string) func(*testing.T, *server) {
		return func(t *testing.T, s *server) { prepared(words...)(t, s); failing(t, s) }
	}
	for name, test := range map[string]struct {
		before    func(*testing.T, *server)
		do, again func(context.Context, *Client) error
		every     int  // how many requests are between two interruptions
		twice     bool // the undisturbed run runs again too
	}{
		"install":                      {prepared(), deploying("one"), deploying("one"), 1, false},
		"install, then another":        {prepared(), deploying("one"), deploying("two"), 3, true},
		"upgrade":                      {prepared("one"), deploying("two"), deploying("two"), 1, false},
		"upgrade, then another":        {prepared("one"), deploying("two"), deploying("three"), 3, true},
		"upgrade, then back":           {prepared("one"), deploying("two"), rolling, 3, true},
		"rollback":                     {prepared("one", "two"), rolling, rolling, 1, false},
		"rollback of a failed":         {failed("one", "two"), rolling, rolling, 3, false},
		"upgrade after a failed":       {failed("one"), deploying("two"), deploying("two"), 3, false},
		"uninstall":                    {prepared("one"), removing, removing, 1, false},
		"uninstall of a failed":        {failed("one"), removing, removing, 2, false},
		"uninstall of two revisions":   {prepared("one", "two"), removing, removing, 3, false},
		"uninstall, and install again": {prepared("one"), removing, deploying("two"), 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServerInBubble(t)
				test.before(t, s)
				start := s.snapshot()
				if err := test.do(t.Context(), s.client("staging")); err != nil {
					t.Fatal(err)
				}
				if test.twice {
					if err := test.again(t.Context(), s.client("staging")); err != nil {
						t.Fatal(err)
					}
				}
				want := s.stableObjects()
				for _, kill := range []bool{false, true} {
					for at := 1; ; at += test.every {
						s.restore(start)
						done := s.interrupt(t, at, kill, test.do)
						if !done.happened {
							if at < 5 || done.err != nil {
								t.Fatalf("after %d requests: %v", at, done.err)
							}
							break
						}
						s.checkRecovery(t, fmt.Sprintf("interrupted at request %d (kill: %t)", at, kill), kill, done, test.again, want)
					}
				}
			})
		})
	}
}

func (s *server) checkRecovery(t *testing.T, when string, kill bool, done interruption, again func(context.Context, *Client) error, want map[string]any) {
	t.Helper()
	c := s.client("staging")
	c.connection.api = s.discovered(t)
	if !kill {
		if done.took > 2*time.Second {
			t.Errorf("%s: stopped after %s", when, done.took)
		}
		if got := statuses(t, c); strings.Contains(got, "pending") || strings.Contains(got, "uninstalling") {
			t.Errorf("%s: the history is %q", when, got)
		}
	}
	before := statuses(t, c)
	healed, err := c.Heal(t.Context(), "shop", func(line string) { t.Errorf("%s: waits for a killed run of our own: %s", when, line) })
	if err != nil {
		t.Fatalf("%s: healing: %v", when, err)
	}
	if inProgress := strings.Contains(before, "pending") || strings.Contains(before, "uninstalling"); inProgress != (healed != nil) {
		t.Errorf("%s: %q was healed: %+v", when, before, healed)
	}
	if err := again(t.Context(), c); err != nil {
		t.Fatalf("%s: the history was %q, and again: %v", when, before, err)
	}
	if diff := cmp.Diff(want, s.stableObjects()); diff != "" {
		t.Fatalf("%s: the history was %q, and again -want +got:\n%s", when, before, diff)
	}
	if got := statuses(t, c); got != "" && !strings.HasSuffix(got, "deployed") {
		t.Errorf("%s: the history is %q at the end", when, got)
	}
}

// TestADeployAfterAKilledUninstall: it is a first install, also if earlier revisions were verified: nothing of them is a target of a rollback, before it and after it fails.
func TestADeployAfterAKilledUninstall(t *testing.T) {
	t.Parallel()
	d := wideDeployment(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServerInBubble(t)
		for i, word := range []string{"one", "two", "three"} {
			c := s.client("staging")
			if _, err := c.Deploy(t.Context(), withWord(d, word), ready); err != nil {
				t.Fatal(err)
			}
			if err := c.Mark(t.Context(), "shop", i+1, release.MarkProved); err != nil {
				t.Fatal(err)
			}
		}
		start, killed, whole := s.snapshot(), 0, 0
		for at := 1; ; at++ {
			s.restore(start)
			if !s.interrupt(t, at, true, func(ctx context.Context, c *Client) error { return c.Uninstall(ctx, "shop") }).happened {
				break
			}
			c := s.client("staging")
			healed, err := c.Heal(t.Context(), "shop", func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			if healed == nil { // it had not begun, or only the last answers were lost
				continue
			}
			next := withWord(d, "four")
			if healed.Whole { // nothing was deleted yet
				if target, err := c.RollbackTarget(t.Context(), next); err != nil || target.Revision != 3 {
					t.Errorf("killed at request %d: a rollback would go to revision %d: %v", at, target.Revision, err)
				}
				if got, err := c.Deploy(t.Context(), next, ready); err != nil || got.Outcome != release.Changed {
					t.Errorf("killed at request %d: got %+v, %v", at, got, err)
				}
				whole++
				continue
			}
			killed++
			if target, err := c.RollbackTarget(t.Context(), next); err != nil || target.Revision != 0 {
				t.Errorf("killed at request %d: a rollback would go to revision %d: %v", at, target.Revision, err)
			}
			history, err := c.History(t.Context(), "shop")
			if err != nil || len(history) == 0 || !history[0].Uninstalled {
				t.Errorf("killed at request %d: got %+v, %v", at, history, err)
			}
			failing := errors.New("it does not start")
			if _, err := c.Deploy(t.Context(), next, func(context.Context, release.Phase, []release.Object) error { return failing }); !errors.Is(err, failing) {
				t.Errorf("killed at request %d: got %v", at, err)
			}
			if target, err := c.LiveRollbackTarget(t.Context(), next); err != nil || target.Revision != 0 {
				t.Errorf("killed at request %d: after it failed, a rollback would go to revision %d: %v", at, target.Revision, err)
			}
			if got, err := c.Deploy(t.Context(), next, ready); err != nil || got.Outcome != release.Created {
				t.Errorf("killed at request %d: got %+v, %v", at, got, err)
			}
			if target, err := c.RollbackTarget(t.Context(), withWord(d, "five")); err != nil || target.Revision != 0 {
				t.Errorf("killed at request %d: of the next upgrade, a rollback would go to revision %d: %v", at, target.Revision, err)
			}
		}
		if killed < 3 || whole < 1 {
			t.Errorf("%d uninstalls were killed, and %d before they had deleted anything", killed, whole)
		}
	})
}

// TestAKilledDeployAfterAKilledUninstall: whichever request of it is the last, no later rollback goes back beyond the uninstall.
func TestAKilledDeployAfterAKilledUninstall(t *testing.T) {
	t.Parallel()
	d := wideDeployment(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServerInBubble(t)
		if _, err := s.client("staging").Deploy(t.Context(), withWord(d, "one"), ready); err != nil {
			t.Fatal(err)
		}
		if err := s.client("staging").Mark(t.Context(), "shop", 1, release.MarkProved); err != nil {
			t.Fatal(err)
		}
		if _, err := s.client("staging").Deploy(t.Context(), withWord(d, "unproved"), ready); err != nil {
			t.Fatal(err)
		}
		for at := 1; ; at++ {
			s.interrupt(t, at, true, func(ctx context.Context, c *Client) error { return c.Uninstall(ctx, "shop") })
			healed, err := s.client("staging").Heal(t.Context(), "shop", func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			if healed != nil && healed.Uninstalling() {
				break
			}
		}
		deploying := func(ctx context.Context, c *Client) error {
			_, err := c.Deploy(ctx, withWord(d, "two"), ready)
			return err
		}
		start := s.snapshot()
		for at := 1; ; at++ {
			s.restore(start)
			if !s.interrupt(t, at, true, deploying).happened {
				break
			}
			c := s.client("staging")
			if _, err := c.Heal(t.Context(), "shop", func(string) {}); err != nil {
				t.Fatal(err)
			}
			if err := deploying(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if target, err := c.RollbackTarget(t.Context(), withWord(d, "three")); err != nil || target.Revision != 0 {
				t.Errorf("killed at request %d: a rollback would go to revision %d: %v", at, target.Revision, err)
			}
		}
	})
}

// TestAnUninstallThatIsResumed: after a SIGKILL at any request, the next uninstall tells that one had begun, once anything was deleted, and what is left.
func TestAnUninstallThatIsResumed(t *testing.T) {
	t.Parallel()
	d := wideDeployment(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServerInBubble(t)
		if _, err := s.client("staging").Deploy(t.Context(), withWord(d, "one"), ready); err != nil {
			t.Fatal(err)
		}
		if err := s.client("staging").Mark(t.Context(), "shop", 1, release.MarkProved); err != nil {
			t.Fatal(err)
		}
		before, err := s.client("staging").Removal(t.Context(), "shop")
		if err != nil || !before.Begun.IsZero() {
			t.Fatalf("got %+v, %v", before, err)
		}
		start, resumed := s.snapshot(), 0
		for at := 1; ; at++ {
			s.restore(start)
			if !s.interrupt(t, at, true, func(ctx context.Context, c *Client) error { return c.Uninstall(ctx, "shop") }).happened {
				break
			}
			c := s.client("staging")
			left, err := c.Removal(t.Context(), "shop")
			if err != nil {
				t.Fatal(err)
			}
			if left.Revision == 0 {
				continue // only its answer was lost
			}
			begun := !left.Begun.IsZero()
			if len(left.Deletes) < len(before.Deletes) && !begun {
				t.Errorf("killed at request %d: %d of %d objects are left, and no uninstall has begun", at, len(left.Deletes), len(before.Deletes))
			}
			healed, err := c.Heal(t.Context(), "shop", func(string) {})
			if healed != nil && healed.Whole {
				if len(left.Deletes) < len(before.Deletes) {
					t.Errorf("killed at request %d: %d of %d objects are left, and it counts as installed", at, len(left.Deletes), len(before.Deletes))
				}
				continue
			}
			if err != nil || (healed != nil && healed.Uninstalling()) != begun {
				t.Errorf("killed at request %d: healed %+v, %v, begun: %t", at, healed, err, begun)
			}
			if again, err := c.Removal(t.Context(), "shop"); err != nil || again.Begun.IsZero() == begun {
				t.Errorf("killed at request %d, healed: got %+v, %v", at, again, err)
			}
			if !begun {
				continue
			}
			resumed++
		}
		if resumed < 3 {
			t.Errorf("%d uninstalls were resumed", resumed)
		}
	})
}
