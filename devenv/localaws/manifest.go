package localaws

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/onedigest/onedigest/internal/release"
)

// maxManifest is the longest manifest ECR takes, in bytes.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html (imageManifest)
const maxManifest = 4 << 20

// manifest is a manifest or an index as it was pushed, and what it says that the registry cares about.
type manifest struct {
	body         []byte
	mediaType    types.MediaType
	digest       release.Digest
	blobs        []release.Digest // config and layers that must be in the repository
	children     []release.Digest // manifests of an index
	size         int64            // bytes of config and layers
	subject      release.Digest   // zero if it refers to nothing
	artifactType string
	annotations  map[string]string
}

// manifestFields are the parts of a manifest that the registry reads.
// Source: OCI image-spec, manifest.md and image-index.md.
type manifestFields struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     types.MediaType   `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *descriptor       `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Manifests     []descriptor      `json:"manifests"`
	Subject       *descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType types.MediaType `json:"mediaType"`
	Digest    string          `json:"digest"`
	Size      int64           `json:"size"`
}

// parseManifest reads a manifest; mediaType is what came with it and may be "" if the manifest names its own.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-manifest-formats.html
func parseManifest(body []byte, mediaType string) (*manifest, error) {
	if len(body) > maxManifest {
		return nil, fmt.Errorf("the manifest is %d bytes long, limit %d", len(body), maxManifest)
	}
	var fields manifestFields
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, fmt.Errorf("invalid JSON syntax: %w", err)
	}
	given := types.MediaType(strings.TrimSpace(strings.SplitN(mediaType, ";", 2)[0]))
	if given == "" {
		given = fields.MediaType
	}
	if fields.MediaType != "" && fields.MediaType != given {
		return nil, fmt.Errorf("the manifest says it is %q, the request says %q", fields.MediaType, given)
	}
	if fields.SchemaVersion != 2 {
		return nil, fmt.Errorf("schema version %d is not supported", fields.SchemaVersion)
	}
	sum := sha256.Sum256(body)
	digest, err := release.ParseDigest("sha256:" + hex.EncodeToString(sum[:]))
	if err != nil {
		return nil, err
	}
	parsed := &manifest{
		body: slices.Clone(body), mediaType: given, digest: digest,
		artifactType: fields.ArtifactType, annotations: fields.Annotations,
	}
	if err := parsed.readDescriptors(fields); err != nil {
		return nil, err
	}
	return parsed, nil
}

func (m *manifest) readDescriptors(fields manifestFields) error {
	switch m.mediaType {
	case types.OCIImageIndex, types.DockerManifestList:
		for _, child := range fields.Manifests {
			digest, err := child.parse("manifest")
			if err != nil {
				return err
			}
			m.children = append(m.children, digest)
		}
	case types.OCIManifestSchema1, types.DockerManifestSchema2:
		if fields.Config == nil {
			return fmt.Errorf("the manifest has no config")
		}
		if m.artifactType == "" {
			m.artifactType = string(fields.Config.MediaType)
		}
		for _, blob := range append([]descriptor{*fields.Config}, fields.Layers...) {
			digest, err := blob.parse("blob")
			if err != nil {
				return err
			}
			m.size += blob.Size
			// A foreign layer is never pushed, so nobody can ask for it here.
			if blob.MediaType.IsDistributable() {
				m.blobs = append(m.blobs, digest)
			}
		}
	default:
		return fmt.Errorf("media type %q is not supported", m.mediaType)
	}
	if fields.Subject != nil {
		subject, err := fields.Subject.parse("subject")
		if err != nil {
			return err
		}
		m.subject = subject
	}
	return nil
}

// maxBlobSize is the longest layer ECR takes, in bytes.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html (Maximum layer size)
const maxBlobSize = 52_000 << 20

func (d descriptor) parse(what string) (release.Digest, error) {
	digest, err := release.ParseDigest(d.Digest)
	if err != nil {
		return release.Digest{}, fmt.Errorf("%s: %w", what, err)
	}
	if d.Size < 0 || d.Size > maxBlobSize {
		return release.Digest{}, fmt.Errorf("%s %s: size %d is out of range", what, d.Digest, d.Size)
	}
	return digest, nil
}
