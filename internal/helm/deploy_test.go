package helm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/release"
	helmrelease "helm.sh/helm/v3/pkg/release"
	helmtime "helm.sh/helm/v3/pkg/time"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// mustDeploy deploys, and fails the test on an error.
func mustDeploy(t *testing.T, c *Client, d release.Deployment) release.Deployed {
	t.Helper()
	got, err := c.Deploy(t.Context(), d, ready)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// statuses returns the statuses of the revisions, oldest first.
func statuses(t *testing.T, c *Client) string {
	t.Helper()
	revisions, err := c.History(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, revision := range revisions {
		text = revision.Status + " " + text
	}
	return strings.TrimSpace(text)
}

// setStatus sets the status of the newest revision, as a run that was killed would leave it.
func setStatus(t *testing.T, c *Client, status helmrelease.Status) {
	t.Helper()
	s, err := c.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	state, err := s.store.State(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	newest := state.Newest()
	if newest.Info.Status = status; status == helmrelease.StatusUninstalled {
		newest.Info.Deleted = helmtime.Now()
	}
	if err := s.helm.Releases.Update(newest); err != nil {
		t.Fatal(err)
	}
}

func TestDeployOutcomes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), deployment(t, "staging")

	created := mustDeploy(t, c, d)
	if created.Outcome != release.Created || created.Revision != 1 || len(created.Objects) != 6 {
		t.Errorf("got %+v", created)
	}
	workload := s.named("deployments")[0]
	if got := at(t, workload, "metadata", "annotations", release.AnnotationRun); got != d.RunURL {
		t.Errorf("the run is %v", got)
	}

	s.changes()
	d.RunURL, d.Actor = "https://github.com/example/shop/actions/runs/2", "hubot"
	if again := mustDeploy(t, c, d); again.Outcome != release.Unchanged || again.Revision != 1 || len(again.Objects) != 6 {
		t.Errorf("got %+v", again)
	}
	if got := s.changes(); got != nil {
		t.Errorf("unchanged, and yet %q", got)
	}

	d.Set = []string{"config.GREETING=Hi"}
	if changed := mustDeploy(t, c, d); changed.Outcome != release.Changed || changed.Revision != 2 {
		t.Errorf("got %+v", changed)
	}
	if got := statuses(t, c); got != "superseded deployed" {
		t.Errorf("the history is %q", got)
	}
	if got := at(t, s.named("configmaps")[0], "data", "GREETING"); got != "Hi" {
		t.Errorf("the greeting is %v", got)
	}
}

func TestDeletedObjectsAreCreatedAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), deployment(t, "staging")
	mustDeploy(t, c, d)
	s.remove("/services/shop")
	if again := mustDeploy(t, c, d); again.Outcome != release.Changed {
		t.Errorf("got %+v", again)
	}
	if len(s.named("services")) != 1 {
		t.Error("the Service is gone")
	}
}

// TestAnImageThatAWebhookRewritesIsUnchanged: a mirror's name in place of the registry's is what the cluster makes of the same release.
func TestAnImageThatAWebhookRewritesIsUnchanged(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.admit = func(object map[string]any) {
		containers, found, _ := unstructured.NestedSlice(object, "spec", "template", "spec", "containers")
		if !found {
			return
		}
		first := containers[0].(map[string]any)
		_, name, _ := strings.Cut(fmt.Sprint(first["image"]), "/")
		first["image"] = "mirror.example.com/" + name
		_ = unstructured.SetNestedSlice(object, containers, "spec", "template", "spec", "containers")
	}
	c, d := s.client("staging"), deployment(t, "staging")
	mustDeploy(t, c, d)
	if again := mustDeploy(t, c, d); again.Outcome != release.Unchanged {
		t.Errorf("got %+v", again)
	}
}

func TestManualChangesAreReverted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(spec map[string]any){
		"scaled": func(spec map[string]any) { spec["replicas"] = int64(0) },
		"another image": func(spec map[string]any) {
			containers, _, _ := unstructured.NestedSlice(spec, "template", "spec", "containers")
			containers[0].(map[string]any)["image"] = "nginx"
			_ = unstructured.SetNestedSlice(spec, containers, "template", "spec", "containers")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), deployment(t, "staging")
			mustDeploy(t, c, d)
			if again := mustDeploy(t, c, d); again.Outcome != release.Unchanged {
				t.Fatalf("before the change: %+v", again)
			}
			s.change("/deployments/shop", func(object map[string]any) { change(object["spec"].(map[string]any)) })
			if again := mustDeploy(t, c, d); again.Outcome != release.Changed {
				t.Errorf("after the change: %+v", again)
			}
			if again := mustDeploy(t, c, d); again.Outcome != release.Unchanged {
				t.Errorf("after the deploy: %+v", again)
			}
		})
	}
}

func TestHistoryIsBoundedAndNamesCommitAndDigest(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), deployment(t, "staging")
	for i := range history.MaxRevisions + 2 {
		d.Set = []string{"config.GREETING=" + strings.Repeat("x", i+1)}
		mustDeploy(t, c, d)
	}
	revisions, err := c.History(t.Context(), "shop")
	if err != nil || len(revisions) != history.MaxRevisions || revisions[0].Number != history.MaxRevisions+2 {
		t.Fatalf("got %v, %v", revisions, err)
	}
	if newest := revisions[0]; newest.Commit != commit || newest.Digest != d.Main().Image.Digest || newest.Status != "deployed" || newest.At.IsZero() {
		t.Errorf("got %+v", newest)
	}
	if none, err := c.History(t.Context(), "other"); err != nil || none != nil {
		t.Errorf("got %v, %v", none, err)
	}
}

func TestAFailedRevisionIsFollowedByAnUpgrade(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), deployment(t, "staging")
	s.answers(on("POST", "/deployments", 422, `Deployment.apps "shop" is invalid: spec.x`))
	_, err := c.Deploy(t.Context(), d, nil)
	var failure *release.Failure
	if !errors.As(err, &failure) || !release.IsBadRelease(err) || !strings.Contains(err.Error(), "fix the chart or the values") {
		t.Errorf("got %v", err)
	}
	if got := statuses(t, c); got != "failed" {
		t.Errorf("the history is %q", got)
	}
	s.answers(nil)
	if got := mustDeploy(t, c, d); got.Outcome != release.Created || got.Revision != 2 {
		t.Errorf("got %+v", got)
	}
	d.Set = []string{"config.GREETING=Hi"}
	mustDeploy(t, c, d)
	if got := statuses(t, c); got != "failed superseded deployed" {
		t.Errorf("the history is %q", got)
	}
	setStatus(t, c, helmrelease.StatusFailed)
	if got := mustDeploy(t, c, d); got.Outcome != release.Changed || got.Revision != 4 {
		t.Errorf("after a failed upgrade got %+v", got)
	}
}

func TestReleaseInProgressIsNotChanged(t *testing.T) {
	t.Parallel()
	for _, status := range []helmrelease.Status{helmrelease.StatusPendingInstall, helmrelease.StatusPendingUpgrade, helmrelease.StatusUninstalling} {
		s := newServer(t)
		c, d := s.client("staging"), deployment(t, "staging")
		mustDeploy(t, c, d)
		setStatus(t, c, status)
		s.changes()
		_, deploying := c.Deploy(t.Context(), d, nil)
		_, rolling := c.Rollback(t.Context(), "shop", 1, nil)
		for _, err := range []error{deploying, rolling} {
			if release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "is "+status.String()) || !strings.Contains(err.Error(), "OD-203") {
				t.Errorf("%s: got %v", status, err)
			}
		}
		if got := s.changes(); got != nil {
			t.Errorf("%s: %q", status, got)
		}
	}
}

func TestAnUninstalledReleaseIsCreatedAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), deployment(t, "staging")
	mustDeploy(t, c, d)
	if err := c.Mark(t.Context(), "shop", 1, release.MarkProved); err != nil {
		t.Fatal(err)
	}
	setStatus(t, c, helmrelease.StatusUninstalled) // helm uninstall --keep-history
	for _, kind := range []string{"deployments", "services", "configmaps", "serviceaccounts", "poddisruptionbudgets", "networkpolicies"} {
		s.remove("/" + kind + "/shop")
	}
	wait := errors.New("it does not start")
	_, err := c.Deploy(t.Context(), d, func(context.Context, release.Phase, []release.Object) error { return wait })
	if !errors.Is(err, wait) {
		t.Errorf("got %v", err)
	}
	if target, err := c.LiveRollbackTarget(t.Context(), d); err != nil || target.Revision != 0 {
		t.Errorf("a rollback would go back to revision %d, from before the uninstall: %v", target.Revision, err)
	}
	if got := mustDeploy(t, c, d); got.Outcome != release.Created {
		t.Errorf("got %+v", got)
	}
	if got := statuses(t, c); got != "uninstalled failed deployed" {
		t.Errorf("got %q", got)
	}
}

func TestRollbackAppliesAnEarlierRevision(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), deployment(t, "staging")
	mustDeploy(t, c, d)
	d.Set = []string{"config.GREETING=Hi"}
	mustDeploy(t, c, d)
	got, err := c.Rollback(t.Context(), "shop", 1, nil)
	if err != nil || got.Outcome != release.RolledBack || got.Revision != 3 || len(got.Objects) != 6 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := at(t, s.named("configmaps")[0], "data", "GREETING"); got != "Hello" {
		t.Errorf("the greeting is %v", got)
	}
	if got := statuses(t, c); got != "superseded superseded deployed" {
		t.Errorf("the history is %q", got)
	}
	for name, to := range map[string]int{"shop": 9, "other": 1} {
		if _, err := c.Rollback(t.Context(), name, to, nil); release.ExitCode(err) != release.ExitFailed {
			t.Errorf("%s to %d: got %v", name, to, err)
		}
	}
	if _, err := c.Rollback(t.Context(), "shop", 0, nil); release.ExitCode(err) != release.ExitFailed {
		t.Errorf("got %v", err)
	}
}

func TestUninstallLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), deployment(t, "staging")
	mustDeploy(t, c, d)
	for range 2 {
		if err := c.Uninstall(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		if len(s.objects) != 0 {
			t.Errorf("left: %v", slices.Collect(maps.Keys(s.objects)))
		}
	}
}

// TestDeployClassifiesErrors checks whose fault an error of the cluster is.
func TestDeployClassifiesErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(*http.Request) (int, string)
		code   int
		want   string
	}{
		"forbidden":                   {on("POST", "/configmaps", 403, `configmaps is forbidden: User "ci" cannot create resource "configmaps"`), release.ExitFault, "grant the deploying identity"},
		"records forbidden":           {on("GET", "/secrets", 403, `secrets is forbidden: User "ci" cannot list resource "secrets"`), release.ExitFault, "grant the deploying identity"},
		"not let in":                  {on("GET", "/version", 401, "Unauthorized"), release.ExitFault, "refresh the kubeconfig"},
		"no namespace":                {on("POST", "/secrets", 404, `namespaces "staging" not found`), release.ExitInput, "--create-namespace"},
		"another namespace":           {on("POST", "/deployments", 404, `namespaces "monitoring" not found`), release.ExitFailed, "create the namespace"},
		"quota":                       {on("POST", "/deployments", 403, `deployments.apps "shop" is forbidden: exceeded quota: all`), release.ExitFailed, "OD-108"},
		"policy":                      {on("POST", "/deployments", 403, `admission webhook "x" denied the request: no`), release.ExitFailed, "OD-109"},
		"another run's":               {on("POST", "/secrets", 409, `secrets "sh.helm.release.v1.shop.v1" already exists`), release.ExitFailed, "OD-203"},
		"an apiserver that is broken": {on("POST", "/services", 500, "etcdserver: no leader\n::error::x"), release.ExitFault, `etcdserver: no leader :\:error::x`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.answers(test.answer)
			_, err := s.client("staging").Deploy(t.Context(), deployment(t, "staging"), nil)
			if err == nil || release.ExitCode(err) != test.code || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got exit code %d, %v; want %d, %q", release.ExitCode(err), err, test.code, test.want)
			}
		})
	}
}

// TestConflictsAreTriedAgain: other changes of the namespace count against the same quota, and controllers change the objects of the release.
func TestConflictsAreTriedAgain(t *testing.T) {
	t.Parallel()
	const changed = "the object has been modified; please apply your changes to the latest version and try again"
	for name, test := range map[string]struct {
		method, path, message string
	}{
		"a record":      {"POST", "/secrets", `Operation cannot be fulfilled on resourcequotas "q": ` + changed},
		"a first one":   {"POST", "/services", `Operation cannot be fulfilled on resourcequotas "q": ` + changed},
		"a later one":   {"PATCH", "/services/shop", `Operation cannot be fulfilled on resourcequotas "q": ` + changed},
		"a busy object": {"PATCH", "/deployments/shop", `Operation cannot be fulfilled on deployments.apps "shop": ` + changed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), deployment(t, "staging")
			if test.method == "PATCH" {
				mustDeploy(t, c, d)
				d.SetJSON = append(d.SetJSON, "replicas=3", "service.port=81")
			}
			var refused atomic.Int32
			refuse := on(test.method, test.path, 409, test.message)
			s.answers(func(r *http.Request) (int, string) {
				code, message := refuse(r)
				if code > 0 && refused.Add(1) > 2 {
					return 0, ""
				}
				return code, message
			})
			if _, err := c.Deploy(t.Context(), d, nil); err != nil || refused.Load() < 3 {
				t.Errorf("got %v after %d refusals", err, refused.Load())
			}
		})
	}
}

// TestFailedPatchDoesNotLeakTheObject answers as the apiserver does, which quotes the object that it could not apply.
func TestFailedPatchDoesNotLeakTheObject(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), deployment(t, "staging")
	d.Set = []string{"secret.API_TOKEN=one"}
	mustDeploy(t, c, d)
	s.answers(func(r *http.Request) (int, string) {
		if r.Method != http.MethodPatch {
			return 0, ""
		}
		return 422, `"" is invalid: patch: Invalid value: "{\"data\":{\"API_TOKEN\":\"hunter2\"}}": json: cannot unmarshal` + strings.Repeat(" and so on", 500)
	})
	d.Set = []string{"secret.API_TOKEN=two"}
	_, err := c.Deploy(t.Context(), d, nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "{…}: json: cannot unmarshal") || len(err.Error()) > 2*1000 {
		t.Errorf("got %v", err)
	}
	revisions, err := c.History(t.Context(), "shop")
	if err != nil || revisions[0].Status != "failed" || strings.Contains(revisions[0].Description, "hunter2") {
		t.Errorf("got %+v, %v", revisions, err)
	}
}

// TestWarningsAreLoggedOnce makes the server warn of each object that is created.
func TestWarningsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.warn("unknown field \"spec.replcias\"")
	var logged []string
	c, err := New(&rest.Config{Host: s.config.Host, WarningHandler: rest.NoWarnings{}}, "staging", func(line string) { logged = append(logged, line) })
	if err != nil {
		t.Fatal(err)
	}
	mustDeploy(t, c, deployment(t, "staging"))
	if diff := cmp.Diff([]string{`WARNING: unknown field "spec.replcias"`}, logged); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	t.Parallel()
	count := 0
	w := &warnings{log: func(string) { count++ }, seen: map[string]bool{}}
	for i := range 2 * maxWarnings {
		w.HandleWarningHeader(299, "", strings.Repeat("x", i+1))
		w.HandleWarningHeader(199, "", "not the apiserver's")
	}
	if count != maxWarnings {
		t.Errorf("%d lines", count)
	}
}

func TestObjectOfAnotherOwner(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("/api/v1/namespaces/staging/services/shop", map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "shop", "namespace": "staging"}})
	_, err := s.client("staging").Deploy(t.Context(), deployment(t, "staging"), nil)
	if release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "OD-202") {
		t.Errorf("got %v", err)
	}
	if got := s.changes(); got != nil {
		t.Errorf("and yet %q", got)
	}
}

func TestImmutableField(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), deployment(t, "staging")
	mustDeploy(t, c, d)
	s.answers(on("PATCH", "/deployments/shop", 422, `Deployment.apps "shop" is invalid: spec.selector: Invalid value: field is immutable`))
	d.Set = []string{"config.GREETING=Hi"}
	_, err := c.Deploy(t.Context(), d, nil)
	if release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "OD-201") {
		t.Errorf("got %v", err)
	}
	if got := statuses(t, c); got != "deployed failed" {
		t.Errorf("the history is %q", got)
	}
}

func TestUnreachableCluster(t *testing.T) {
	t.Parallel()
	c, err := New(&rest.Config{Host: "http://127.0.0.1:1"}, "staging", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, deploying := c.Deploy(t.Context(), deployment(t, "staging"), nil)
	_, reading := c.History(t.Context(), "shop")
	for _, err := range []error{deploying, reading, c.Uninstall(t.Context(), "shop")} {
		if release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "check that the cluster answers") {
			t.Errorf("got %v", err)
		}
	}
}

// TestStoppedDeployIsNotPending ends the context while the apiserver holds a request.
func TestStoppedDeployIsNotPending(t *testing.T) {
	t.Parallel()
	for name, upgrade := range map[string]bool{"install": false, "upgrade": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), deployment(t, "staging")
			if upgrade {
				mustDeploy(t, c, d)
				d.Set = []string{"config.GREETING=Hi"}
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			s.answers(func(r *http.Request) (int, string) {
				if strings.Contains(r.URL.Path, "/deployments") && (r.Method == http.MethodPost || r.Method == http.MethodPatch) {
					// A server sees its client go only when it has read the request.
					_, _ = io.Copy(io.Discard, r.Body)
					stop()
					<-r.Context().Done() // until the client gives up
					return http.StatusServiceUnavailable, "held"
				}
				return 0, ""
			})
			_, err := c.Deploy(ctx, d, nil)
			if release.ExitCode(err) != release.ExitFailed || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			s.answers(nil)
			if got := statuses(t, c); strings.Contains(got, "pending") || !strings.HasSuffix(got, "failed") {
				t.Errorf("the history is %q", got)
			}
			want := map[bool]release.Outcome{false: release.Created, true: release.Changed}[upgrade]
			if got := mustDeploy(t, c, d); got.Outcome != want {
				t.Errorf("the next deploy: %+v", got)
			}
		})
	}
}

// TestHangingClusterEndsWithTheContext ends every request with the operation, whatever Helm waits for.
func TestHangingClusterEndsWithTheContext(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	asked := make(chan struct{}, 1)
	s.answers(func(r *http.Request) (int, string) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
		return http.StatusServiceUnavailable, "held"
	})
	ctx, stop := context.WithCancel(t.Context())
	go func() { <-asked; stop() }()
	_, err := s.client("staging").Deploy(ctx, deployment(t, "staging"), nil)
	if !errors.Is(err, context.Canceled) || release.ExitCode(err) != release.ExitFailed {
		t.Errorf("got %v", err)
	}
}

func TestDeployAlsoChecks(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := deployment(t, "staging")
	d.Chart, d.ValuesFiles = files(t, map[string]string{"Chart.yaml": looseChart, "templates/w.yaml": workload("Pod", "{containers: [{name: a, image: 'nginx'}]}")}), nil
	_, err := s.client("staging").Deploy(t.Context(), d, nil)
	if release.ExitCode(err) != release.ExitInput || !strings.Contains(err.Error(), "no container would run") {
		t.Errorf("got %v", err)
	}
	if got := append(s.changes(), statuses(t, s.client("staging"))); cmp.Diff([]string{""}, got) != "" {
		t.Errorf("and yet %q", got)
	}
}

func TestNewRequiresAClusterAndRaisesTheRate(t *testing.T) {
	t.Parallel()
	if _, err := New(nil, "staging", nil); err == nil {
		t.Error("no config is accepted")
	}
	if _, err := New(&rest.Config{}, "", nil); err == nil {
		t.Error("no namespace is accepted")
	}
	config := &rest.Config{Host: "http://127.0.0.1:1"}
	c, err := New(config, "staging", nil)
	if err != nil || c.connection.config.QPS < 50 || c.connection.config.Burst < 100 || config.QPS != 0 {
		t.Errorf("got %+v, %v", c, err)
	}
}
