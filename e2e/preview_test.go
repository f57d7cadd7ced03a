package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	apppreview "github.com/onedigest/onedigest/internal/app/preview"
	"github.com/onedigest/onedigest/internal/preview"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// preview runs the verb for pull request 17 of octo/shop.
func (c checkout) preview(mode string, args ...string) (result preview.Result, got verbResult) {
	c.t.Helper()
	if mode != preview.Sweep {
		args = append([]string{"--release", "shop"}, args...)
	}
	got = c.verb(c.t.Context(), apppreview.Command(), append([]string{"--mode", mode, "--github-repository", "octo/shop", "--output", "json"}, args...)...)
	text := []byte(got.stdout)
	if got.code != 0 {
		var failed struct{ Result json.RawMessage }
		if err := json.Unmarshal(text, &failed); err != nil {
			c.t.Fatalf("%v in %s%s", err, got.stdout, got.stderr)
		}
		text = failed.Result
	}
	if err := json.Unmarshal(text, &result); err != nil {
		c.t.Fatalf("%v in %s%s", err, got.stdout, got.stderr)
	}
	return result, got
}

// TestPreviews: a preview serves its commit within its quota, a sweep leaves it until its time is up, close removes it once, and a namespace that was not created
// for it is left alone.
func TestPreviews(t *testing.T) {
	onNode(t)
	beside(t)
	const namespace, others = "preview-shop-17", "preview-shop-18"
	c, ctx, cluster := newCheckout(t), t.Context(), client(t).CoreV1()
	c.own(namespace)
	c.own(others)
	built := c.verb(ctx, appbuild.Command(), "--repository", site.registry+"/shop", "--context", "app", "--builder", "go", "--output", "json")
	open := []string{"--pull-request", "17", "--image", field(t, built, "image"), "--values", "terraform/staging/values-staging.yaml", "--smoke-checks", "default", "--pod-security", "restricted"}

	began := time.Now().Truncate(time.Second)
	first, got := c.preview(preview.Open, open...)
	if got.code != 0 || first.Outcome != release.Created || first.Namespace != namespace || first.Expires.Before(began.Add(72*time.Hour)) || len(first.Deploy.Pods) == 0 {
		t.Fatalf("ended with %d: %+v", got.code, first)
	}
	response, err := http.Get(first.URL + "/configs")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s answers %s", first.URL, response.Status)
	}
	quota, err := cluster.ResourceQuotas(namespace).Get(ctx, "onedigest-preview", meta.GetOptions{})
	if err != nil || quota.Status.Used.Pods().Value() == 0 {
		t.Errorf("the quota is %v, %v", quota, err)
	}
	again, got := c.preview(preview.Open, append(open, "--ttl", "100h")...)
	if got.code != 0 || again.Outcome != release.Unchanged || !again.Expires.After(first.Expires) {
		t.Errorf("again: ended with %d: %+v", got.code, again)
	}
	if swept, got := c.preview(preview.Sweep); got.code != 0 || swept.Outcome != release.Unchanged || len(swept.Left) != 1 || swept.Left[0] != namespace {
		t.Errorf("sweep: ended with %d: %+v", got.code, swept)
	}

	if _, err := cluster.Namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: others, Annotations: map[string]string{release.AnnotationExpires: "2026-01-01T00:00:00Z"}}}, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{preview.Open, preview.Close} {
		args := []string{"--pull-request", "18"}
		if mode == preview.Open {
			args = append(open[2:len(open):len(open)], args...)
		}
		if _, got := c.preview(mode, args...); got.code != release.ExitFailed || !strings.Contains(got.stdout+got.stderr, "was not created as a preview") {
			t.Errorf("%s of another namespace: ended with %d: %s", mode, got.code, got.stdout)
		}
	}

	expired := `{"metadata":{"annotations":{"` + release.AnnotationExpires + `":"2026-01-01T00:00:00Z"}}}`
	if _, err := cluster.Namespaces().Patch(ctx, namespace, types.MergePatchType, []byte(expired), meta.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if swept, got := c.preview(preview.Sweep); got.code != 0 || swept.Outcome != preview.Removed || len(swept.Removed) != 1 || swept.Removed[0] != namespace {
		t.Errorf("sweep of an expired one: ended with %d: %+v", got.code, swept)
	}
	if _, err := cluster.Namespaces().Get(ctx, namespace, meta.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the expired namespace: %v", err)
	}

	if reopened, got := c.preview(preview.Open, open...); got.code != 0 || reopened.Outcome != release.Created {
		t.Fatalf("opened again: ended with %d: %+v", got.code, reopened)
	}
	for _, want := range []release.Outcome{preview.Removed, release.Unchanged} {
		if closed, got := c.preview(preview.Close, "--pull-request", "17"); got.code != 0 || closed.Outcome != want {
			t.Errorf("closed: ended with %d: %+v, want %s", got.code, closed, want)
		}
	}
	if _, err := cluster.Namespaces().Get(ctx, others, meta.GetOptions{}); err != nil {
		t.Errorf("somebody's namespace: %v", err)
	}
}
