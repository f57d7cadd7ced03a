package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
)

// How Helm labels its record of a revision, a Secret (helm.sh/helm/v3/pkg/storage/driver, secrets.go).
const (
	recordName     = "name"
	recordOwner    = "owner"
	recordVersion  = "version"
	recordStatus   = "status"
	statusDeployed = "deployed"
)

// LiveRevision returns the number of the revision that a Helm release runs: its newest revision if Helm's status is deployed. It
// returns 0 if Helm did not install the release, and if the newest revision failed or is in progress.
func (c *Client) LiveRevision(ctx context.Context, namespace, name string) (int, error) {
	newest, err := c.newestRecord(ctx, namespace, name)
	if err != nil || newest == nil || newest.Labels[recordStatus] != statusDeployed {
		return 0, err
	}
	return revisionOf(newest), nil
}

// MarkRevision marks a revision, which must be the live one, with the result of a smoke. It changes only that label of Helm's
// record, and does not read the record's content. If the revision is no longer live, the error is a *release.Failure.
func (c *Client) MarkRevision(ctx context.Context, namespace, name string, revision int, mark release.Mark) error {
	for {
		newest, err := c.newestRecord(ctx, namespace, name)
		if err != nil {
			return err
		}
		if newest == nil || revisionOf(newest) != revision || newest.Labels[recordStatus] != statusDeployed {
			return &release.Failure{What: fmt.Sprintf("revision %d of release %q in namespace %q is not live any more", revision, name, namespace)}
		}
		if !mark.Replaces(release.ParseMark(newest.Labels[release.LabelMark], revision)) {
			return nil
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"resourceVersion": newest.ResourceVersion, "labels": map[string]any{release.LabelMark: mark.LabelValue(revision)},
		}})
		if err != nil {
			return err
		}
		_, err = c.records(namespace).Patch(ctx, newest.Name, types.MergePatchType, patch, meta.PatchOptions{})
		if err == nil {
			return nil
		}
		if !apierrors.IsConflict(err) || ctx.Err() != nil {
			return c.Fault(ctx, err, "marking revision %d of release %q in namespace %q as %s", revision, name, namespace, mark)
		}
	}
}

// newestRecord returns the metadata of a release's newest record, nil if it has none.
func (c *Client) newestRecord(ctx context.Context, namespace, name string) (newest *meta.PartialObjectMetadata, err error) {
	selector := labels.SelectorFromSet(labels.Set{recordOwner: "helm", recordName: name}).String()
	found, err := c.records(namespace).List(ctx, meta.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, c.Fault(ctx, err, "reading the revisions of release %q in namespace %q", name, namespace)
	}
	for i := range found.Items {
		if item := &found.Items[i]; newest == nil || revisionOf(item) > revisionOf(newest) {
			newest = item
		}
	}
	return newest, nil
}

// revisionOf returns the revision number in a record's labels, 0 if it is not a record of Helm's.
func revisionOf(record *meta.PartialObjectMetadata) int {
	revision, err := strconv.Atoi(record.Labels[recordVersion])
	if err != nil {
		return 0
	}
	return revision
}

// records returns the client for the metadata of Secrets, where Helm stores its records.
func (c *Client) records(namespace string) metadata.ResourceInterface {
	return c.metadata.Resource(core.SchemeGroupVersion.WithResource("secrets")).Namespace(namespace)
}
