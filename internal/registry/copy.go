package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/onedigest/onedigest/internal/release"
)

// Copy copies an image or a whole index into another repository by digest, every manifest with its unchanged bytes. Within one
// registry blobs are mounted where the registry supports that; otherwise they are streamed, never whole in memory. It sets no
// tag.
func (c *Client) Copy(ctx context.Context, from release.Image, to release.Repository) error {
	doing := fmt.Sprintf("copying %q to %q", from, to)
	return c.copyTree(ctx, from, to, doing, func(ctx context.Context, write *repository, all tree) error {
		if err := write.putChildren(ctx, all); err != nil {
			return err
		}
		_, err := write.putManifest(ctx, all.root(), "")
		return err
	})
}

// CopyReferrer copies a referrer of an image into another repository that holds the image, with its unchanged bytes and thus
// under the same digest. A registry that can list no referrers is a *release.Fault with ErrNoReferrers.
func (c *Client) CopyReferrer(ctx context.Context, of release.Image, referrer release.Digest, to release.Repository) error {
	from := of.Repository.At(referrer)
	doing := fmt.Sprintf("copying %q, which is attached to %s, to %q", from, of.Digest.Short(), to)
	return c.copyTree(ctx, from, to, doing, func(ctx context.Context, write *repository, all tree) error {
		read, err := all.root().parse()
		if err != nil {
			return err
		}
		if err := write.putChildren(ctx, all); err != nil {
			return err
		}
		header, err := write.putManifest(ctx, all.root(), "")
		if err != nil {
			return err
		}
		return write.confirmListed(ctx, header, of.Digest, descriptor{MediaType: all.root().mediaType, Digest: referrer.String(), Size: int64(len(all.root().bytes)),
			ArtifactType: read.ArtifactType, Annotations: read.Annotations})
	})
}

// copyTree copies the blobs of an image, an index or a referrer; put writes its manifests.
func (c *Client) copyTree(ctx context.Context, from release.Image, to release.Repository, doing string, put func(context.Context, *repository, tree) error) error {
	same := from.Repository.Host() == to.Host()
	var mounts []release.Repository
	if same {
		mounts = append(mounts, from.Repository)
	}
	read, err := c.open(sideSource, from.Repository, false)
	if err != nil {
		return err
	}
	write, err := c.open(sideTarget, to, true, mounts...)
	if err != nil {
		return err
	}
	all, err := readTree(ctx, from.Digest, read.fetchManifest)
	if err != nil {
		return read.fault(err, doing)
	}
	var mount *name.Repository
	if same {
		mount = &read.at
	}
	err = write.upload(ctx, all.blobs, read.blobs(ctx), mount, newMeter(all.size(), nil))
	var source *sourceError
	if errors.As(err, &source) {
		return read.fault(source.err, doing)
	}
	if err == nil {
		err = put(ctx, write, all)
	}
	if err != nil {
		return write.fault(err, doing)
	}
	return nil
}

// fetchManifest reads a manifest that must exist.
func (r *repository) fetchManifest(ctx context.Context, digest release.Digest) (manifest, error) {
	m, found, err := r.getManifest(ctx, digest.String())
	if err == nil && !found {
		err = fmt.Errorf("reading manifest %s: it is not in %q", digest.Short(), r.name)
	}
	return m, err
}

// sourceError marks an error of reading, so that a copy blames the registry it reads from.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// blobs returns a source of the repository's blobs; their digests are checked while they are read.
func (r *repository) blobs(ctx context.Context) source {
	return func(blob descriptor) (io.ReadCloser, error) {
		wanted, err := release.ParseDigest(blob.Digest)
		if err != nil {
			return nil, &sourceError{err}
		}
		response, err := r.do(ctx, http.MethodGet, r.url("blobs", blob.Digest), nil, nil) //nolint:bodyclose // the reader's caller closes it
		if err != nil {
			return nil, &sourceError{err}
		}
		if response.StatusCode != http.StatusOK {
			return nil, &sourceError{readStatusError(response)}
		}
		return &verifyingReader{ReadCloser: response.Body, left: blob.Size, wanted: wanted, sum: sha256.New()}, nil
	}
}

// verifyingReader reads a blob and fails at its end unless its size and its digest are the expected ones. Its errors are
// sourceErrors.
type verifyingReader struct {
	io.ReadCloser
	left   int64
	wanted release.Digest
	sum    hash.Hash
}

func (v *verifyingReader) Read(buffer []byte) (int, error) {
	n, err := v.ReadCloser.Read(buffer)
	v.left -= int64(n)
	_, _ = v.sum.Write(buffer[:n]) // never fails
	if err != nil && !errors.Is(err, io.EOF) {
		return n, &sourceError{err}
	}
	if v.left < 0 || err != nil {
		got, parseErr := release.ParseDigest("sha256:" + hex.EncodeToString(v.sum.Sum(nil)))
		if v.left != 0 || parseErr != nil || got != v.wanted {
			return 0, &sourceError{&mismatchError{wanted: v.wanted, got: got}}
		}
	}
	return n, err
}
