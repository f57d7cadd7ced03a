package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
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

	statusUninstalled = "uninstalled" // with helm uninstall --keep-history
	maxStatus         = 63            // bytes of a label's value
	maxRun            = 512           // bytes of what names a run
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

// Undeployed returns the state of a release of which Helm has records and none is of a deployed revision. It returns false if one is deployed, if Helm has no record
// in a Secret or only those of an uninstalled release, and if this user may not list the records: then another tool may have applied it. The error is a *release.Fault.
func (c *Client) Undeployed(ctx context.Context, namespace, name string) (found release.Undeployed, undeployed bool, err error) {
	list, err := c.listRecords(ctx, namespace, name)
	if apierrors.IsForbidden(err) {
		return found, false, nil
	}
	if err != nil {
		return found, false, c.Fault(ctx, err, "reading the revisions of release %q in namespace %q", name, namespace)
	}
	for i := range list {
		switch revision, status := revisionOf(&list[i]), list[i].Labels[recordStatus]; {
		case status == statusDeployed:
			return release.Undeployed{}, false, nil
		case revision > found.Revision:
			found.Revision, found.Status = revision, text.Line(status, maxStatus)
		}
	}
	if found.Revision == 0 || found.Status == statusUninstalled {
		found = release.Undeployed{}
		return found, false, nil
	}
	object, err := c.Dynamic.Resource(coordination.SchemeGroupVersion.WithResource("leases")).Namespace(namespace).Get(ctx, leasePrefix+name, meta.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		found.LeaseUnknown = apierrors.IsForbidden(err)
		return found, true, nil
	}
	lease := new(coordination.Lease)
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, lease)
	}
	if err != nil {
		return found, true, c.Fault(ctx, err, "reading the Lease of release %q in namespace %q", name, namespace)
	}
	if isHeld(lease, time.Now()) {
		found.Holder, found.Duration = text.Line(*lease.Spec.HolderIdentity, maxRun), leaseDuration(lease)
		found.Holder = cmp.Or(text.Line(lease.Annotations[release.AnnotationRun], maxRun), found.Holder)
		found.Heartbeat = object.GetResourceVersion()
	}
	return found, true, nil
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
	found, err := c.listRecords(ctx, namespace, name)
	if err != nil {
		return nil, c.Fault(ctx, err, "reading the revisions of release %q in namespace %q", name, namespace)
	}
	for i := range found {
		if item := &found[i]; newest == nil || revisionOf(item) > revisionOf(newest) {
			newest = item
		}
	}
	return newest, nil
}

// listRecords returns the metadata of all records of a release.
func (c *Client) listRecords(ctx context.Context, namespace, name string) ([]meta.PartialObjectMetadata, error) {
	selector := labels.SelectorFromSet(labels.Set{recordOwner: "helm", recordName: name}).String()
	list, err := c.records(namespace).List(ctx, meta.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
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
