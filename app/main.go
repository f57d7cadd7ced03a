// Command app is the sample service that the pipeline takes to production: a small JSON and text service that
// behaves like a real one.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// Stamped by the linker (-X main.commit=… -X main.built=…), from the commit alone, so that the image is reproducible.
var (
	commit = "unknown"
	built  = "unknown"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	var invalid *InvalidConfig
	if errors.As(err, &invalid) {
		os.Exit(2)
	}
	os.Exit(1)
}

func run(ctx context.Context, getenv func(string) string) error {
	config, err := LoadConfig(getenv)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: config.LogLevel}))
	listener, err := listen(config.Port)
	if err != nil {
		return err
	}
	var metrics net.Listener
	if config.MetricsPort != 0 {
		if metrics, err = listen(config.MetricsPort); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	service := NewService(config, Build{Commit: commit, Built: built, Digest: config.ImageDigest}, log)
	log.Info("serving", "address", listener.Addr().String(), "environment", config.Environment, "commit", commit)
	return Serve(ctx, listener, metrics, service, config, log)
}

func listen(port int) (net.Listener, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, fmt.Errorf("listening on port %d: %w", port, err)
	}
	return listener, nil
}
