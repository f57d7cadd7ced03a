package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
)

// content reads a blob with several readers one after the other, each from an offset, and verifies that all bytes together have the blob's digest.
type content struct {
	blob     Blob
	open     Source
	mismatch func(wanted, got string) error
	progress func(int64)

	mu     sync.Mutex
	sum    hash.Hash // of the first bytes
	hashed int64     // how many these are
	reader int       // number of the latest reader; an older one must not continue
	failed error     // of the latest reader
}

func newContent(blob Blob, open Source, mismatch func(wanted, got string) error, progress func(int64)) *content {
	if progress == nil {
		progress = func(int64) {}
	}
	return &content{blob: blob, open: open, mismatch: mismatch, progress: progress, sum: sha256.New()}
}

// furthest returns how many bytes were read by all readers together.
func (c *content) furthest() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hashed
}

// restart resets the hash, so that all bytes are read and compared with the digest again.
func (c *content) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reader++
	c.sum, c.hashed = sha256.New(), 0
}

// begin forgets the error of the previous attempt, and stops that attempt's reader.
func (c *content) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reader++
	c.failed = nil
}

// failure returns the error of the latest reader's source; nil if it had none.
func (c *content) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// errReplaced is the error of a reader after another one was opened.
var errReplaced = errors.New("the blob is read again")

// from opens a reader at an offset that is at most what was read before.
func (c *content) from(ctx context.Context, offset int64) (io.ReadCloser, error) {
	c.mu.Lock()
	c.reader++
	number := c.reader
	c.failed = nil
	c.mu.Unlock()
	opened, err := c.open(ctx, offset)
	if err != nil {
		return nil, c.fail(number, err)
	}
	return &reader{ReadCloser: opened, of: c, number: number, position: offset}, nil
}

// fail records the error of a reader's source.
func (c *content) fail(number int, err error) error {
	source := &SourceError{err}
	c.mu.Lock()
	defer c.mu.Unlock()
	if number == c.reader {
		c.failed = source
	}
	return source
}

// take adds the bytes that were read at a position to the hash. At the end of the blob, it compares the digest.
func (c *content) take(number int, position int64, read []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := position + int64(len(read))
	switch {
	case number != c.reader:
		return errReplaced
	case position > c.hashed:
		return fmt.Errorf("reading from byte %d, after %d bytes", position, c.hashed)
	case end > c.blob.Size:
		return c.mismatch(c.blob.Digest, "")
	}
	if end > c.hashed {
		_, _ = c.sum.Write(read[c.hashed-position:]) // never fails
		c.hashed = end
	}
	if end == c.blob.Size {
		if got := "sha256:" + hex.EncodeToString(c.sum.Sum(nil)); got != c.blob.Digest {
			return c.mismatch(c.blob.Digest, got)
		}
	}
	return nil
}

// reader reads a blob from an offset to its end. The last bytes are returned only if all bytes are the digest's.
type reader struct {
	io.ReadCloser
	of       *content
	number   int
	position int64
}

func (r *reader) Read(buffer []byte) (int, error) {
	n, err := r.ReadCloser.Read(buffer)
	if taken := r.of.take(r.number, r.position, buffer[:n]); taken != nil {
		return 0, r.of.fail(r.number, taken)
	}
	r.position += int64(n)
	r.of.progress(r.position)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && r.position == r.of.blob.Size:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		err = r.of.mismatch(r.of.blob.Digest, "")
	}
	return n, r.of.fail(r.number, err)
}
