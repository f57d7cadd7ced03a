package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/registry/transfer"
	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
)

// source opens a blob at an offset.
type source func(ctx context.Context, blob release.Descriptor, offset int64) (io.ReadCloser, error)

// upload sends the blobs that the repository does not have, several at once, and continues each that breaks off. If from names a
// repository of the same registry, blobs are mounted from it where the registry supports that.
func (r *repository) upload(ctx context.Context, blobs []release.Descriptor, open source, from string, meter *meter) error {
	target := transfer.Target{
		URL:         r.url()[:len(r.url())-1],
		Do:          r.send,
		Refused:     func(response *http.Response) error { return readStatusError(response) },
		Mismatch:    newMismatch,
		Restartable: isRestartable,
		Log:         func(line string) { r.session.login.options.Log(r.name.Host() + ": " + sanitize(line)) },
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallelBlobs)
	for _, each := range blobs {
		group.Go(func() error {
			err := target.Send(ctx, transfer.Blob{Digest: each.Digest, Size: each.Size}, from,
				func(ctx context.Context, offset int64) (io.ReadCloser, error) { return open(ctx, each, offset) },
				func(position int64) { meter.advance(each, position) })
			if err != nil {
				return fmt.Errorf("pushing blob %s: %w", each.Digest, err)
			}
			meter.done(each)
			return nil
		})
	}
	return group.Wait()
}

// newMismatch returns the error about bytes of another digest; got is "" if their number alone is wrong.
func newMismatch(wanted, got string) error {
	result := &mismatchError{}
	result.wanted, _ = release.ParseDigest(wanted)
	result.got, _ = release.ParseDigest(got)
	return result
}

// isRestartable reports whether a failed upload may succeed at the next attempt: the connection or the registry failed, or the
// registry no longer knows the upload.
func isRestartable(err error) bool {
	var answer *statusError
	if !errors.As(err, &answer) {
		return isTransient(err)
	}
	switch answer.Code {
	case "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID":
		return true
	}
	return httpx.IsUnavailable(answer.Status)
}

// meter adds up the progress of all blobs. A blob that is sent again does not count twice, and one that exists already counts
// in full, so the sum only grows, up to the total.
type meter struct {
	mu       sync.Mutex
	total    int64
	complete int64
	blobs    map[string]int64
	report   func(release.Progress)
}

func newMeter(total int64, report func(release.Progress)) *meter {
	if report == nil {
		report = func(release.Progress) {}
	}
	return &meter{total: total, blobs: map[string]int64{}, report: report}
}

// advance reports that a blob was read up to a position.
func (m *meter) advance(blob release.Descriptor, position int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	position = min(position, blob.Size)
	if gained := position - m.blobs[blob.Digest]; gained > 0 {
		m.blobs[blob.Digest] = position
		m.complete += gained
		m.report(release.Progress{Complete: m.complete, Total: m.total})
	}
}

func (m *meter) done(blob release.Descriptor) { m.advance(blob, blob.Size) }

// blobsInMemory returns a source of blobs by their digests.
func blobsInMemory(held map[string][]byte) source {
	return func(_ context.Context, blob release.Descriptor, offset int64) (io.ReadCloser, error) {
		content := bytes.NewReader(held[blob.Digest])
		_, err := content.Seek(offset, io.SeekStart)
		return io.NopCloser(content), err
	}
}
