package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/authenticator"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/cgroups"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// Run runs the node, inside its namespaces. It returns when orders ends or a component fails permanently.
func Run(ctx context.Context, dir place.Dir, orders io.Reader, reports io.Writer) error {
	settings, err := dir.Load()
	if err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	report := newReporter(reports)
	if err := prepare(dir, settings); err != nil {
		return err
	}
	report(Report{Component: Network, State: Ready})

	runners := map[string]*runner{}
	for _, c := range []component{
		etcd(dir, settings.Kube), containerd(dir), apiserver(dir, settings), controllers(dir, settings.Kube),
		scheduler(dir, settings.Kube), proxy(dir, settings.Kube), kubelet(dir, settings),
	} {
		runners[c.name] = newRunner(dir, c, report)
	}
	after := map[string][]string{
		"kube-apiserver":          {"etcd"},
		"kube-controller-manager": {"kube-apiserver"},
		"kube-scheduler":          {"kube-apiserver"},
		"kube-proxy":              {"kube-apiserver"},
		"kubelet":                 {"kube-apiserver", "containerd"},
	}
	group, ctx := errgroup.WithContext(ctx)
	for name, k := range runners {
		group.Go(func() error {
			for _, earlier := range after[name] {
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-runners[earlier].up:
				}
			}
			return k.run(ctx)
		})
	}
	group.Go(func() error { return executeOrders(ctx, readOrders(orders), runners) })
	group.Go(func() error {
		for _, k := range runners {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-k.up:
			}
		}
		report(Report{Component: AllReady, State: Ready})
		return nil
	})
	if err := group.Wait(); !errors.Is(err, errOrdersEnded) {
		return err
	}
	return nil
}

// prepare sets up the node's mounts, its network and its components' configuration.
func prepare(dir place.Dir, settings place.Settings) error {
	group, err := cgroups.Named(dir.Name())
	if err != nil {
		return err
	}
	if err := errors.Join(
		writeContainerd(dir, settings.Plugins),
		WriteRegistries(dir, settings.Registries),
		writeKubelet(dir, group.Path()),
		WriteLogin(dir, settings),
		writeTokenWebhook(dir, settings),
	); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if err := mountTunables(dir); err != nil {
		return err
	}
	if err := mountPrivateDirs(dir, string(dir), filepath.Dir(settings.Kube)); err != nil {
		return err
	}
	return network()
}

// writeTokenWebhook writes the API server's kubeconfig for its token webhook, if it has one.
func writeTokenWebhook(dir place.Dir, settings place.Settings) error {
	if settings.TokenWebhook == "" {
		return nil
	}
	content, err := authenticator.Kubeconfig(settings.TokenWebhook, WebhookAddress)
	if err != nil {
		return err
	}
	return writeAll(map[string][]byte{dir.TokenWebhook(): content})
}

var errOrdersEnded = errors.New("the supervisor has ended")

// executeOrders executes orders until there are no more.
func executeOrders(ctx context.Context, orders <-chan Order, runners map[string]*runner) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case order, more := <-orders:
			if !more {
				return errOrdersEnded
			}
			k, known := runners[order.Stop]
			if !known {
				fmt.Fprintf(os.Stderr, "ignoring an order for %q, which is not a component\n", order.Stop)
				continue
			}
			select {
			case k.stops <- order:
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
				fmt.Fprintf(os.Stderr, "%s is not running: nothing to stop\n", order.Stop)
			}
		}
	}
}

// readOrders parses orders until the input ends.
func readOrders(from io.Reader) <-chan Order {
	orders := make(chan Order)
	go func() {
		defer close(orders)
		for lines := bufio.NewScanner(from); lines.Scan(); {
			var order Order
			if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
				fmt.Fprintf(os.Stderr, "ignoring the order %q: %v\n", lines.Text(), err)
				continue
			}
			orders <- order
		}
	}()
	return orders
}

// newReporter returns a function that writes reports, one at a time.
func newReporter(to io.Writer) func(Report) {
	var mu sync.Mutex
	encoder := json.NewEncoder(to)
	return func(report Report) {
		report.At = time.Now()
		mu.Lock()
		defer mu.Unlock()
		if err := encoder.Encode(report); err != nil {
			fmt.Fprintf(os.Stderr, "reporting: %v\n", err)
		}
	}
}
