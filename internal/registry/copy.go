package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/registry/transfer"
	"github.com/onedigest/onedigest/internal/release"
)

// Copy copies an image or a whole index into another repository by digest, every manifest with its unchanged bytes. Within one
// registry blobs are mounted where the registry supports that; otherwise they are streamed, never whole in memory. It sets no
// tag.
//
// Progress, which may be nil, is called with growing sums, from several goroutines but never twice at once. An interrupted copy can be repeated: blobs that the target has are not sent again, and an interrupted upload
// is resumed at the offset that the target reports.
func (c *Client) Copy(ctx context.Context, from release.Image, to release.Repository, progress func(release.Progress)) error {
	doing := fmt.Sprintf("copying %q to %q", from, to)
	return c.copyTree(ctx, from, to, doing, progress, func(ctx context.Context, write *repository, all tree) error {
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
	return c.copyTree(ctx, from, to, doing, nil, func(ctx context.Context, write *repository, all tree) error {
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
		return write.confirmListed(ctx, header, of.Digest, release.Descriptor{MediaType: all.root().mediaType, Digest: referrer.String(), Size: int64(len(all.root().bytes)),
			ArtifactType: read.ArtifactType, Annotations: read.Annotations})
	})
}

// copyTree copies the blobs of an image, an index or a referrer; put writes its manifests.
func (c *Client) copyTree(ctx context.Context, from release.Image, to release.Repository, doing string, progress func(release.Progress),
	put func(context.Context, *repository, tree) error) error {
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
	mount := ""
	if same {
		mount = read.at.RepositoryStr()
	}
	err = write.upload(ctx, all.blobs, read.openBlob, mount, newMeter(all.size(), progress))
	var source *transfer.SourceError
	if errors.As(err, &source) {
		return read.fault(source.Err, doing)
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

// openBlob opens a blob of the repository at an offset. Its bytes are not checked.
func (r *repository) openBlob(ctx context.Context, blob release.Descriptor, offset int64) (io.ReadCloser, error) {
	header := http.Header{}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	response, err := r.do(ctx, http.MethodGet, r.url("blobs", blob.Digest), nil, header) //nolint:bodyclose // the reader's caller closes it
	if err != nil {
		return nil, err
	}
	switch {
	case response.StatusCode == http.StatusPartialContent && offset > 0:
		if !strings.HasPrefix(response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
			return nil, errors.Join(fmt.Errorf("the registry answered with another range: %.100q", response.Header.Get("Content-Range")), response.Body.Close())
		}
	case response.StatusCode == http.StatusOK:
		// Ranges are optional. Source: OCI distribution-spec, "Pulling blobs".
		if _, err := io.CopyN(io.Discard, response.Body, offset); err != nil {
			return nil, errors.Join(err, response.Body.Close())
		}
	default:
		return nil, readStatusError(response)
	}
	return response.Body, nil
}

// openVerified opens a blob of the repository; its digest is checked while it is read.
func (r *repository) openVerified(ctx context.Context, blob release.Descriptor) (io.ReadCloser, error) {
	wanted, err := release.ParseDigest(blob.Digest)
	if err != nil {
		return nil, err
	}
	body, err := r.openBlob(ctx, blob, 0)
	if err != nil {
		return nil, err
	}
	return &verifyingReader{ReadCloser: body, left: blob.Size, wanted: wanted, sum: sha256.New()}, nil
}

// verifyingReader reads a blob and fails at its end unless its size and its digest are the expected ones.
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
		return n, err
	}
	if v.left < 0 || err != nil {
		if got := release.DigestOfSum(v.sum); v.left != 0 || got != v.wanted {
			return 0, &mismatchError{wanted: v.wanted, got: got}
		}
	}
	return n, err
}

// CopyReferrers copies what is attached to an image, of the given artifact types, into another repository that holds the image: the newest first
// and at most limit, without those that the target lists already. One that cannot be read is passed to skipped, and left out. It returns how many more there are than
// the limit.
func (c *Client) CopyReferrers(ctx context.Context, of release.Image, artifactTypes []string, to release.Repository, limit int, skipped func(error)) (left int, err error) {
	listed, err := c.ListReferrers(ctx, of, artifactTypes, nil)
	if err != nil {
		return 0, err
	}
	present, err := c.ListReferrers(ctx, to.At(of.Digest), artifactTypes, nil)
	if err != nil {
		return 0, err
	}
	listed = slices.DeleteFunc(listed, func(each release.Digest) bool { return slices.Contains(present, each) })
	for _, each := range listed[:min(limit, len(listed))] {
		err := c.CopyReferrer(ctx, of, each, to)
		var fault *release.Fault
		if errors.As(err, &fault) && fault.Side == sideSource && !fault.Unanswered {
			skipped(err)
			continue
		}
		if err != nil {
			return 0, err
		}
	}
	return max(0, len(listed)-limit), nil
}
