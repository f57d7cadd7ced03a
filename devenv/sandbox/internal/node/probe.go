package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// probeInterval is how often a starting component is probed.
const probeInterval = 25 * time.Millisecond

// probe returns nil if a component is ready.
type probe func(ctx context.Context) error

// waitReady probes until the component is ready or the context ends; the error then contains the last probe's.
func waitReady(ctx context.Context, ready probe) error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := ready(once)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// getHTTP returns a probe that succeeds when the URL answers 200.
func getHTTP(url string) probe { return get(&http.Client{}, url) }

// getTLS is getHTTP over TLS, with the probe's certificate.
func getTLS(dir place.Dir, url string) probe {
	roots := x509.NewCertPool()
	authority, err := os.ReadFile(dir.Certificate("ca"))
	if err != nil || !roots.AppendCertsFromPEM(authority) {
		return func(context.Context) error { return fmt.Errorf("reading the authority: %w", err) }
	}
	own, err := tls.LoadX509KeyPair(dir.Certificate("probe"), dir.Key("probe"))
	if err != nil {
		return func(context.Context) error { return fmt.Errorf("reading the probe's certificate: %w", err) }
	}
	return get(&http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13},
	}}, url)
}

// get returns a probe that succeeds when the URL answers 200 to the client.
func get(client *http.Client, url string) probe {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close() //nolint:errcheck // it is only read
		body, err := io.ReadAll(io.LimitReader(response.Body, 512))
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answered %s: %s", url, response.Status, body)
		}
		return nil
	}
}

// containerdReady succeeds when containerd serves Kubernetes' part of its API. It imports the pause image, without which no pod
// starts.
func containerdReady(dir place.Dir) probe {
	return func(ctx context.Context) error {
		if _, err := os.Stat(dir.Containerd()); err != nil {
			return errors.New("containerd has no socket yet")
		}
		ctr := exec.CommandContext(ctx, "ctr", "--address", dir.Containerd(), "--namespace", "k8s.io", //nolint:gosec // fixed words and our own directory
			"images", "import", dir.In("etc", "pause.tar"))
		ctr.Env = environment
		if output, err := ctr.CombinedOutput(); err != nil {
			return fmt.Errorf("importing the pause image: %w: %s", err, strings.TrimSpace(string(output)))
		}
		return nil
	}
}
