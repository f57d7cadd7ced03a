package registry

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/sethvargo/go-retry"
)

// getBlob reads a blob of at most limit bytes, and checks that it has the digest.
func (r *repository) getBlob(ctx context.Context, digest release.Digest, limit int64) ([]byte, error) {
	text, _, err := r.get(ctx, r.url("blobs", digest.String()), nil, limit)
	if err != nil {
		return nil, err
	}
	if got := release.DigestOf(text); got != digest {
		return nil, &mismatchError{wanted: digest, got: got}
	}
	return text, nil
}

// get reads a response of at most limit bytes, again from the start if the connection breaks.
func (r *repository) get(ctx context.Context, url string, header http.Header, limit int64) ([]byte, http.Header, error) {
	var got http.Header
	backoff := httpx.Backoff(3)
	text, err := retry.DoValue(ctx, backoff, func(ctx context.Context) ([]byte, error) {
		response, err := r.do(ctx, http.MethodGet, url, nil, header) //nolint:bodyclose // refused and ReadBody close it
		if err != nil {
			return nil, err // RetryTransport has retried
		}
		if response.StatusCode != http.StatusOK {
			return nil, readStatusError(response)
		}
		got = response.Header
		text, err := httpx.ReadBody(response, limit)
		if err != nil && isTransient(err) {
			err = retry.RetryableError(err)
		}
		return text, err
	})
	return text, got, err
}

// do sends a request; its error contains no address.
func (r *repository) do(ctx context.Context, method, url string, body []byte, header http.Header) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		request.Header[key] = values
	}
	return r.send(request)
}

// send sends a request; its error contains no address.
func (r *repository) send(request *http.Request) (*http.Response, error) {
	response, err := r.client.Do(request) // #nosec G704 -- the registry that the user named; the transport connects to no link-local address
	return response, withoutURL(err)
}
