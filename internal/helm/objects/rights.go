package objects

import (
	"context"
	"time"

	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/resource"
)

// reviewTime limits the question what a service account may do.
const reviewTime = 10 * time.Second

// MayDelete reports whether a service account may delete a live object, as the cluster says; true if the cluster does not say, as to a user that may create no
// LocalSubjectAccessReview.
// Source: kubernetes.io, "Authorization", Checking API access; "Authentication", Service account tokens.
func (c *Cluster) MayDelete(namespace, account string, live *resource.Info) bool {
	clients, err := c.Factory.KubernetesClientSet()
	if err != nil {
		return true
	}
	const prefix = "system:serviceaccount"
	spec := authorization.SubjectAccessReviewSpec{User: prefix + ":" + namespace + ":" + account, Groups: []string{prefix + "s", prefix + "s:" + namespace, "system:authenticated"}}
	ctx, cancel := context.WithTimeout(context.Background(), reviewTime)
	defer cancel()
	for _, verb := range []string{"delete", "deletecollection"} {
		spec.ResourceAttributes = &authorization.ResourceAttributes{Namespace: live.Namespace, Verb: verb, Group: live.Mapping.Resource.Group, Resource: live.Mapping.Resource.Resource}
		if verb == "delete" {
			spec.ResourceAttributes.Name = live.Name
		}
		var status authorization.SubjectAccessReviewStatus
		if live.Namespace == "" {
			answer, err := clients.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorization.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
			if err != nil {
				return true
			}
			status = answer.Status
		} else {
			review := &authorization.LocalSubjectAccessReview{ObjectMeta: metav1.ObjectMeta{Namespace: live.Namespace}, Spec: spec}
			answer, err := clients.AuthorizationV1().LocalSubjectAccessReviews(live.Namespace).Create(ctx, review, metav1.CreateOptions{})
			if err != nil {
				return true
			}
			status = answer.Status
		}
		if status.Allowed || status.EvaluationError != "" && !status.Denied {
			return true
		}
	}
	return false
}
