// Command app is the sample service that the pipeline takes to production: a small JSON and text service that
// behaves like a real one. `app migrate` takes its database's schema to the newest state.
package main

import (
	"context"
	"database/sql"
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
	err := run(ctx, os.Args[1:], os.Getenv)
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

func run(ctx context.Context, args []string, getenv func(string) string) error {
	config, err := LoadConfig(getenv)
	if err != nil {
		return err
	}
	var store *sql.DB
	if config.Database() != "" {
		if store, err = openStore(config.Database); err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: config.LogLevel}))
	switch {
	case len(args) == 0:
		return serve(ctx, config, store, log)
	case len(args) > 1 || args[0] != "migrate":
		return &InvalidConfig{Problems: []string{fmt.Sprintf("%q: the only command is migrate", args)}}
	case store == nil:
		return &InvalidConfig{Problems: []string{"DATABASE_URL: is missing, and migrate needs it"}}
	}
	return Migrate(ctx, store, migrations, log)
}

// serve serves until ctx ends.
func serve(ctx context.Context, config Config, store *sql.DB, log *slog.Logger) error {
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
	service := NewService(config, Build{Commit: commit, Built: built, Digest: config.ImageDigest}, store, log)
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
