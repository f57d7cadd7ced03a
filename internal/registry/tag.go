package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/onedigest/onedigest/internal/release"
)

// Inspect reads an image's manifest and the digest that a tag names, in two requests. An image or a tag that does not exist is
// no error.
func (c *Client) Inspect(ctx context.Context, repo release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
	r, err := c.open(sideRegistry, repo, false)
	if err != nil {
		return release.TagState{}, err
	}
	state, err := r.inspect(ctx, digest, tag)
	if err != nil {
		return release.TagState{}, r.fault(err, fmt.Sprintf("reading %q and tag %q", repo.At(digest), tag))
	}
	return state, nil
}

// inspect sends the two requests of Inspect.
func (r *repository) inspect(ctx context.Context, digest release.Digest, tag release.Tag) (release.TagState, error) {
	tagged, _, err := r.headManifest(ctx, tag.String())
	if err != nil {
		return release.TagState{}, err
	}
	image, found, err := r.getManifest(ctx, digest.String())
	if err != nil || !found {
		return release.TagState{TagDigest: tagged.digest}, err
	}
	read, err := image.parse()
	return release.TagState{
		Found: true, Manifest: image.bytes, MediaType: image.mediaType,
		Revision: read.Annotations[release.AnnotationRevision], TagDigest: tagged.digest,
	}, err
}

// PutTag tags an image of the repository, in one request with the manifest's unchanged bytes. If the tag names another image,
// an immutable repository returns a *release.TagTakenError, and in a mutable one the tag moves.
func (c *Client) PutTag(ctx context.Context, repo release.Repository, content []byte, mediaType string, digest release.Digest, tag release.Tag) error {
	r, err := c.open(sideRegistry, repo, true)
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("tagging %s in %q as %q", digest.Short(), repo, tag)
	if got := release.DigestOf(content); got != digest {
		return r.fault(&mismatchError{wanted: digest, got: got}, doing)
	}
	if _, err := r.putManifest(ctx, manifest{bytes: content, mediaType: mediaType, digest: digest}, tag); err != nil {
		return r.fault(err, doing)
	}
	return nil
}

// Limits for listing the tags of a repository.
const (
	maxTagPage = 8 << 20 // bytes
	maxTags    = 100_000
)

// Tags lists the tags of a repository, in the registry's order. A repository that does not exist is a *release.Fault, and so is one with more
// than 100,000 tags. Tags that are not of the form that OCI allows are left out.
// Source: OCI distribution-spec, "Listing Tags".
func (c *Client) Tags(ctx context.Context, repo release.Repository) ([]release.Tag, error) {
	r, err := c.open(sideRegistry, repo, false)
	if err != nil {
		return nil, err
	}
	tags, err := r.tags(ctx)
	if err != nil {
		return nil, r.fault(err, fmt.Sprintf("listing the tags of %q", repo))
	}
	return tags, nil
}

// tags reads the list of tags page by page.
func (r *repository) tags(ctx context.Context) (tags []release.Tag, err error) {
	for next := r.url("tags", "list") + "?n=1000"; next != ""; {
		content, header, err := r.get(ctx, next, http.Header{"Accept": {"application/json"}}, maxTagPage)
		if err != nil {
			return nil, err
		}
		var page struct {
			Tags []string `json:"tags"`
		}
		if err := json.Unmarshal(content, &page); err != nil {
			return nil, &malformedError{fmt.Errorf("reading the list of tags: %w", err)}
		}
		for _, text := range page.Tags {
			if tag, err := release.ParseTag(text); err == nil {
				tags = append(tags, tag)
			}
		}
		following, err := r.nextPage(next, header)
		switch {
		case err != nil:
			return nil, err
		case len(tags) > maxTags:
			return nil, fmt.Errorf("the repository has more than %d tags", maxTags)
		case following == next || following != "" && len(page.Tags) == 0:
			return nil, &malformedError{errors.New("the registry's pages of tags do not end")}
		}
		next = following
	}
	return tags, nil
}
