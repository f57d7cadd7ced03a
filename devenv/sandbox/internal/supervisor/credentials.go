package supervisor

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/metrics"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/pki"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// writeCredentials makes the cluster's authority and everything that it signs. The administrator's kubeconfig reaches the
// API server at address on the host.
func writeCredentials(dir place.Dir, address string, now time.Time) error {
	authority, err := pki.NewAuthority("sandbox", now)
	if err != nil {
		return err
	}
	files := map[string][]byte{dir.Certificate("ca"): authority.Certificate, dir.Key("ca"): authority.Key}
	pairs := map[string]pki.Subject{
		"kube-apiserver": {
			Name:      "kube-apiserver",
			DNS:       []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + node.Domain},
			Addresses: node.Addresses(),
		},
		"kubelet":        {Name: "system:node:" + node.Name, Groups: []string{"system:nodes"}, DNS: []string{node.Name}, Addresses: []net.IP{net.ParseIP(node.Address)}},
		"serving":        {Name: "serving", Addresses: []net.IP{net.ParseIP(node.Inside)}},
		metricsPair:      {Name: metrics.Service, DNS: []string{metrics.Host}},
		"probe":          {Name: "sandbox:probe", Groups: []string{"system:masters"}},
		"kubelet-client": {Name: "sandbox:apiserver", Groups: []string{"system:masters"}},
	}
	for name, subject := range pairs {
		pair, err := authority.Issue(subject, now)
		if err != nil {
			return err
		}
		files[dir.Certificate(name)], files[dir.Key(name)] = pair.Certificate, pair.Key
	}
	for name, subject := range node.Users() {
		pair, err := authority.Issue(subject, now)
		if err != nil {
			return err
		}
		if files[dir.Inner(name)], err = pki.Kubeconfig("sandbox", node.APIServer, authority.Certificate, pair); err != nil {
			return err
		}
	}
	proxies, err := pki.NewAuthority("sandbox-front-proxy", now)
	if err != nil {
		return err
	}
	aggregator, err := proxies.Issue(pki.Subject{Name: metrics.Aggregator}, now)
	if err != nil {
		return err
	}
	files[dir.Certificate(frontProxyCA)] = proxies.Certificate
	files[dir.Certificate(metrics.Aggregator)], files[dir.Key(metrics.Aggregator)] = aggregator.Certificate, aggregator.Key
	admin, err := authority.Issue(pki.Subject{Name: "sandbox:admin", Groups: []string{"system:masters"}}, now)
	if err != nil {
		return err
	}
	if files[dir.Kubeconfig()], err = pki.Kubeconfig("onedigest-sandbox", "https://"+address, authority.Certificate, admin); err != nil {
		return err
	}
	private, public, err := pki.SigningKey()
	if err != nil {
		return err
	}
	files[dir.Key("service-accounts")], files[dir.In("pki", "service-accounts.pub")] = private, public
	if err := os.MkdirAll(dir.In("pki"), 0o700); err != nil {
		return err
	}
	for path, content := range files {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("writing credentials: %w", err)
		}
	}
	return nil
}
