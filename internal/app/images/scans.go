package images

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// scanPause is the time between two questions whether a scan of ECR is final.
const scanPause = 5 * time.Second

// ScanFindings returns what ECR's own scan found in an image: in the image itself, or in those of an index. A scan that is not final after wait is a
// *release.Refusal, and so is an image that ECR did not or cannot scan. A registry that is not ECR is a *release.InputError.
func (i *Images) ScanFindings(ctx context.Context, image release.Image, platforms []release.PlatformImage, wait time.Duration) (fact.Scan, error) {
	owned, err := i.ecr.Owns(ctx, image.Repository.Host())
	if err != nil {
		return fact.Scan{}, err
	}
	if !owned {
		return fact.Scan{}, release.BadSetting("from-ecr", fmt.Sprintf("%q is not a repository of ECR", image.Repository), "give the results of a scanner (--results)")
	}
	manifests := make([]release.Digest, len(platforms))
	for at, platform := range platforms {
		manifests[at] = platform.Manifest
	}
	deadline := i.now().Add(wait)
	for logged := ""; ; {
		found, pending, err := i.ecr.ScanFindings(ctx, image.Repository, manifests)
		if err != nil || pending == "" {
			return found, err
		}
		if !i.now().Add(scanPause).Before(deadline) {
			return fact.Scan{}, &release.Refusal{Why: pending, Do: "run scan again later, or with a longer --wait"}
		}
		if pending != logged {
			i.reporter.Infof("%s", pending)
			logged = pending
		}
		select {
		case <-time.After(scanPause):
		case <-ctx.Done():
			return fact.Scan{}, context.Cause(ctx)
		}
	}
}
