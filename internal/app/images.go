package app

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/ecr"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
)

// images is where images and their evidence are: any OCI registry, and where the registry is ECR, ECR's own API for what
// it does in fewer requests.
type images struct {
	registry *registry.Client
	ecr      *ecr.Client
	account  *account
}

func newImages(ctx context.Context, desk *desk) (*images, error) {
	cloud, err := ecr.New(ctx, ecr.Options{Environ: desk.process.Getenv})
	if err != nil {
		return nil, err
	}
	return &images{ecr: cloud, account: desk.account, registry: registry.New(registry.Options{
		Credentials:  credentials(cloud),
		Refused:      cloud.Forget,
		DockerConfig: true,
		Log:          func(line string) { desk.account.Infof("%s", line) },
		UserAgent:    "onedigest",
	})}, nil
}

// credentials asks ECR for its own registries and leaves the others to the user's docker configuration.
func credentials(cloud *ecr.Client) registry.Credentials {
	return func(ctx context.Context, host string) (string, string, error) {
		owned, err := cloud.Owns(ctx, host)
		if err != nil || !owned {
			return "", "", err
		}
		username, password, _, err := cloud.Credentials(ctx, host)
		return username, password, err
	}
}

func (i *images) Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	return i.registry.Find(ctx, repository, tag)
}

func (i *images) Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error) {
	return i.registry.Describe(ctx, image)
}

func (i *images) Push(ctx context.Context, layout release.Layout, repository release.Repository, tag release.Tag, progress func(release.Progress)) error {
	return i.registry.Push(ctx, layout, repository, tag, progress)
}

func (i *images) Copy(ctx context.Context, image release.Image, to release.Repository, tag release.Tag) error {
	return i.registry.Copy(ctx, image, to, tag)
}

func (i *images) Inspect(ctx context.Context, repository release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
	owned, err := i.ecr.Owns(ctx, repository.Host())
	if err != nil {
		return release.TagState{}, err
	}
	if owned {
		return i.ecr.Inspect(ctx, repository, digest, tag)
	}
	return i.registry.Inspect(ctx, repository, digest, tag)
}

func (i *images) Tag(ctx context.Context, repository release.Repository, looked release.TagState, digest release.Digest, tag release.Tag) error {
	owned, err := i.ecr.Owns(ctx, repository.Host())
	if err != nil {
		return err
	}
	if owned {
		return i.ecr.PutTag(ctx, repository, looked.Manifest, looked.MediaType, digest, tag)
	}
	return i.registry.PutTag(ctx, repository, looked.Manifest, looked.MediaType, digest, tag)
}

// Record leaves evidence beside the image, as a referrer of its digest.
func (i *images) Record(ctx context.Context, found release.Evidence) (release.Digest, error) {
	content, err := evidence.Encode(found)
	if err != nil {
		return release.Digest{}, err
	}
	return i.registry.Attach(ctx, found.Image, evidence.ArtifactType, evidence.MediaType, content, map[string]string{
		"onedigest.dev/environment": found.Environment.String(),
		"onedigest.dev/verdict":     string(found.Verdict),
	})
}

// Read returns what was recorded about an image. A record that cannot be read is told and counts for nothing: anybody
// who may push can leave one.
func (i *images) Read(ctx context.Context, image release.Image) ([]release.Evidence, error) {
	referrers, err := i.registry.Referrers(ctx, image, evidence.ArtifactType)
	if err != nil {
		return nil, err
	}
	var records []release.Evidence
	for _, referrer := range referrers {
		record, err := evidence.Decode(referrer.Content)
		if err == nil && record.Image.Digest != image.Digest {
			err = fmt.Errorf("it is about %s", record.Image.Digest)
		}
		if err != nil {
			i.account.Infof("passing over the record %s: %v", referrer.Digest.Short(), err)
			continue
		}
		records = append(records, record)
	}
	return records, nil
}
