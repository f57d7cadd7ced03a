package kube

import (
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// parseImageID returns the repository and the digest of an imageID: repository@sha256:… or sha256:…, optionally with the prefix
// docker-pullable:// or docker:// of older runtimes. The digest is zero for any other form; the repository is "" if there is
// none.
//
// For an image that was pulled by digest containerd reports a digest by which the node knows the image: for a multi-platform
// image the index's, not the platform manifest's. If several names have the same content, it reports any of them. For an image
// that was loaded instead of pulled, a runtime reports the digest of the image's configuration.
// Source: https://pkg.go.dev/k8s.io/api/core/v1#ContainerStatus; containerd internal/cri/server, toContainerStatus.
func parseImageID(imageID string) (release.Repository, release.Digest) {
	if _, rest, found := strings.Cut(imageID, "://"); found {
		imageID = rest
	}
	name, text, found := strings.Cut(imageID, "@")
	if !found {
		name, text = "", imageID
	}
	digest, err := release.ParseDigest(text)
	if err != nil {
		return "", release.Digest{}
	}
	repository, err := release.ParseRepository(name)
	if err != nil {
		return "", digest
	}
	return repository, digest
}
