package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"
)

// maxUploadAttempts is how often one blob is uploaded at most.
const maxUploadAttempts = 5

// source opens a blob at its start.
type source func(descriptor) (io.ReadCloser, error)

// upload sends the blobs that the repository does not have, several at once, and retries each by itself. If from is set, a
// repository of the same registry, blobs are mounted from it where the registry supports that.
func (r *repository) upload(ctx context.Context, blobs []descriptor, open source, from *name.Repository, meter *meter) error {
	through, err := r.session.remoteTransport(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallelBlobs)
	for _, each := range blobs {
		group.Go(func() error {
			err := r.uploadBlob(ctx, newLayer(each, open, meter), from, through)
			if err != nil {
				return fmt.Errorf("pushing blob %s: %w", each.Digest, err)
			}
			meter.done(each)
			return nil
		})
	}
	return group.Wait()
}

// uploadBlob checks for the blob before each attempt, so that a complete upload is not repeated.
func (r *repository) uploadBlob(ctx context.Context, layer v1.Layer, from *name.Repository, through http.RoundTripper) error {
	if from != nil {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		layer = &remote.MountableLayer{Layer: layer, Reference: from.Digest(digest.String())}
	}
	backoff := httpx.Backoff(maxUploadAttempts - 1)
	return retry.Do(ctx, backoff, func(ctx context.Context) error {
		err := remote.WriteLayer(r.at, layer, remote.WithContext(ctx), remote.WithTransport(through),
			remote.WithRetryPredicate(func(error) bool { return false }))
		if err == nil {
			return nil
		}
		err = withoutURL(toStatusError(err))
		if ctx.Err() == nil && isRestartable(err) {
			r.session.login.options.Log(fmt.Sprintf("%s: %s, sending the blob again", r.name.Host(), sanitize(err.Error())))
			return retry.RetryableError(err)
		}
		return err
	})
}

// isRestartable reports whether a failed upload may succeed from its start: the connection or the registry failed, or the
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

// layer is a blob as a v1.Layer for ggcr's upload.
type layer struct {
	descriptor
	hash  v1.Hash
	open  source
	meter *meter
}

func newLayer(blob descriptor, open source, meter *meter) *layer {
	hash, _ := v1.NewHash(blob.Digest) // a release.Digest's text, checked by readTree
	return &layer{descriptor: blob, hash: hash, open: open, meter: meter}
}

func (l *layer) Digest() (v1.Hash, error) { return l.hash, nil }
func (l *layer) DiffID() (v1.Hash, error) { return v1.Hash{}, errors.New("not known") }
func (l *layer) Size() (int64, error)     { return l.descriptor.Size, nil }
func (l *layer) MediaType() (types.MediaType, error) {
	return types.MediaType(l.descriptor.MediaType), nil
}
func (l *layer) Uncompressed() (io.ReadCloser, error) { return nil, errors.New("not known") }
func (l *layer) Compressed() (io.ReadCloser, error) {
	blob, err := l.open(l.descriptor)
	if err != nil {
		return nil, err
	}
	return &meteredReader{ReadCloser: blob, blob: l.descriptor, meter: l.meter}, nil
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
func (m *meter) advance(blob descriptor, position int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	position = min(position, blob.Size)
	if gained := position - m.blobs[blob.Digest]; gained > 0 {
		m.blobs[blob.Digest] = position
		m.complete += gained
		m.report(release.Progress{Complete: m.complete, Total: m.total})
	}
}

func (m *meter) done(blob descriptor) { m.advance(blob, blob.Size) }

// meteredReader reports what was read to the meter.
type meteredReader struct {
	io.ReadCloser
	blob     descriptor
	position int64
	meter    *meter
}

func (m *meteredReader) Read(buffer []byte) (int, error) {
	n, err := m.ReadCloser.Read(buffer)
	m.position += int64(n)
	m.meter.advance(m.blob, m.position)
	return n, err
}

// blobsInMemory returns a source of blobs by their digests.
func blobsInMemory(held map[string][]byte) source {
	return func(blob descriptor) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(held[blob.Digest])), nil
	}
}
