package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/kube/apierror"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"k8s.io/client-go/rest"
)

// Bearer returns the configuration for a cluster that accepts short-lived bearer tokens, such as EKS. The endpoint is an https
// URL; only the certificates of ca are trusted for it.
//
// The token function returns a token and when it expires. It is called when a request needs a token and the last one has expired,
// and after the cluster answered 401; that request is then sent once more if its body can be replayed. An error of the function
// becomes the request's error.
//
// A token is sent to the endpoint only: a request to another host, for example after a redirect, fails. A watch keeps the token
// with which it started; when the cluster ends it because the token has expired, it is resumed with a new token.
//
// An endpoint without TLS and a missing ca are errors of the first request. The configuration may be copied, and several
// goroutines may use it; they share the token.
func Bearer(endpoint string, ca []byte, token func(ctx context.Context) (string, time.Time, error)) *rest.Config {
	config := &rest.Config{Host: endpoint, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
	setDefaults(config)
	source := &tokenSource{fetch: token, now: time.Now, mutex: make(chan struct{}, 1)}
	config.WrapTransport = func(base http.RoundTripper) http.RoundTripper {
		return &bearerTransport{base: base, endpoint: endpoint, hasCA: len(ca) > 0, tokens: source}
	}
	return config
}

// bearerTransport adds the token to requests.
type bearerTransport struct {
	base     http.RoundTripper
	endpoint string
	hasCA    bool
	tokens   *tokenSource
}

// WrappedRoundTripper returns the transport that holds the connections, for client-go.
func (b *bearerTransport) WrappedRoundTripper() http.RoundTripper { return b.base }

// RoundTrip sends a request, and once more with a new token if the cluster answers 401: the cluster's clock or its limit of a
// token's age may differ from ours. A request that is answered 401 has had no effect.
func (b *bearerTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := b.token(request, "")
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	response, err := b.base.RoundTrip(withToken(request, token))
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	// A new token is fetched even if this request cannot be sent again, because the next request needs it.
	fresh, err := b.token(request, token)
	if err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	if fresh == token {
		return response, nil
	}
	again, err := httpx.Replay(request)
	if err != nil {
		return response, nil
	}
	httpx.Drain(response)
	return b.base.RoundTrip(withToken(again, fresh))
}

// token returns the token for a request: the current one, or a new one if the current one was refused.
func (b *bearerTransport) token(request *http.Request, refused string) (string, error) {
	endpoint, err := url.Parse(b.endpoint)
	switch {
	case err != nil || endpoint.Scheme != "https" || endpoint.Host == "":
		return "", release.NewFault(apierror.Side, "", errors.New("it is not an https URL"), "reaching %q", b.endpoint)
	case !b.hasCA:
		return "", release.NewFault(apierror.Side, "", errors.New("there is no certificate authority to verify it with"), "reaching %q", b.endpoint)
	case request.URL.Scheme != endpoint.Scheme || request.URL.Host != endpoint.Host:
		return "", release.NewFault(apierror.Side, "check for a proxy between this machine and the cluster",
			fmt.Errorf("it redirects to %q, which must not receive the token", text.Line(request.URL.Host, 256)), "reaching %q", b.endpoint)
	}
	return b.tokens.get(request.Context(), refused)
}

// withToken returns a copy of the request with a token: a RoundTripper must not change its argument.
func withToken(request *http.Request, token string) *http.Request {
	clone := request.Clone(request.Context())
	clone.Header.Set("Authorization", "Bearer "+token)
	return clone
}

// tokenSource caches a token until it expires. While one caller fetches a token, the others wait; a caller whose context ends
// stops waiting. After a failed fetch the next caller tries.
type tokenSource struct {
	fetch func(context.Context) (string, time.Time, error)
	now   func() time.Time

	mutex   chan struct{} // guards the fields below; a channel, so that waiting can end with a context
	token   string
	expires time.Time
}

// get returns the cached token, or fetches a new one if it has expired or equals refused.
func (t *tokenSource) get(ctx context.Context, refused string) (string, error) {
	select {
	case t.mutex <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-t.mutex }()
	if t.token != "" && t.token != refused && t.now().Before(t.expires) {
		return t.token, nil
	}
	token, expires, err := t.fetch(ctx)
	if err != nil {
		return "", err
	}
	if token == "" {
		return "", release.NewFault(apierror.Side, "", errors.New("it is empty"), "getting a token for the cluster")
	}
	t.token, t.expires = token, expires
	return token, nil
}
