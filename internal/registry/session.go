package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// login holds what one registry host knows us by. All sessions with the host share it.
type login struct {
	host    string // as the credentials are asked for
	options Options
	address string // as requests go to it

	mu      sync.Mutex
	known   *secret // nil: not asked for yet
	bearer  bool    // the registry wants tokens instead of a password
	doubted *secret // a HEAD with it was forbidden, and fresh credentials were asked for because of that
}

// secret is a user name and a password. Each answer of the credentials is a secret of its own, so that two goroutines
// that were refused the same one ask for one new one.
type secret struct {
	username, password string
	identity           string // a refresh token, which some registries hand out instead; it only buys other tokens
}

func (c *Client) login(address, host string) *login {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.logins[address] == nil {
		c.logins[address] = &login{address: address, host: host, options: c.options}
	}
	return c.logins[address]
}

// get answers with the known secret, or with another one if that was refused.
func (l *login) get(ctx context.Context, refused *secret) (*secret, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known != nil && l.known != refused {
		return l.known, nil
	}
	if refused != nil && l.options.Refused != nil {
		l.options.Refused(l.host)
	}
	var fresh secret
	var err error
	if l.options.Credentials != nil {
		fresh.username, fresh.password, err = l.options.Credentials(ctx, l.host)
	}
	if err == nil && fresh == (secret{}) && l.options.DockerConfig {
		fresh, err = dockerConfig(l.address)
	}
	if err != nil {
		return nil, &loginError{host: l.host, err: err}
	}
	l.known = &fresh
	return l.known, nil
}

func dockerConfig(address string) (secret, error) {
	registry, err := name.NewRegistry(address)
	if err != nil {
		return secret{}, err
	}
	authenticator, err := authn.DefaultKeychain.Resolve(registry)
	if err != nil {
		return secret{}, fmt.Errorf("reading the docker config file: %w", err)
	}
	config, err := authenticator.Authorization()
	if err != nil {
		return secret{}, fmt.Errorf("reading the docker config file: %w", err)
	}
	return secret{config.Username, config.Password, config.IdentityToken}, nil
}

// session adds what a registry wants to know us by to requests that go to that registry, and to no other host.
//
// It sends the password with the first request instead of asking by a ping what the registry wants, because ECR always
// wants the password; a registry that answers with a Bearer challenge (ghcr.io, Docker Hub) gets the whole handshake.
type session struct {
	login     *login
	registry  name.Registry
	scheme    string
	scopes    []string // for tokens: "repository:shop:push,pull"
	next      http.RoundTripper
	userAgent string

	mu     sync.Mutex
	tokens http.RoundTripper // ggcr's, for Bearer; nil until the registry asked for it
}

var _ http.RoundTripper = (*session)(nil)

func (s *session) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("User-Agent", s.userAgent)
	if request.URL.Host != s.registry.RegistryStr() {
		return s.elsewhere(request)
	}
	request.URL.Scheme = s.scheme
	if s.login.wantsTokens() {
		return s.withToken(request)
	}
	known, err := s.login.get(request.Context(), nil)
	if err != nil {
		return nil, err
	}
	response, err := s.withPassword(request, known)
	if err != nil || !s.login.refuses(response, known) {
		return response, err
	}
	again, replayable := replay(request)
	if challenged(response) {
		s.login.setWantsTokens()
		if !replayable {
			return response, nil
		}
		drain(response)
		return s.withToken(again)
	}
	if *known == (secret{}) {
		return response, nil
	}
	// Once and no more: fresh credentials that are refused too are wrong ones. Where the body cannot be sent again, the
	// fresh ones wait for the caller's next attempt.
	fresh, err := s.login.get(request.Context(), known)
	if err != nil {
		drain(response)
		return nil, err
	}
	if !replayable {
		return response, nil
	}
	drain(response)
	return s.withPassword(again, fresh)
}

func (s *session) withPassword(request *http.Request, known *secret) (*http.Response, error) {
	if known.username != "" {
		request.SetBasicAuth(known.username, known.password)
	}
	return s.next.RoundTrip(request)
}

func (s *session) withToken(request *http.Request) (*http.Response, error) {
	tokens, err := s.handshake(request.Context())
	if err != nil {
		return nil, err
	}
	request.Header.Del("Authorization")
	return tokens.RoundTrip(request)
}

// handshake asks for the challenge and for a token with the session's scopes, once a session.
func (s *session) handshake(ctx context.Context) (http.RoundTripper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens != nil {
		return s.tokens, nil
	}
	known, err := s.login.get(ctx, nil)
	if err != nil {
		return nil, err
	}
	authenticator := authn.Anonymous
	if *known != (secret{}) {
		authenticator = authn.FromConfig(authn.AuthConfig{Username: known.username, Password: known.password, IdentityToken: known.identity})
	}
	tokens, err := transport.NewWithContext(ctx, s.registry, authenticator, &onlyScheme{s.scheme, s.registry.RegistryStr(), s.next}, s.scopes)
	if err != nil {
		return nil, err
	}
	s.tokens = tokens
	return tokens, nil
}

// refuses tells whether an answer is about who we are. That is a 401, and ECR's 403 for a token that has expired, which
// carries no challenge (Amazon ECR User Guide, "Troubleshooting", HTTP 403: "Your authorization token has expired.
// Reauthenticate and try again."). A forbidden HEAD has no body to tell expiry from policy, so it counts once.
func (l *login) refuses(response *http.Response, sent *secret) bool {
	switch response.StatusCode {
	case http.StatusUnauthorized:
		return true
	case http.StatusForbidden:
	default:
		return false
	}
	if response.Request == nil || response.Request.Method != http.MethodHead {
		return bytes.Contains(peek(response), []byte("authorization token has expired"))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doubted == nil {
		l.doubted = sent
	}
	return l.doubted == sent
}

func (l *login) wantsTokens() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bearer
}

func (l *login) setWantsTokens() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bearer = true
}

// elsewhere sends a request that a redirect or a Location header led to another host: without anything that
// identifies us, never to an address inside the machine's or the cloud's own network, never from TLS to plain text.
// ECR redirects blob reads to S3, with the permission in the URL.
func (s *session) elsewhere(request *http.Request) (*http.Response, error) {
	request.Header.Del("Authorization")
	request.Header.Del("Cookie")
	if err := s.allowed(request.URL); err != nil {
		return nil, err
	}
	return s.next.RoundTrip(request)
}

func (s *session) allowed(target *url.URL) error {
	if target.Scheme != "https" && s.scheme == "https" {
		return &strayError{from: s.registry.RegistryStr(), to: target.Host, why: "without TLS"}
	}
	address, err := netip.ParseAddr(target.Hostname())
	if err != nil {
		return nil // a name: the dialer looks at what it resolves to
	}
	address = address.Unmap()
	if address.IsPrivate() || address.IsLinkLocalUnicast() || address.IsUnspecified() || address.IsLoopback() && !loopback(s.registry.RegistryStr()) {
		return &strayError{from: s.registry.RegistryStr(), to: target.Host, why: "inside a private network"}
	}
	return nil
}

// checkRedirect refuses a redirect before a connection is made, and a fourth one in a row.
func (s *session) checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return errors.New("redirected more than three times")
	}
	if request.URL.Host == s.registry.RegistryStr() {
		return nil
	}
	return s.allowed(request.URL)
}

// wrapped is the session as ggcr's remote package takes it: ggcr makes no ping, no token and no retry of its own.
func (s *session) wrapped(ctx context.Context) (http.RoundTripper, error) {
	return transport.NewWithContext(ctx, s.registry, authn.Anonymous, &pong{s}, nil)
}

// pong answers ggcr's ping itself and passes everything else to the session.
type pong struct{ *session }

func (p *pong) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Path != "/v2/" {
		return p.session.RoundTrip(request)
	}
	if request.URL.Scheme != p.scheme {
		return nil, errors.New("not this scheme")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: request, Header: http.Header{}}, nil
}

// onlyScheme keeps ggcr's ping from trying the other scheme.
type onlyScheme struct {
	scheme, host string
	next         http.RoundTripper
}

func (o *onlyScheme) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Host == o.host && request.URL.Scheme != o.scheme {
		return nil, errors.New("not this scheme")
	}
	return o.next.RoundTrip(request)
}

// schemeOf is http for a registry on this machine, https for every other.
func schemeOf(address string) string {
	if loopback(address) {
		return "http"
	}
	return "https"
}

func loopback(address string) bool {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// replay makes the same request again, with its body from the start; false if the body is gone.
func replay(request *http.Request) (*http.Request, bool) {
	again := request.Clone(request.Context())
	if request.Body == nil || request.Body == http.NoBody {
		return again, true
	}
	if request.GetBody == nil {
		return nil, false
	}
	body, err := request.GetBody()
	if err != nil {
		return nil, false
	}
	again.Body = body
	return again, true
}

// challenged tells whether a 401 asks for a token. Source: RFC 6750, section 3.
func challenged(response *http.Response) bool {
	for _, challenge := range response.Header.Values("WWW-Authenticate") {
		if scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " "); strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	return false
}

// peek reads the beginning of an error answer and leaves it to be read again.
func peek(response *http.Response) []byte {
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), response.Body), response.Body}
	return text
}

// drain reads what is left of a short answer so that its connection can be used again.
func drain(response *http.Response) {
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
	_ = response.Body.Close()
}
