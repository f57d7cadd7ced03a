package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/onedigest/onedigest/internal/httpx"
)

// session adds credentials to the requests that go to its registry, and to no other host.
//
// It sends the password with the first request instead of a ping that asks which scheme the registry uses, since ECR always
// uses the password. A registry that answers with a Bearer challenge (ghcr.io, Docker Hub) gets a token.
type session struct {
	login     *login
	registry  name.Registry
	scheme    string
	scopes    []string // for tokens: "repository:shop:push,pull"
	next      http.RoundTripper
	userAgent string

	mu     sync.Mutex
	tokens http.RoundTripper // ggcr's, for Bearer; nil until the registry asks for it
}

var _ http.RoundTripper = (*session)(nil)

// RoundTrip sends a request of the registry with Basic auth, or with a token once the registry has asked for Bearer. If the registry
// rejects the password, it tries once more with fresh credentials. Requests to other hosts get no credentials.
func (s *session) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("User-Agent", s.userAgent)
	if !s.isRegistry(request.URL) {
		return s.sendToOtherHost(request)
	}
	request.URL.Scheme, request.URL.Host = s.scheme, s.registry.RegistryStr()
	if s.login.usesBearer() {
		return s.sendWithToken(request)
	}
	known, err := s.login.currentSecret(request.Context(), nil)
	if err != nil {
		return nil, err
	}
	response, err := s.sendWithPassword(request, known)
	if err != nil || !s.login.rejects(response, known) {
		return response, err
	}
	again, replayErr := httpx.Replay(request)
	if hasBearerChallenge(response) {
		s.login.setUsesBearer()
		if replayErr != nil {
			return response, nil
		}
		httpx.Drain(response)
		return s.sendWithToken(again)
	}
	if *known == (secret{}) {
		return response, nil
	}
	// Only once: if new credentials are refused too, they are wrong. If the body cannot be sent again, the caller's next
	// attempt uses them.
	fresh, err := s.login.currentSecret(request.Context(), known)
	if err != nil {
		httpx.Drain(response)
		return nil, err
	}
	if replayErr != nil {
		return response, nil
	}
	httpx.Drain(response)
	return s.sendWithPassword(again, fresh)
}

// sendWithPassword sends a request with the user name and password as basic authentication.
func (s *session) sendWithPassword(request *http.Request, known *secret) (*http.Response, error) {
	if known.username != "" {
		request.SetBasicAuth(known.username, known.password)
	}
	return s.next.RoundTrip(request)
}

// sendWithToken sends a request with a bearer token.
func (s *session) sendWithToken(request *http.Request) (*http.Response, error) {
	tokens, err := s.bearerTransport(request.Context())
	if err != nil {
		return nil, err
	}
	request.Header.Del("Authorization")
	if request.Body != nil && request.Body != http.NoBody {
		request.Body = &sentOnce{ReadCloser: request.Body}
	}
	return tokens.RoundTrip(request)
}

// sentOnce is the body of a request that ggcr's transport sends a second time, as it is, if the registry asks for another token.
type sentOnce struct {
	io.ReadCloser
	sent bool
}

// bearerTransport gets the challenge and a token with the session's scopes, once for each session.
func (s *session) bearerTransport(ctx context.Context) (http.RoundTripper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens != nil {
		return s.tokens, nil
	}
	known, err := s.login.currentSecret(ctx, nil)
	if err != nil {
		return nil, err
	}
	authenticator := authn.Anonymous
	if *known != (secret{}) {
		authenticator = authn.FromConfig(authn.AuthConfig{Username: known.username, Password: known.password, IdentityToken: known.identity})
	}
	tokens, err := transport.NewWithContext(ctx, s.registry, authenticator, &fixedScheme{s.scheme, s.registry.RegistryStr(), s.next}, s.scopes)
	if err != nil {
		return nil, err
	}
	s.tokens = tokens
	return tokens, nil
}

// fixedScheme keeps ggcr's ping from trying the other scheme, and gives a request that is sent again its body from the start.
type fixedScheme struct {
	scheme, host string
	next         http.RoundTripper
}

func (o *fixedScheme) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Host == o.host && request.URL.Scheme != o.scheme {
		return nil, errors.New("not this scheme")
	}
	if body, marked := request.Body.(*sentOnce); marked && body.sent {
		again, err := httpx.Replay(request)
		if err != nil {
			return nil, err
		}
		return o.next.RoundTrip(again)
	} else if marked {
		body.sent = true
	}
	return o.next.RoundTrip(request)
}

// hasBearerChallenge reports whether a 401 asks for a token. Source: RFC 6750, section 3.
func hasBearerChallenge(response *http.Response) bool {
	for _, challenge := range response.Header.Values("WWW-Authenticate") {
		if scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " "); strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	return false
}
