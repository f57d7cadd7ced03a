package kubeconfig

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

const twoContexts = `apiVersion: v1
kind: Config
current-context: %CURRENT%
clusters:
- {name: one, cluster: {server: "https://one.example.com"}}
- {name: two, cluster: {server: "https://two.example.com"}}
users:
- {name: me, user: {token: t}}
contexts:
- {name: staging, context: {cluster: one, user: me}}
- {name: production, context: {cluster: two, user: me}}
- {name: broken, context: {cluster: three, user: me}}
`

func kubeconfig(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), ".kube", "config")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConnect(t *testing.T) {
	t.Parallel()
	file := kubeconfig(t, strings.ReplaceAll(twoContexts, "%CURRENT%", "staging"))
	undecided := kubeconfig(t, strings.ReplaceAll(twoContexts, "%CURRENT%", `""`))
	tests := map[string]struct {
		access Access
		host   string
		want   []string
	}{
		"current context":     {Access{Kubeconfig: file}, "https://one.example.com", nil},
		"named context":       {Access{Kubeconfig: file, Context: "production"}, "https://two.example.com", nil},
		"of home":             {Access{Home: filepath.Dir(filepath.Dir(file))}, "https://one.example.com", nil},
		"a list, one missing": {Access{Kubeconfig: "/nonexistent:" + file}, "https://one.example.com", nil},
		"no such context":     {Access{Kubeconfig: file, Context: "qa"}, "", []string{"--kube-context", `no context "qa"`, "broken, production, staging"}},
		"no current context":  {Access{Kubeconfig: undecided}, "", []string{"names no current context", "production"}},
		"dangling context":    {Access{Kubeconfig: file, Context: "broken"}, "", []string{"broken", "cannot be used"}},
		"missing":             {Access{Kubeconfig: "/nonexistent/config"}, "", []string{`"/nonexistent/config" does not exist`}},
		"not YAML":            {Access{Kubeconfig: kubeconfig(t, "{{")}, "", []string{"reading"}},
		"empty":               {Access{Kubeconfig: kubeconfig(t, "")}, "", []string{"has no contexts"}},
		"nothing":             {Access{Home: t.TempDir()}, "", []string{"no cluster is named", "--kubeconfig"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, err := Load(test.access)
			if test.want == nil {
				if err != nil || config.Host != test.host || config.QPS < 50 || config.Burst < 100 {
					t.Errorf("got %v, %v, want %s", config, err, test.host)
				}
				return
			}
			var input *release.InputError
			if !errors.As(err, &input) {
				t.Fatalf("got %v, want bad input", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q has more than one line", err)
			}
		})
	}
}
