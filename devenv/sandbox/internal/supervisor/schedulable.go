package supervisor

import (
	"context"
	"fmt"
	"time"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// connect returns a client for a kubeconfig, without client-go's limit of 5 requests a second.
func connect(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config = rest.AddUserAgent(config, "sandbox")
	return kubernetes.NewForConfig(config)
}

// waitSchedulable waits until a pod can run: the node is ready and schedulable, and the default namespace has what every pod
// mounts, its service account and the authority's certificate.
func waitSchedulable(ctx context.Context, client kubernetes.Interface, node string, reached func(stage string)) error {
	for _, wait := range []struct {
		stage string
		met   func(context.Context) error
	}{
		{"node ready", func(ctx context.Context) error { return nodeReady(ctx, client, node) }},
		{"service account", func(ctx context.Context) error {
			_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
			return err
		}},
		{"authority published", func(ctx context.Context) error {
			_, err := client.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
			return err
		}},
	} {
		for {
			err := wait.met(ctx)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for %s: %w: %w", wait.stage, context.Cause(ctx), err)
			case <-time.After(50 * time.Millisecond):
			}
		}
		reached(wait.stage)
	}
	return nil
}

// nodeReady returns nil if the node is ready and has no taint that keeps pods away.
func nodeReady(ctx context.Context, client kubernetes.Interface, node string) error {
	n, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, taint := range n.Spec.Taints {
		if taint.Effect == core.TaintEffectNoSchedule || taint.Effect == core.TaintEffectNoExecute {
			return fmt.Errorf("the node is tainted: %s", taint.Key)
		}
	}
	for _, condition := range n.Status.Conditions {
		if condition.Type == core.NodeReady {
			if condition.Status == core.ConditionTrue {
				return nil
			}
			return fmt.Errorf("the node is not ready: %s", condition.Message)
		}
	}
	return fmt.Errorf("the node has not reported yet")
}

// watchNode updates the node's state in the status until the context ends.
func (s *Supervisor) watchNode(ctx context.Context, client kubernetes.Interface) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		once, cancel := context.WithTimeout(ctx, time.Second)
		err := nodeReady(once, client, s.nodeName)
		cancel()
		s.mu.Lock()
		s.nodeReady = err == nil
		s.mu.Unlock()
	}
}
