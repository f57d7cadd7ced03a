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

// Run is the node, as a process inside its namespaces. It returns when orders ends or a component cannot be kept running.
func Run(ctx context.Context, dir place.Dir, orders io.Reader, reports io.Writer) error {
	settings, err := dir.Load()
	if err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	tell := teller(reports)
	if err := prepare(dir, settings); err != nil {
		return err
	}
	tell(Report{Component: Network, State: Ready})

	keepers := map[string]*keeper{}
	for _, c := range []component{
		etcd(dir, settings.Kube), containerd(dir), apiserver(dir, settings), controllers(dir, settings.Kube),
		scheduler(dir, settings.Kube), proxy(dir, settings.Kube), kubelet(dir, settings),
	} {
		keepers[c.name] = newKeeper(dir, c, tell)
	}
	after := map[string][]string{
		"kube-apiserver":          {"etcd"},
		"kube-controller-manager": {"kube-apiserver"},
		"kube-scheduler":          {"kube-apiserver"},
		"kube-proxy":              {"kube-apiserver"},
		"kubelet":                 {"kube-apiserver", "containerd"},
	}
	group, ctx := errgroup.WithContext(ctx)
	for name, k := range keepers {
		group.Go(func() error {
			for _, earlier := range after[name] {
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-keepers[earlier].up:
				}
			}
			return k.run(ctx)
		})
	}
	group.Go(func() error { return obey(ctx, read(orders), keepers) })
	group.Go(func() error {
		for _, k := range keepers {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-k.up:
			}
		}
		tell(Report{Component: Whole, State: Ready})
		return nil
	})
	if err := group.Wait(); !errors.Is(err, errOrdersEnded) {
		return err
	}
	return nil
}

// prepare gives the node its mounts, its network and its components' configuration.
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
	if err := pretend(dir); err != nil {
		return err
	}
	if err := hide(dir, string(dir), filepath.Dir(settings.Kube)); err != nil {
		return err
	}
	return network()
}

// writeTokenWebhook tells the API server where its token webhook is, if it has one.
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

// obey carries out orders until there are no more.
func obey(ctx context.Context, orders <-chan Order, keepers map[string]*keeper) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case order, more := <-orders:
			if !more {
				return errOrdersEnded
			}
			k, known := keepers[order.Stop]
			if !known {
				fmt.Fprintf(os.Stderr, "ignoring an order for %q, which is no component\n", order.Stop)
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

// read reads orders until there are no more.
func read(from io.Reader) <-chan Order {
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

// teller writes reports, one at a time.
func teller(to io.Writer) func(Report) {
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
