package kube

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Images lists the containers of the release's running pods with the digests that the kubelet reports, sorted by pod and
// container. Pods that are being deleted or have ended are left out, and so are init containers.
//
// The digest is that of the status's imageID. For an image that was pulled by digest, as the charts here do, containerd reports
// that digest: of a multi-platform image the index's, not the platform manifest's
// (https://pkg.go.dev/k8s.io/api/core/v1#ContainerStatus; containerd internal/cri/server, toContainerStatus). For an image that
// was loaded instead of pulled, a runtime reports the ID of the image's configuration, which equals no image's digest.
func (c *Client) Images(ctx context.Context, namespace, name string) ([]release.PodImage, error) {
	pods, err := c.Pods(namespace).List(ctx, meta.ListOptions{LabelSelector: instanceSelector(name)})
	if err != nil {
		return nil, c.Fault(ctx, err, "listing the pods of release %q in namespace %q", name, namespace)
	}
	var images []release.PodImage
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil || pod.Status.Phase != core.PodRunning {
			continue
		}
		for _, container := range pod.Status.ContainerStatuses {
			images = append(images, release.PodImage{Pod: pod.Name, Container: container.Name, Digest: parseImageID(container.ImageID), Ready: container.Ready})
		}
	}
	slices.SortFunc(images, func(a, b release.PodImage) int {
		return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Container, b.Container))
	})
	return images, nil
}

// parseImageID is the digest of an imageID: repository@sha256:… or sha256:…, with the prefix docker-pullable:// or docker:// of
// older runtimes or without. It is zero for any other form.
func parseImageID(imageID string) release.Digest {
	if _, rest, found := strings.Cut(imageID, "://"); found {
		imageID = rest
	}
	if _, digest, found := strings.Cut(imageID, "@"); found {
		imageID = digest
	}
	digest, err := release.ParseDigest(imageID)
	if err != nil {
		return release.Digest{}
	}
	return digest
}
