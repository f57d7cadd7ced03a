package supervisor

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/metrics"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	dir := place.Dir(t.TempDir())
	if err := writeCredentials(dir, "127.0.0.1:1234", time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca", "kube-apiserver", "kubelet", "serving", "probe", "kubelet-client", metricsPair, metrics.Aggregator} {
		if _, err := tls.LoadX509KeyPair(dir.Certificate(name), dir.Key(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if config, authority, err := metricsTLS(dir); err != nil || config.ClientAuth != tls.RequireAndVerifyClientCert || len(authority) == 0 {
		t.Errorf("for the resource metrics: %+v, %v", config, err)
	}
	for name := range node.Users() {
		config, err := clientcmd.BuildConfigFromFlags("", dir.Inner(name))
		if err != nil || config.Host != node.APIServer {
			t.Errorf("%s: %v, %v", name, config, err)
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", dir.Kubeconfig())
	if err != nil || config.Host != "https://127.0.0.1:1234" {
		t.Errorf("the administrator's: %v, %v", config, err)
	}
	err = filepath.WalkDir(string(dir), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others can read %s: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPauseImage(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	program, archive := filepath.Join(base, "pause"), filepath.Join(base, "pause.tar")
	if err := os.WriteFile(program, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writePause(program, archive); err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(config.Config.Entrypoint, []string{"/pause"}) || config.OS != "linux" {
		t.Errorf("the image is %+v", config)
	}
	if err := writePause(program+"x", archive); err == nil || !strings.Contains(err.Error(), "pause program") {
		t.Errorf("without a program: %v", err)
	}
}

func TestOneSupervisorAtATime(t *testing.T) {
	t.Parallel()
	dir := place.Dir(t.TempDir())
	first, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Lock(dir); err == nil {
		second.Close() //nolint:errcheck,gosec // a test's
		t.Error("two hold the lock")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := Lock(dir)
	if err != nil {
		t.Fatalf("the lock outlived its holder: %v", err)
	}
	third.Close() //nolint:errcheck,gosec // a test's
}

func readyNode() *core.Node {
	return &core.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n"},
		Status:     core.NodeStatus{Conditions: []core.NodeCondition{{Type: core.NodeReady, Status: core.ConditionTrue}}},
	}
}

func TestNodeReady(t *testing.T) {
	t.Parallel()
	tainted := readyNode()
	tainted.Spec.Taints = []core.Taint{{Key: "node.kubernetes.io/not-ready", Effect: core.TaintEffectNoSchedule}}
	down := readyNode()
	down.Status.Conditions[0].Status, down.Status.Conditions[0].Message = core.ConditionFalse, "no network"
	silent := readyNode()
	silent.Status.Conditions = nil
	for name, c := range map[string]struct {
		node *core.Node
		want string
	}{
		"ready": {readyNode(), ""}, "tainted": {tainted, "tainted"}, "down": {down, "no network"}, "silent": {silent, "not reported"},
	} {
		err := nodeReady(t.Context(), fake.NewClientset(c.node), "n")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWaitSchedulableWaitsForEverythingAPodNeeds(t *testing.T) {
	t.Parallel()
	account := &core.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}
	authority := &core.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kube-root-ca.crt"}}
	for name, c := range map[string]struct {
		objects []runtime.Object
		missing string
	}{
		"everything":   {[]runtime.Object{readyNode(), account, authority}, ""},
		"no node":      {[]runtime.Object{account, authority}, "node ready"},
		"no account":   {[]runtime.Object{readyNode(), authority}, "service account"},
		"no authority": {[]runtime.Object{readyNode(), account}, "authority published"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("gave up"))
			defer cancel()
			err := waitSchedulable(ctx, fake.NewClientset(c.objects...), "n", func(string) {})
			if (err == nil) != (c.missing == "") || err != nil && (!strings.Contains(err.Error(), c.missing) || !strings.Contains(err.Error(), "gave up")) {
				t.Errorf("got %v", err)
			}
		})
	}
}
