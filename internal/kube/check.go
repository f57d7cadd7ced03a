package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// checkTime bounds the whole of Check.
const checkTime = 10 * time.Second

// needs is what no deploy can do without: the workload, to see it turn, the Secrets in which Helm keeps its revisions
// (helm.sh/helm/v3/pkg/storage/driver, secrets.go), and the Lease by which runs keep out of each other's way. What a chart needs
// besides, only the chart knows.
var needs = slices.Concat(
	may("apps", "deployments", "get", "list", "watch", "create", "patch"),
	may("", "secrets", "get", "list", "create", "update", "patch", "delete"),
	may("coordination.k8s.io", "leases", "get", "list", "watch", "create", "update"),
)

func may(group, resource string, verbs ...string) (needs []authorization.ResourceAttributes) {
	for _, verb := range verbs {
		needs = append(needs, authorization.ResourceAttributes{Verb: verb, Group: group, Resource: resource})
	}
	return needs
}

// Check finds out within ten seconds whether the cluster answers, whether the namespace is there or may be created, and
// whether we may deploy to it. It changes nothing.
//
// A namespace that is absent and not to be created is an *release.InputError; a cluster that does not answer, or forbids,
// is a *release.Fault.
func (c *Client) Check(ctx context.Context, namespace string, create bool) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	found, err := c.Kube.CoreV1().Namespaces().Get(ctx, namespace, meta.GetOptions{})
	attributes := needs
	switch {
	case apierrors.IsForbidden(err): // a user of one namespace may not read it and still deploy to it
	case apierrors.IsNotFound(err) && !create:
		return release.BadInput("--namespace (INPUT_NAMESPACE)", fmt.Sprintf("namespace %q does not exist in %s", namespace, c.Host), "give --create-namespace, or create it")
	case apierrors.IsNotFound(err):
		attributes = slices.Concat(may("", "namespaces", "create"), needs)
	case err != nil:
		return c.Fault(ctx, err, "reading namespace %q", namespace)
	case found.Status.Phase == core.NamespaceTerminating:
		return &release.Fault{Side: Side, Err: fmt.Errorf("reading namespace %q: it is being deleted", namespace), Do: "wait until it is gone, or give another"}
	}
	return c.allowed(ctx, namespace, attributes)
}

// allowed asks for every permission at once and tells all that are missing, in the order of asking.
func (c *Client) allowed(ctx context.Context, namespace string, attributes []authorization.ResourceAttributes) error {
	refused := make([]*authorization.SubjectAccessReviewStatus, len(attributes))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, wanted := range attributes {
		if wanted.Resource != "namespaces" {
			wanted.Namespace = namespace
		}
		group.Go(func() error {
			review := &authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &wanted}}
			answer, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(groupCtx, review, meta.CreateOptions{})
			if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
				return nil // nobody may ask; the deploy itself will tell
			}
			if err == nil && !answer.Status.Allowed {
				refused[i] = &answer.Status
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return c.Fault(ctx, err, "asking what is allowed in namespace %q", namespace)
	}
	return c.forbidden(ctx, namespace, attributes, refused)
}

// forbidden words what is missing, by resource; nil if nothing is.
func (c *Client) forbidden(ctx context.Context, namespace string, attributes []authorization.ResourceAttributes, refused []*authorization.SubjectAccessReviewStatus) error {
	var resources, reasons []string
	verbs := map[string][]string{}
	for i, status := range refused {
		if status == nil {
			continue
		}
		resource := attributes[i].Resource
		if attributes[i].Group != "" {
			resource += "." + attributes[i].Group
		}
		if verbs[resource] == nil {
			resources = append(resources, resource)
		}
		verbs[resource] = append(verbs[resource], attributes[i].Verb)
		if reason := cut(printable(status.Reason), 256); reason != "" && !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	if len(resources) == 0 {
		return nil
	}
	for i, resource := range resources {
		resources[i] = strings.Join(verbs[resource], ", ") + " " + resource
	}
	err := fmt.Errorf("forbidden: %s may not %s in namespace %q", c.subject(ctx), strings.Join(resources, "; "), namespace)
	if len(reasons) > 0 {
		err = fmt.Errorf("%w (%s)", err, strings.Join(reasons[:min(3, len(reasons))], "; "))
	}
	return &release.Fault{Side: Side, Err: err, Do: "ask a cluster administrator for a Role that allows it"}
}

// subject is how the cluster calls us.
func (c *Client) subject(ctx context.Context) string {
	review, err := c.Kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authentication.SelfSubjectReview{}, meta.CreateOptions{})
	if err != nil || review.Status.UserInfo.Username == "" {
		return "the kubeconfig's user"
	}
	return fmt.Sprintf("user %q", printable(review.Status.UserInfo.Username))
}
