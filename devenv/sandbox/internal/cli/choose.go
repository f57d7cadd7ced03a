package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/install"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
)

// The providers of a cluster.
const (
	providerAuto     = "auto"
	providerNative   = "native"
	providerKind     = "kind"
	providerExisting = "kubeconfig"
)

// machine says what can run here: each function returns nil, or why not.
type machine struct {
	native func() error
	kind   func(context.Context) error
}

// thisMachine is the machine that the sandbox runs on.
var thisMachine = machine{native: requireNative, kind: kindWorks} //nolint:gochecknoglobals // constant

// choose returns the provider: an existing cluster if one is named, the native node where it can run, and kind where it cannot or if it is
// asked for. Where the provider is not the tried one, note says so.
func (m machine) choose(ctx context.Context, wanted, kubeconfig string) (provider, note string, err error) {
	switch {
	case kubeconfig != "" && (wanted == providerAuto || wanted == providerExisting):
		return providerExisting, "", nil
	case kubeconfig != "":
		return "", "", usageError{fmt.Errorf("--kubeconfig names an existing cluster: use it without --provider %s", wanted)}
	case wanted == providerKind:
		return wanted, kindIsNew, m.kind(ctx)
	case wanted == providerNative:
		return wanted, "", m.native()
	case wanted != providerAuto:
		return "", "", usageError{fmt.Errorf("--provider: %q is not one of auto, native, kind", wanted)}
	}
	native := m.native()
	if native == nil {
		return providerNative, "", nil
	}
	kind := m.kind(ctx)
	if kind == nil {
		return providerKind, fmt.Sprintf("native cannot run here: %v. Using kind. %s", native, kindIsNew), nil
	}
	return "", "", fmt.Errorf("no cluster can run here: native: %w; kind: %w; or name a cluster with --kubeconfig", native, kind)
}

// kindIsNew is what the user of kind should know.
const kindIsNew = "The kind provider is new and has been run once, not yet by the demo; the tried provider is native (docs/demo.md says how kind was run)"

// requireNative returns an error if this machine cannot be a node: the node needs Linux, root, and Debian packages that are installed or can be.
func requireNative() error {
	if err := requireLinuxAndRoot(); err != nil {
		return err
	}
	if missing := install.Missing(); len(missing) > 0 {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return fmt.Errorf("%s missing, and there is no apt-get to install with: install by hand", strings.Join(missing, ", "))
		}
	}
	return nil
}

func requireLinuxAndRoot() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("it needs Linux, and this is %s", runtime.GOOS)
	}
	return requireRoot()
}

func requireRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("it needs root, for namespaces and containers: run it with sudo")
	}
	return nil
}

// kindWorks returns an error if kind cannot make a cluster here that the sandbox can serve.
func kindWorks(ctx context.Context) error {
	if _, err := exec.LookPath("kind"); err != nil {
		return errors.New("kind is not installed")
	}
	ask, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := exec.CommandContext(ask, "docker", "info").Run(); err != nil {
		return errors.New("docker does not answer")
	}
	return requireLinuxAndRoot() // the sandbox itself serves LoadBalancers
}

// checkRegistries refuses addresses of other machines: credentials and pulls must not leave this one.
func checkRegistries(registries []string, endpoint string) error {
	for _, registry := range registries {
		if err := checkLoopback(registry); err != nil {
			return usageError{fmt.Errorf("--registry: %w", err)}
		}
	}
	if endpoint == "" {
		return nil
	}
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Scheme != "http" || parsed.Host == "" {
		return usageError{fmt.Errorf("--ecr-endpoint: %q is not http://HOST:PORT", endpoint)}
	}
	if err := checkLoopback(parsed.Host); err != nil {
		return usageError{fmt.Errorf("--ecr-endpoint: %w", err)}
	}
	if len(registries) == 0 {
		return usageError{errors.New("--ecr-endpoint has no effect without --registry: name the registries to log in at")}
	}
	return nil
}

// checkWebhook refuses a webhook on another machine, because it gets every token that the API server gets.
func checkWebhook(webhook string) error {
	if webhook == "" {
		return nil
	}
	parsed, err := url.Parse(webhook)
	if err != nil || parsed.Scheme != "http" || parsed.Host == "" || parsed.User != nil || parsed.Fragment != "" || parsed.RawQuery != "" {
		return usageError{fmt.Errorf("--token-webhook: %q is not http://HOST:PORT/PATH", webhook)}
	}
	if err := checkLoopback(parsed.Host); err != nil {
		return usageError{fmt.Errorf("--token-webhook: %w", err)}
	}
	return nil
}

// checkLoopback refuses an address that is not HOST:PORT on loopback, or that the node itself uses.
func checkLoopback(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return fmt.Errorf("%q has no port between 1 and 65535", address)
	}
	ip, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !ip.Is4() || !ip.IsLoopback()) {
		return fmt.Errorf("%q is not a loopback address (127.0.0.1:PORT or localhost:PORT)", address)
	}
	if number == node.APIPort || slices.Contains([]string{node.Inside, "127.0.0.10", "127.0.0.11"}, host) {
		return fmt.Errorf("%q is in use inside the node: choose another port or address", address)
	}
	return nil
}
