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

// login is how we authenticate at one registry host. All sessions with the host share it.
type login struct {
	host    string // as it is passed to Credentials
	options Options
	address string // where requests are sent; it may differ from host

	mu             sync.Mutex
	known          *secret // nil: Credentials was not called yet
	bearer         bool    // the registry asked for tokens instead of a password
	rejectedByHead *secret // the secret that a forbidden HEAD was counted against; nil: none yet
}

// secret is a user name and a password. Each result of Credentials is a new secret, and secrets are compared by their
// pointers, so that two goroutines with the same refused secret get one new one.
type secret struct {
	username, password string
	identity           string // a refresh token, which some registries issue instead; it is exchanged for others
}

// login returns the login of a host, shared by all sessions.
func (c *Client) login(address, host string) *login {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.logins[address] == nil {
		c.logins[address] = &login{address: address, host: host, options: c.options}
	}
	return c.logins[address]
}

// currentSecret returns the stored credentials. It gets new ones, and stores them, if none are stored or if refused is the stored
// secret; refused is nil unless the registry has just refused a secret.
func (l *login) currentSecret(ctx context.Context, refused *secret) (*secret, error) {
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
		fresh, err = fromDockerConfig(l.address)
	}
	if err == nil && fresh == (secret{}) && l.options.Fallback != nil {
		fresh.username, fresh.password, err = l.options.Fallback(ctx, l.host)
	}
	if err != nil {
		return nil, &loginError{host: l.host, err: err}
	}
	l.options.Secrets.Add(fresh.password, fresh.identity)
	l.known = &fresh
	return l.known, nil
}

// fromDockerConfig reads what `docker login` stored.
func fromDockerConfig(address string) (secret, error) {
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

// rejects reports whether a response refuses the credentials. That is a 401, and ECR's 403 for a token that has expired, which
// carries no challenge (Amazon ECR User Guide, "Troubleshooting", HTTP 403: "Your authorization token has expired.
// Reauthenticate and try again."). A forbidden HEAD has no body that would distinguish an expired token from a denied permission, so it counts for
// one secret only.
func (l *login) rejects(response *http.Response, sent *secret) bool {
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
	if l.rejectedByHead == nil {
		l.rejectedByHead = sent
	}
	return l.rejectedByHead == sent
}

func (l *login) usesBearer() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bearer
}

func (l *login) setUsesBearer() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bearer = true
}
