package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/supervisor"
)

// useExisting checks that the user's cluster answers, and records it. The sandbox does not serve its LoadBalancers or pulls.
func (w upFlags) useExisting(c *cobra.Command, dir place.Dir) error {
	path, err := filepath.Abs(w.kubeconfig)
	if err != nil {
		return err
	}
	if existing, err := dir.Load(); err == nil && existing.Provider != providerExisting {
		return fmt.Errorf("a sandbox of provider %s is in %q: stop it first", existing.Provider, dir)
	}
	settings := place.Settings{Provider: providerExisting, Kubeconfig: path}
	now := readExisting(c.Context(), dir, settings)
	if now.Phase != supervisor.Ready {
		return fmt.Errorf("using %q: %s", path, now.Reason)
	}
	if len(w.registries) > 0 {
		c.PrintErrln("note: --registry and --ecr-endpoint have no effect on an existing cluster")
	}
	if err := dir.Create(); err != nil {
		return err
	}
	if err := dir.Save(settings); err != nil {
		return err
	}
	c.Println("using the cluster at", now.Server)
	c.Println("kubeconfig", path)
	return nil
}

// readExisting reports whether the user's cluster answers and has a ready node.
func readExisting(ctx context.Context, dir place.Dir, settings place.Settings) supervisor.Status {
	now := supervisor.Status{Phase: supervisor.Failed, Provider: providerExisting, Directory: string(dir), Kubeconfig: settings.Kubeconfig}
	config, err := clientcmd.BuildConfigFromFlags("", settings.Kubeconfig)
	if err != nil {
		now.Reason = err.Error()
		return now
	}
	config.Timeout = 10 * time.Second
	now.Server = config.Host
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		now.Reason = err.Error()
		return now
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		now.Reason = err.Error()
		return now
	}
	for _, n := range nodes.Items {
		for _, condition := range n.Status.Conditions {
			now.NodeReady = now.NodeReady || condition.Type == "Ready" && condition.Status == "True"
		}
	}
	if !now.NodeReady {
		now.Reason = "none of its nodes is ready"
		return now
	}
	now.Phase = supervisor.Ready
	return now
}
