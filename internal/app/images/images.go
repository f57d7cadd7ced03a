// Package images is where the verbs find images and their evidence: any OCI registry, and ECR.
package images

import (
	"context"
	"errors"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/ecr"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
)

// Images reads and writes images and their evidence. It speaks OCI's distribution protocol, and where the registry is ECR
// it uses ECR's own API for what that does in fewer requests.
type Images struct {
	registry *registry.Client
	ecr      *ecr.Client
	reporter release.Reporter
}

// New reads the AWS configuration of the environment; it sends nothing.
func New(ctx context.Context, run *app.RunContext) (*Images, error) {
	cloud, err := ecr.New(ctx, ecr.Options{Environ: run.Process.Getenv})
	if err != nil {
		return nil, err
	}
	return &Images{ecr: cloud, reporter: run.Reporter, registry: registry.New(registry.Options{
		Credentials:  credentials(cloud, run.Mask),
		Refused:      cloud.Forget,
		DockerConfig: true,
		Log:          func(line string) { run.Reporter.Infof("%s", line) },
		UserAgent:    "onedigest",
	})}, nil
}

// credentials asks ECR for its own registries and leaves the others to the user's docker configuration.
func credentials(cloud *ecr.Client, mask func(string)) registry.Credentials {
	return func(ctx context.Context, host string) (string, string, error) {
		owned, err := cloud.Owns(ctx, host)
		if err != nil || !owned {
			return "", "", err
		}
		username, password, _, err := cloud.Credentials(ctx, host)
		mask(password)
		return username, password, err
	}
}

// Find reads what a repository holds under a tag; false if nothing.
func (i *Images) Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error) {
	return i.registry.Find(ctx, repository, tag)
}

// Describe reads what an image is labelled with; false if the repository does not hold it.
func (i *Images) Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error) {
	return i.registry.Describe(ctx, image)
}

// Fetch downloads an image for several platforms into dir.
func (i *Images) Fetch(ctx context.Context, image release.Image, platforms []release.Platform, dir string) (release.Layout, error) {
	return i.registry.Fetch(ctx, image, platforms, dir)
}

// Platforms lists the images that a digest stands for; false if the repository does not hold it.
func (i *Images) Platforms(ctx context.Context, image release.Image) ([]release.PlatformImage, bool, error) {
	return i.registry.Platforms(ctx, image)
}

// Push uploads a built image under a tag. The error is a *release.TagTakenError if the tag names another image.
func (i *Images) Push(ctx context.Context, layout release.Layout, repository release.Repository, tag release.Tag, progress func(release.Progress)) error {
	return i.registry.Push(ctx, layout, repository, tag, progress)
}

// Copy copies an image into another repository by digest; it sets no tag.
func (i *Images) Copy(ctx context.Context, image release.Image, to release.Repository) error {
	return i.registry.Copy(ctx, image, to)
}

// Inspect reads what a tag names and the manifest that it is to name.
func (i *Images) Inspect(ctx context.Context, repository release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error) {
	owned, err := i.ecr.Owns(ctx, repository.Host())
	if err != nil {
		return release.TagState{}, err
	}
	if owned {
		return i.ecr.Inspect(ctx, repository, digest, tag)
	}
	return i.registry.Inspect(ctx, repository, digest, tag)
}

// Tag gives a manifest that Inspect read a tag.
func (i *Images) Tag(ctx context.Context, repository release.Repository, looked release.TagState, digest release.Digest, tag release.Tag) error {
	owned, err := i.ecr.Owns(ctx, repository.Host())
	if err != nil {
		return err
	}
	if owned {
		return i.ecr.PutTag(ctx, repository, looked.Manifest, looked.MediaType, digest, tag)
	}
	return i.registry.PutTag(ctx, repository, looked.Manifest, looked.MediaType, digest, tag)
}

// Record attaches evidence to the image, as a referrer of its digest.
func (i *Images) Record(ctx context.Context, found release.Evidence) (release.Digest, error) {
	content, err := evidence.Encode(found)
	if err != nil {
		return release.Digest{}, err
	}
	return i.registry.Attach(ctx, found.Image, evidence.ArtifactType, evidence.MediaType, content, map[string]string{
		evidence.AnnotationEnvironment: found.Environment.String(),
		evidence.AnnotationVerdict:     string(found.Verdict),
	})
}

// Newest returns the newest evidence from an environment about an image; false if there is none. A record that cannot be read
// is reported and passed over: it proves nothing, and anybody who may push can attach one. If one is not older than a pass and
// its annotations declare another verdict, the error is a *release.UnreadableRecordError, because it may outdate the pass.
func (i *Images) Newest(ctx context.Context, image release.Image, environment release.Environment) (newest release.Record, found bool, err error) {
	wanted := map[string]string{evidence.AnnotationEnvironment: environment.String()}
	var (
		against unreadable
		created string // of the newest record that can be read; "" if it is undated
	)
	for referrer, err := range i.registry.Referrers(ctx, image, evidence.ArtifactType, wanted) {
		var passedOver *registry.SkippedReferrerError
		if errors.As(err, &passedOver) {
			i.reporter.Warnf("skipping a record of %s that cannot be read: %v", image.Digest.Short(), passedOver)
			against.add(passedOver.Digest, passedOver.Annotations, environment)
			continue
		}
		if err != nil {
			return release.Record{}, false, err
		}
		record, err := evidence.Decode(referrer.Content)
		switch {
		case err != nil:
			i.reporter.Warnf("skipping the record %s: %v", referrer.Digest, err)
			against.add(referrer.Digest.String(), referrer.Annotations, environment)
			continue
		case record.Image.Digest != image.Digest:
			i.reporter.Warnf("skipping the record %s: it is about %s", referrer.Digest, record.Image.Digest)
			continue
		case record.Environment != environment:
			continue
		}
		if !found || record.At.After(newest.At) {
			newest, found = release.Record{Evidence: record, Record: referrer.Digest}, true
		}
		if created = referrer.Annotations[release.AnnotationCreated]; created != "" {
			break // the following ones are older, or undated as none of ours is
		}
	}
	if found && newest.Verdict == release.Pass && against.last != nil && against.last.Created >= created {
		return release.Record{}, false, against.last
	}
	return newest, found, nil
}

// unreadable is the last of the records that cannot be read, but declare that the environment did not prove the image.
type unreadable struct {
	last *release.UnreadableRecordError
}

// add takes a record's annotations. Those that name no verdict, or another environment, declare nothing.
func (u *unreadable) add(record string, annotations map[string]string, environment release.Environment) {
	verdict, created := annotations[evidence.AnnotationVerdict], annotations[release.AnnotationCreated]
	if verdict == "" || verdict == string(release.Pass) || annotations[evidence.AnnotationEnvironment] != environment.String() {
		return
	}
	if u.last == nil || created > u.last.Created {
		u.last = &release.UnreadableRecordError{Record: record, Environment: environment, Verdict: release.Verdict(verdict), Created: created}
	}
}

// CopyRecord copies a record about an image into another repository that holds the image. A registry that cannot list
// referrers keeps none, which is reported and is no error: the image was promoted on what its own registry holds.
func (i *Images) CopyRecord(ctx context.Context, image release.Image, record release.Digest, to release.Repository) error {
	err := i.registry.CopyReferrer(ctx, image, record, to)
	if errors.Is(err, registry.ErrNoReferrers) {
		i.reporter.Warnf("the evidence stays in %s: %v", image.Repository, err)
		return nil
	}
	return err
}
