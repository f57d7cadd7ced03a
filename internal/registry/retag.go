package registry

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
)

// Inspect says in two requests whether the image is in its repository, with its bytes, and what the tag names.
func (c *Client) Inspect(ctx context.Context, repo release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
	r, err := c.open(sideRegistry, repo, false)
	if err != nil {
		return release.TagState{}, err
	}
	looked, err := r.look(ctx, digest, tag)
	if err != nil {
		return release.TagState{}, r.fault(err, fmt.Sprintf("reading %q and tag %q", repo.At(digest), tag))
	}
	return looked, nil
}

func (r *repository) look(ctx context.Context, digest release.Digest, tag release.Tag) (release.TagState, error) {
	held, _, err := r.headManifest(ctx, tag.String())
	if err != nil {
		return release.TagState{}, err
	}
	image, found, err := r.getManifest(ctx, digest.String())
	if err != nil || !found {
		return release.TagState{TagDigest: held.digest}, err
	}
	read, err := image.read()
	return release.TagState{
		Found: true, Manifest: image.bytes, MediaType: image.mediaType,
		Revision: read.Annotations[release.AnnotationRevision], TagDigest: held.digest,
	}, err
}

// PutTag names the image by the tag, in one request that carries the manifest's bytes as they are. Where the repository's
// tags are immutable and the tag names another image, that is a *release.TagTakenError; where they are not, the tag
// moves.
func (c *Client) PutTag(ctx context.Context, repo release.Repository, text []byte, mediaType string, digest release.Digest, tag release.Tag) error {
	r, err := c.open(sideRegistry, repo, true)
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("tagging %s in %q as %q", digest.Short(), repo, tag)
	if got := digestOf(text); got != digest {
		return r.fault(&mismatchError{wanted: digest, got: got}, doing)
	}
	if _, err := r.putManifest(ctx, manifest{bytes: text, mediaType: mediaType, digest: digest}, tag); err != nil {
		return r.fault(err, doing)
	}
	return nil
}
