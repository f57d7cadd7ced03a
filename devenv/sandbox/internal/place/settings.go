package place

import (
	"encoding/json"
	"fmt"
	"os"
)

// Settings is what up was called with and what it chose. The supervisor reads it at start.
type Settings struct {
	// Provider is native, kind or kubeconfig.
	Provider string `json:"provider"`
	// Kind is the name of the kind cluster, if that is the provider.
	Kind string `json:"kind,omitempty"`
	// Kube, ECRLogin and Pause are binaries.
	Kube     string `json:"kube,omitempty"`
	ECRLogin string `json:"ecrLogin,omitempty"`
	Pause    string `json:"pause,omitempty"`
	// Plugins is the directory of the CNI plugins.
	Plugins string `json:"plugins,omitempty"`
	// Port is the loopback port of the API server on the host.
	Port int `json:"port,omitempty"`
	// Kubeconfig is the file of the user's existing cluster.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Registries are the loopback addresses, host:port, of plain HTTP registries that pods pull from.
	Registries []string `json:"registries,omitempty"`
	// Login says where the registries' passwords come from.
	Login Login `json:"login"`
	// TokenWebhook is the URL of the API server's token webhook, on the host's loopback; without it the API server accepts its own
	// tokens only.
	TokenWebhook string `json:"tokenWebhook,omitempty"`
	// Delay is how long a LoadBalancer Service waits for its address, as load balancers take time to register targets.
	DelaySeconds float64 `json:"delaySeconds,omitempty"`
}

// Login says how the login helper gets a registry's password.
type Login struct {
	// Endpoint is the URL of the ECR API; empty means that pulls are anonymous.
	Endpoint string `json:"endpoint,omitempty"`
	// AccessKeyID, SecretAccessKey and Region sign the helper's request.
	AccessKeyID     string `json:"accessKeyID,omitempty"`
	SecretAccessKey string `json:"secretAccessKey,omitempty"`
	Region          string `json:"region,omitempty"`
}

// Load reads the settings of a sandbox; the error is os.ErrNotExist when there are none.
func (d Dir) Load() (Settings, error) {
	var s Settings
	content, err := os.ReadFile(d.Settings())
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return s, fmt.Errorf("reading %q: %w", d.Settings(), err)
	}
	return s, nil
}

// Save writes the settings atomically: a reader gets the old or the new ones.
func (d Dir) Save(s Settings) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	next := d.Settings() + ".new"
	if err := os.WriteFile(next, append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, d.Settings())
}
