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

// every is how often a component that is starting is asked whether it is ready.
const every = 25 * time.Millisecond

// probe asks a component once whether it is ready; nil means that it is.
type probe func(ctx context.Context) error

// await asks until the component is ready, or the context ends; then the error says what it answered last.
func await(ctx context.Context, ready probe) error {
	tick := time.NewTicker(every)
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

// getHTTP is ready when the URL answers 200.
func getHTTP(url string) probe { return get(&http.Client{}, url) }

// getTLS is the same over TLS, with the probe's certificate.
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

// containerdAnswers is ready when containerd serves Kubernetes' part of its API and holds the pause image, which it is
// given here: without it no pod starts.
func containerdAnswers(dir place.Dir) probe {
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
