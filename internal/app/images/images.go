// Package images is where the verbs find images and their evidence: any OCI registry, and ECR.
package images

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/roles"
	"github.com/onedigest/onedigest/internal/ecr"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Images reads and writes images and their evidence. It speaks OCI's distribution protocol, and where the registry is ECR
// it uses ECR's own API for what that does in fewer requests.
type Images struct {
	registry *registry.Client
	login    registry.Credentials
	ecr      *ecr.Client
	reporter release.Reporter
	now      func() time.Time
	secrets  *text.Secrets
	signer   signed.Signer     // nil: records are not signed
	trusted  []signed.Verifier // none: a pass needs no signature
	copiers  []signed.Verifier // whose statements that an image was copied count too
	expiry   *expiryChecks
	snapshot *registry.ReferrerList // of one image; nil: the registry is asked each time

	refuseLegacy bool // to sign beside signatures of cosign 2
}

// New reads the AWS configuration of the environment, and assumes the run's role if it has one; it sends nothing else. plainHTTP are registries that are spoken to without TLS.
func New(ctx context.Context, run *app.RunContext, plainHTTP ...string) (*Images, error) {
	log := func(line string) { run.Reporter.Infof("%s", line) }
	role, err := roles.Credentials(ctx, run)
	if err != nil {
		return nil, err
	}
	cloud, err := ecr.New(ctx, ecr.Options{Environ: run.Process.Getenv, Credentials: role, Secrets: run.Secrets, WorkTree: run.WorkTree(), Log: log})
	if err != nil {
		return nil, err
	}
	login := credentials(cloud, run.Mask)
	return &Images{ecr: cloud, expiry: new(expiryChecks), reporter: run.Reporter, secrets: run.Secrets, now: run.Process.Now, login: login, registry: registry.New(registry.Options{
		Credentials:  login,
		Refused:      cloud.Forget,
		DockerConfig: true,
		Fallback:     githubToken(run),
		Pace:         pace(cloud),
		Native:       native(cloud, run.Reporter),
		Log:          log,
		UserAgent:    "onedigest",
		PlainHTTP:    plainHTTP,
		Secrets:      run.Secrets,
	})}, nil
}

// credentials returns ECR's token for ECR registries, and nothing for others, whose logins are in the user's docker configuration.
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

// pace returns a function that limits pushes to ECR to its quota. Pushes to other registries are not limited: they answer 429 when they throttle.
func pace(cloud *ecr.Client) func(context.Context, string) error {
	return func(ctx context.Context, host string) error {
		owned, err := cloud.Owns(ctx, host)
		if err != nil || !owned {
			return err
		}
		return cloud.Pace(ctx, host)
	}
}

// Login returns the name and password for a registry that is ECR's, and "" for the others, whose logins the docker configuration has.
func (i *Images) Login(ctx context.Context, host string) (username, password string, err error) {
	return i.login(ctx, host)
}

// githubToken signs in to GitHub's registry with the job's token, where docker's configuration has nothing. Source: GitHub Docs, "Working with the
// Container registry": any user name goes with a token.
func githubToken(run *app.RunContext) registry.Credentials {
	return func(_ context.Context, host string) (string, string, error) {
		token := run.Process.Getenv("GITHUB_TOKEN")
		if host != "ghcr.io" || token == "" {
			return "", "", nil
		}
		run.Mask(token)
		return cmp.Or(run.Process.Getenv("GITHUB_ACTOR"), "token"), token, nil
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

// Chart reads a packaged Helm chart of at most limit bytes, and the digest of its manifest; the reference is a tag or a digest.
func (i *Images) Chart(ctx context.Context, repository release.Repository, reference string, limit int64) (packed, manifest []byte, err error) {
	return i.registry.Chart(ctx, repository, reference, limit)
}

// PushChart publishes a packaged Helm chart with its metadata, and returns the digest of its manifest.
func (i *Images) PushChart(ctx context.Context, repository release.Repository, tag release.Tag, config, packed []byte) (release.Digest, error) {
	return i.registry.PushChart(ctx, repository, tag, config, packed)
}

// Platforms lists the images of a digest: the image itself, or the children of an index; false if the repository does not hold it.
func (i *Images) Platforms(ctx context.Context, image release.Image) ([]release.PlatformImage, bool, error) {
	return i.registry.Platforms(ctx, image)
}

// Push uploads a built image under a tag. The error is a *release.TagTakenError if the tag names another image.
func (i *Images) Push(ctx context.Context, layout release.Layout, repository release.Repository, tag release.Tag, progress func(release.Progress)) error {
	err := i.registry.Push(ctx, layout, repository, tag, progress)
	if err == nil && !strings.Contains(tag.String(), release.DirtyMark) { // images of uncommitted work are meant to expire
		i.warnExpiring(ctx, repository.At(layout.Digest), tag, "")
	}
	return err
}

// Copy copies an image into another repository by digest; it sets no tag.
func (i *Images) Copy(ctx context.Context, image release.Image, to release.Repository, progress func(release.Progress)) error {
	return i.registry.Copy(ctx, image, to, progress)
}

// CreateRepository creates a repository of ECR unless it exists, and reports whether it did. It warns if one that exists has no lifecycle policy. Other registries create a repository with the first
// image that is pushed to it.
func (i *Images) CreateRepository(ctx context.Context, repository release.Repository) (bool, error) {
	owned, err := i.ecr.Owns(ctx, repository.Host())
	if err != nil || !owned {
		return false, err
	}
	created, err := i.ecr.CreateRepository(ctx, repository)
	if created || err != nil {
		return created, err
	}
	if has, err := i.ecr.HasLifecyclePolicy(ctx, repository); err == nil && !has { // a role that may not read it may still build
		i.reporter.Warnf("repository %q exists and has no lifecycle policy: images of uncommitted work stay in it", repository)
	}
	return false, nil
}

// Inspect reads which digest a tag names now, and the manifest of the digest that it will be moved to.
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
func (i *Images) Tag(ctx context.Context, repository release.Repository, state release.TagState, digest release.Digest, tag release.Tag) error {
	owned, err := i.ecr.Owns(ctx, repository.Host())
	if err != nil {
		return err
	}
	if owned {
		return i.ecr.PutTag(ctx, repository, state.Manifest, state.MediaType, digest, tag)
	}
	return i.registry.PutTag(ctx, repository, state.Manifest, state.MediaType, digest, tag)
}

// redact redacts what a record says in words. What identifies the image and the environment is not secret; clusters stay apart, whatever their names are.
func (i *Images) redact(found release.Evidence) release.Evidence {
	found.URL, found.Run = i.secrets.Hide(found.URL), i.secrets.Hide(found.Run)
	found.Target.Cluster, found.Target.Server = i.secrets.Pseudonym(found.Target.Cluster), i.secrets.Pseudonym(found.Target.Server)
	found.Checks, found.Pods = slices.Clone(found.Checks), slices.Clone(found.Pods)
	for _, list := range [][]string{found.Checks, found.Pods} {
		for at := range list {
			list[at] = i.secrets.Hide(list[at])
		}
	}
	return found
}
