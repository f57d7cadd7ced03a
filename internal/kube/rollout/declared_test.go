package rollout

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/kube/store"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

var ofWidget = release.Object{APIVersion: "example.com/v1", Kind: "Widget", Namespace: space, Name: "w"}

// widget is a custom resource with annotations and conditions, whose phase is Idle.
func widget(annotations map[string]any, conditions ...any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "w", "namespace": space, "uid": "uid-w", "generation": int64(2), "annotations": annotations},
		"status":   map[string]any{"phase": "Idle", "replicas": int64(3), "conditions": conditions}}}
}

func observedWidget(object *unstructured.Unstructured, defaults map[string]string) snapshot {
	tracked := trackedObject{object: ofWidget, key: watchKey{namespace: space}, wait: tolerate, defaults: defaults}
	return snapshot{objects: []observedObject{{tracked, store.SyncState{Synced: true}, object}},
		namespaces: map[string]namespaceSnapshot{}, events: map[types.UID][]*core.Event{}}
}

// TestDeclaredConditions: the annotations of a custom resource, or of its definition, say when it is ready and when it has failed.
func TestDeclaredConditions(t *testing.T) {
	t.Parallel()
	condition := func(kind, status string) any {
		return map[string]any{"type": kind, "status": status, "reason": "Any", "message": "why"}
	}
	const ready, failed = release.AnnotationReadyWhen, release.AnnotationFailedWhen
	tests := map[string]struct {
		annotations map[string]any
		defaults    map[string]string
		conditions  []any
		observed    any // generation
		verdict     string
		message     string
	}{
		"nothing is said":                {verdict: "ready"},
		"ready by kstatus":               {conditions: []any{condition("Ready", "False")}, verdict: "pending", message: "why"},
		"a condition":                    {annotations: map[string]any{ready: "condition=Synced"}, conditions: []any{condition("Synced", "True")}, verdict: "ready"},
		"a condition that is not":        {annotations: map[string]any{ready: "condition=Synced"}, conditions: []any{condition("Synced", "False")}, verdict: "pending", message: "waits for condition=Synced: Any: why"},
		"a condition that is absent":     {annotations: map[string]any{ready: "condition=Synced"}, verdict: "pending", message: "waits for condition=Synced"},
		"a condition with a status":      {annotations: map[string]any{ready: "condition=Degraded=False"}, conditions: []any{condition("Degraded", "False")}, verdict: "ready"},
		"a path":                         {annotations: map[string]any{ready: "jsonpath={.status.phase}=Idle"}, verdict: "ready"},
		"a path to a number":             {annotations: map[string]any{ready: "jsonpath={.status.replicas}=3"}, verdict: "ready"},
		"a path to another value":        {annotations: map[string]any{ready: "jsonpath={.status.phase}=Busy"}, verdict: "pending", message: "waits for jsonpath={.status.phase}=Busy"},
		"a path to anything":             {annotations: map[string]any{ready: "jsonpath={.status.phase}"}, verdict: "ready"},
		"a path to nothing":              {annotations: map[string]any{ready: "jsonpath={.status.url}"}, verdict: "pending", message: "waits for jsonpath={.status.url}"},
		"all must hold":                  {annotations: map[string]any{ready: "condition=A, condition=B"}, conditions: []any{condition("A", "True")}, verdict: "pending", message: "waits for condition=B"},
		"kstatus does not count beside":  {annotations: map[string]any{ready: "condition=A"}, conditions: []any{condition("A", "True"), condition("Ready", "False")}, verdict: "ready"},
		"failed":                         {annotations: map[string]any{failed: "condition=A\njsonpath={.status.phase}=Idle"}, verdict: "failed", message: "jsonpath={.status.phase}=Idle holds"},
		"failed and ready":               {annotations: map[string]any{ready: "condition=A", failed: "condition=A"}, conditions: []any{condition("A", "True")}, verdict: "failed", message: "condition=A holds: Any: why"},
		"not failed":                     {annotations: map[string]any{failed: "condition=A"}, verdict: "ready"},
		"the definition says it":         {defaults: map[string]string{failed: "jsonpath={.status.phase}=Idle"}, verdict: "failed", message: "jsonpath={.status.phase}=Idle holds"},
		"the object has the last word":   {annotations: map[string]any{failed: ""}, defaults: map[string]string{failed: "jsonpath={.status.phase}=Idle"}, verdict: "ready"},
		"unreadable":                     {annotations: map[string]any{ready: "status.phase=Idle"}, verdict: "failed", message: `annotation onedigest.dev/ready-when: "status.phase=Idle" is neither condition=TYPE`},
		"about an earlier generation":    {annotations: map[string]any{failed: "jsonpath={.status.phase}=Idle"}, observed: int64(1), verdict: "pending", message: "not observed"},
		"about an earlier one, as text":  {observed: "1", verdict: "pending", message: "not observed"},
		"about this generation, as text": {observed: "2", verdict: "ready"},
		"about a hash":                   {observed: "7d4b9c", verdict: "ready"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := widget(test.annotations, test.conditions...)
			if test.observed != nil {
				_ = unstructured.SetNestedField(object.Object, test.observed, "status", "observedGeneration")
			}
			known, now := observedWidget(object, test.defaults), time.Now()
			got := assess(known, policy{}, now)
			if got.failure != nil {
				t.Errorf("failed at once: %+v", got.failure)
			}
			known.memory = got.memory
			got = assess(known, policy{}, now.Add(diagnose.GraceTransient))
			verdict := "pending"
			switch {
			case got.failure != nil && got.failure.finding.Code == causes.CustomResourceFailed:
				verdict = "failed"
			case got.failure == nil && len(got.pending) == 0:
				verdict = "ready"
			}
			if verdict != test.verdict || len(got.pending) > 0 && !strings.Contains(got.pending[0].finding.Message, test.message) {
				t.Errorf("got %s, want %s: %+v", verdict, test.verdict, got.pending)
			}
		})
	}
}

// TestADefinitionsAnnotationsAreAboutItsObjects: a definition is ready when it is established.
func TestADefinitionsAnnotationsAreAboutItsObjects(t *testing.T) {
	t.Parallel()
	known := observedWidget(widget(map[string]any{release.AnnotationReadyWhen: "condition=Synced", release.AnnotationFailedWhen: "jsonpath={.status.phase}=Idle"}), nil)
	known.objects[0].key.resource = definitionsResource
	if got := assess(known, policy{}, time.Now()); got.failure != nil || len(got.pending) > 0 {
		t.Errorf("got %+v", got.pending)
	}
}

// TestACustomResourceAloneFailsNoRollout: one that says nothing about its failure is no longer waited for when the time is up, unless it says when
// it is ready or a workload is late too.
func TestACustomResourceAloneFailsNoRollout(t *testing.T) {
	t.Parallel()
	late := map[string]any{"type": "Ready", "status": "False", "reason": "Pending", "message": "no record of DNS yet"}
	for name, test := range map[string]struct {
		annotations map[string]any
		objects     []release.Object
		fails       bool
	}{
		"alone":              {nil, []release.Object{ofWidget}, false},
		"by its annotation":  {map[string]any{release.AnnotationReadyWhen: "condition=Ready"}, []release.Object{ofWidget}, true},
		"beside a workload":  {nil, []release.Object{ofWidget, ofDeployment}, true},
		"beside a ready one": {nil, []release.Object{ofWidget, ofStateful}, false},
	} {
		s := newServer(t)
		s.Put(widget(test.annotations, late), deployment(2, 2, 1, 1), replicaSet(2), statefulSet(2, 1, 1, 1))
		watcher := s.watcher()
		read, done := false, !slices.Contains(test.objects, ofStateful)
		steps, err := outOfTime(func(ctx context.Context, report func(release.RolloutStep)) error {
			return watcher.Watch(ctx, space, test.objects, release.Baseline{}, report)
		}, func(step release.RolloutStep) bool {
			read = read || step.Object == ofWidget && step.Message != ""
			done = done || step.Object == ofStateful && step.Done
			return read && done
		})
		if (err != nil) != test.fails {
			t.Errorf("%s: %v", name, err)
		}
		last := steps[len(steps)-1]
		if told := last.Object == ofWidget && strings.HasPrefix(last.Message, "WARNING: not ready within") && strings.Contains(last.Message, "no record of DNS"); told == test.fails {
			t.Errorf("%s: it ends with %+v", name, last)
		}
	}
}

// TestDefinitionsAreAskedOnce: the annotations of a definition hold for all objects of its kind.
func TestDefinitionsAreAskedOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	first, second := widget(nil), widget(nil)
	second.SetName("v")
	s.Put(first, second, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "widgets.example.com", "annotations": map[string]any{release.AnnotationFailedWhen: "jsonpath={.status.phase}=Idle"}}}})
	ofSecond := ofWidget
	ofSecond.Name = "v"
	_, err := observe(t, s.hasty(), ofWidget, ofSecond).rest()
	if got := diagnosisOf(t, err); got.Code != causes.CustomResourceFailed {
		t.Errorf("got %+v", got)
	}
	if n := s.Count("get " + definitionPath); n != 1 {
		t.Errorf("the definition was read %d times", n)
	}
}

// definitionPath is where the definition of Widgets is read.
const definitionPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"

// declaringServer has a Widget that has failed by the annotation of its definition, of which the first requests are answered with the codes.
func declaringServer(t *testing.T, codes ...int) *server {
	t.Helper()
	s := newServer(t)
	s.Put(widget(nil), &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "widgets.example.com", "annotations": map[string]any{release.AnnotationFailedWhen: "jsonpath={.status.phase}=Idle"}}}})
	var asked atomic.Int32
	s.Break(func(r *http.Request) int {
		if r.URL.Path != definitionPath {
			return 0
		}
		if n := int(asked.Add(1)); n <= len(codes) {
			return codes[n-1]
		}
		return 0
	})
	return s
}

// TestAKindThatIsNewIsFound: a release may bring the definition of its custom resource, which the cluster did not list when the settings were checked.
func TestAKindThatIsNewIsFound(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var defined atomic.Bool
	s.Break(func(r *http.Request) int {
		if !defined.Load() && r.URL.Path == "/apis/example.com/v1" {
			return http.StatusNotFound
		}
		return 0
	})
	watcher := s.hasty()
	failedWhen := map[string]any{release.AnnotationFailedWhen: "jsonpath={.status.phase}=Idle"}
	if err := watcher.CheckDeclared(t.Context(), []release.Declared{{Object: ofWidget}}); err != nil {
		t.Fatal(err)
	}
	s.Put(widget(failedWhen))
	defined.Store(true)
	_, err := observe(t, watcher, ofWidget).rest()
	if err == nil {
		t.Fatal("the custom resource is not looked at")
	}
	if got := diagnosisOf(t, err); got.Code != causes.CustomResourceFailed {
		t.Errorf("got %+v", got)
	}
}

// TestDefinitionsAreAskedAgain: a cluster that does not answer for a moment does not make a failed custom resource ready.
func TestDefinitionsAreAskedAgain(t *testing.T) {
	t.Parallel()
	for name, codes := range map[string][]int{
		"overloaded":           {http.StatusTooManyRequests},
		"failing":              {http.StatusInternalServerError},
		"a timeout":            {http.StatusGatewayTimeout},
		"another token":        {http.StatusUnauthorized},
		"503, then 403 for it": {http.StatusServiceUnavailable, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := observe(t, declaringServer(t, codes...).hasty(), ofWidget).rest()
			if got := diagnosisOf(t, err); got.Code != causes.CustomResourceFailed {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestDefinitionsThatCannotBeRead until the time is up are a fault of the cluster.
func TestDefinitionsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := declaringServer(t, slices.Repeat([]int{http.StatusServiceUnavailable}, 100)...)
	ctx := deadline{make(chan struct{})}
	go func() {
		for s.Count("get "+definitionPath) < 2 {
			time.Sleep(time.Millisecond)
		}
		close(ctx.passed)
	}()
	err := s.watcher().Watch(ctx, space, []release.Object{ofWidget}, release.Baseline{}, func(release.RolloutStep) {})
	var fault *release.Fault
	if !errors.As(err, &fault) || fault.Side != "cluster" || !strings.Contains(err.Error(), "CustomResourceDefinition/widgets.example.com") {
		t.Errorf("got %v, want a fault of the cluster", err)
	}
}

// TestDefinitionsThatMayNotBeRead are passed over, which is said once.
func TestDefinitionsThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	s := declaringServer(t, slices.Repeat([]int{http.StatusForbidden}, 100)...)
	second := widget(nil)
	second.SetName("v")
	s.Put(second)
	ofSecond := ofWidget
	ofSecond.Name = "v"
	steps, err := observe(t, s.watcher(), ofWidget, ofSecond).rest()
	if err != nil {
		t.Fatal(err)
	}
	told := slices.DeleteFunc(steps, func(step release.RolloutStep) bool { return step.Object.Kind != "CustomResourceDefinition" })
	if len(told) != 1 || told[0].Object.Name != "widgets.example.com" || !strings.Contains(told[0].Message, "its annotations are not read") {
		t.Errorf("told %+v", told)
	}
}

// TestCheckDeclared: what the rollout could not understand is reported before anything is applied, all of it.
func TestCheckDeclared(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "widgets.example.com", "annotations": map[string]any{release.AnnotationFailedWhen: "jsonpath={.status"}}}})
	declared := func(apiVersion, kind, name, readyWhen string) release.Declared {
		one := release.Declared{Object: release.Object{APIVersion: apiVersion, Kind: kind, Namespace: space, Name: name}}
		if readyWhen != "" {
			one.Annotations = map[string]string{release.AnnotationReadyWhen: readyWhen}
		}
		return one
	}
	right := []release.Declared{declared("v1", "ConfigMap", "c", "any text"), declared("unserved.example.com/v1", "Other", "o", "condition=Ready")}
	if err := s.watcher().CheckDeclared(t.Context(), right); err != nil {
		t.Errorf("got %v", err)
	}
	err := s.watcher().CheckDeclared(t.Context(), append(right, declared("example.com/v1", "Widget", "w", ""), declared("example.com/v1", "Widget", "v", "Synced"),
		declared("unserved.example.com/v1", "Other", "p", "condition="), declared("apiextensions.k8s.io/v1", "CustomResourceDefinition", "others.unserved.example.com", "Ready")))
	var input *release.InputError
	if !errors.As(err, &input) || len(input.Problems) != 4 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"CustomResourceDefinition/widgets.example.com: annotation onedigest.dev/failed-when: \"jsonpath={.status\"", "Widget/v: annotation onedigest.dev/ready-when: \"Synced\" is neither",
		"Other/p: annotation", "CustomResourceDefinition/others.unserved.example.com: annotation"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

// TestParseExpectationsRefuses what is no expectation, and says what is one.
func TestParseExpectationsRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"Ready", "condition", "condition=", "jsonpath=.status", "jsonpath={.status", "jsonpath={.status}x", "jsonpath={.status[}", "jsonpath={", "=",
		"condition=" + strings.Repeat("x", maxExpectationBytes), strings.Repeat("condition=A,", maxExpectations+1)} {
		if list, err := parseExpectations(text); err == nil {
			t.Errorf("%.40q: accepted as %+v", text, list)
		}
	}
}

func FuzzExpectations(f *testing.F) {
	for _, seed := range []string{"condition=Ready", "condition=Degraded=False,jsonpath={.status.phase}=Running", "jsonpath={.status.conditions[?(@.type=='A')].status}=True",
		"jsonpath={range .status.conditions[*]}{.type}{end}", "jsonpath={..}", "jsonpath={.a[9223372036854775807:]}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseExpectations(text)
		if err != nil && list != nil {
			t.Errorf("%q: a list and an error", text)
		}
		for _, one := range list {
			one.holds(widget(nil, map[string]any{"type": "A", "status": "True"}))
		}
	})
}
