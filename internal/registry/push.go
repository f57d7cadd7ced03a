package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
)

// Push uploads an image or an index of an OCI layout and tags it, unless the tag is "". It uploads the blobs that the repository does not have,
// several at once, then the images of an index, and last the manifest that the tag names, with its unchanged bytes. Progress is
// called with growing sums, from several goroutines but never twice at once.
//
// A tag that already names this digest is success. If it names another, Push returns a *release.TagTakenError and does not move
// it; only a repository with immutable tags guarantees that if somebody else pushes at the same time.
func (c *Client) Push(ctx context.Context, from release.Layout, repo release.Repository, tag release.Tag, progress func(release.Progress)) error {
	r, err := c.open(sideRegistry, repo, true)
	if err != nil {
		return err
	}
	all, err := readTree(ctx, from.Digest, layoutManifests(from.Dir))
	if err != nil {
		return &release.Fault{Side: "builder", Err: fmt.Errorf("reading the image in %q: %w", from.Dir, err), Do: "build again"}
	}
	if err := r.push(ctx, all, layoutBlobs(from.Dir), tag, newMeter(all.size(), progress)); err != nil {
		return r.fault(err, fmt.Sprintf("pushing %s to %q", from.Digest.Short(), repo))
	}
	return nil
}

// push uploads the blobs of a tree, then writes its manifests.
func (r *repository) push(ctx context.Context, all tree, open source, tag release.Tag, meter *meter) error {
	if err := r.upload(ctx, all.blobs, open, "", meter); err != nil {
		return err
	}
	return r.putAll(ctx, all, tag)
}

// putAll writes the manifests of a tree whose blobs are uploaded, the root last and under the tag. A tag that names the root stays; one that names
// another image is a *release.TagTakenError.
func (r *repository) putAll(ctx context.Context, all tree, tag release.Tag) error {
	if err := r.putChildren(ctx, all); err != nil {
		return err
	}
	root := all.root()
	if tag == "" {
		_, err := r.putManifest(ctx, root, "")
		return err
	}
	tagged, found, err := r.headManifest(ctx, tag.String())
	switch {
	case err != nil:
		return err
	case found && tagged.digest == root.digest:
		return nil
	case found:
		return &release.TagTakenError{Tag: tag, Holds: tagged.digest, Wanted: root.digest}
	}
	_, err = r.putManifest(ctx, root, tag)
	return err
}

// putChildren writes the manifests of a tree below its root.
func (r *repository) putChildren(ctx context.Context, all tree) error {
	for _, child := range all.manifests[:len(all.manifests)-1] {
		if _, err := r.putManifest(ctx, child, ""); err != nil {
			return fmt.Errorf("pushing manifest %s: %w", child.digest.Short(), err)
		}
	}
	return nil
}

// layoutManifests reads manifests of an OCI image layout.
func layoutManifests(dir string) func(context.Context, release.Digest) (manifest, error) {
	return func(ctx context.Context, digest release.Digest) (manifest, error) {
		if err := ctx.Err(); err != nil {
			return manifest{}, err
		}
		blob, err := layoutBlobs(dir)(ctx, release.Descriptor{Digest: digest.String()}, 0)
		if err != nil {
			return manifest{}, err
		}
		defer func() { _ = blob.Close() }()
		text, err := httpx.ReadAll(blob, maxManifest)
		if err != nil {
			return manifest{}, fmt.Errorf("reading manifest %s: %w", digest.Short(), err)
		}
		if got := release.DigestOf(text); got != digest {
			return manifest{}, fmt.Errorf("reading manifest %s: its bytes are %s", digest.Short(), got.Short())
		}
		return newManifest(text, "")
	}
}

// layoutBlobs opens blobs of an OCI image layout.
func layoutBlobs(dir string) source {
	return func(_ context.Context, blob release.Descriptor, offset int64) (io.ReadCloser, error) {
		hash, err := v1.NewHash(blob.Digest)
		if err != nil {
			return nil, err
		}
		opened, err := layout.Path(dir).Blob(hash)
		if err == nil && offset > 0 {
			_, err = io.CopyN(io.Discard, opened, offset)
			if err != nil {
				err = errors.Join(err, opened.Close())
			}
		}
		return opened, err
	}
}
