package helm

import (
	"context"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// fault words an error of the cluster's, with what to do about those that a person can mend.
func fault(err error, format string, subjects ...any) error {
	do := ""
	switch {
	case apierrors.IsForbidden(err):
		do = "grant the deploying identity these rights in the namespace"
	case apierrors.IsUnauthorized(err):
		do = "the credentials are not accepted; refresh the kubeconfig"
	}
	return release.NewFault("cluster", do, err, format, subjects...)
}

// applied sorts the errors of applying a release: what the cluster refuses about the objects is the release's fault,
// everything else is the cluster's.
func applied(err error, deployment release.Deployment, doing string) error {
	if err == nil {
		return nil
	}
	format := doing + " release %q in namespace %q"
	refusedObject := apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), refusedObject:
		return &release.Failure{What: fmt.Sprintf(format, deployment.Name, deployment.Namespace), Err: err}
	case apierrors.IsNotFound(err):
		return fault(err, format+" (does the namespace exist? --create-namespace makes it)", deployment.Name, deployment.Namespace)
	}
	return fault(err, format, deployment.Name, deployment.Namespace)
}
