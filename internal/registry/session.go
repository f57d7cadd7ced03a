package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/onedigest/onedigest/internal/httpx"
)

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
	again, replayErr := httpx.Replay(request)
	if challenged(response) {
		s.login.setWantsTokens()
		if replayErr != nil {
			return response, nil
		}
		httpx.Drain(response)
		return s.withToken(again)
	}
	if *known == (secret{}) {
		return response, nil
	}
	// Once and no more: fresh credentials that are refused too are wrong ones. Where the body cannot be sent again, the
	// fresh ones wait for the caller's next attempt.
	fresh, err := s.login.get(request.Context(), known)
	if err != nil {
		httpx.Drain(response)
		return nil, err
	}
	if replayErr != nil {
		return response, nil
	}
	httpx.Drain(response)
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

// challenged tells whether a 401 asks for a token. Source: RFC 6750, section 3.
func challenged(response *http.Response) bool {
	for _, challenge := range response.Header.Values("WWW-Authenticate") {
		if scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " "); strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	return false
}
