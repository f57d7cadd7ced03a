package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// inKind is where the sandbox's directory and the login helper are mounted in kind's node.
const inKind = "/etc/onedigest"

// createKind makes a kind cluster whose containerd and kubelet know the registries and the login helper
// (kind.sigs.k8s.io/docs/user/configuration).
func createKind(ctx context.Context, dir place.Dir, settings place.Settings) error {
	if err := os.MkdirAll(dir.In("etc", "registries"), 0o755); err != nil { //nolint:gosec // holds no secrets
		return err
	}
	if err := node.WriteRegistries(dir, settings.Registries); err != nil {
		return err
	}
	if err := node.WriteLogin(dir, settings); err != nil {
		return err
	}
	config, err := kindConfig(dir, settings)
	if err != nil {
		return err
	}
	return runKind(ctx, config, "create", "cluster", "--name", settings.Kind, "--kubeconfig", dir.Kubeconfig(), "--config", "-", "--wait", "120s")
}

func deleteKind(ctx context.Context, settings place.Settings) error {
	return runKind(ctx, nil, "delete", "cluster", "--name", settings.Kind)
}

func runKind(ctx context.Context, stdin []byte, arguments ...string) error {
	command := exec.CommandContext(ctx, "kind", arguments...) //nolint:gosec // fixed words and our own cluster's name
	command.Stdin = bytes.NewReader(stdin)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("running kind %s: %w: %s", strings.Join(arguments[:2], " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

// kindConfig renders the cluster's configuration. It contains kubeadm's patches for both versions of its API; kind applies the
// matching one (its pkg/internal/patch).
func kindConfig(dir place.Dir, settings place.Settings) ([]byte, error) {
	type object = map[string]any
	flags := [][2]string{
		{"image-credential-provider-config", inKind + "/etc/login.yaml"},
		{"image-credential-provider-bin-dir", inKind + "/login"},
	}
	older, newer := object{}, []object{}
	for _, flag := range flags {
		older[flag[0]] = flag[1]
		newer = append(newer, object{"name": flag[0], "value": flag[1]})
	}
	var patches []string
	for version, arguments := range map[string]any{"v1beta3": older, "v1beta4": newer} {
		patch, err := yaml.Marshal(object{
			"apiVersion": "kubeadm.k8s.io/" + version, "kind": "InitConfiguration",
			"nodeRegistration": object{"kubeletExtraArgs": arguments},
		})
		if err != nil {
			return nil, err
		}
		patches = append(patches, string(patch))
	}
	return yaml.Marshal(object{
		"apiVersion": "kind.x-k8s.io/v1alpha4", "kind": "Cluster",
		"containerdConfigPatches": []string{
			"[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n",
		},
		"nodes": []object{{
			"role":                 "control-plane",
			"kubeadmConfigPatches": patches,
			"extraMounts": []object{
				{"hostPath": dir.In("etc"), "containerPath": inKind + "/etc", "readOnly": true},
				{"hostPath": dir.In("etc", "registries"), "containerPath": "/etc/containerd/certs.d", "readOnly": true},
				{"hostPath": filepath.Dir(settings.ECRLogin), "containerPath": inKind + "/login", "readOnly": true},
			},
		}},
	})
}
