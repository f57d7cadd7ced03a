package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Serve serves on the listener until ctx ends, and then drains: it is not ready at once, serves for the drain delay, then accepts no
// connection, and waits at most the drain limit for running requests. Metrics are served on their own listener, if there is one,
// until the last request has ended.
func Serve(ctx context.Context, listener, metrics net.Listener, service *Service, config Config, log *slog.Logger) error {
	failed := make(chan error, 2)
	serve := func(listener net.Listener, handler http.Handler) *http.Server {
		server := newServer(handler, log)
		go func() { failed <- fmt.Errorf("serving on %s: %w", listener.Addr(), server.Serve(listener)) }()
		return server
	}
	server := serve(listener, service.Handler())
	defer server.Close()
	if metrics != nil {
		defer serve(metrics, service.Metrics()).Close()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	return drain(server, service, config, log, failed)
}

func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

func drain(server *http.Server, service *Service, config Config, log *slog.Logger, failed <-chan error) error {
	service.draining.Store(true)
	log.Info("draining", "delay", config.DrainDelay.String(), "limit", config.DrainLimit.String())
	select {
	case err := <-failed:
		return fmt.Errorf("while draining: %w", err)
	case <-time.After(config.DrainDelay):
	}
	ctx, cancel := context.WithTimeout(context.Background(), config.DrainLimit)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("draining for %s: %w", config.DrainLimit, errors.Join(err, server.Close()))
	}
	log.Info("drained")
	return nil
}
