package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"testing"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSecretsLeaveByNoWay deploys with secrets in values, values files and variables: a release that works, a plan of another one, and one whose
// container prints a secret and ends. No output, event, Lease or description of a revision contains one.
func TestSecretsLeaveByNoWay(t *testing.T) {
	onNode(t)
	t.Parallel()
	tree := newCheckout(t)
	image := tree.build()
	tree.write("secret.yaml", "secret: {PLAIN: canary-of-a-file-1, WHERE: 'postgres://u:canary-of-a-file-2@db/x'}\n")
	tree.write("changed.yaml", "secret: {PLAIN: canary-of-a-file-3, WHERE: 'postgres://u:canary-of-a-file-4@db/x'}\n")
	tree.write("refused.yaml", "secret: {PLAIN: [canary-of-a-file-5]}\n")
	for _, run := range []struct {
		code int
		args []string
		want []string
	}{
		{0, []string{"--set", "secret.PASSWORD=canary-password-1", "--set-json", `extraEnv=[{"name":"API_TOKEN","value":"canary-token-1"}]`}, nil},
		{0, []string{"--set", "secret.PASSWORD=canary-password-2", "--set-json", `extraEnv=[{"name":"API_TOKEN","value":"canary-token-2"}]`, "--dry-run"}, []string{"Secret/shop"}},
		{0, []string{"--values", "secret.yaml"}, nil},
		{0, []string{"--values", "changed.yaml", "--dry-run"}, []string{"Secret/shop"}},
		{2, []string{"--values", "refused.yaml"}, nil},
		{1, []string{"--set", "secret.DRAIN_DELAY=canary-delay-1"}, []string{"OD-103", "DRAIN_DELAY", "***"}},
	} {
		_, got := tree.deploy(t.Context(), "secrets", image, run.args...)
		got.expect(t, run.code, run.want...)
		findNoCanary(t, "the output", got.stdout+got.stderr)
	}
	cluster := client(t)
	events, err := cluster.CoreV1().Events("secrets").List(t.Context(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	leases, err := cluster.CoordinationV1().Leases("secrets").List(t.Context(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal([]any{events, leases})
	if err != nil {
		t.Fatal(err)
	}
	findNoCanary(t, "an event or a Lease", string(text))
	records, err := cluster.CoreV1().Secrets("secrets").List(t.Context(), meta.ListOptions{LabelSelector: "owner=helm"})
	if err != nil || len(records.Items) < 3 {
		t.Fatalf("got %d records, %v", len(records.Items), err)
	}
	for _, record := range records.Items {
		findNoCanary(t, record.Name, descriptionOf(t, record.Data["release"]))
	}
}

// findNoCanary fails the test if a text contains a canary, plain or in base64.
func findNoCanary(t *testing.T, where, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.Contains(line, "canary-") || strings.Contains(line, base64.StdEncoding.EncodeToString([]byte("canary"))) {
			t.Errorf("%s contains a secret: %s", where, line)
		}
	}
}

// descriptionOf returns the description of the revision in Helm's record.
func descriptionOf(t *testing.T, content []byte) string {
	t.Helper()
	packed, err := base64.StdEncoding.DecodeString(string(content))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Info struct {
			Description string `json:"description"`
		} `json:"info"`
	}
	if err := json.Unmarshal(text, &record); err != nil || record.Info.Description == "" {
		t.Fatalf("got description %q, %v", record.Info.Description, err)
	}
	return record.Info.Description
}
