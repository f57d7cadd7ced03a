package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/install"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/supervisor"
)

// upFlags holds the flags of up.
type upFlags struct {
	provider, kubeconfig, bin, endpoint, webhook string
	registries                                   []string
	port                                         int
	delay                                        time.Duration
}

func up() *cobra.Command {
	c := &cobra.Command{
		Use:   "up",
		Short: "Start the cluster, unless it runs",
		Long: `Start the cluster and wait until it can run pods. First, what is missing is installed: Debian packages (containerd, runc,
containernetworking-plugins, nftables) and Kubernetes itself, which Go compiles once.

Run it again to let pods pull from further registries.

With --token-webhook the API server also authenticates bearer tokens, as an EKS cluster does for IAM: it asks the webhook
(TokenReview of authentication.k8s.io/v1) whose a token is. Members of the group onedigest:deployers may deploy: they have the
role "admin" in every namespace and may create namespaces. An accepted token stays accepted for 10 s.`,
		Example: `  sandbox up
  sandbox up --registry 127.0.0.1:5000 --ecr-endpoint http://127.0.0.1:5001
  sandbox up --token-webhook http://127.0.0.1:5510/_localaws/eks/shop/tokenreview
  sandbox up --dir /var/lib/another-sandbox
  sandbox up --kubeconfig ~/.kube/config`,
	}
	var w upFlags
	dir := dirFlag(c)
	flags := c.Flags()
	flags.StringVar(&w.provider, "provider", providerAuto, "where the cluster comes from: native, kind (new, little tried), or auto (native if it can run here, else kind)")
	flags.StringVar(&w.kubeconfig, "kubeconfig", "", "use the cluster of this file's current context; nothing is started")
	flags.StringArrayVar(&w.registries, "registry", nil, "HOST:PORT of a plain HTTP registry on loopback that pods pull from (repeatable)")
	flags.StringVar(&w.endpoint, "ecr-endpoint", "", "URL of the ECR API that issues the registries' passwords, http on loopback (default: pulls are anonymous)")
	flags.StringVar(&w.webhook, "token-webhook", "", "URL of the webhook that says whose a bearer token is, http on loopback (default: none; native provider only)")
	flags.StringVar(&w.bin, "bin-dir", "", "directory for the built binaries (default: bin/ of the checkout)")
	flags.IntVar(&w.port, "port", 0, "loopback port of the API server (default: a free one)")
	flags.DurationVar(&w.delay, "lb-delay", 0, "how long a LoadBalancer Service waits for its address, as on a cloud")
	c.RunE = func(c *cobra.Command, _ []string) error {
		d, err := dir()
		if err != nil {
			return err
		}
		return w.up(c, d)
	}
	return c
}

// up starts a sandbox with the flags, or adds the registries to a running one.
func (w upFlags) up(c *cobra.Command, dir place.Dir) error {
	if err := checkRegistries(w.registries, w.endpoint); err != nil {
		return err
	}
	if err := checkWebhook(w.webhook); err != nil {
		return err
	}
	if w.port < 0 || w.port > 65535 || w.delay < 0 {
		return usageError{errors.New("--port must be between 0 and 65535, --lb-delay must not be negative")}
	}
	ctx := c.Context()
	provider, note, err := thisMachine.choose(ctx, w.provider, w.kubeconfig)
	if err != nil {
		return err
	}
	if note != "" {
		c.PrintErrln("note:", note)
	}
	if w.webhook != "" && provider != providerNative {
		return usageError{fmt.Errorf("--token-webhook is a setting of the API server, which the sandbox does not start with provider %s: use --provider native", provider)}
	}
	if provider == providerExisting {
		return w.useExisting(c, dir)
	}
	unlock, err := lockSandbox(c, dir)
	if err != nil {
		return err
	}
	defer unlock()
	running, err := w.joinRunning(c, dir)
	if running || err != nil {
		return err
	}
	settings, err := w.prepare(c, provider)
	if err != nil {
		return err
	}
	started := time.Now()
	if err := w.start(c, dir, settings); err != nil {
		c.PrintErrln("starting failed; removing the sandbox")
		return errors.Join(err, removeSandbox(c, dir))
	}
	c.Printf("ready in %.1f s\n", time.Since(started).Seconds())
	c.Println("kubeconfig", dir.Kubeconfig())
	return nil
}

// login returns how pulls get their password. The environment's AWS credentials sign the request, as in the AWS CLI; they are sent
// only to the endpoint, which is on this machine.
func (w upFlags) login() place.Login {
	if w.endpoint == "" {
		return place.Login{}
	}
	return place.Login{
		Endpoint:        w.endpoint,
		AccessKeyID:     cmp.Or(os.Getenv("AWS_ACCESS_KEY_ID"), "sandbox"),
		SecretAccessKey: cmp.Or(os.Getenv("AWS_SECRET_ACCESS_KEY"), "sandbox"),
		Region:          cmp.Or(os.Getenv("AWS_REGION"), "us-east-1"),
	}
}

// joinRunning adds the registries to a sandbox that already runs in the directory. It removes what a crashed sandbox left behind.
func (w upFlags) joinRunning(c *cobra.Command, dir place.Dir) (running bool, err error) {
	if !dir.Marked() {
		return false, nil
	}
	client := supervisor.NewClient(dir)
	now, err := client.Status(c.Context())
	if err == nil && now.Phase != supervisor.Failed {
		if w.webhook != "" && w.webhook != now.TokenWebhook {
			return true, fmt.Errorf("it already runs with the token webhook %s: stop it first (sandbox down --dir %s)", cmp.Or(now.TokenWebhook, "none"), dir)
		}
		if now.Phase == supervisor.Starting {
			if err := follow(c, dir); err != nil {
				return true, err
			}
		}
		if err := client.AddRegistries(c.Context(), w.registries, w.login()); err != nil {
			return true, err
		}
		if err := waitReady(c.Context(), client); err != nil {
			return true, err
		}
		c.Println("already running")
		c.Println("kubeconfig", dir.Kubeconfig())
		return true, nil
	}
	if c.Context().Err() != nil {
		return false, context.Cause(c.Context())
	}
	c.Println("removing what an earlier sandbox left behind in", dir)
	return false, removeSandbox(c, dir)
}

// prepare installs packages and builds binaries.
func (w upFlags) prepare(c *cobra.Command, provider string) (place.Settings, error) {
	settings := place.Settings{
		Provider: provider, Port: w.port, Registries: w.registries, Login: w.login(), DelaySeconds: w.delay.Seconds(), TokenWebhook: w.webhook,
	}
	ctx, out := c.Context(), c.OutOrStdout()
	if missing := install.Missing(); provider == providerNative && len(missing) > 0 {
		c.Println("installing the packages", strings.Join(missing, " "))
		if err := install.Packages(ctx, missing, out); err != nil {
			return settings, err
		}
		if missing := install.Missing(); len(missing) > 0 {
			return settings, fmt.Errorf("still missing after installation: %s", strings.Join(missing, ", "))
		}
	}
	settings.Plugins = install.Plugins()
	source, err := install.Source()
	if err != nil {
		return settings, err
	}
	bin := w.bin
	if bin == "" {
		bin = filepath.Join(filepath.Dir(filepath.Dir(source)), "bin")
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return settings, err
	}
	if bin, err = realDir(bin); err != nil {
		return settings, err
	}
	built, err := install.Build(ctx, source, bin, provider == providerNative, out)
	if err != nil {
		return settings, err
	}
	settings.Kube, settings.ECRLogin, settings.Pause = built.Kube, built.ECRLogin, built.Pause
	return settings, nil
}

// realDir creates a directory and returns its path without symlinks, which may not resolve under the node's mounts.
func realDir(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // programs for everyone
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// start starts the supervisor and waits until the cluster is ready.
func (w upFlags) start(c *cobra.Command, dir place.Dir, settings place.Settings) error {
	if err := dir.Create(); err != nil {
		return err
	}
	if settings.Provider == providerKind {
		settings.Kind = dir.Name()
	}
	if err := errors.Join(dir.Save(settings), os.MkdirAll(dir.In("logs"), 0o700)); err != nil {
		return err
	}
	if settings.Provider == providerKind {
		if err := createKind(c.Context(), dir, settings); err != nil {
			return err
		}
	}
	if err := detach(dir); err != nil {
		return err
	}
	return follow(c, dir)
}

// follow prints the supervisor's stages until the cluster is ready.
func follow(c *cobra.Command, dir place.Dir) error {
	client := supervisor.NewClient(dir)
	printed := 0
	for {
		ask, cancel := context.WithTimeout(c.Context(), 5*time.Second)
		now, err := client.Status(ask)
		cancel()
		switch {
		case c.Context().Err() != nil:
			return errors.New("interrupted")
		case err != nil:
			if gone := supervisorGone(dir); gone != nil {
				return gone
			}
		default:
			for ; printed < len(now.Stages); printed++ {
				c.Printf("  %5.1f s  %s\n", now.Stages[printed].Seconds, now.Stages[printed].Name)
			}
			switch now.Phase {
			case supervisor.Ready:
				return nil
			case supervisor.Failed:
				return fmt.Errorf("%s%s", now.Reason, logTails(dir))
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// waitReady waits until every component is ready again.
func waitReady(ctx context.Context, client *supervisor.Client) error {
	waiting, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the components are not ready after a minute"))
	defer cancel()
	for {
		now, err := client.Status(waiting)
		if err != nil {
			return err
		}
		all := now.NodeReady
		for _, component := range now.Components {
			all = all && component.Ready
		}
		if all {
			return nil
		}
		select {
		case <-waiting.Done():
			return context.Cause(waiting)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
