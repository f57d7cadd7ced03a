package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/netspace"
)

// KindNode returns the name of the container and of the node of a kind cluster with one node.
func KindNode(cluster string) string { return cluster + "-control-plane" }

// runKind serves a kind cluster: LoadBalancers, and the registries inside its node. Docker runs the cluster.
func (s *Supervisor) runKind(ctx context.Context) error {
	container := KindNode(s.settings.Kind)
	pid, err := containerPID(ctx, container)
	if err != nil {
		return err
	}
	space, err := netspace.Of(pid)
	if err != nil {
		return err
	}
	client, err := connect(s.dir.Kubeconfig())
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.space, s.nodeName = space, container
	s.server = client.CoreV1().RESTClient().Get().URL().Scheme + "://" + client.CoreV1().RESTClient().Get().URL().Host
	s.restartKubelet = func() error {
		return exec.Command("docker", "exec", container, "systemctl", "restart", "kubelet").Run() //nolint:gosec // our own cluster's name
	}
	s.mu.Unlock()
	if err := s.startForwarding(); err != nil {
		return err
	}
	s.recordStage("network")
	s.recordStage(allComponents)
	go s.serveCluster(ctx)
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			if now, err := containerPID(ctx, container); err != nil || now != pid {
				return fmt.Errorf("the container %q is gone or was started again", container)
			}
		}
	}
}

// containerPID asks Docker for a container's first process.
func containerPID(ctx context.Context, container string) (int, error) {
	output, err := exec.CommandContext(ctx, "docker", "inspect", "--format", "{{.State.Pid}}", container).Output() //nolint:gosec // as above
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return 0, fmt.Errorf("looking for the container %q: %w: %s", container, err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return 0, fmt.Errorf("looking for the container %q: %w", container, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(output)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("the container %q does not run", container)
	}
	return pid, nil
}
