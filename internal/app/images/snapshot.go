package images

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/onedigest/onedigest/internal/ecr"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Snapshot lists what is attached to an image, and returns the same registry that answers every question about what is attached to it from that list.
// environment is the one that is to be entered and provedIn the one that proved the image: what FactsAgainst reads of these kinds and what Newest
// reads is read ahead where ECR can do it in one request. It is for reading only: what is attached later is not in the list.
func (i *Images) Snapshot(ctx context.Context, image release.Image, environment, provedIn release.Environment, kinds ...fact.Kind) (*Images, error) {
	isVerdict := func(annotations map[string]string) bool {
		in, named := annotations[evidence.AnnotationEnvironment]
		return provedIn != "" && !isOther(annotations) && (!named || in == provedIn.String())
	}
	return i.snapshotOf(ctx, image, isVerdict, func(annotations map[string]string) bool {
		kind, declared := declaredKind(annotations)
		return !declared || isVerdict(annotations) || isAgainst(kind, annotations, environment, kinds)
	})
}

// SnapshotAll is Snapshot for every record about an image.
func (i *Images) SnapshotAll(ctx context.Context, image release.Image) (*Images, error) {
	return i.snapshotOf(ctx, image, func(annotations map[string]string) bool { return !isOther(annotations) }, func(map[string]string) bool { return true })
}

// snapshotOf lists what is attached to an image, and reads ahead what wanted accepts, and when was pushed what isVerdict accepts.
func (i *Images) snapshotOf(ctx context.Context, image release.Image, isVerdict, wanted func(annotations map[string]string) bool) (*Images, error) {
	list, err := i.registry.OpenReferrers(ctx, image, recordTypes)
	if err != nil {
		return nil, err
	}
	pushedAt, err := i.pushedAt(ctx, image.Repository)
	if err != nil {
		return nil, err
	}
	if err := list.Prefetch(ctx, wanted, isVerdict, pushedAt); err != nil {
		return nil, err
	}
	other := *i
	other.snapshot = list
	return &other, nil
}

// Quiet returns a copy of i that gives no warnings.
func (i *Images) Quiet() *Images {
	other := *i
	other.reporter = quiet{i.reporter}
	return &other
}

// quiet is a reporter that drops warnings.
type quiet struct{ release.Reporter }

func (quiet) Warnf(string, ...any) {}

// referrers reads what is attached to an image: from the snapshot, if that is of the image.
func (i *Images) referrers(ctx context.Context, image release.Image, query registry.ReferrerQuery) iter.Seq2[registry.Referrer, error] {
	if i.snapshot != nil && i.snapshot.Image() == image {
		return i.snapshot.Each(ctx, query)
	}
	return i.registry.Referrers(ctx, image, query)
}

// native reads what is attached to images of ECR by ECR's own API, which takes fewer requests and no password. Where it may not be called, that is reported
// once a repository.
func native(cloud *ecr.Client, reporter release.Reporter) func(context.Context, string) (registry.NativeReferrers, error) {
	warned := new(sync.Map)
	return func(ctx context.Context, host string) (registry.NativeReferrers, error) {
		owned, err := cloud.Owns(ctx, host)
		if err != nil || !owned {
			return nil, err
		}
		return ecrReferrers{cloud, reporter, warned}, nil
	}
}

// ecrReferrers is ECR's own API as the registry's client uses it.
type ecrReferrers struct {
	cloud    *ecr.Client
	reporter release.Reporter
	warned   *sync.Map // repositories
}

// ListReferrers implements registry.NativeReferrers.
func (e ecrReferrers) ListReferrers(ctx context.Context, image release.Image, artifactTypes []string) iter.Seq2[[]release.Descriptor, error] {
	return func(yield func([]release.Descriptor, error) bool) {
		for page, err := range e.cloud.Referrers(ctx, image, artifactTypes) {
			if err != nil && ecr.CannotList(err) {
				if _, wasWarned := e.warned.LoadOrStore(image.Repository, true); !wasWarned && !ecr.LacksImage(err) {
					e.reporter.Warnf("the evidence of images of %s is listed by the OCI referrers API, because ECR's own API does not list it here; archived records, such as a rejection, may be missing: %v", image.Repository, err)
				}
				err = fmt.Errorf("%w: %w", registry.ErrNotNative, err)
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

// Manifests implements registry.NativeReferrers.
func (e ecrReferrers) Manifests(ctx context.Context, repository release.Repository, digests []release.Digest) (map[release.Digest][]byte, error) {
	return e.cloud.Manifests(ctx, repository, digests)
}
