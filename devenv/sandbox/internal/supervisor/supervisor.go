// Package supervisor is the one process of a sandbox on the host: it starts the node in namespaces of its own, carries
// connections between the host's loopback and the node, and answers for the sandbox on a socket.
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

// whole is the stage at which every component has been ready.
const whole = "all components"

// patience bounds the way up, after which a sandbox has failed.
const patience = 3 * time.Minute

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
	// restartKubelet starts the kubelet again where that is not the node's business.
	restartKubelet func() error
}

// Run runs the sandbox whose settings lie in dir until the context ends or it is told to stop. What it leaves is a
// directory and a cgroup.
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
	control, err := s.control(func() { stop(errors.New("told to stop")) })
	if err != nil {
		return err
	}
	defer control.Close() //nolint:errcheck // ending closes it as well
	err = run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	// The node has ended by itself. Stay, to say why to whoever asks; down takes the rest away.
	s.fail(fmt.Errorf("the node ended: %w", err))
	<-ctx.Done()
	return nil
}

// Lock takes the sandbox for a supervisor; it fails if one has it. The lock goes when its holder does, however it ends.
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

// runNative makes a cluster of its own and runs its node.
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
	s.reach("credentials")
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

// follow takes in a report and does what has become possible.
func (s *Supervisor) follow(ctx context.Context, report node.Report) {
	s.log.Info("node", "component", report.Component, "state", report.State, "pid", report.PID, "note", report.Note)
	switch report.Component {
	case node.Network:
		if err := s.bridge(); err != nil {
			s.fail(err)
		}
		s.reach("network")
		return
	case node.Whole:
		s.reach(whole)
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
	s.reach(report.Component)
	if report.Component == "kube-apiserver" {
		go s.serveCluster(ctx)
	}
}

// bridge carries connections from the host to the API server, and from the node to the registries and the ECR endpoint.
func (s *Supervisor) bridge() error {
	if s.api != nil {
		forward.Serve(s.api, s.space.Dial, fmt.Sprintf("127.0.0.1:%d", node.APIPort))
	}
	if s.settings.TokenWebhook != "" {
		if err := s.bridgeWebhook(s.settings.TokenWebhook); err != nil {
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

// bridgeWebhook carries the API server's questions to its token webhook on the host.
func (s *Supervisor) bridgeWebhook(webhook string) error {
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

// connectRegistries brings the forwards to the host in line with the settings; the caller holds the lock.
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

// serveCluster serves LoadBalancers, and declares the sandbox ready once the cluster has settled.
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
	waiting, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not settled after %v", patience))
	defer cancel()
	if err := settle(waiting, client, s.nodeName, s.reach); err != nil {
		s.fail(err)
		return
	}
	if s.settings.Kind == "" {
		if err := s.serveMetrics(ctx, waiting, client); err != nil {
			s.fail(err)
			return
		}
		s.reach("resource metrics")
	}
	if s.settings.TokenWebhook != "" {
		if err := authenticator.Grant(waiting, client); err != nil {
			s.fail(err)
			return
		}
		s.reach("deployers' roles")
	}
	s.mu.Lock()
	s.nodeReady = true
	s.mu.Unlock()
	s.markReady()
	s.watchNode(ctx, client)
}

// reach records a milestone.
func (s *Supervisor) reach(stage string) {
	s.mu.Lock()
	s.stages = append(s.stages, Stage{Name: stage, Seconds: seconds(time.Since(s.began))})
	s.mu.Unlock()
	s.markReady()
}

// markReady declares the sandbox ready when the node has settled and all its components are.
func (s *Supervisor) markReady() {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.ContainsFunc(s.stages, func(stage Stage) bool { return stage.Name == whole })
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
