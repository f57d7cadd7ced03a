package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/onedigest/onedigest/internal/release"
)

// MaxManifest is the largest manifest that ECR accepts, in bytes.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html (imageManifest)
const MaxManifest = 4 << 20

// Manifest is a manifest or an index as it was pushed, and the parts of it that the registry uses.
type Manifest struct {
	Body         []byte
	MediaType    types.MediaType
	Digest       release.Digest
	Blobs        []release.Digest // config and layers that must be in the repository
	Children     []release.Digest // manifests of an index
	Size         int64            // bytes of config and layers
	Subject      release.Digest   // zero if it has none
	ArtifactType string
	Annotations  map[string]string
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

// ParseManifest parses a manifest; mediaType is the request's and may be "" if the manifest contains its own.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-manifest-formats.html
func ParseManifest(body []byte, mediaType string) (*Manifest, error) {
	if len(body) > MaxManifest {
		return nil, fmt.Errorf("the manifest is %d bytes long, limit %d", len(body), MaxManifest)
	}
	var fields manifestFields
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, fmt.Errorf("invalid JSON syntax: %w", err)
	}
	requested := types.MediaType(strings.TrimSpace(strings.SplitN(mediaType, ";", 2)[0]))
	if requested == "" {
		requested = fields.MediaType
	}
	if fields.MediaType != "" && fields.MediaType != requested {
		return nil, fmt.Errorf("the manifest says it is %q, the request says %q", fields.MediaType, requested)
	}
	if fields.SchemaVersion != 2 {
		return nil, fmt.Errorf("schema version %d is not supported", fields.SchemaVersion)
	}
	parsed := &Manifest{
		Body: slices.Clone(body), MediaType: requested, Digest: release.DigestOf(body),
		ArtifactType: fields.ArtifactType, Annotations: fields.Annotations,
	}
	if err := parsed.readDescriptors(fields); err != nil {
		return nil, err
	}
	return parsed, nil
}

// readDescriptors collects the manifest's config, layers and children, and their sizes.
func (m *Manifest) readDescriptors(fields manifestFields) error {
	switch m.MediaType {
	case types.OCIImageIndex, types.DockerManifestList:
		for _, child := range fields.Manifests {
			digest, err := child.parse("manifest")
			if err != nil {
				return err
			}
			m.Children = append(m.Children, digest)
		}
	case types.OCIManifestSchema1, types.DockerManifestSchema2:
		if fields.Config == nil {
			return fmt.Errorf("the manifest has no config")
		}
		if m.ArtifactType == "" {
			m.ArtifactType = string(fields.Config.MediaType)
		}
		for _, blob := range append([]descriptor{*fields.Config}, fields.Layers...) {
			digest, err := blob.parse("blob")
			if err != nil {
				return err
			}
			m.Size += blob.Size
			// A foreign layer is never pushed, so it cannot be required.
			if blob.MediaType.IsDistributable() {
				m.Blobs = append(m.Blobs, digest)
			}
		}
	default:
		return fmt.Errorf("media type %q is not supported", m.MediaType)
	}
	if fields.Subject != nil {
		subject, err := fields.Subject.parse("subject")
		if err != nil {
			return err
		}
		m.Subject = subject
	}
	return nil
}

// MaxBlobSize is the largest layer that ECR accepts, in bytes.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html (Maximum layer size)
const MaxBlobSize = 52_000 << 20

// parse returns a descriptor's digest; what names the descriptor in errors.
func (d descriptor) parse(what string) (release.Digest, error) {
	digest, err := release.ParseDigest(d.Digest)
	if err != nil {
		return release.Digest{}, fmt.Errorf("%s: %w", what, err)
	}
	if d.Size < 0 || d.Size > MaxBlobSize {
		return release.Digest{}, fmt.Errorf("%s %s: size %d is out of range", what, d.Digest, d.Size)
	}
	return digest, nil
}
