package command

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kubeconfigOf writes a kubeconfig; nothing answers at its endpoint.
func kubeconfigOf(t *testing.T) string {
	t.Helper()
	web := httptest.NewTLSServer(http.NotFoundHandler())
	defer web.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := "current-context: x\ncontexts: [{name: x, context: {cluster: x}}]\nclusters: [{name: x, cluster: {server: '" + web.URL +
		"', certificate-authority-data: " + base64.StdEncoding.EncodeToString(ca) + "}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestClusters registers clusters with a server that starts and with one that runs; both are forgotten when the server ends.
func TestClusters(t *testing.T) {
	t.Parallel()
	dir, file := newDir(t), kubeconfigOf(t)
	want(t, 0, "up at", "up", "--dir", dir, "--addr", "127.0.0.1:0", "--eks-cluster", "shop="+file, "--eks-group", "onedigest:deployers", "--eks-token-life", "20s")
	want(t, 0, "already up", "up", "--dir", dir, "--eks-cluster", "other="+file, "--eks-token-life", "20s")
	want(t, 1, "tokens for clusters that are valid for 20 s, not 60 s", "up", "--dir", dir, "--eks-token-life", "1m")
	want(t, 0, "/_localaws/eks/shop/tokenreview", "status", "--dir", dir)
	want(t, 0, "export AWS_ENDPOINT_URL_EKS='http://127.0.0.1:", "env", "--dir", dir)
	var status struct{ Clusters []string }
	printed := want(t, 0, "", "status", "--dir", dir, "--output", "json")
	if err := json.Unmarshal([]byte(printed.stdout), &status); err != nil || !cmp.Equal(status.Clusters, []string{"other", "shop"}) {
		t.Errorf("got %s, %v", printed.stdout, err)
	}
	want(t, 0, "stopped", "down", "--dir", dir)
	want(t, 0, "up at", "up", "--dir", dir, "--addr", "127.0.0.1:0")
	if got := want(t, 0, "repositories: none", "status", "--dir", dir); strings.Contains(got.stdout, "cluster") {
		t.Errorf("a cluster was kept: %s", got.stdout)
	}
}

func TestBadClusters(t *testing.T) {
	t.Parallel()
	dir, file := filepath.Join(t.TempDir(), "state"), kubeconfigOf(t)
	for name, test := range map[string]struct {
		want      string
		arguments []string
	}{
		"no file":     {"is not NAME=KUBECONFIG", []string{"up", "--eks-cluster", "shop"}},
		"gone":        {"no such file", []string{"up", "--eks-cluster", "shop=" + file + "x"}},
		"name":        {"cluster name", []string{"up", "--eks-cluster", "a/b=" + file}},
		"group alone": {"give --eks-cluster too", []string{"up", "--eks-group", "x"}},
		"life":        {"not between 0 and 15m", []string{"up", "--eks-token-life", "16m"}},
		"no life":     {"not between 0 and 15m", []string{"up", "--eks-token-life", "0s"}},
		"elsewhere":   {"not a flag of localaws status", []string{"status", "--eks-cluster", "shop=" + file}},
	} {
		if got := try(t, append(test.arguments, "--dir", dir)...); got.code != 2 || !strings.Contains(got.stderr, test.want) {
			t.Errorf("%s: got %d %s, want 2 with %q", name, got.code, got.stderr, test.want)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("bad input made a directory")
	}
}
