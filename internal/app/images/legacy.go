package images

import (
	"context"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/release"
)

// RefuseLegacy says whether the first signed bundle for an image with a cosign 2 signature is refused instead of warned about.
func (i *Images) RefuseLegacy(refuse bool) { i.refuseLegacy = refuse }

// CheckSigning refuses what signing a statement about an image would refuse because of a signature of cosign 2, so that a verb finds it before it changes
// anything. Without a signer, or if such a signature is only warned about, it reads nothing.
func (i *Images) CheckSigning(ctx context.Context, image release.Image) error {
	if i.signer == nil || !i.refuseLegacy {
		return nil
	}
	return i.checkLegacy(ctx, image)
}

// checkLegacy looks for a signature of cosign 2 before the first bundle is attached to an image. cosign 3 looks at bundles first, and ignores
// such a signature as soon as there is any bundle. Source: cosign 3, pkg/cosign/verify.go, and its flag --new-bundle-format.
func (i *Images) checkLegacy(ctx context.Context, image release.Image) error {
	tag := release.Tag(strings.Replace(image.Digest.String(), ":", "-", 1) + ".sig")
	_, found, err := i.registry.Find(ctx, image.Repository, tag)
	if err != nil || !found {
		return err
	}
	bundles, err := i.registry.ListReferrers(ctx, image, []string{signed.MediaType}, nil)
	if err != nil || len(bundles) > 0 {
		return err
	}
	what := fmt.Sprintf("%s has a signature of cosign 2 (tag %s), which cosign 3 ignores beside signed evidence", image, tag)
	if i.refuseLegacy {
		return &release.Refusal{Why: what, Do: "sign the image again with cosign 3, or set --legacy-signatures warn and verify it with --new-bundle-format=false"}
	}
	i.reporter.Warnf("%s: verify it with --new-bundle-format=false, or sign it again with cosign 3 (--legacy-signatures)", what)
	return nil
}
