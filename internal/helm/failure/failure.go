// Package failure decides whether an error of Helm or the apiserver is the release's or the cluster's fault, and words it for the
// log. What the cluster refuses about a release is the release's failure, everything else is a fault of the cluster.
package failure

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"github.com/onedigest/onedigest/internal/text"
	"helm.sh/helm/v3/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// side names the side that failed in a release.Fault.
const side = "cluster"

var namespaceNotFound = regexp.MustCompile(`namespaces "([^"]*)" not found`)

// Classify wraps an error of changing a release. If the cluster refuses the release's objects, the result is a
// *release.BadRelease; if somebody else is changing the release, a *release.Failure; if the namespace is missing, a
// *release.InputError; otherwise a *release.Fault. It returns nil, and an error that already is one of these, unchanged. The
// format and subjects say what was being done.
func Classify(ctx context.Context, err error, format string, subjects ...any) error {
	return ClassifyIn(ctx, "", err, format, subjects...)
}

// ClassifyIn is Classify of applying the objects of a release in a namespace: if another one is missing, the result is a *release.BadRelease.
func ClassifyIn(ctx context.Context, namespace string, err error, format string, subjects ...any) error {
	var (
		input   *release.InputError
		failure *release.Failure
		fault   *release.Fault
	)
	what := fmt.Sprintf(format, subjects...)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &input):
		return input
	case errors.As(err, &failure), errors.As(err, &fault):
		return err
	case ctx.Err() != nil:
		return &release.Failure{What: what, Err: ctx.Err(), Do: "deploy again: the next deploy continues from what the stopped run left"}
	case errors.Is(err, driver.ErrReleaseExists):
		return &release.Failure{What: string(causes.ReleaseHeld) + " " + what, Err: sanitized{err}, Do: causes.ReleaseHeld.Cause().Advice}
	case isMissing(namespace, err):
		return release.BadSetting("namespace", Sanitize(err.Error()), "give --create-namespace, or create it")
	}
	if known := lookUp(err); known != nil && !known.fault {
		refused := &release.Failure{What: known.withCode(what), Err: sanitized{err}, Do: known.advice()}
		if known.code == causes.ReleaseHeld {
			return refused
		}
		return &release.BadRelease{Err: refused}
	}
	return Fault(err, format, subjects...)
}

// isMissing reports whether an error says that a namespace does not exist; any if the name is "".
func isMissing(namespace string, err error) bool {
	for _, match := range namespaceNotFound.FindAllStringSubmatch(err.Error(), -1) {
		if namespace == "" || match[1] == namespace {
			return true
		}
	}
	return false
}

// Fault wraps an error of reading the cluster, or of preparing to do so. It adds advice if the error is known.
func Fault(err error, format string, subjects ...any) error {
	do := ""
	if known := lookUp(err); known != nil && known.fault {
		do = known.do
	}
	return release.NewFault(side, do, sanitized{err}, format, subjects...)
}

// Conflict is a fault: somebody else is changing the release at the same time.
func Conflict(format string, subjects ...any) error {
	return &release.Fault{Side: side, Err: fmt.Errorf(format, subjects...), Do: "find out who else changes the release, and deploy again"}
}

// Refusal formats the cluster's reason for refusing an object as one line.
func Refusal(object release.Object, err error) string {
	line := fmt.Sprintf("%s: %s", object, Sanitize(err.Error()))
	if known := lookUp(err); known != nil {
		line = known.withCode(line) + "; " + known.advice()
	}
	return line
}

// Problem formats a known problem of an object as one line.
func Problem(code causes.Code, object release.Object, what string) string {
	return fmt.Sprintf("%s %s: %s; %s", code, object, what, code.Cause().Advice)
}

// Unchangeable is the failure of a deploy whose problems are fields that cannot be changed. Nothing was changed, so that there is nothing to roll back.
func Unchangeable(name string, problems []string) *release.Failure {
	return &release.Failure{What: fmt.Sprintf("%s release %q cannot be deployed, and nothing was changed: %s", causes.FieldImmutable, name, strings.Join(problems, "; ")),
		Do: causes.FieldImmutable.Cause().Advice}
}

// HookFailed is the failure of a hook for which Helm has waited, with Helm's own words.
func HookFailed(hook []release.Object, err error) *release.BadRelease {
	names := make([]string, len(hook))
	for i, object := range hook {
		names[i] = fmt.Sprintf("%s in namespace %q", object, object.Namespace)
	}
	return &release.BadRelease{Err: &release.Failure{What: fmt.Sprintf("%s hook %s failed", causes.HookFailed, strings.Join(names, ", ")), Err: sanitized{err},
		Do: causes.HookFailed.Cause().Advice}}
}

// BeingDeleted is the failure of an operation that has to wait for an object's deletion, which finalizers prevent. It is no reason for a rollback, because
// an earlier revision would have to wait too.
func BeingDeleted(object release.Object, finalizers []string) *release.Failure {
	return &release.Failure{What: fmt.Sprintf("%s %s in namespace %q is being deleted, and is kept by %s", causes.ObjectDeleting, object, object.Namespace, Finalizers(finalizers)),
		Do: causes.ObjectDeleting.Cause().Advice}
}

// Finalizers names the finalizers of an object for the log.
func Finalizers(names []string) string {
	return fmt.Sprintf("its finalizers (%s)", text.Line(strings.Join(names, ", "), 256))
}

// IsTransient reports whether an error says nothing about the request itself: the network failed, or the apiserver is starting or
// overloaded.
func IsTransient(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	code := status.Status().Code
	return code == 429 || code >= 500 && code != 501
}
