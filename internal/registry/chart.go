package registry

import (
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
)

// chartContent is the media type of a packaged Helm chart. Source: Helm HIP 6, "OCI Support".
const chartContent = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

// Chart reads a packaged Helm chart of at most limit bytes; the reference is a tag or a digest of its manifest. It returns the manifest's
// digest too. A chart that does not exist, and a manifest that is not a chart, are an *release.InputError.
func (c *Client) Chart(ctx context.Context, repo release.Repository, reference string, limit int64) ([]byte, release.Digest, error) {
	r, err := c.open(sideRegistry, repo, false)
	if err != nil {
		return nil, release.Digest{}, err
	}
	m, found, err := r.getManifest(ctx, reference)
	if err != nil {
		return nil, release.Digest{}, r.fault(err, fmt.Sprintf("reading chart %q of %q", reference, repo))
	}
	if !found {
		return nil, release.Digest{}, release.BadSetting("chart", fmt.Sprintf("%q has no %q", repo, reference), "check the version or the digest")
	}
	read, err := m.parse()
	if err != nil {
		return nil, release.Digest{}, r.fault(err, fmt.Sprintf("reading chart %q of %q", reference, repo))
	}
	for _, layer := range read.Layers {
		digest, err := release.ParseDigest(layer.Digest)
		if layer.MediaType != chartContent || err != nil {
			continue
		}
		content, err := r.getBlob(ctx, digest, limit)
		if err != nil {
			return nil, release.Digest{}, r.fault(err, fmt.Sprintf("reading chart %q of %q", reference, repo))
		}
		return content, m.digest, nil
	}
	return nil, release.Digest{}, release.BadSetting("chart", fmt.Sprintf("%q of %q is no Helm chart", reference, repo), "push it with helm push")
}
