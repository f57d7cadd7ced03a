package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/text"
)

// API is GitHub's REST API for one repository.
type API struct {
	URL        string // GITHUB_API_URL: "https://api.github.com"
	Repository string // GITHUB_REPOSITORY: "owner/name"
	Token      string // "" for what may be read of a public repository
}

// DeniedError is a request that the token may not make, or about something that does not exist for it: GitHub does not say which.
type DeniedError struct{ Status string }

func (e *DeniedError) Error() string { return e.Status }

// repositoryName matches no name of dots alone, which would lead to another address of the API.
var repositoryName = regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

// address returns the address of a resource of the repository.
func (a API) address(query string, elements ...string) (string, error) {
	return a.addressBelow("repos/"+a.Repository, query, elements...)
}

// ofOrganization returns the address of a resource of the organization that owns the repository.
func (a API) ofOrganization(elements ...string) (string, error) {
	owner, _, _ := strings.Cut(a.Repository, "/")
	return a.addressBelow("orgs/"+owner, "", elements...)
}

// addressBelow returns the address of a resource below a path of names.
func (a API) addressBelow(path, query string, elements ...string) (string, error) {
	if !repositoryName.MatchString(a.Repository) {
		return "", fmt.Errorf("%q is not the name of a repository", a.Repository)
	}
	base, err := url.Parse(a.URL)
	if err != nil || base.Host == "" || base.Scheme != "https" && !isLoopback(base) {
		return "", fmt.Errorf("%q is not the address of GitHub's API", a.URL)
	}
	for _, element := range elements {
		path += "/" + url.PathEscape(element)
	}
	address := base.JoinPath(path) // #nosec G125 -- escaped, and the repository's name is checked
	address.RawQuery = query
	return address.String(), nil
}

func isLoopback(address *url.URL) bool {
	return address.Hostname() == "127.0.0.1" || address.Hostname() == "localhost"
}

// call sends a request with a JSON body, nil for none, and reads at most limit bytes of a JSON answer. The error is a *DeniedError if the token may not.
func (a API) call(ctx context.Context, method, address string, body, answer any, limit int64) error {
	var sent io.Reader
	if body != nil {
		document, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(document)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, sent)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	request.Header.Set("User-Agent", "onedigest")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if a.Token != "" {
		request.Header.Set("Authorization", "Bearer "+a.Token)
	}
	client := &http.Client{Transport: &httpx.RetryTransport{Next: http.DefaultTransport}, CheckRedirect: sameHost}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := httpx.LimitBody(response, limit); err != nil {
		return err
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusCreated:
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
		return &DeniedError{refusal(response)}
	default:
		return errors.New(refusal(response))
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

// refusal returns the status of a refused request, and GitHub's message.
func refusal(response *http.Response) string {
	var refused struct{ Message string }
	_ = json.NewDecoder(response.Body).Decode(&refused)
	return strings.TrimSuffix(response.Status+": "+text.Line(refused.Message, 200), ": ")
}

// sameHost follows the redirect of a renamed repository, and takes the token to no other host.
func sameHost(request *http.Request, via []*http.Request) error {
	if len(via) > 3 || request.URL.Host != via[0].URL.Host || request.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("redirected to %q", request.URL.Redacted())
	}
	return nil
}
