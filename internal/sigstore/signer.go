package sigstore

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	// Audience is that of the identity tokens that Fulcio accepts. Source: Fulcio, docs/oidc.md.
	Audience = "sigstore"

	statementType = "application/vnd.in-toto+json"
	retries       = 3
	renewal       = 3 * time.Minute // before it expires, a certificate is renewed; Fulcio's are valid for ten minutes
)

// Services are those that sign: an authority for certificates, logs and timestamp authorities.
type Services struct {
	fulcio     string
	logs       []root.Service
	timestamps []root.Service
}

// ParseServices reads a signing configuration. Source: sigstore/protobuf-specs, sigstore_trustroot.proto, SigningConfig in its JSON form.
func ParseServices(content []byte, now time.Time) (*Services, error) {
	read, err := root.NewSigningConfigFromJSON(content)
	if err != nil {
		return nil, fmt.Errorf("it is no signing configuration of Sigstore: %w", err)
	}
	return newServices(read, now)
}

func newServices(config *root.SigningConfig, now time.Time) (*Services, error) {
	fulcio, err := root.SelectService(config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, now)
	if err != nil {
		return nil, fmt.Errorf("choosing a certificate authority: %w", err)
	}
	chosen := &Services{fulcio: fulcio.URL}
	if urls := config.RekorLogURLs(); len(urls) > 0 {
		if chosen.logs, err = root.SelectServices(urls, config.RekorLogURLsConfig(), sign.RekorAPIVersions, now); err != nil {
			return nil, fmt.Errorf("choosing a transparency log: %w", err)
		}
	}
	if urls := config.TimestampAuthorityURLs(); len(urls) > 0 {
		if chosen.timestamps, err = root.SelectServices(urls, config.TimestampAuthorityURLsConfig(), sign.TimestampAuthorityAPIVersions, now); err != nil {
			return nil, fmt.Errorf("choosing a timestamp authority: %w", err)
		}
	}
	for _, each := range append(append([]root.Service{fulcio}, chosen.logs...), chosen.timestamps...) {
		if err := checkAddress(each.URL); err != nil {
			return nil, err
		}
	}
	return chosen, nil
}

// checkAddress refuses an address to which a token would go without encryption, unless it is this machine's.
func checkAddress(address string) error {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" && (parsed.Scheme != "http" || parsed.Hostname() != "127.0.0.1" && parsed.Hostname() != "localhost") {
		return fmt.Errorf("service %q is not an https address", address)
	}
	return nil
}

// Signer signs with a key of its own, which only its certificate names, and which no file has. It may be used from several goroutines.
type Signer struct {
	token    func(context.Context) (string, error)
	services *Services
	trust    *Trust
	now      func() time.Time
	identity release.Identity

	mu      sync.Mutex
	keypair sign.Keypair
	leaf    *x509.Certificate
}

// NewSigner gets a token and a certificate for it, so that a run that may not sign fails before anything is done.
func NewSigner(ctx context.Context, services *Services, trust *Trust, token func(context.Context) (string, error), now func() time.Time) (*Signer, error) {
	s := &Signer{token: token, services: services, trust: trust, now: now}
	if err := s.renew(ctx); err != nil {
		return nil, err
	}
	var err error
	s.identity, err = identityOf(s.leaf)
	return s, err
}

// identityOf reads what a certificate says of the token that it was issued for.
func identityOf(leaf *x509.Certificate) (release.Identity, error) {
	summary, err := certificate.SummarizeCertificate(leaf)
	if err != nil {
		return release.Identity{}, fmt.Errorf("reading the certificate of Fulcio: %w", err)
	}
	identity := release.Identity{Issuer: summary.Issuer, Subject: summary.SubjectAlternativeName, Repository: summary.SourceRepositoryURI, Ref: summary.SourceRepositoryRef}
	return identity, identity.Check()
}

// Identity returns who signs.
func (s *Signer) Identity() release.Identity { return s.identity }

// renew gets a certificate for a new key.
func (s *Signer) renew(ctx context.Context) error {
	token, err := s.token(ctx)
	if err != nil {
		return err
	}
	keypair, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return err
	}
	fulcio := sign.NewFulcio(&sign.FulcioOptions{BaseURL: s.services.fulcio, Retries: retries})
	encoded, err := fulcio.GetCertificate(ctx, keypair, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		return fmt.Errorf("getting a certificate from %s: %w", s.services.fulcio, err)
	}
	leaf, err := x509.ParseCertificate(encoded)
	if err != nil {
		return fmt.Errorf("reading the certificate of %s: %w", s.services.fulcio, err)
	}
	s.keypair, s.leaf = keypair, leaf
	return nil
}

// issued hands out the certificate that a signer has.
type issued struct{ leaf *x509.Certificate }

func (i issued) GetCertificate(context.Context, sign.Keypair, *sign.CertificateProviderOptions) ([]byte, error) {
	return i.leaf.Raw, nil
}

// certified returns the key and its certificate, which are renewed before the certificate expires. Others that sign wait only for a renewal.
func (s *Signer) certified(ctx context.Context) (sign.Keypair, *x509.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaf.NotAfter.Sub(s.now()) >= renewal {
		return s.keypair, s.leaf, nil
	}
	if err := s.renew(ctx); err != nil {
		return nil, nil, err
	}
	if now, err := identityOf(s.leaf); err != nil || now != s.identity {
		return nil, nil, errors.Join(err, fmt.Errorf("the new certificate is for another identity than %s", s.identity))
	}
	return s.keypair, s.leaf, nil
}

// Sign returns a bundle with a statement, its signature, and what the logs and the timestamp authorities say of it. The bundle is verified before it is
// returned.
func (s *Signer) Sign(ctx context.Context, statement []byte) ([]byte, error) {
	keypair, leaf, err := s.certified(ctx)
	if err != nil {
		return nil, err
	}
	options := sign.BundleOptions{CertificateProvider: issued{leaf}, Context: ctx}
	for _, each := range s.services.timestamps {
		options.TimestampAuthorities = append(options.TimestampAuthorities, sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: each.URL, Retries: retries}))
	}
	for _, each := range s.services.logs {
		options.TransparencyLogs = append(options.TransparencyLogs, sign.NewRekor(&sign.RekorOptions{BaseURL: each.URL, Version: each.MajorAPIVersion, Retries: retries}))
	}
	signed, err := sign.Bundle(&sign.DSSEData{Data: statement, PayloadType: statementType}, keypair, options)
	if err != nil {
		return nil, fmt.Errorf("signing with a certificate for %s: %w", s.identity, err)
	}
	encoded, err := protojson.Marshal(signed)
	if err != nil {
		return nil, err
	}
	if _, err := s.trust.Verify(encoded); err != nil {
		return nil, fmt.Errorf("the new signature is not valid by the trusted root: %w", err)
	}
	return encoded, nil
}
