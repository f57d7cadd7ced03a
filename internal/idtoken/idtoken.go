// Package idtoken gets the identity token of a job of GitHub Actions, which says which repository and workflow the job is of.
package idtoken

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/onedigest/onedigest/internal/httpx"
)

// The runner's variables. Source: GitHub Docs, "OpenID Connect reference".
const (
	urlVariable   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	tokenVariable = "ACTIONS_ID_TOKEN_REQUEST_TOKEN" // #nosec G101 -- a variable's name
)

const maxResponse = 1 << 20 // bytes

// Allowed reports whether the job may ask for a token: it has the permission `id-token: write`.
func Allowed(environ func(string) string) bool {
	return environ(urlVariable) != "" && environ(tokenVariable) != ""
}

// Request asks the runner for a token for an audience. Source: https://github.com/actions/toolkit, packages/core/src/oidc-utils.ts
func Request(ctx context.Context, environ func(string) string, audience string) (string, error) {
	address, err := url.Parse(environ(urlVariable))
	if err != nil || address.Host == "" || address.Scheme != "https" && address.Hostname() != "127.0.0.1" && address.Hostname() != "localhost" {
		return "", fmt.Errorf("%s is not the address of a runner's service", urlVariable)
	}
	query := address.Query()
	query.Set("audience", audience)
	address.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return "", errors.New("the request is malformed") // err would print the address
	}
	request.Header.Set("Authorization", "bearer "+environ(tokenVariable))
	request.Header.Set("Accept", "application/json; api-version=2.0")
	client := &http.Client{Transport: &httpx.RetryTransport{Next: http.DefaultTransport}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		// The address is left out: it is the runner's own for this job.
		if inner := new(url.Error); errors.As(err, &inner) {
			return "", fmt.Errorf("no answer: %w", inner.Err)
		}
		return "", errors.New("no answer")
	}
	defer func() { _ = response.Body.Close() }()
	body, err := httpx.ReadBody(response, maxResponse)
	if err != nil {
		return "", err
	}
	var answer struct{ Value string }
	if response.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.Value == "" {
		return "", fmt.Errorf("it answered %s", response.Status)
	}
	return answer.Value, nil
}
