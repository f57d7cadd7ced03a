package rollout

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/jsonpath"
)

// Limits of an annotation.
const (
	maxExpectations     = 16
	maxExpectationBytes = 1 << 10
)

// expectation is a condition or a field value that an object is expected to have.
type expectation struct {
	text            string
	condition, want string
	path            *jsonpath.JSONPath // nil: the expectation is about the condition
}

// parseExpectations parses an annotation; none for "".
func parseExpectations(annotation string) (list []expectation, err error) {
	for _, line := range strings.FieldsFunc(annotation, func(r rune) bool { return r == ',' || r == '\n' }) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		one, err := parseExpectation(line)
		if err != nil {
			return nil, err
		}
		if list = append(list, one); len(list) > maxExpectations {
			return nil, fmt.Errorf("more than %d expectations", maxExpectations)
		}
	}
	return list, nil
}

// parseExpectation parses one line of an annotation.
func parseExpectation(line string) (expectation, error) {
	kind, rest, _ := strings.Cut(line, "=")
	one := expectation{text: line}
	switch {
	case len(line) > maxExpectationBytes:
		return one, fmt.Errorf("an expectation is longer than %d bytes", maxExpectationBytes)
	case kind == "condition" && rest != "":
		var found bool
		if one.condition, one.want, found = strings.Cut(rest, "="); !found {
			one.want = "True"
		}
		return one, nil
	case kind == "jsonpath" && strings.HasPrefix(rest, "{"):
		end := strings.LastIndex(rest, "}")
		if end < 0 || end+1 < len(rest) && rest[end+1] != '=' {
			break
		}
		one.path = jsonpath.New("expectation").AllowMissingKeys(true)
		if err := one.path.Parse(rest[:end+1]); err != nil {
			return one, fmt.Errorf("%q: %w", text.Line(line, 160), err)
		}
		one.want = strings.TrimPrefix(rest[end+1:], "=")
		return one, nil
	}
	return one, fmt.Errorf("%q is neither condition=TYPE, condition=TYPE=STATUS, jsonpath={PATH} nor jsonpath={PATH}=VALUE", text.Line(line, 160))
}

// holds reports whether an object meets the expectation. A jsonpath without a value is met if there is any value.
func (e expectation) holds(object *unstructured.Unstructured) bool {
	if e.path == nil {
		return strings.EqualFold(diagnose.Conditions(object)[e.condition].Status, e.want)
	}
	results, err := e.path.FindResults(object.Object)
	if err != nil {
		return false
	}
	for _, list := range results {
		for _, value := range list {
			if printed := printedValue(value); e.want == "" && printed != "" || e.want != "" && printed == e.want {
				return true
			}
		}
	}
	return false
}

// printedValue returns a scalar as text, or "" for anything else.
func printedValue(value reflect.Value) string {
	if !value.IsValid() || !value.CanInterface() {
		return ""
	}
	switch scalar := value.Interface().(type) {
	case string, bool, int64, float64:
		return fmt.Sprint(scalar)
	}
	return ""
}

// declaredCondition returns the condition of a custom resource by its own annotations or by those of its definition. It returns cond
// if neither has any. A status about an earlier generation is ignored.
func declaredCondition(o observedObject, cond readiness) readiness {
	if o.wait != tolerate || o.content == nil || o.key.resource == definitionsResource { // a definition's own annotations are about its objects
		return cond
	}
	annotation := func(name string) string {
		if own, found := o.content.GetAnnotations()[name]; found {
			return own
		}
		return o.defaults[name]
	}
	ready, readyErr := parseExpectations(annotation(release.AnnotationReadyWhen))
	failed, failedErr := parseExpectations(annotation(release.AnnotationFailedWhen))
	for name, err := range map[string]error{release.AnnotationReadyWhen: readyErr, release.AnnotationFailedWhen: failedErr} {
		if err != nil {
			cond.done, cond.declared, cond.message = false, declaredInvalid, text.Line(fmt.Sprintf("annotation %s: %v", name, err), 256)
			return cond
		}
	}
	cond.expects = len(ready) > 0
	if diagnose.NotObserved(o.content) {
		return cond
	}
	for _, one := range failed {
		if one.holds(o.content) {
			cond.done, cond.declared, cond.message = false, declaredFailed, text.Line(one.text+" holds"+reasonOf(o.content, one), 256)
			return cond
		}
	}
	if len(ready) == 0 {
		return cond
	}
	cond.done, cond.message = true, ""
	for _, one := range ready {
		if !one.holds(o.content) {
			cond.done, cond.message = false, text.Line("waits for "+one.text+reasonOf(o.content, one), 256)
			return cond
		}
	}
	return cond
}

// reasonOf returns the reason and message of an object's condition, to be appended to the expectation.
func reasonOf(object *unstructured.Unstructured, one expectation) string {
	found := diagnose.Conditions(object)[one.condition]
	if one.path != nil || found.Reason+found.Message == "" {
		return ""
	}
	return ": " + strings.Trim(found.Reason+": "+found.Message, ": ")
}

// Reasons for the failure of a custom resource by its annotations.
const (
	declaredFailed  = "FailedWhen"
	declaredInvalid = "AnnotationInvalid"
)

// CheckDeclared reports annotations that parseExpectations refuses, of custom resources and of their definitions, as an
// *release.InputError with all of them. Definitions that the cluster does not return within ten seconds are not checked.
func (w *Watcher) CheckDeclared(ctx context.Context, declared []release.Declared) error {
	ctx, cancel := context.WithTimeout(ctx, definitionTime)
	defer cancel()
	var problems []release.Problem
	check := func(object release.Object, annotations map[string]string) {
		for _, name := range []string{release.AnnotationReadyWhen, release.AnnotationFailedWhen} {
			if _, err := parseExpectations(annotations[name]); err != nil {
				problems = append(problems, release.Problem{Where: object.String(), What: fmt.Sprintf("annotation %s: %v", name, err), Do: "write condition=Ready, for example"})
			}
		}
	}
	checked := map[schema.GroupVersionResource]bool{definitionsResource: true}
	for _, one := range declared {
		kind := schema.FromAPIVersionAndKind(one.Object.APIVersion, one.Object.Kind)
		if slices.Contains(kube.BuiltInGroups, kind.Group) && kind.Kind != "CustomResourceDefinition" {
			continue
		}
		check(one.Object, one.Annotations)
		key, wanted, err := locate(w.mapper, one.Object, one.Object.Namespace)
		if err != nil || wanted != tolerate || checked[key.resource] {
			continue
		}
		checked[key.resource] = true
		definition := release.Object{Kind: "CustomResourceDefinition", Name: key.resource.Resource + "." + key.resource.Group}
		if found, err := w.client.Dynamic.Resource(definitionsResource).Get(ctx, definition.Name, meta.GetOptions{}); err == nil {
			check(definition, found.GetAnnotations())
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

var definitionsResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// definitionTime limits one request for a definition.
const definitionTime = 10 * time.Second

// definitionAnnotations returns the annotations of the definition of a custom resource's kind, none where a kind has no definition. A cluster
// that does not answer is asked again until the context ends, because the definition may say when its objects have failed; the error is a
// *release.Fault then. A definition that may not be read counts as one without annotations, and is reported.
func (w *Watcher) definitionAnnotations(ctx context.Context, resource schema.GroupVersionResource, report func([]release.RolloutStep)) (annotations map[string]string, err error) {
	definition := release.Object{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Name: resource.Resource + "." + resource.Group}
	var unanswered, unauthorized time.Time // when the cluster last did not answer, and when it first answered 401
	read := func(ctx context.Context) (done bool, _ error) {
		attempt, cancel := context.WithTimeout(ctx, definitionTime)
		defer cancel()
		found, failed := w.client.Dynamic.Resource(definitionsResource).Get(attempt, definition.Name, meta.GetOptions{})
		if failed != nil && ctx.Err() != nil && err != nil {
			return false, nil // an earlier error is more informative
		}
		switch err = failed; {
		case err == nil:
			annotations = found.GetAnnotations()
			return true, nil
		case apierrors.IsNotFound(err):
			err = nil
			return true, nil
		case apierrors.IsForbidden(err):
			if time.Since(unanswered) < forbiddenGrace {
				return false, nil // an apiserver that starts may forbid what it allows later
			}
			report([]release.RolloutStep{{Object: definition, Ready: -1, Desired: -1, Done: true,
				Message: "its annotations are not read, so that they do not say when its objects are ready or have failed: " + text.Line(err.Error(), 160)}})
			err = nil
			return true, nil
		case apierrors.IsUnauthorized(err):
			if unauthorized.IsZero() {
				unauthorized = time.Now()
			}
			return time.Since(unauthorized) > unauthorizedGrace, nil
		}
		unanswered, unauthorized = time.Now(), time.Time{}
		return false, nil
	}
	if stopped := wait.PollUntilContextCancel(ctx, time.Second, true, read); stopped != nil && err == nil {
		err = stopped
	}
	if err != nil {
		return nil, w.client.Fault(ctx, err, "reading the annotations of %s", definition)
	}
	return annotations, nil
}
