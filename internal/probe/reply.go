package probe

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// reply is what a server sent.
type reply struct {
	status  int
	header  http.Header
	body    []byte
	cut     bool // the body went on beyond the cap
	latency time.Duration
}

// encodingError says that a body is not in the encoding its header names.
type encodingError struct{ got string }

func (e *encodingError) Error() string { return "body: expected it as it is or in gzip, got " + e.got }

// read takes at most limit bytes of a body, counted after decompression and before, so that neither an endless nor a
// densely packed body costs more.
func read(response *http.Response, limit int64) (body []byte, cut bool, err error) {
	packed := &io.LimitedReader{R: response.Body, N: limit + 1}
	var source io.Reader = packed
	switch encoding := strings.ToLower(response.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		unpacked, err := gzip.NewReader(packed)
		if errors.Is(err, io.EOF) { // no body at all, as after HEAD
			return nil, false, nil
		}
		if err != nil {
			return nil, false, &encodingError{got: fmt.Sprintf("gzip that cannot be read: %v", err)}
		}
		source = unpacked
	default:
		return nil, false, &encodingError{got: quote(encoding)}
	}
	body, err = io.ReadAll(io.LimitReader(source, limit+1))
	cut = int64(len(body)) > limit || packed.N == 0
	body = body[:min(int64(len(body)), limit)]
	switch {
	case cut:
		return body, true, nil
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return body, false, &encodingError{got: fmt.Sprintf("gzip that cannot be read: %v", err)}
	}
	return body, false, err
}

// excerpt is the start of the body in quotes.
func (r reply) excerpt() string {
	text := quote(string(r.body[:min(len(r.body), 4*maxExcerpt)]))
	if r.cut {
		text += fmt.Sprintf(" (the first %d bytes of a longer body)", len(r.body))
	}
	return text
}
