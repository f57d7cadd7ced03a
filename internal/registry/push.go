package registry

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
)

// Push sends an image or index that lies on disk and names it by the tag. Blobs go first, several at once, those that
// the repository has already not at all; then the images of an index; what the tag names last, by its bytes as they
// lie there. Progress is called with growing sums, from several goroutines but never twice at once.
//
// A tag that names this digest already is success. One that names another is a *release.TagTakenError, and stays. Only
// a repository with immutable tags can promise that against somebody who pushes in the same instant.
func (c *Client) Push(ctx context.Context, from release.Layout, repo release.Repository, tag release.Tag, progress func(release.Progress)) error {
	r, err := c.open(sideRegistry, repo, true)
	if err != nil {
		return err
	}
	all, err := grow(ctx, from.Digest, fromLayout(from.Dir))
	if err != nil {
		return &release.Fault{Side: "builder", Err: fmt.Errorf("reading the image in %q: %w", from.Dir, err), Do: "build it again"}
	}
	if err := r.push(ctx, all, fileSource(from.Dir), tag, newMeter(all.size(), progress)); err != nil {
		return r.fault(err, fmt.Sprintf("pushing %s to %q", from.Digest.Short(), repo))
	}
	return nil
}

func (r *repository) push(ctx context.Context, all tree, open source, tag release.Tag, meter *meter) error {
	if err := r.upload(ctx, all.blobs, open, nil, meter); err != nil {
		return err
	}
	return r.putAll(ctx, all, tag)
}

// putAll writes the manifests of a tree whose blobs are there, the root last and under the tag.
func (r *repository) putAll(ctx context.Context, all tree, tag release.Tag) error {
	last := len(all.manifests) - 1
	for _, child := range all.manifests[:last] {
		if _, err := r.putManifest(ctx, child, ""); err != nil {
			return fmt.Errorf("pushing manifest %s: %w", child.digest.Short(), err)
		}
	}
	root := all.root()
	held, found, err := r.headManifest(ctx, tag.String())
	switch {
	case err != nil:
		return err
	case found && held.digest == root.digest:
		return nil
	case found:
		return &release.TagTakenError{Tag: tag, Holds: held.digest, Wanted: root.digest}
	}
	_, err = r.putManifest(ctx, root, tag)
	return err
}

// fromLayout reads manifests of an OCI image layout.
func fromLayout(dir string) func(context.Context, release.Digest) (manifest, error) {
	return func(ctx context.Context, digest release.Digest) (manifest, error) {
		if err := ctx.Err(); err != nil {
			return manifest{}, err
		}
		blob, err := fileSource(dir)(descriptor{Digest: digest.String()})
		if err != nil {
			return manifest{}, err
		}
		defer func() { _ = blob.Close() }()
		text, err := httpx.ReadAll(blob, maxManifest)
		if err != nil {
			return manifest{}, fmt.Errorf("reading manifest %s: %w", digest.Short(), err)
		}
		if got := digestOf(text); got != digest {
			return manifest{}, fmt.Errorf("reading manifest %s: its bytes are %s", digest.Short(), got.Short())
		}
		return newManifest(text, "")
	}
}

// fileSource opens blobs of an OCI image layout.
func fileSource(dir string) source {
	return func(blob descriptor) (io.ReadCloser, error) {
		hash, err := v1.NewHash(blob.Digest)
		if err != nil {
			return nil, err
		}
		return layout.Path(dir).Blob(hash)
	}
}
