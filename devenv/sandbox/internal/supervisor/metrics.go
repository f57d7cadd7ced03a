package supervisor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/metrics"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// The certificates of the resource metrics: the server's, and the authority of the API server's client certificate.
const (
	metricsPair  = "metrics"
	frontProxyCA = "front-proxy-ca"
)

// serveMetrics serves the resource metrics inside the node until ctx ends, and returns once the cluster has them, or
// waiting ends.
func (s *Supervisor) serveMetrics(ctx, waiting context.Context, client kubernetes.Interface) error {
	config, authority, err := metricsTLS(s.dir)
	if err != nil {
		return err
	}
	at := netip.AddrPortFrom(netip.MustParseAddr(node.Address), node.MetricsPort)
	listener, err := s.space.Listen(at.String())
	if err != nil {
		return fmt.Errorf("listening for the resource metrics: %w", err)
	}
	go func() {
		if err := metrics.New(client, s.log).Run(ctx, listener, config); err != nil && ctx.Err() == nil {
			s.fail(err)
		}
	}()
	access, err := clientcmd.BuildConfigFromFlags("", s.dir.Kubeconfig())
	if err != nil {
		return err
	}
	services, err := aggregator.NewForConfig(access)
	if err != nil {
		return err
	}
	return metrics.Register(waiting, client, services, at, authority)
}

// metricsTLS accepts only clients with a certificate of the front proxies' authority. The other authority, in PEM, signed the server's
// own certificate.
func metricsTLS(dir place.Dir) (config *tls.Config, authority []byte, err error) {
	own, err := tls.LoadX509KeyPair(dir.Certificate(metricsPair), dir.Key(metricsPair))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the certificate of the resource metrics: %w", err)
	}
	proxies, err := os.ReadFile(dir.Certificate(frontProxyCA))
	if err != nil {
		return nil, nil, err
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(proxies) {
		return nil, nil, errors.New("the front proxies' authority is not a certificate")
	}
	if authority, err = os.ReadFile(dir.Certificate("ca")); err != nil {
		return nil, nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{own}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS13,
	}, authority, nil
}
