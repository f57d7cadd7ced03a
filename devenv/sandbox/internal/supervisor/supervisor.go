// Package supervisor is the one process of a sandbox on the host: it starts the node in namespaces of its own, forwards
// connections between the host's loopback and the node, and serves the sandbox's status on a socket.
package supervisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/authenticator"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/balancer"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/cgroups"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/forward"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/netspace"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// allComponents is the stage at which every component has become ready.
const allComponents = "all components"

// startTimeout is how long starting may take; then the sandbox has failed.
const startTimeout = 3 * time.Minute

// Supervisor runs one native sandbox.
type Supervisor struct {
	dir   place.Dir
	group *cgroups.Group
	api   net.Listener
	began time.Time
	log   *slog.Logger

	mu         sync.Mutex
	settings   place.Settings
	phase      Phase
	reason     string
	server     string
	nodeName   string
	nodeReady  bool
	reports    map[string]node.Report
	stages     []Stage
	space      *netspace.Space
	orders     io.Writer
	registries map[string]*forward.Server
	login      *forward.Server
	balancer   *balancer.Balancer
	// restartKubelet restarts the kubelet of a kind cluster.
	restartKubelet func() error
}

// Run runs the sandbox with the settings in dir until the context ends or Shutdown is called. It leaves a directory and a cgroup
// behind.
func Run(ctx context.Context, dir place.Dir, log *slog.Logger) error {
	lock, err := Lock(dir)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // ending releases it as well
	s := &Supervisor{
		dir: dir, began: time.Now(), log: log, phase: Starting,
		reports: map[string]node.Report{}, registries: map[string]*forward.Server{},
	}
	if s.settings, err = dir.Load(); err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	if s.group, err = cgroups.Named(dir.Name()); err != nil {
		return err
	}
	if err := errors.Join(s.group.Create(), s.group.Join("supervisor")); err != nil {
		return err
	}
	run := s.runNative
	if s.settings.Kind != "" {
		run = s.runKind
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	control, err := s.control(func() { stop(errors.New("stopped by a request")) })
	if err != nil {
		return err
	}
	defer control.Close() //nolint:errcheck // ending closes it as well
	err = run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	// The node has ended by itself. The supervisor stays, to report why; down removes the rest.
	s.fail(fmt.Errorf("the node ended: %w", err))
	<-ctx.Done()
	return nil
}

// Lock locks the sandbox for a supervisor; it fails if another has the lock. The lock ends with its process.
func Lock(dir place.Dir) (*os.File, error) {
	file, err := os.OpenFile(dir.Lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close() //nolint:errcheck,gosec // nothing was written
		return nil, fmt.Errorf("a supervisor holds %q already: %w", dir.Lock(), err)
	}
	return file, nil
}

// runNative creates the cluster's credentials and runs its node.
func (s *Supervisor) runNative(ctx context.Context) (err error) {
	if s.api, err = net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", s.settings.Port)); err != nil {
		return fmt.Errorf("listening for the API server: %w", err)
	}
	address := s.api.Addr().String()
	s.mu.Lock()
	s.server, s.nodeName = "https://"+address, node.Name
	s.mu.Unlock()
	if err := errors.Join(
		writeCredentials(s.dir, address, time.Now()),
		os.MkdirAll(s.dir.In("etc"), 0o755), //nolint:gosec // its files carry their own modes
		writePause(s.settings.Pause, s.dir.In("etc", "pause.tar")),
	); err != nil {
		return err
	}
	s.recordStage("credentials")
	return s.runNode(ctx)
}

// runNode starts the node and follows its reports until it ends or the context does.
func (s *Supervisor) runNode(ctx context.Context) error {
	stderr, err := os.OpenFile(s.dir.Log("node"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer stderr.Close()                                                    //nolint:errcheck // the node's writes are its own
	first := exec.Command("/proc/self/exe", "init", "--dir", string(s.dir)) //nolint:gosec // this very program
	first.Args[0] = "sandbox"
	first.Stderr = stderr
	first.Dir = "/"
	first.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	first.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
	}
	orders, err := first.StdinPipe()
	if err != nil {
		return err
	}
	reports, err := first.StdoutPipe()
	if err != nil {
		return err
	}
	if err := first.Start(); err != nil {
		return fmt.Errorf("starting the node in its own namespaces: %w", err)
	}
	defer first.Process.Kill() //nolint:errcheck // it may have ended
	space, err := netspace.Of(first.Process.Pid)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.space, s.orders = space, orders
	s.mu.Unlock()
	// Killing the first process of a PID namespace kills all of them (pid_namespaces(7)).
	defer context.AfterFunc(ctx, func() { first.Process.Kill() })() //nolint:errcheck // it may have ended

	for lines := bufio.NewScanner(reports); lines.Scan(); {
		var report node.Report
		if err := json.Unmarshal(lines.Bytes(), &report); err != nil {
			s.log.Error("reading a report of the node", "line", lines.Text(), "error", err)
			continue
		}
		s.follow(ctx, report)
	}
	if err := first.Wait(); err != nil {
		return fmt.Errorf("%w (see %s)", err, s.dir.Log("node"))
	}
	return errors.New("without an error")
}

// follow records a report of the node, and starts the parts that had to wait for it.
func (s *Supervisor) follow(ctx context.Context, report node.Report) {
	s.log.Info("node", "component", report.Component, "state", report.State, "pid", report.PID, "note", report.Note)
	switch report.Component {
	case node.Network:
		if err := s.startForwarding(); err != nil {
			s.fail(err)
		}
		s.recordStage("network")
		return
	case node.AllReady:
		s.recordStage(allComponents)
		return
	}
	s.mu.Lock()
	_, known := s.reports[report.Component]
	before := s.reports[report.Component].State
	s.reports[report.Component] = report
	s.mu.Unlock()
	if report.State == node.Failed {
		s.fail(fmt.Errorf("%s: %s (see %s)", report.Component, report.Note, s.dir.Log(report.Component)))
	}
	if report.State != node.Ready || !known || before == node.Ready || report.Restarts > 0 {
		return
	}
	s.recordStage(report.Component)
	if report.Component == "kube-apiserver" {
		go s.serveCluster(ctx)
	}
}

// startForwarding forwards connections from the host to the API server, and from the node to the registries and the ECR endpoint.
func (s *Supervisor) startForwarding() error {
	if s.api != nil {
		forward.Serve(s.api, s.space.Dial, fmt.Sprintf("127.0.0.1:%d", node.APIPort))
	}
	if s.settings.TokenWebhook != "" {
		if err := s.forwardWebhook(s.settings.TokenWebhook); err != nil {
			return err
		}
	}
	login, err := s.space.Listen(node.LoginAddress)
	if err != nil {
		return fmt.Errorf("listening for the login helper: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.login = forward.Serve(login, dialHost)
	return s.connectRegistries()
}

// forwardWebhook forwards the API server's connections to its token webhook on the host.
func (s *Supervisor) forwardWebhook(webhook string) error {
	parsed, err := url.Parse(webhook)
	if err != nil {
		return fmt.Errorf("reading the token webhook %q: %w", webhook, err)
	}
	listener, err := s.space.Listen(node.WebhookAddress)
	if err != nil {
		return fmt.Errorf("listening for the token webhook: %w", err)
	}
	forward.Serve(listener, dialHost, parsed.Host)
	return nil
}

// connectRegistries forwards the registries in the settings to the host, and no others; the caller holds the lock.
func (s *Supervisor) connectRegistries() error {
	for _, registry := range s.settings.Registries {
		if _, open := s.registries[registry]; open {
			continue
		}
		listener, err := s.space.Listen(registry)
		if err != nil {
			return fmt.Errorf("listening for the registry %q inside the node: %w", registry, err)
		}
		s.registries[registry] = forward.Serve(listener, dialHost, registry)
	}
	s.login.SetBackends(nil)
	if s.settings.Login.Endpoint != "" {
		endpoint, err := url.Parse(s.settings.Login.Endpoint)
		if err != nil {
			return fmt.Errorf("reading the ECR endpoint %q: %w", s.settings.Login.Endpoint, err)
		}
		s.login.SetBackends([]string{endpoint.Host})
	}
	return nil
}

var dialHost forward.Dial = func(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp4", address)
}

// serveCluster serves LoadBalancers, and marks the sandbox ready once pods can be scheduled.
func (s *Supervisor) serveCluster(ctx context.Context) {
	client, err := connect(s.dir.Kubeconfig())
	if err != nil {
		s.fail(err)
		return
	}
	listen := func(address string) (net.Listener, error) { return net.Listen("tcp4", address) }
	delay := time.Duration(s.settings.DelaySeconds * float64(time.Second))
	b := balancer.New(client, listen, s.space.Dial, delay, s.log)
	s.mu.Lock()
	s.balancer = b
	s.mu.Unlock()
	go func() {
		if err := b.Run(ctx); err != nil && ctx.Err() == nil {
			s.fail(err)
		}
	}()
	waiting, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not settled after %v", startTimeout))
	defer cancel()
	if err := waitSchedulable(waiting, client, s.nodeName, s.recordStage); err != nil {
		s.fail(err)
		return
	}
	if s.settings.Kind == "" {
		if err := s.serveMetrics(ctx, waiting, client); err != nil {
			s.fail(err)
			return
		}
		s.recordStage("resource metrics")
	}
	if s.settings.TokenWebhook != "" {
		if err := authenticator.Grant(waiting, client); err != nil {
			s.fail(err)
			return
		}
		s.recordStage("deployers' roles")
	}
	s.mu.Lock()
	s.nodeReady = true
	s.mu.Unlock()
	s.markReady()
	s.watchNode(ctx, client)
}

// recordStage records that a stage was reached.
func (s *Supervisor) recordStage(stage string) {
	s.mu.Lock()
	s.stages = append(s.stages, Stage{Name: stage, Seconds: seconds(time.Since(s.began))})
	s.mu.Unlock()
	s.markReady()
}

// markReady marks the sandbox ready when pods can be scheduled and all components are ready.
func (s *Supervisor) markReady() {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.ContainsFunc(s.stages, func(stage Stage) bool { return stage.Name == allComponents })
	if s.phase == Starting && all && s.nodeReady {
		s.phase = Ready
	}
}

func (s *Supervisor) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Error("failed", "error", err)
	if s.phase != Failed {
		s.phase, s.reason = Failed, err.Error()
	}
}
