package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/client-go/rest"
)

// Bearer is access to a cluster by tokens that end, as EKS has them. The endpoint is an https URL, and nothing but the
// certificates of ca vouches for it. The token function gives a token and until when it may be used; it is asked when a
// request needs one and the last has ended, and once more for a request that the cluster answers 401, which is then sent
// again if its body can be. Its errors come back as the request's.
//
// A token is shown to the endpoint only: a request to any other host, as after a redirect, fails. A watch goes on with the
// token that it was begun with; one that the cluster cuts because that has ended begins again with the next.
//
// What makes the access unusable (an endpoint without TLS, no certificate) is told by the first request. The
// configuration may be copied and used by several goroutines; the token is one for all.
func Bearer(endpoint string, ca []byte, token func(ctx context.Context) (string, time.Time, error)) *rest.Config {
	config := &rest.Config{Host: endpoint, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
	temper(config)
	tokens := &tokens{ask: token, now: time.Now, turn: make(chan struct{}, 1)}
	config.WrapTransport = func(base http.RoundTripper) http.RoundTripper {
		return &bearer{base: base, endpoint: endpoint, pinned: len(ca) > 0, tokens: tokens}
	}
	return config
}

// bearer sends requests with the token of the day.
type bearer struct {
	base     http.RoundTripper
	endpoint string
	pinned   bool
	tokens   *tokens
}

// WrappedRoundTripper lets the library find the connections below.
func (b *bearer) WrappedRoundTripper() http.RoundTripper { return b.base }

// RoundTrip sends a request, and once more with another token if the cluster refuses the first: its clock, or its word on
// how long a token is good, may differ from ours. Nothing was done for a request that was answered 401.
func (b *bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := b.token(request, "")
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	response, err := b.base.RoundTrip(with(request, token))
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	// Asked for even if this request cannot be sent again: the next is to have it.
	fresh, err := b.token(request, token)
	if err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	again, replayable := replay(request)
	if fresh == token || !replayable {
		return response, nil
	}
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be used again
	_ = response.Body.Close()
	return b.base.RoundTrip(with(again, fresh))
}

// token gives the token for a request, another than the refused one if there is one to be had.
func (b *bearer) token(request *http.Request, refused string) (string, error) {
	endpoint, err := url.Parse(b.endpoint)
	switch {
	case err != nil || endpoint.Scheme != "https" || endpoint.Host == "":
		return "", release.NewFault(Side, "", errors.New("it is no https URL"), "reaching %q", b.endpoint)
	case !b.pinned:
		return "", release.NewFault(Side, "", errors.New("no certificate authority vouches for it"), "reaching %q", b.endpoint)
	case request.URL.Scheme != endpoint.Scheme || request.URL.Host != endpoint.Host:
		return "", release.NewFault(Side, "see what stands between here and the cluster",
			fmt.Errorf("it sends us on to %q, which must not see the token", cut(printable(request.URL.Host), 256)), "reaching %q", b.endpoint)
	}
	return b.tokens.get(request.Context(), refused)
}

// with is the request with a token; a RoundTripper may not change the one it is given.
func with(request *http.Request, token string) *http.Request {
	clone := request.Clone(request.Context())
	clone.Header.Set("Authorization", "Bearer "+token)
	return clone
}

// replay is the request from its beginning; false if its body is gone.
func replay(request *http.Request) (*http.Request, bool) {
	if request.Body == nil || request.Body == http.NoBody {
		return request, true
	}
	if request.GetBody == nil {
		return nil, false
	}
	body, err := request.GetBody()
	if err != nil {
		return nil, false
	}
	clone := request.Clone(request.Context())
	clone.Body = body
	return clone, true
}

// tokens keeps the token of the day. One caller asks for the next while the others wait; a caller whose own time is up
// stops waiting, and one who fails leaves the asking to the next.
type tokens struct {
	ask func(context.Context) (string, time.Time, error)
	now func() time.Time

	turn  chan struct{} // holds one entry while a caller is at the fields below
	token string
	until time.Time
}

func (t *tokens) get(ctx context.Context, refused string) (string, error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-t.turn }()
	if t.token != "" && t.token != refused && t.now().Before(t.until) {
		return t.token, nil
	}
	token, until, err := t.ask(ctx)
	if err != nil {
		return "", err
	}
	if token == "" {
		return "", release.NewFault(Side, "", errors.New("it is empty"), "getting a token for the cluster")
	}
	t.token, t.until = token, until
	return token, nil
}
