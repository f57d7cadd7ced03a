package e2e

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	appstatus "github.com/onedigest/onedigest/internal/app/status"
	appuninstall "github.com/onedigest/onedigest/internal/app/uninstall"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/status"
	"github.com/onedigest/onedigest/internal/uninstall"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// statusOf reads the status as a user whose only Role is the one of status, and returns the row of the one environment.
func (c checkout) statusOf(user, environment string) status.Row {
	c.t.Helper()
	got := c.verb(c.t.Context(), appstatus.Command(), "--environments", environment, "--release", "shop", "--output", "json", "--kubeconfig", kubeconfigOf(c.t, "", user))
	var read status.Result
	if err := json.Unmarshal([]byte(got.stdout), &read); err != nil || got.code != release.ExitDone || len(read.Releases) != 1 {
		c.t.Fatalf("status ended with %d: %v\n%s%s", got.code, err, got.stdout, got.stderr)
	}
	return read.Releases[0]
}

// TestStatusAndUninstall: after a real deploy, status says what the cluster and the registry say, and uninstall leaves what it says that it leaves.
func TestStatusAndUninstall(t *testing.T) {
	beside(t)
	onNode(t)
	const environment = "status"
	c := newCheckout(t)
	commit := c.git("rev-parse", "HEAD")
	got := c.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "app", "--builder", "go", "--platforms", "linux/"+runtime.GOARCH, "--output", "json")
	var built struct{ Image string }
	if err := json.Unmarshal([]byte(got.stdout), &built); err != nil || got.code != 0 {
		t.Fatalf("build ended with %d: %v\n%s", got.code, err, got.stderr)
	}
	if got := c.verb(t.Context(), appdeploy.Command(), "--environment", environment, "--image", built.Image, "--create-namespace", "--values", "terraform/staging/values-staging.yaml", "--set", "config.ENVIRONMENT="+environment, "--timeout", "2m"); got.code != 0 {
		t.Fatalf("deploy ended with %d:\n%s", got.code, got.stderr)
	}
	bindRole(t, environment, "reader", policyRules(kube.StatusPermissions))
	if row := c.statusOf("reader", environment); row.State != status.StateLive || row.Commit.String() != commit || row.Digest.String() != built.Image[strings.Index(built.Image, "@")+1:] || row.Revision != 1 || row.Mark != release.MarkReady ||
		row.By != "e2e" || row.Pin != nil || row.Pods == nil || len(row.Pods.Matching) == 0 || len(row.Pods.Differs) > 0 || row.Verified == nil || row.Verified.Verdict != "" || len(row.Limits) > 0 {
		t.Errorf("after the deploy, status says %+v, pods %+v", row, row.Pods)
	}
	if got := c.verb(t.Context(), appsmoke.Command(), "--environment", environment, "--image", built.Image, "--checks", "app/smoke.yaml", "--timeout", "1m"); got.code != 0 {
		t.Fatalf("smoke ended with %d:\n%s", got.code, got.stderr)
	}
	if row := c.statusOf("reader", environment); row.Mark != release.MarkProved || row.Verified.Verdict != release.Pass {
		t.Errorf("after smoke, status says %+v", row)
	}
	if got := c.verb(t.Context(), appstatus.Command(), "--environments", environment, "--release", "shop", "--kubeconfig", kubeconfigOf(t, "", "nobody")); got.code != release.ExitFault || !strings.Contains(got.stderr, "forbidden") {
		t.Errorf("status of a user without rights ended with %d:\n%s%s", got.code, got.stdout, got.stderr)
	}

	remove := func(code int, args ...string) (uninstall.Result, string) {
		t.Helper()
		got := c.verb(t.Context(), appuninstall.Command(), append([]string{"--environment", environment, "--release", "shop", "--output", "json"}, args...)...)
		if got.code != code {
			t.Fatalf("uninstall %q ended with %d:\n%s", args, got.code, got.stderr)
		}
		var result uninstall.Result
		_ = json.Unmarshal([]byte(got.stdout), &result) // of a run that fails, the log is looked at
		return result, got.stderr
	}
	api := client(t)
	planned, _ := remove(release.ExitDone, "--dry-run")
	if _, err := api.AppsV1().Deployments(environment).Get(t.Context(), "shop", meta.GetOptions{}); err != nil || planned.Outcome != release.Planned || planned.Plan == nil || len(planned.Plan.Deletes) == 0 || len(planned.Deleted) > 0 {
		t.Errorf("a dry run: %v, %+v", err, planned)
	}
	remove(release.ExitInput)
	removed, _ := remove(release.ExitDone, "--yes")
	if removed.Outcome != uninstall.OutcomeRemoved || len(removed.Deleted) != len(planned.Plan.Deletes) {
		t.Errorf("got %+v, and the dry run said %+v", removed, planned)
	}
	if _, err := api.AppsV1().Deployments(environment).Get(t.Context(), "shop", meta.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Deployment: %v", err)
	}
	if row := c.statusOf("reader", environment); row.State != status.StateNotInstalled {
		t.Errorf("after uninstall, status says %+v", row)
	}
	if again, _ := remove(release.ExitDone, "--yes"); again.Outcome != release.Unchanged {
		t.Errorf("again: %+v", again)
	}
	if gone, _ := remove(release.ExitDone, "--yes", "--delete-namespace"); !gone.NamespaceDeleted || gone.Outcome != uninstall.OutcomeRemoved {
		t.Errorf("with the namespace: %+v", gone)
	}
	if found, err := api.CoreV1().Namespaces().Get(t.Context(), environment, meta.GetOptions{}); err == nil && found.DeletionTimestamp == nil {
		t.Error("the namespace is not being deleted")
	}
}
