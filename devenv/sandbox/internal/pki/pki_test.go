package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

func TestIssuedCertificatesAreValid(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	authority, err := NewAuthority("sandbox", now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewAuthority("sandbox", now)
	if err != nil {
		t.Fatal(err)
	}
	server := Subject{Name: "kube-apiserver", DNS: []string{"kubernetes"}, Addresses: []net.IP{net.ParseIP("127.0.0.1")}}
	client := Subject{Name: "system:node:sandbox", Groups: []string{"system:nodes"}}
	for _, c := range []struct {
		name    string
		subject Subject
		by      *Authority
		at      time.Time
		host    string
		usage   x509.ExtKeyUsage
		holds   bool
	}{
		{"server by name", server, authority, now, "kubernetes", x509.ExtKeyUsageServerAuth, true},
		{"server by address", server, authority, now, "127.0.0.1", x509.ExtKeyUsageServerAuth, true},
		{"server by another name", server, authority, now, "example.com", x509.ExtKeyUsageServerAuth, false},
		{"client", client, authority, now, "", x509.ExtKeyUsageClientAuth, true},
		{"client that poses as a server", client, authority, now, "", x509.ExtKeyUsageServerAuth, false},
		{"another authority of the same name", client, other, now, "", x509.ExtKeyUsageClientAuth, false},
		{"expired", client, authority, now.Add(2 * lifetime), "", x509.ExtKeyUsageClientAuth, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pair, err := c.by.Issue(c.subject, now)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tls.X509KeyPair(pair.Certificate, pair.Key); err != nil {
				t.Fatalf("certificate and key do not fit: %v", err)
			}
			block, _ := pem.Decode(pair.Certificate)
			leaf, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if leaf.Subject.CommonName != c.subject.Name || !cmp.Equal(leaf.Subject.Organization, c.subject.Groups) {
				t.Errorf("the subject is %v", leaf.Subject)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(authority.Certificate)
			_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: c.at, DNSName: c.host, KeyUsages: []x509.ExtKeyUsage{c.usage}})
			if (err == nil) != c.holds {
				t.Errorf("holds: %v, want %v (%v)", err == nil, c.holds, err)
			}
		})
	}
}

func TestKubeconfigReachesTheServerAsTheUser(t *testing.T) {
	t.Parallel()
	authority, err := NewAuthority("sandbox", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	user, err := authority.Issue(Subject{Name: "admin"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	content, err := Kubeconfig("sandbox", "https://127.0.0.1:6443", authority.Certificate, user)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:6443" || !bytes.Equal(config.CAData, authority.Certificate) || !bytes.Equal(config.KeyData, user.Key) {
		t.Errorf("the kubeconfig says %+v", config)
	}
}

func TestSigningKeyPairFits(t *testing.T) {
	t.Parallel()
	private, public, err := SigningKey()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(private)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	block, _ = pem.Decode(public)
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(parsed) {
		t.Error("the public key is another key's")
	}
}
