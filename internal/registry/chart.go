package registry

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/release"
)

// The media types of a packaged Helm chart and of its metadata. Source: Helm HIP 6, "OCI Support".
const (
	chartContent = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	chartConfig  = "application/vnd.cncf.helm.config.v1+json"
)

// Chart reads a packaged Helm chart of at most limit bytes; the reference is a tag or a digest of its manifest. It returns the manifest's
// bytes too. A chart that does not exist, and a manifest that is not a chart, are an *release.InputError.
func (c *Client) Chart(ctx context.Context, repo release.Repository, reference string, limit int64) (packed, manifest []byte, err error) {
	r, err := c.open(sideRegistry, repo, false)
	if err != nil {
		return nil, nil, err
	}
	m, found, err := r.getManifest(ctx, reference)
	if err != nil {
		return nil, nil, r.fault(err, fmt.Sprintf("reading chart %q of %q", reference, repo))
	}
	if !found {
		return nil, nil, release.BadSetting("chart", fmt.Sprintf("%q has no %q", repo, reference), "check the version or the digest")
	}
	read, err := m.parse()
	if err != nil {
		return nil, nil, r.fault(err, fmt.Sprintf("reading chart %q of %q", reference, repo))
	}
	for _, layer := range read.Layers {
		digest, err := release.ParseDigest(layer.Digest)
		if layer.MediaType != chartContent || err != nil {
			continue
		}
		content, err := r.getBlob(ctx, digest, limit)
		if err != nil {
			return nil, nil, r.fault(err, fmt.Sprintf("reading chart %q of %q", reference, repo))
		}
		return content, m.bytes, nil
	}
	return nil, nil, release.BadSetting("chart", fmt.Sprintf("%q of %q is not a Helm chart", reference, repo), "push it with helm push")
}

// PushChart publishes a packaged Helm chart with its metadata as JSON, as helm push does, but without the time: the same chart always has the
// same digest, which is returned. A tag that names this chart already stays as it is; one that names another is a *release.TagTakenError, because a
// published version does not change.
func (c *Client) PushChart(ctx context.Context, repo release.Repository, tag release.Tag, config, packed []byte) (release.Digest, error) {
	r, err := c.open(sideRegistry, repo, true)
	if err != nil {
		return release.Digest{}, err
	}
	digest, err := r.pushChart(ctx, tag, config, packed)
	if err != nil {
		return digest, r.fault(err, fmt.Sprintf("publishing chart %q in %q", tag, repo))
	}
	return digest, nil
}

// pushChart uploads the chart's blobs and its manifest, unless the tag names them already.
func (r *repository) pushChart(ctx context.Context, tag release.Tag, config, packed []byte) (release.Digest, error) {
	blobs := map[string][]byte{}
	describe := func(kind string, content []byte) release.Descriptor {
		digest := release.DigestOf(content).String()
		blobs[digest] = content
		return release.Descriptor{MediaType: kind, Digest: digest, Size: int64(len(content))}
	}
	configuration, layer := describe(chartConfig, config), describe(chartContent, packed)
	text, err := json.Marshal(struct {
		SchemaVersion int                  `json:"schemaVersion"`
		MediaType     string               `json:"mediaType"`
		Config        release.Descriptor   `json:"config"`
		Layers        []release.Descriptor `json:"layers"`
	}{2, string(types.OCIManifestSchema1), configuration, []release.Descriptor{layer}})
	if err != nil {
		return release.Digest{}, err
	}
	pushed := manifest{bytes: text, mediaType: string(types.OCIManifestSchema1), digest: release.DigestOf(text)}
	switch held, found, err := r.headManifest(ctx, tag.String()); {
	case err != nil:
		return pushed.digest, err
	case found && held.digest != pushed.digest:
		return pushed.digest, &release.TagTakenError{Tag: tag, Holds: held.digest, Wanted: pushed.digest}
	case found:
		return pushed.digest, nil
	}
	if err := r.upload(ctx, []release.Descriptor{configuration, layer}, blobsInMemory(blobs), "", newMeter(0, nil)); err != nil {
		return pushed.digest, err
	}
	_, err = r.putManifest(ctx, pushed, tag)
	return pushed.digest, err
}
