package teardown

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

func TestIsComponent(t *testing.T) {
	t.Parallel()
	dir := place.Dir("/var/lib/onedigest-sandbox")
	for line, want := range map[string]bool{
		"sandbox serve --dir /var/lib/onedigest-sandbox":                              true,
		"sandbox init --dir /var/lib/onedigest-sandbox":                               true,
		"/src/bin/kube etcd --data-dir=/var/lib/onedigest-sandbox/etcd":               true,
		"containerd --config /var/lib/onedigest-sandbox/etc/containerd.toml":          true,
		"/usr/bin/containerd-shim-runc-v2 -address /var/lib/onedigest-sandbox/c.sock": true,
		"sandbox down --dir /var/lib/onedigest-sandbox":                               false,
		"sandbox status --dir /var/lib/onedigest-sandbox":                             false,
		"sandbox serve --dir /var/lib/onedigest-sandbox-2":                            false,
		"/src/bin/kube etcd --data-dir=/var/lib/onedigest-sandbox-2/etcd":             false,
		"vi /var/lib/onedigest-sandbox/kubeconfig":                                    false,
		"containerd --config /etc/containerd/config.toml":                             false,
		"/usr/bin/containerd-shim-runc-v2 -address /run/containerd/containerd.sock":   false,
		"sandbox": false,
		"":        false,
	} {
		if got := isComponent(strings.Fields(line), dir); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func TestADirectoryWithoutASandboxHasNoLeftovers(t *testing.T) {
	t.Parallel()
	left, err := Leftovers(place.Dir(t.TempDir() + "/none"))
	if err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestDownRemovesOnlySandboxes(t *testing.T) {
	t.Parallel()
	unmarked := place.Dir(t.TempDir())
	if err := Down(t.Context(), unmarked); err != nil {
		t.Fatal(err)
	}
	if left, err := Leftovers(unmarked); err != nil || len(left) != 1 {
		t.Errorf("the directory that was no sandbox is gone: %v, %v", left, err)
	}
	marked := place.Dir(t.TempDir())
	if err := marked.Create(); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), marked); err != nil {
		t.Fatal(err)
	}
	if left, err := Leftovers(marked); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
