package eks

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// maxKubeconfig is the most bytes that are read of a kubeconfig and of its authority.
const maxKubeconfig = 1 << 20

// kubeconfig is the part of a kubeconfig that locates its clusters.
// Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
type kubeconfig struct {
	CurrentContext string `yaml:"current-context"`
	Contexts       []struct {
		Name    string `yaml:"name"`
		Context struct {
			Cluster string `yaml:"cluster"`
		} `yaml:"context"`
	} `yaml:"contexts"`
	Clusters []struct {
		Name    string            `yaml:"name"`
		Cluster kubeconfigCluster `yaml:"cluster"`
	} `yaml:"clusters"`
}

type kubeconfigCluster struct {
	Server string `yaml:"server"`
	Data   string `yaml:"certificate-authority-data"` // PEM in base64
	File   string `yaml:"certificate-authority"`      // relative to the kubeconfig
}

// ClusterFromKubeconfig returns a cluster of that name (status ACTIVE, the zero value) with the server and the certificate authority of the
// kubeconfig's current context.
// The credentials in the file are not read.
func ClusterFromKubeconfig(name, file string) (Cluster, error) {
	fail := func(err error) (Cluster, error) {
		return Cluster{}, fmt.Errorf("reading the cluster of %q: %w", file, err)
	}
	text, err := readFile(file, maxKubeconfig)
	if err != nil {
		return fail(err)
	}
	found, err := currentCluster(text)
	if err != nil {
		return fail(err)
	}
	authority, err := base64.StdEncoding.DecodeString(found.Data)
	if err != nil {
		return fail(errors.New("certificate-authority-data is not base64"))
	}
	if found.File != "" && found.Data == "" {
		path := found.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file), path)
		}
		if authority, err = readFile(path, maxKubeconfig); err != nil {
			return fail(err)
		}
	}
	cluster := Cluster{Name: name, Endpoint: found.Server, CA: authority}
	if err := CheckCluster(cluster); err != nil {
		return fail(err)
	}
	return cluster, nil
}

// currentCluster returns the cluster of a kubeconfig's current context.
func currentCluster(text []byte) (kubeconfigCluster, error) {
	var parsed kubeconfig
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&parsed); err != nil {
		return kubeconfigCluster{}, errors.New("it is not a kubeconfig") // the parser's error could print a key
	}
	for _, context := range parsed.Contexts {
		if context.Name != parsed.CurrentContext {
			continue
		}
		for _, cluster := range parsed.Clusters {
			if cluster.Name == context.Context.Cluster {
				return cluster.Cluster, nil
			}
		}
	}
	return kubeconfigCluster{}, fmt.Errorf("its current context %q names no cluster in it", parsed.CurrentContext)
}

// readFile reads a file of at most limit bytes.
func readFile(file string, limit int64) ([]byte, error) {
	opened, err := os.Open(file) // #nosec G304 -- the caller names it
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }()
	text, err := io.ReadAll(io.LimitReader(opened, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%q is longer than %d bytes", file, limit)
	}
	return text, err
}
