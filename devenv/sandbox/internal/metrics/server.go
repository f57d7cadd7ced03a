package metrics

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Every is how often the kubelets are read, and so the window of a container's CPU usage.
const Every = 3 * time.Second

// Aggregator is the name in the API server's client certificate.
const Aggregator = "front-proxy-client"

// Server serves the resource metrics of one cluster.
type Server struct {
	client kubernetes.Interface
	// figures returns a node's /metrics/resource.
	figures func(ctx context.Context, node string) ([]byte, error)
	log     *slog.Logger
	history history
}

// New returns a server. The client reads pods, nodes and, through the API server, the kubelets.
func New(client kubernetes.Interface, log *slog.Logger) *Server {
	s := &Server{client: client, log: log}
	s.figures = func(ctx context.Context, node string) ([]byte, error) {
		return client.CoreV1().RESTClient().Get().Resource("nodes").Name(node).SubResource("proxy").Suffix("metrics/resource").DoRaw(ctx)
	}
	return s
}

// Run reads the kubelets and serves on the listener until the context ends. It serves only Aggregator, with a certificate that config
// accepts: the API server, which authenticates and authorizes the user before it forwards a request
// (https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/#authentication-flow).
func (s *Server) Run(ctx context.Context, listener net.Listener, config *tls.Config) error {
	server := &http.Server{
		Handler: s.onlyAggregator(s.routes()), TLSConfig: config, ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: log.New(errorLog{s.log}, "", 0),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	defer server.Close() //nolint:errcheck // no client is served any more
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		s.readAll(ctx)
		select {
		case err := <-failed:
			return fmt.Errorf("serving resource metrics: %w", err)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// readAll reads the metrics of every node. A failure, as while the API server is down, is logged; the next reading tries again.
func (s *Server) readAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, Every)
	defer cancel()
	nodes, err := s.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		s.logFailure(ctx, err)
		return
	}
	for _, node := range nodes.Items {
		if err := s.readNode(ctx, node.Name); err != nil {
			s.logFailure(ctx, fmt.Errorf("node %q: %w", node.Name, err))
		}
	}
}

func (s *Server) readNode(ctx context.Context, node string) error {
	text, err := s.figures(ctx, node)
	if err != nil {
		return err
	}
	reading, err := parse(bytes.NewReader(text))
	if err != nil {
		return err
	}
	s.history.add(node, reading)
	return nil
}

// logFailure logs that metrics could not be read, unless the server is stopping.
func (s *Server) logFailure(ctx context.Context, err error) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		s.log.Warn("reading the kubelet's figures", "error", err)
	}
}

// errorLog writes the messages of net/http, as of a client without a certificate, to the log.
type errorLog struct{ log *slog.Logger }

func (c errorLog) Write(line []byte) (int, error) {
	c.log.Warn("resource metrics", "problem", string(line))
	return len(line), nil
}
