package helm

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// TestDeployAppliesWhatRenderHasRendered: a chart is rendered once, so that what was checked is what is applied, unless it could render otherwise by then.
func TestDeployAppliesWhatRenderHasRendered(t *testing.T) {
	t.Parallel()
	const random = "{random: '{{ randAlphaNum 20 }}'"
	for name, test := range map[string]struct {
		more    string                       // of the template's data
		between func(*Client, *server) error // between check and deploy
		edit    func(*release.Deployment)    // of what is deployed
		another bool                         // another text is applied than that which was checked
	}{
		"at once": {},
		"with the rollback's target between": {between: func(c *Client, _ *server) error {
			_, err := c.RollbackTarget(t.Context(), withTemplate(t, ""))
			return err
		}},
		"a template that looks something up": {more: `, found: '{{ lookup "v1" "ConfigMap" "staging" "absent" | len }}'`, another: true},
		"another run's deployment":           {edit: func(d *release.Deployment) { d.RunURL = "https://example.com/another" }, another: true},
		"another revision": {another: true, between: func(_ *Client, s *server) error {
			_, err := s.client("staging").Deploy(t.Context(), withTemplate(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"), ready)
			return err
		}},
		"kinds that were discovered again": {another: true, between: func(c *Client, _ *server) error {
			_, err := c.connection.apiNewerThan(t.Context(), c.connection.current())
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c := s.client("staging")
			d := withTemplate(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: "+random+test.more+"}\n")
			for range 2 { // an install, an upgrade
				if err := c.Check(d); err != nil {
					t.Fatal(err)
				}
				checked, err := c.Render(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				if test.between != nil {
					if err := test.between(c, s); err != nil {
						t.Fatal(err)
					}
				}
				deployed := d
				if test.edit != nil {
					test.edit(&deployed)
				}
				mustDeploy(t, c, deployed)
				text, _ := at(t, s.object("/configmaps/shop"), "data", "random").(string)
				if len(text) != 20 || strings.Contains(checked.Manifest, text) == test.another {
					t.Errorf("applied %q; checked:\n%s", text, checked.Manifest)
				}
			}
		})
	}
}

// TestAPlanRendersOnceMore: a plan shows what differs in each rendering, also if the first one is that of the check.
func TestAPlanRendersOnceMore(t *testing.T) {
	t.Parallel()
	c := newServer(t).client("staging")
	d := withTemplate(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {random: '{{ randAlphaNum 20 }}'}\n")
	if err := c.Check(d); err != nil {
		t.Fatal(err)
	}
	checked, err := c.Render(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	mustPlan(t, c, d)
	found, _ := c.planned.Load(releaseKey(d))
	if planned, _ := found.(*plannedRendering); planned == nil || planned.rendered.Manifest != checked.Manifest {
		t.Errorf("planned %+v, checked:\n%s", planned, checked.Manifest)
	}
	kept, _ := c.rendered.Load(releaseKey(d))
	again, err := c.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	state, err := again.store.State(t.Context(), d.Name)
	if err != nil {
		t.Fatal(err)
	}
	other, err := again.renderUncached(d, kept.(*keptRendering).chart, state)
	if err != nil || other.Manifest == checked.Manifest {
		t.Errorf("rendered again: %v\n%s", err, other.Manifest)
	}
}

// TestAnInstallReadsItsObjectsAtOnce: Helm's check of what exists already asks one object after the other; the requests are sent in parallel before.
func TestAnInstallReadsItsObjectsAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var template strings.Builder
	for _, name := range []string{"a", "b", "c"} {
		template.WriteString("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n")
	}
	var reading, refused atomic.Int32
	all := make(chan struct{})
	s.answers(func(r *http.Request) (int, string) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/configmaps/") {
			return 0, ""
		}
		if reading.Add(1) == 3 {
			close(all)
		}
		<-all // as long as not all three are asked for, none is answered
		if strings.HasSuffix(r.URL.Path, "/c") && refused.Add(1) == 1 {
			return http.StatusForbidden, "once"
		}
		return 0, ""
	})
	mustDeploy(t, s.client("staging"), withTemplate(t, template.String()))
	asked := map[string]int{}
	for _, request := range s.requests() {
		asked[request]++
	}
	for name, want := range map[string]int{"a": 1, "b": 1, "c": 2} { // what could not be read is read again
		if got := asked["GET /api/v1/namespaces/staging/configmaps/"+name]; got != want {
			t.Errorf("%s was read %d times, want %d", name, got, want)
		}
	}
	if len(s.named("configmaps")) != 3 {
		t.Error("not all objects were created")
	}
}

// TestAnInstallRefusesWhatExists, also if it was read before Helm asks for it.
func TestAnInstallRefusesWhatExists(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("/api/v1/namespaces/staging/configmaps/shop", map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "shop", "namespace": "staging"}})
	_, err := s.client("staging").Deploy(t.Context(), withTemplate(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\n"), ready)
	if err == nil || !strings.Contains(err.Error(), "shop") || len(s.named("pods")) > 0 {
		t.Errorf("got %v and %v", err, s.named("pods"))
	}
}

// TestRenderDoesNotFailByAnOldState: the apiserver's cache may not have the last revision yet. What fails by that alone does not fail.
func TestRenderDoesNotFailByAnOldState(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client("staging")
	mustDeploy(t, c, withTemplate(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\n"))
	s.coldCache = true
	const upgradesOnly = "{{ if .Release.IsInstall }}{{ fail \"it is an install\" }}{{ end }}apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\n"
	if _, err := c.Render(t.Context(), withTemplate(t, upgradesOnly)); err != nil {
		t.Errorf("got %v of an upgrade", err)
	}
	if err := c.Uninstall(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Render(t.Context(), withTemplate(t, upgradesOnly)); err == nil || !strings.Contains(err.Error(), "it is an install") {
		t.Errorf("got %v of an install", err)
	}
}
