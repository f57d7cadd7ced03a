package node

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// Pause is the name of the pause image. No registry answers to it: it is imported.
const Pause = "sandbox.invalid/pause:1"

// containerdConfig is for containerd 1.6 (Debian 12) and later ones, which read this form too
// (github.com/containerd/containerd, docs/cri/config.md). restrict_oom_score_adj is for machines on which nobody may
// lower a process's OOM score.
var containerdConfig = template.Must(template.New("").Funcs(template.FuncMap{"q": quote}).Parse(`version = 2
root = {{q (.Dir.In "containerd" "root")}}
state = {{q (.Dir.In "containerd" "state")}}
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = {{q .Dir.Containerd}}

[ttrpc]
address = {{q (print .Dir.Containerd ".ttrpc")}}

[plugins."io.containerd.internal.v1.opt"]
path = {{q (.Dir.In "containerd" "opt")}}

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = {{q .Pause}}
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
stream_server_address = {{q .Inside}}

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {{q .Plugins}}
conf_dir = {{q (.Dir.In "etc" "cni")}}

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = {{q (.Dir.In "etc" "registries")}}
`))

// quote writes a TOML basic string; JSON's escapes are a subset of TOML's (toml.io/en/v1.0.0#string).
func quote(s string) (string, error) {
	quoted, err := json.Marshal(s)
	return string(quoted), err
}

// writeContainerd writes the configuration of containerd and of the pods' network.
func writeContainerd(dir place.Dir, plugins string) error {
	var config strings.Builder
	err := containerdConfig.Execute(&config, map[string]any{"Dir": dir, "Pause": Pause, "Plugins": plugins, "Inside": Inside})
	if err != nil {
		return err
	}
	network, err := json.MarshalIndent(networkConfig(dir), "", "  ")
	if err != nil {
		return err
	}
	return writeAll(map[string][]byte{
		dir.In("etc", "containerd.toml"):            []byte(config.String()),
		dir.In("etc", "cni", "10-sandbox.conflist"): network,
		dir.In("etc", "resolv.conf"):                []byte("# The node has no resolver: nothing outside it can be reached.\n"),
	})
}

// networkConfig gives each pod a veth pair of its own instead of a port on a bridge: what pods send each other then
// always passes the node's rules, replies from a cluster IP included (www.cni.dev/plugins/current/main/ptp).
func networkConfig(dir place.Dir) any {
	type object = map[string]any
	return object{
		"cniVersion": "0.4.0",
		"name":       "sandbox",
		"plugins": []object{{
			"type":   "ptp",
			"ipMasq": false,
			"ipam": object{
				"type":    "host-local",
				"dataDir": dir.In("cni"),
				"ranges":  [][]object{{{"subnet": Pods}}},
				"routes":  []object{{"dst": "0.0.0.0/0"}},
			},
		}},
	}
}

// WriteRegistries configures each registry as plain HTTP (docs/hosts.md in containerd). containerd reads this at
// every pull.
func WriteRegistries(dir place.Dir, registries []string) error {
	files := map[string][]byte{}
	for _, registry := range registries {
		url, err := quote("http://" + registry)
		if err != nil {
			return err
		}
		files[dir.In("etc", "registries", registry, "hosts.toml")] = []byte(
			"server = " + url + "\n\n[host." + url + "]\ncapabilities = [\"pull\", \"resolve\"]\n")
	}
	return writeAll(files)
}

// writeAll writes configuration files by path, readable by their owner only, and creates their directories.
func writeAll(files map[string][]byte) error {
	for path, content := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // read by the node's own programs
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
