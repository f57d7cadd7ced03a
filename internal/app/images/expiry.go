package images

import (
	"context"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	expiryHorizon   = 30 * 24 * time.Hour // an image that will be lost within this time is reported
	expiryTimeout   = 20 * time.Second    // for one repository
	maxExpiriesTold = 3
)

// expiryChecks are the checks of WatchExpiry.
type expiryChecks struct {
	running sync.WaitGroup
	failed  sync.Once
}

// WatchExpiry starts to check whether the lifecycle policy of an ECR repository will delete or archive an image in spite of its new tag, or an image that
// was released to the environment before. FinishExpiry waits for the check. Both only warn; one warning says if the role may not read the policy.
func (i *Images) WatchExpiry(ctx context.Context, image release.Image, tag release.Tag, to release.Environment) {
	i.expiry.running.Go(func() { i.warnExpiring(ctx, image, tag, to) })
}

// FinishExpiry waits for the checks that WatchExpiry started.
func (i *Images) FinishExpiry() { i.expiry.running.Wait() }

// warnExpiring warns of an image that its repository will delete or archive, and of earlier images of the environment, if one is given.
func (i *Images) warnExpiring(ctx context.Context, image release.Image, tag release.Tag, to release.Environment) {
	owned, err := i.ecr.Owns(ctx, image.Repository.Host())
	if err != nil || !owned {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, expiryTimeout)
	defer cancel()
	prefix := ""
	if to != "" {
		prefix = to.String() + "-"
	}
	now := i.now()
	expiries, err := i.ecr.Expiring(ctx, image, tag, prefix, now, now.Add(expiryHorizon))
	if err != nil {
		i.expiry.failed.Do(func() {
			i.reporter.Warnf("cannot determine whether the registry will keep the released images: %v", err)
		})
		return
	}
	for n, each := range expiries {
		switch {
		case each.Image == image:
			i.reporter.Warnf("%s %s", image, each.Explain(now))
		case n < maxExpiriesTold:
			i.reporter.Warnf("%s, which was released to %q before and may be rolled back to, %s", each.Image, to, each.Explain(now))
		}
	}
	if more := len(expiries) - maxExpiriesTold; more > 0 {
		i.reporter.Warnf("%d more images that were released to %q are, or soon will be, deleted or archived", more, to)
	}
}
