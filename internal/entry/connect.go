package entry

import (
	"path/filepath"
	"strings"

	"github.com/onedigest/onedigest/internal/cluster"
	"github.com/onedigest/onedigest/internal/image"
	"k8s.io/client-go/rest"
)

// connect reads how to reach the cluster; it sends nothing.
func connect(desk *desk, kubeconfig, context string) (*cluster.Client, *rest.Config, error) {
	if kubeconfig != "" && !filepath.IsAbs(kubeconfig) && !strings.ContainsRune(kubeconfig, filepath.ListSeparator) {
		kubeconfig = filepath.Join(desk.process.Dir, kubeconfig)
	}
	config, err := cluster.Connect(cluster.Access{Kubeconfig: kubeconfig, Context: context, Home: desk.process.Getenv("HOME")})
	if err != nil {
		return nil, nil, err
	}
	client, err := cluster.New(config)
	return client, config, err
}

func newBuilders(desk *desk) *image.Builders {
	return image.New(image.Options{Environ: desk.process.Environ, Log: func(line string) { desk.account.Untrusted(line) }})
}
