package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"golang.org/x/sync/errgroup"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// checkTime bounds the whole of Check.
const checkTime = 10 * time.Second

// maxReasons is how many of the authorizer's reasons an error repeats.
const maxReasons = 3

// deployPermissions are those that every deploy needs: on Deployments, to watch the rollout; on Secrets, where Helm stores its
// revisions (helm.sh/helm/v3/pkg/storage/driver, secrets.go); on Leases, by which runs exclude each other. Which others a chart
// needs, only the chart knows.
var deployPermissions = slices.Concat(
	permissions("apps", "deployments", "get", "list", "watch", "create", "patch"),
	permissions("", "secrets", "get", "list", "create", "update", "patch", "delete"),
	permissions("coordination.k8s.io", "leases", "get", "list", "watch", "create", "update"),
)

func permissions(group, resource string, verbs ...string) (wanted []authorization.ResourceAttributes) {
	for _, verb := range verbs {
		wanted = append(wanted, authorization.ResourceAttributes{Verb: verb, Group: group, Resource: resource})
	}
	return wanted
}

// Check finds out within ten seconds whether the cluster answers, whether the namespace exists or may be created, and whether
// this user may deploy to it. It changes nothing.
//
// A namespace that does not exist and is not to be created is an *release.InputError. A cluster that does not answer, and a
// missing permission, are a *release.Fault.
func (c *Client) Check(ctx context.Context, namespace string, create bool) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	found, err := c.namespaces().Get(ctx, namespace, meta.GetOptions{})
	wanted := deployPermissions
	switch {
	case apierrors.IsForbidden(err): // a user limited to one namespace may not read it and may still deploy to it
	case apierrors.IsNotFound(err) && !create:
		return release.BadSetting("namespace", fmt.Sprintf("namespace %q does not exist in %s", namespace, c.Host), "give --create-namespace, or create it")
	case apierrors.IsNotFound(err):
		wanted = slices.Concat(permissions("", "namespaces", "create"), deployPermissions)
	case err != nil:
		return c.Fault(ctx, err, "reading namespace %q", namespace)
	case found.Status.Phase == core.NamespaceTerminating:
		return &release.Fault{Side: Side, Err: fmt.Errorf("reading namespace %q: it is being deleted", namespace), Do: "wait until it is deleted, or give another namespace"}
	}
	return c.checkPermissions(ctx, namespace, wanted)
}

// checkPermissions reviews every permission at once and reports all missing ones, in the order of wanted.
func (c *Client) checkPermissions(ctx context.Context, namespace string, wanted []authorization.ResourceAttributes) error {
	denied := make([]*authorization.SubjectAccessReviewStatus, len(wanted))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, attributes := range wanted {
		if attributes.Resource != "namespaces" {
			attributes.Namespace = namespace
		}
		group.Go(func() error {
			review := &authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes}}
			reviewed, err := c.accessReviews().Create(groupCtx, review, meta.CreateOptions{})
			if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
				return nil // the cluster does not let this user ask; the deploy itself will show what is missing
			}
			if err == nil && !reviewed.Status.Allowed {
				denied[i] = &reviewed.Status
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return c.Fault(ctx, err, "checking permissions in namespace %q", namespace)
	}
	return c.permissionError(ctx, namespace, wanted, denied)
}

// permissionError lists the denied permissions by resource; nil if none is.
func (c *Client) permissionError(ctx context.Context, namespace string, wanted []authorization.ResourceAttributes, denied []*authorization.SubjectAccessReviewStatus) error {
	var resources, reasons []string
	verbs := map[string][]string{}
	for i, status := range denied {
		if status == nil {
			continue
		}
		resource := wanted[i].Resource
		if wanted[i].Group != "" {
			resource += "." + wanted[i].Group
		}
		if verbs[resource] == nil {
			resources = append(resources, resource)
		}
		verbs[resource] = append(verbs[resource], wanted[i].Verb)
		if reason := text.Line(status.Reason, 256); reason != "" && !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	if len(resources) == 0 {
		return nil
	}
	for i, resource := range resources {
		resources[i] = strings.Join(verbs[resource], ", ") + " " + resource
	}
	err := fmt.Errorf("forbidden: %s may not %s in namespace %q", c.username(ctx), strings.Join(resources, "; "), namespace)
	if len(reasons) > 0 {
		err = fmt.Errorf("%w (%s)", err, strings.Join(reasons[:min(maxReasons, len(reasons))], "; "))
	}
	return &release.Fault{Side: Side, Err: err, Do: "ask a cluster administrator for a Role that allows it"}
}

// username is this user as the cluster has authenticated it, for an error message.
func (c *Client) username(ctx context.Context) string {
	review, err := c.subjectReviews().Create(ctx, &authentication.SelfSubjectReview{}, meta.CreateOptions{})
	if err != nil || review.Status.UserInfo.Username == "" {
		return "the kubeconfig's user"
	}
	return fmt.Sprintf("user %q", text.Line(review.Status.UserInfo.Username, 256))
}
