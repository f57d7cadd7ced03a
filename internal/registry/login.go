package registry

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/onedigest/onedigest/internal/httpx"
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
		return bytes.Contains(httpx.Peek(response, maxErrorBody), []byte("authorization token has expired"))
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
