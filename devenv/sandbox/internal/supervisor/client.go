package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/node"
	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// Client calls a sandbox's supervisor.
type Client struct {
	http *http.Client
}

// NewClient returns a client; it connects on first use.
func NewClient(dir place.Dir) *Client {
	return &Client{http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", dir.Control())
		},
	}}}
}

// Status returns the sandbox's status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var status Status
	err := c.do(ctx, http.MethodGet, "/status", nil, &status)
	return status, err
}

// Shutdown ends the node and the supervisor.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/shutdown", nil, nil)
}

// AddRegistries lets pods pull from further registries, and use another ECR endpoint if the login has one.
func (c *Client) AddRegistries(ctx context.Context, registries []string, login place.Login) error {
	return c.do(ctx, http.MethodPost, "/registries", place.Settings{Registries: registries, Login: login}, nil)
}

// Stop stops a component for a while.
func (c *Client) Stop(ctx context.Context, order node.Order) error {
	return c.do(ctx, http.MethodPost, "/stop", order, nil)
}

// do sends a request with a JSON body to the supervisor, and decodes the answer into into unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://sandbox"+path, &content)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("asking the supervisor: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it is only read
	if response.StatusCode != http.StatusOK {
		reason, err := io.ReadAll(io.LimitReader(response.Body, 4096))
		if err != nil {
			return err
		}
		return fmt.Errorf("the supervisor refuses: %s", strings.TrimSpace(string(reason)))
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}
