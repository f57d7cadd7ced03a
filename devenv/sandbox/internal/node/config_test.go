package node

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestConfiguration holds the configuration of containerd, CNI and the kubelet against golden files.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	dir := place.Dir(t.TempDir())
	settings := place.Settings{
		Registries: []string{"127.0.0.1:5000", "localhost:5001"},
		Login:      place.Login{Endpoint: "http://127.0.0.1:5002", AccessKeyID: "id", SecretAccessKey: "secret", Region: "eu-west-1"},
	}
	for _, err := range []error{
		writeContainerd(dir, "/usr/lib/cni"), WriteRegistries(dir, settings.Registries), writeKubelet(dir, "/group"), WriteLogin(dir, settings),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for golden, file := range map[string]string{
		"containerd.toml": "etc/containerd.toml",
		"network.json":    "etc/cni/10-sandbox.conflist",
		"kubelet.yaml":    "etc/kubelet.yaml",
		"login.yaml":      "etc/login.yaml",
		"hosts.toml":      "etc/registries/127.0.0.1:5000/hosts.toml",
	} {
		t.Run(golden, func(t *testing.T) {
			content, err := os.ReadFile(dir.In(file))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(string(content), string(dir), "/sandbox")
			path := filepath.Join("testdata", golden)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-golden +got) %s", diff)
			}
		})
	}
}

func TestWithoutAnEndpointNobodyLogsIn(t *testing.T) {
	t.Parallel()
	dir := place.Dir(t.TempDir())
	if err := WriteLogin(dir, place.Settings{Registries: []string{"127.0.0.1:5000"}}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(dir.In("etc", "login.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), "127.0.0.1:5000") {
		t.Errorf("the kubelet would log in at the registry:\n%s", content)
	}
}

// TestTokenWebhook: the API server asks a webhook if there is one, at the address inside the node.
func TestTokenWebhook(t *testing.T) {
	t.Parallel()
	dir := place.Dir(t.TempDir())
	settings := place.Settings{TokenWebhook: "http://127.0.0.1:5510/review"}
	if err := writeTokenWebhook(dir, settings); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(dir.TokenWebhook())
	if err != nil || !strings.Contains(string(content), "server: http://"+WebhookAddress+"/review\n") {
		t.Errorf("the kubeconfig says %s, %v", content, err)
	}
	flag := "--authentication-token-webhook-config-file=" + dir.TokenWebhook()
	if argv := apiserver(dir, settings).argv; !slices.Contains(argv, flag) {
		t.Errorf("the API server is started with %v", argv)
	}
	if argv := apiserver(dir, place.Settings{}).argv; strings.Contains(strings.Join(argv, " "), "webhook") {
		t.Errorf("without a webhook the API server is started with %v", argv)
	}
	if err := writeTokenWebhook(place.Dir(t.TempDir()), place.Settings{}); err != nil {
		t.Error(err)
	}
}

// TestQuote sees that what JSON quotes TOML would read as the same string.
func TestQuote(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"/plain", `with "quotes" and \`, "new\nline", "tab\t", "ünï"} {
		quoted, err := quote(s)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal([]byte(quoted), &back); err != nil || back != s || strings.Contains(quoted, "\n") {
			t.Errorf("%q became %s", s, quoted)
		}
	}
}
