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

// maxUploads is how often one blob is tried.
const maxUploads = 5

// source opens a blob's bytes from their start.
type source func(descriptor) (io.ReadCloser, error)

// upload sends the blobs that the repository does not have, several at once, and after a break only the broken one
// again. If from is named, a repository of the same registry, blobs are mounted from it where the registry can.
func (r *repository) upload(ctx context.Context, blobs []descriptor, open source, from *name.Repository, meter *meter) error {
	through, err := r.session.wrapped(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(jobs)
	for _, each := range blobs {
		group.Go(func() error {
			err := r.uploadOne(ctx, newLayer(each, open, meter), from, through)
			if err != nil {
				return fmt.Errorf("pushing blob %s: %w", each.Digest, err)
			}
			meter.done(each)
			return nil
		})
	}
	return group.Wait()
}

// uploadOne asks for the blob first, so that what an earlier attempt completed is not sent again.
func (r *repository) uploadOne(ctx context.Context, layer v1.Layer, from *name.Repository, through http.RoundTripper) error {
	if from != nil {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		layer = &remote.MountableLayer{Layer: layer, Reference: from.Digest(digest.String())}
	}
	backoff := httpx.Backoff(maxUploads - 1)
	return retry.Do(ctx, backoff, func(ctx context.Context) error {
		err := remote.WriteLayer(r.at, layer, remote.WithContext(ctx), remote.WithTransport(through),
			remote.WithRetryPredicate(func(error) bool { return false }))
		if err == nil {
			return nil
		}
		err = withoutURL(plain(err))
		if ctx.Err() == nil && startsOver(err) {
			r.session.login.options.Log(fmt.Sprintf("%s: %s, sending the blob again", r.name.Host(), sanitize(err.Error())))
			return retry.RetryableError(err)
		}
		return err
	})
}

// startsOver tells whether an upload that broke is worth starting again: the connection or the registry failed, the
// upload was forgotten, or the credentials expired on the way and the next attempt uses fresh ones.
func startsOver(err error) bool {
	var answer *refusedError
	if !errors.As(err, &answer) {
		return isTransient(err)
	}
	switch answer.Code {
	case "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID":
		return true
	}
	return httpx.IsUnavailable(answer.Status)
}

// layer is a blob as ggcr's upload takes it.
type layer struct {
	descriptor
	hash  v1.Hash
	open  source
	meter *meter
}

func newLayer(blob descriptor, open source, meter *meter) *layer {
	hash, _ := v1.NewHash(blob.Digest) // a release.Digest's text, checked by grow
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
	return &metered{ReadCloser: blob, blob: l.descriptor, meter: l.meter}, nil
}

// meter adds up how far the blobs have come. A blob that is sent again does not count twice, and one that was there
// already counts at once, so the sum only grows, up to the total.
type meter struct {
	mu    sync.Mutex
	total int64
	sum   int64
	blobs map[string]int64
	tell  func(release.Progress)
}

func newMeter(total int64, tell func(release.Progress)) *meter {
	if tell == nil {
		tell = func(release.Progress) {}
	}
	return &meter{total: total, blobs: map[string]int64{}, tell: tell}
}

func (m *meter) reach(blob descriptor, position int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	position = min(position, blob.Size)
	if gained := position - m.blobs[blob.Digest]; gained > 0 {
		m.blobs[blob.Digest] = position
		m.sum += gained
		m.tell(release.Progress{Complete: m.sum, Total: m.total})
	}
}

func (m *meter) done(blob descriptor) { m.reach(blob, blob.Size) }

// metered tells the meter what was read.
type metered struct {
	io.ReadCloser
	blob     descriptor
	position int64
	meter    *meter
}

func (m *metered) Read(buffer []byte) (int, error) {
	n, err := m.ReadCloser.Read(buffer)
	m.position += int64(n)
	m.meter.reach(m.blob, m.position)
	return n, err
}

// memory serves blobs by their digests.
func memory(held map[string][]byte) source {
	return func(blob descriptor) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(held[blob.Digest])), nil
	}
}
