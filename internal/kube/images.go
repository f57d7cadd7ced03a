package kube

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Images is what the kubelet says that the release's pods run, by pod and container; pods that end or have ended do not
// count, nor do init containers.
//
// The digest is that of the imageID. For an image that was pulled by digest, as our chart's are, containerd reports the
// digest it was pulled by: for a multi-platform image the index's, not that of the platform's manifest
// (https://pkg.go.dev/k8s.io/api/core/v1#ContainerStatus; containerd internal/cri/server, toContainerStatus). A runtime that
// knows no repository digest, for an image that was loaded, not pulled, reports the id of the image's configuration instead:
// that is no image's digest and equals none.
func (c *Client) Images(ctx context.Context, namespace, name string) ([]release.PodImage, error) {
	pods, err := c.Kube.CoreV1().Pods(namespace).List(ctx, meta.ListOptions{LabelSelector: labels.SelectorFromSet(labels.Set{instanceLabel: name}).String()})
	if err != nil {
		return nil, c.Fault(ctx, err, "listing the pods of release %q in namespace %q", name, namespace)
	}
	var images []release.PodImage
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil || pod.Status.Phase != core.PodRunning {
			continue
		}
		for _, container := range pod.Status.ContainerStatuses {
			images = append(images, release.PodImage{Pod: pod.Name, Container: container.Name, Digest: digestOf(container.ImageID), Ready: container.Ready})
		}
	}
	slices.SortFunc(images, func(a, b release.PodImage) int {
		return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Container, b.Container))
	})
	return images, nil
}

// digestOf reads an imageID: repository@sha256:…, or sha256:… alone, behind docker-pullable:// or docker:// of older
// runtimes. Zero if it is neither.
func digestOf(imageID string) release.Digest {
	_, rest, schemed := strings.Cut(imageID, "://")
	if schemed {
		imageID = rest
	}
	if _, digest, named := strings.Cut(imageID, "@"); named {
		imageID = digest
	}
	digest, err := release.ParseDigest(imageID)
	if err != nil {
		return release.Digest{}
	}
	return digest
}
