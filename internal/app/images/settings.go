package images

import (
	"context"

	"github.com/onedigest/onedigest/internal/release"
)

// IsECR reports whether a repository is one of ECR.
func (i *Images) IsECR(ctx context.Context, repository release.Repository) (bool, error) {
	return i.ecr.Owns(ctx, repository.Host())
}

// Settings returns the settings of a repository of ECR. One that does not exist is no error.
func (i *Images) Settings(ctx context.Context, repository release.Repository) (release.RepositorySettings, error) {
	return i.ecr.Settings(ctx, repository)
}

// TagSettings returns the settings of a repository of ECR; none of another registry's, which does not say whether a tag can move.
func (i *Images) TagSettings(ctx context.Context, repository release.Repository) (release.RepositorySettings, error) {
	if isECR, err := i.IsECR(ctx, repository); err != nil || !isECR {
		return release.RepositorySettings{}, err
	}
	return i.Settings(ctx, repository)
}

// ExpiryRule returns the priority of the rule by which a repository of ECR removes, some day, images with a tag, 0 if none does; and whether it has a lifecycle
// policy.
func (i *Images) ExpiryRule(ctx context.Context, repository release.Repository, tag release.Tag) (priority int, has bool, err error) {
	return i.ecr.ExpiryRule(ctx, repository, tag)
}

// HasReferrersAPI reports whether the registry of a repository lists what is attached to an image. Of a registry that cannot be read, the error is a *release.Fault.
func (i *Images) HasReferrersAPI(ctx context.Context, repository release.Repository) (bool, error) {
	return i.registry.HasReferrersAPI(ctx, repository)
}
