// Package transfer uploads blobs to a registry. An upload that breaks off is continued and not repeated: the registry is asked how many bytes
// have arrived, and the source is read from there. A blob is never whole in memory.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/sethvargo/go-retry"
)

const (
	maxFailures = 5       // attempts in a row that upload less than progressed bytes
	progressed  = 1 << 20 // bytes that an attempt must upload to count as progress
)

// Blob is what is uploaded.
type Blob struct {
	Digest string // sha256:…
	Size   int64  // bytes
}

// Source opens a blob's bytes from an offset on.
type Source func(ctx context.Context, offset int64) (io.ReadCloser, error)

// Target is the repository that blobs are uploaded to.
type Target struct {
	URL string // of the repository, https://HOST/v2/NAME
	// Do sends a request with the repository's credentials.
	Do func(*http.Request) (*http.Response, error)
	// Refused makes an error of a response with an unexpected status, and closes it.
	Refused func(*http.Response) error
	// Mismatch makes the error about bytes that are not those of the wanted digest.
	Mismatch func(wanted, got string) error
	// Restartable reports whether an error may not occur at the next attempt.
	Restartable func(error) bool
	// Log gets a line for each new attempt.
	Log func(line string)
}

// SourceError is an error of reading what is uploaded, so that a copy blames the registry that it reads from.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// Send uploads a blob unless the repository has it. If from names a repository of the same registry, the blob is mounted from there where the
// registry supports that. Progress is called with how many bytes were read; it may be called again with fewer. After an error that Restartable
// accepts, Send continues where the registry says that the upload broke off, and starts over if the registry refuses a continued upload; at most five
// times without a further MiB. A source that serves other
// bytes than the digest's, or fails, is a *SourceError.
// Source: OCI distribution-spec, "Pushing blobs" and "Mounting a blob from another repository".
func (t Target) Send(ctx context.Context, blob Blob, from string, open Source, progress func(int64)) error {
	s := &sending{Target: t, blob: blob, from: from, content: newContent(blob, open, t.Mismatch, progress)}
	backoff := httpx.Backoff(maxFailures - 1)
	furthest := int64(0) // bytes that were read when the last attempt brought the blob further
	for {
		s.status = 0
		s.content.begin()
		err := s.attempt(ctx)
		if err == nil {
			return nil
		}
		if failed := s.content.failure(); failed != nil {
			err = failed // net/http's error may not wrap that of the body
		}
		if read := s.content.furthest(); read-furthest >= progressed {
			furthest, backoff = read, httpx.Backoff(maxFailures-1)
		}
		restartable, from := t.Restartable(err), "where it broke off"
		if (!restartable || s.isRefused()) && s.startOver(err) {
			restartable, from = true, "its start"
		}
		if ctx.Err() != nil || !restartable {
			return err
		}
		if err := wait(ctx, backoff, err); err != nil {
			return err
		}
		t.Log(fmt.Sprintf("%v: sending the blob %s again from %s", err, blob.Digest, from))
	}
}

// wait waits for the next attempt; if there is none, it returns the last attempt's error.
func wait(ctx context.Context, backoff retry.Backoff, last error) error {
	pause, stop := backoff.Next()
	if stop {
		return last
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// sending is the upload of one blob.
type sending struct {
	Target
	blob     Blob
	from     string // "": nothing to mount from
	content  *content
	location *url.URL // of the upload; nil: none was started
	offset   int64    // bytes that have arrived, as far as the registry said
	resumed  bool     // the upload consists of parts of several attempts
	status   int      // that the registry refused a request of this attempt with; 0: none
}

// refuse returns the error of a response with an unexpected status.
func (s *sending) refuse(response *http.Response) error {
	s.status = response.StatusCode
	return s.Refused(response)
}

// isRefused reports whether the registry refused a request of this attempt, and not for the number of requests.
func (s *sending) isRefused() bool { return s.status != 0 && s.status != http.StatusTooManyRequests }

// attempt continues the upload, or starts one.
func (s *sending) attempt(ctx context.Context) error {
	if s.location != nil && !s.findOffset(ctx) {
		s.discard()
	}
	if s.location == nil {
		if done, err := s.start(ctx); done || err != nil {
			return err
		}
	}
	if s.offset < s.blob.Size {
		if err := s.sendContent(ctx); err != nil {
			return err
		}
	}
	return s.complete(ctx)
}

// startOver reports whether an upload that was resumed was refused, and discards it if so: the registry may have stored its bytes wrongly.
func (s *sending) startOver(err error) bool {
	var source *SourceError
	if !s.resumed || errors.As(err, &source) {
		return false
	}
	s.discard()
	return true
}

// discard makes the next attempt start a new upload.
func (s *sending) discard() {
	s.location, s.offset, s.resumed = nil, 0, false
	s.content.restart()
}

// start mounts the blob, finds that the repository has it, or starts an upload. done is set if there is nothing left to send.
func (s *sending) start(ctx context.Context) (done bool, err error) {
	uploads := s.URL + "/blobs/uploads/"
	if s.from != "" {
		from := url.Values{"mount": {s.blob.Digest}, "from": {s.from}}
		if done, err := s.startAt(ctx, uploads+"?"+from.Encode()); done || err != nil && s.Restartable(err) {
			return done, err
		}
		s.from = "" // the registry mounts nothing, or not from there
	}
	response, err := s.request(ctx, http.MethodHead, s.URL+"/blobs/"+s.blob.Digest) //nolint:bodyclose // httpx.Drain and Refused close it
	if err != nil {
		return false, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		httpx.Drain(response)
		return true, nil
	case http.StatusNotFound:
		httpx.Drain(response)
	default:
		return false, s.refuse(response)
	}
	if s.location != nil { // of the mount that became an upload
		return false, nil
	}
	return s.startAt(ctx, uploads)
}

// startAt starts an upload; done is set if the blob was mounted.
func (s *sending) startAt(ctx context.Context, address string) (done bool, err error) {
	response, err := s.request(ctx, http.MethodPost, address) //nolint:bodyclose // httpx.Drain and Refused close it
	if err != nil {
		return false, err
	}
	switch response.StatusCode {
	case http.StatusCreated:
		httpx.Drain(response)
		return true, nil
	case http.StatusAccepted:
		defer httpx.Drain(response)
		return false, s.setLocation(response, true)
	}
	return false, s.refuse(response)
}

// setLocation takes the upload's address from a response.
func (s *sending) setLocation(response *http.Response, required bool) error {
	given := response.Header.Get("Location")
	if given == "" && !required {
		return nil
	}
	location, err := response.Request.URL.Parse(given)
	if err != nil || given == "" {
		return fmt.Errorf("the registry named no address for the upload (Location: %.100q)", given)
	}
	s.location = location
	return nil
}

// findOffset asks how many bytes of the upload have arrived; false if the registry does not know the upload or does not say.
// Source: OCI distribution-spec, "Pushing a blob in chunks" (GET of the location).
func (s *sending) findOffset(ctx context.Context) bool {
	response, err := s.request(ctx, http.MethodGet, s.location.String()) //nolint:bodyclose // httpx.Drain and Refused close it
	if err != nil {
		return false
	}
	defer httpx.Drain(response)
	first, last, found := strings.Cut(strings.TrimPrefix(response.Header.Get("Range"), "bytes="), "-")
	end, err := strconv.ParseInt(last, 10, 64)
	// A range of 0-0 is that of one byte and, in many registries, that of none.
	if response.StatusCode != http.StatusNoContent || !found || err != nil || first != "0" || end <= 0 || end >= s.blob.Size || end >= s.content.furthest() {
		return false
	}
	s.offset, s.resumed = end+1, true
	return s.setLocation(response, false) == nil
}

// sendContent sends what has not arrived.
func (s *sending) sendContent(ctx context.Context) error {
	body, err := s.content.from(ctx, s.offset)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, s.location.String(), body)
	if err != nil {
		return errors.Join(err, body.Close())
	}
	offset := s.offset
	request.GetBody = func() (io.ReadCloser, error) { return s.content.from(ctx, offset) }
	request.ContentLength = s.blob.Size - offset
	request.Header.Set("Content-Type", "application/octet-stream")
	if offset > 0 {
		request.Header.Set("Content-Range", fmt.Sprintf("%d-%d", offset, s.blob.Size-1))
	}
	response, err := s.Do(request) //nolint:bodyclose // httpx.Drain and Refused close it
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return s.refuse(response)
	}
	defer httpx.Drain(response)
	s.offset = s.blob.Size
	return s.setLocation(response, false)
}

// complete makes the upload a blob; the registry compares its digest.
func (s *sending) complete(ctx context.Context) error {
	address := *s.location
	query := address.Query()
	query.Set("digest", s.blob.Digest)
	address.RawQuery = query.Encode()
	response, err := s.request(ctx, http.MethodPut, address.String()) //nolint:bodyclose // httpx.Drain and Refused close it
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return s.refuse(response)
	}
	httpx.Drain(response)
	return nil
}

// request sends a request without a body.
func (s *sending) request(ctx context.Context, method, address string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	return s.Do(request)
}
