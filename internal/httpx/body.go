package httpx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxDrain is how many bytes of a body are read so that its connection can be used again.
const maxDrain = 64 << 10

// ReadAll reads at most limit bytes of a stream. A longer stream is an error, and the rest is not read.
func ReadAll(stream io.Reader, limit int64) ([]byte, error) {
	content, err := io.ReadAll(&limitedReader{Reader: stream, limit: limit, left: limit})
	if err != nil {
		return nil, err
	}
	return content, nil
}

// ReadBody reads at most limit bytes of a response's body and closes it.
func ReadBody(response *http.Response, limit int64) ([]byte, error) {
	if err := LimitBody(response, limit); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("reading the response: %w", err)
	}
	return content, nil
}

// LimitBody makes reading a response's body fail after limit bytes. If Content-Length exceeds the limit, it closes the body and
// returns an error at once.
func LimitBody(response *http.Response, limit int64) error {
	if response.ContentLength > limit {
		_ = response.Body.Close()
		return fmt.Errorf("reading the response: %w", &TooLongError{Size: response.ContentLength, Limit: limit})
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{&limitedReader{Reader: response.Body, limit: limit, left: limit}, response.Body}
	return nil
}

// TooLongError reports that a body exceeds its limit.
type TooLongError struct {
	Size  int64 // in bytes, as Content-Length announced; 0 if it did not
	Limit int64 // in bytes
}

func (e *TooLongError) Error() string {
	if e.Size > 0 {
		return fmt.Sprintf("it is %d bytes long, limit %d", e.Size, e.Limit)
	}
	return fmt.Sprintf("it is longer than %d bytes", e.Limit)
}

// limitedReader returns an error at the limit, where io.LimitedReader returns io.EOF: a truncated body must not pass for a
// complete one.
type limitedReader struct {
	io.Reader
	limit, left int64
}

// Read asks for one byte more than is left, because only that byte shows that the body is too long.
func (l *limitedReader) Read(buffer []byte) (int, error) {
	if int64(len(buffer)) > l.left+1 {
		buffer = buffer[:l.left+1]
	}
	n, err := l.Reader.Read(buffer)
	if int64(n) > l.left {
		n, err = int(l.left), &TooLongError{Limit: l.limit}
	}
	l.left -= int64(n)
	return n, err
}

// Peek returns up to limit bytes from the start of a response's body. A later reader of the body still gets all of it.
func Peek(response *http.Response, limit int64) []byte {
	start, err := io.ReadAll(io.LimitReader(response.Body, limit))
	var rest io.Reader = response.Body
	if err != nil {
		rest = failingReader{err}
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), rest), response.Body}
	return start
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// Drain closes a response whose body is not needed. It first reads a short rest, so that the connection can be used again.
func Drain(response *http.Response) {
	_, _ = io.CopyN(io.Discard, response.Body, maxDrain)
	_ = response.Body.Close()
}

// Replayable reports whether a request can be sent a second time: it has no body, or its body can be read again.
func Replayable(request *http.Request) bool {
	return request.Body == nil || request.Body == http.NoBody || request.GetBody != nil
}

// Replay returns a copy of a request that was sent, with its body from the start. It returns an error if the body cannot be read
// again.
func Replay(request *http.Request) (*http.Request, error) {
	again := request.Clone(request.Context())
	if request.Body == nil || request.Body == http.NoBody {
		return again, nil
	}
	if request.GetBody == nil {
		return nil, errors.New("sending the body again: it cannot be read twice")
	}
	body, err := request.GetBody()
	if err != nil {
		return nil, fmt.Errorf("sending the body again: %w", err)
	}
	again.Body = body
	return again, nil
}
