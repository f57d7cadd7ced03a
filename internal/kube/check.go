package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"golang.org/x/sync/errgroup"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxReviews is how many access reviews are in flight at once.
const maxReviews = 32

// checkTime bounds the whole of Check.
const checkTime = 10 * time.Second

// maxReasons is how many of the authorizer's reasons an error repeats.
const maxReasons = 3

// namespacePermission is needed to create a namespace. It must be granted by a ClusterRole.
var namespacePermission = release.Permission{Resource: "namespaces", Cluster: true, Verbs: []string{"create"}, For: "create-namespace"}

// Check finds out within ten seconds whether the cluster answers, whether the namespace exists or may be created, and whether
// this user has the Permissions. It changes nothing. The limits describe what does not work because an optional permission is
// missing.
//
// A namespace that does not exist, unless it is to be created, is a *release.InputError. A cluster that does not answer, and a
// missing permission, are a *release.Fault.
func (c *Client) Check(ctx context.Context, namespace string, create bool) (limits []string, err error) {
	return c.check(ctx, namespace, create, Permissions)
}

// CheckGitOps is Check for a release that a GitOps controller applies: it asks for the GitOpsPermissions.
func (c *Client) CheckGitOps(ctx context.Context, namespace string, create bool) (limits []string, err error) {
	return c.check(ctx, namespace, create, GitOpsPermissions)
}

func (c *Client) check(ctx context.Context, namespace string, create bool, permissions []release.Permission) (limits []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	found, err := c.namespaces().Get(ctx, namespace, meta.GetOptions{})
	wanted := permissions
	switch {
	case apierrors.IsForbidden(err): // a user limited to one namespace may not read it and may still deploy to it
	case apierrors.IsNotFound(err) && !create:
		return nil, release.BadSetting("namespace", fmt.Sprintf("namespace %q does not exist in %s", namespace, c.Host), "give --create-namespace, or create it")
	case apierrors.IsNotFound(err):
		wanted = slices.Concat([]release.Permission{namespacePermission}, permissions)
	case err != nil:
		return nil, c.Fault(ctx, err, "reading namespace %q", namespace)
	case found.Status.Phase == core.NamespaceTerminating:
		return nil, &release.Fault{Side: Side, Err: fmt.Errorf("reading namespace %q: it is being deleted", namespace), Do: "wait until it is deleted, or give another namespace"}
	}
	return c.CheckPermissions(ctx, namespace, wanted)
}

// CheckPermissions asks the cluster within ten seconds whether this user has the permissions in the namespace. The limits and
// errors are those of Check; all missing permissions are in one error, in the given order.
func (c *Client) CheckPermissions(ctx context.Context, namespace string, wanted []release.Permission) (limits []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	reviews, err := c.review(ctx, namespace, wanted)
	if err == nil {
		err = c.reviewNames(ctx, namespace, wanted, reviews)
	}
	if err != nil {
		return nil, c.Fault(ctx, err, "checking permissions in namespace %q", namespace)
	}
	var missing, reasons []string
	username := sync.OnceValue(func() string { return c.username(ctx) })
	for i, permission := range wanted {
		var verbs []string
		for _, status := range reviews[i] {
			if status.Allowed {
				continue
			}
			verbs = append(verbs, status.verb)
			if reason := text.Line(status.Reason, 256); reason != "" && !slices.Contains(reasons, reason) {
				reasons = append(reasons, reason)
			}
		}
		switch denied := strings.Join(verbs, ", ") + " " + permission.Name() + otherScope(permission, namespace); {
		case len(verbs) == 0:
		case permission.Without != "":
			limits = append(limits, fmt.Sprintf("%s may not %s in namespace %q: %s", username(), denied, namespace, permission.Without))
		default:
			missing = append(missing, denied)
		}
	}
	if len(missing) == 0 {
		return limits, nil
	}
	err = fmt.Errorf("forbidden: %s may not %s in namespace %q", username(), strings.Join(missing, "; "), namespace)
	if len(reasons) > 0 {
		err = fmt.Errorf("%w (%s)", err, strings.Join(reasons[:min(maxReasons, len(reasons))], "; "))
	}
	return nil, &release.Fault{Side: Side, Err: err, Do: "ask a cluster administrator for the Role in docs/rbac"}
}

// Missing returns those of the permissions that this user lacks in a namespace, each with the verbs that are denied. asked is false if the cluster does not let the user
// ask: none is known then. The errors are those of Check.
func (c *Client) Missing(ctx context.Context, namespace string, wanted []release.Permission) (missing []release.Permission, asked bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	question := &authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorization.ResourceAttributes{Namespace: namespace, Verb: "list", Resource: "pods"}}}
	_, err = c.ask(ctx, question)
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	var reviews [][]reviewed
	if err == nil {
		reviews, err = c.review(ctx, namespace, wanted)
	}
	if err == nil {
		err = c.reviewNames(ctx, namespace, wanted, reviews)
	}
	if err != nil {
		return nil, true, c.Fault(ctx, err, "checking permissions in namespace %q", namespace)
	}
	for i, permission := range wanted {
		permission.Verbs = nil
		for _, status := range reviews[i] {
			if !status.Allowed {
				permission.Verbs = append(permission.Verbs, status.verb)
			}
		}
		if len(permission.Verbs) > 0 {
			missing = append(missing, permission)
		}
	}
	return missing, true, nil
}

// NamespacePhase returns the phase of a namespace, Active or Terminating, "" if it does not exist; known is false if this user may not read it. The error
// is that of Check.
func (c *Client) NamespacePhase(ctx context.Context, namespace string) (phase string, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	found, err := c.namespaces().Get(ctx, namespace, meta.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return "", false, nil
	case apierrors.IsNotFound(err):
		return "", true, nil
	case err != nil:
		return "", false, c.Fault(ctx, err, "reading namespace %q", namespace)
	case found.Status.Phase == core.NamespaceTerminating:
		return string(core.NamespaceTerminating), true, nil
	}
	return string(core.NamespaceActive), true, nil
}

// checkNamespaces refuses namespaces that certainly do not exist, all of them together.
func (c *Client) checkNamespaces(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var problems []release.Problem
	for _, name := range names {
		_, err := c.namespaces().Get(ctx, name, meta.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			problems = append(problems, release.Problem{Setting: "chart", What: fmt.Sprintf("it has objects in namespace %q, which does not exist in %s", name, c.Host),
				Do: "create the namespace, or set another in the values"})
		case err != nil && !apierrors.IsForbidden(err):
			return c.Fault(ctx, err, "reading namespace %q", name)
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// DeleteNamespacePermission is the rule that deleting a namespace needs.
func DeleteNamespacePermission() release.Permission {
	return release.Permission{Resource: "namespaces", Cluster: true, Verbs: []string{"get", "delete"}, For: "delete-namespace"}
}

// CreateNamespacePermission is the rule that creating a namespace needs.
func CreateNamespacePermission() release.Permission { return namespacePermission }

// otherScope returns where a permission is needed, if not in the namespace of the message.
func otherScope(permission release.Permission, namespace string) string {
	switch {
	case permission.Cluster:
		return " (in the whole cluster)"
	case permission.Namespace != "" && permission.Namespace != namespace:
		return fmt.Sprintf(" (in namespace %q)", permission.Namespace)
	}
	return ""
}

// reviewed is the cluster's answer about one verb.
type reviewed struct {
	authorization.SubjectAccessReviewStatus
	verb string
}

// review asks the cluster in parallel whether each verb of each permission is allowed. If the user may not create access reviews, all
// count as allowed: the deploy itself will show what is missing.
func (c *Client) review(ctx context.Context, namespace string, wanted []release.Permission) ([][]reviewed, error) {
	return c.reviewEach(ctx, namespace, wanted, false)
}

// mayEverything reports whether this user may do everything with every object of a namespace, "" for the whole cluster: then no single verb has to be
// asked for. It asks once for each namespace. If the cluster does not answer, the result is false. Source: Kubernetes API, ResourceAttributes of authorization.k8s.io/v1
// ("*" means all).
func (c *Client) mayEverything(ctx context.Context, namespace string) bool {
	ask := sync.OnceValue(func() bool {
		answer, err := c.ask(ctx, &authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorization.ResourceAttributes{Namespace: namespace, Verb: "*", Group: "*", Version: "*", Resource: "*"}}})
		return err == nil && answer.Status.Allowed
	})
	asked, _ := c.everything.LoadOrStore(namespace, ask)
	isAllowed, _ := asked.(func() bool)
	return isAllowed != nil && isAllowed()
}

// scopeOf returns the namespace in which a permission is needed, "" for the whole cluster.
func scopeOf(permission release.Permission, namespace string) string {
	if permission.Cluster {
		return ""
	}
	return cmp.Or(permission.Namespace, namespace)
}

// reviewEach does what review does. With byName it asks only about the object that each permission names.
func (c *Client) reviewEach(ctx context.Context, namespace string, wanted []release.Permission, byName bool) ([][]reviewed, error) {
	answers := make([][]reviewed, len(wanted))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxReviews)
	for i, permission := range wanted {
		answers[i] = make([]reviewed, len(permission.Verbs))
		resource, subresource, _ := strings.Cut(permission.Resource, "/")
		scope := scopeOf(permission, namespace)
		all := c.mayEverything(ctx, scope)
		for j, verb := range permission.Verbs {
			attributes := &authorization.ResourceAttributes{Namespace: scope, Verb: verb, Group: permission.Group, Resource: resource, Subresource: subresource}
			if byName {
				attributes.Name = permission.Names[0]
			}
			answers[i][j].verb, answers[i][j].Allowed = verb, true
			if all {
				continue
			}
			group.Go(func() error {
				if _, known := c.allowed.Load(*attributes); known {
					return nil
				}
				review := &authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes}}
				answer, err := c.ask(groupCtx, review)
				if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
					return nil
				}
				if err == nil {
					answers[i][j].SubjectAccessReviewStatus = answer.Status
				}
				if err == nil && answer.Status.Allowed {
					c.allowed.Store(*attributes, true)
				}
				return err
			})
		}
	}
	return answers, group.Wait()
}

// namedVerbs are the verbs of requests for one object, which a rule may limit by resourceNames. The request that creates an object does
// not name it (kubernetes.io, "Using RBAC Authorization", Referring to resources).
var namedVerbs = []string{"get", "patch", "update", "delete"}

// followedByName reports whether the rollout lists and watches the permission's only object by its name (metadata.name), which a rule with resourceNames
// allows. Pods, ReplicaSets and claims are always listed and watched without a name.
func followedByName(permission release.Permission) bool {
	return len(permission.Names) == 1 && !slices.Contains([]string{"pods", "replicasets.apps", "persistentvolumeclaims"}, permission.Name())
}

// reviewNames asks about the objects themselves where a verb is denied on all objects of a kind.
func (c *Client) reviewNames(ctx context.Context, namespace string, wanted []release.Permission, reviews [][]reviewed) error {
	for i, permission := range wanted {
		for j, status := range reviews[i] {
			named := slices.Contains(namedVerbs, status.verb) || followedByName(permission) && (status.verb == "list" || status.verb == "watch")
			if status.Allowed || !named || len(permission.Names) == 0 {
				continue
			}
			permission.Verbs = []string{status.verb}
			byName := make([]release.Permission, len(permission.Names))
			for k, name := range permission.Names {
				byName[k] = permission
				byName[k].Names = []string{name}
			}
			answers, err := c.reviewEach(ctx, namespace, byName, true)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(answers, func(a []reviewed) bool { return !a[0].Allowed }) {
				reviews[i][j].Allowed = true
			}
		}
	}
	return nil
}

// username returns the name with which the cluster has authenticated this user, for an error message.
func (c *Client) username(ctx context.Context) string {
	review, err := c.subjectReviews().Create(ctx, &authentication.SelfSubjectReview{}, meta.CreateOptions{})
	if err != nil || review.Status.UserInfo.Username == "" {
		return "the kubeconfig's user"
	}
	return fmt.Sprintf("user %q", text.Line(review.Status.UserInfo.Username, 256))
}

// ask sends an access review, and once more if its connection broke: a question changes nothing.
func (c *Client) ask(ctx context.Context, review *authorization.SelfSubjectAccessReview) (*authorization.SelfSubjectAccessReview, error) {
	answer, err := c.accessReviews().Create(ctx, review, meta.CreateOptions{})
	if err != nil && ctx.Err() == nil && httpx.IsTransient(err) {
		return c.accessReviews().Create(ctx, review, meta.CreateOptions{})
	}
	return answer, err
}
