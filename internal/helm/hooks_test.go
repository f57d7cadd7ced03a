package helm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// hookDeployment is of a chart with a ConfigMap and one hook, which is labelled with the value "word".
func hookDeployment(t *testing.T, kind, events, annotations string) release.Deployment {
	t.Helper()
	version, spec := "v1", ""
	switch kind {
	case "Job":
		version, spec = "batch/v1", "spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}}}\n"
	case "PersistentVolumeClaim":
		spec = "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	}
	d := deployment(t, "staging")
	d.ValuesFiles, d.Chart = nil, files(t, map[string]string{
		"Chart.yaml":            looseChart,
		"values.yaml":           "word: one\n",
		"templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {word: '{{ .Values.word }}'}\n",
		"templates/workload.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  selector: {matchLabels: {app: shop}}\n" +
			"  template:\n    metadata: {labels: {app: shop}}\n    spec: {containers: [{name: app, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}\n",
		"templates/hook.yaml": fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  name: hooked\n  labels: {word: '{{ .Values.word }}'}\n  annotations: {helm.sh/hook: '%s'%s}\n%s",
			version, kind, events, annotations, spec),
	})
	return d
}

// word is how the hook is labelled in the cluster, "" if it does not exist.
func (s *server) word(kind string) string {
	object := s.object("/" + strings.ToLower(kind) + "s/hooked")
	if object == nil {
		return ""
	}
	return object["metadata"].(map[string]any)["labels"].(map[string]any)["word"].(string)
}

const (
	policy = ", helm.sh/hook-delete-policy: "
	keep   = ", helm.sh/resource-policy: keep"
)

// TestARepeatedInstallGoesOnFromItsHooks fails a first install and repeats it: what has succeeded is not done again, and no password
// and no volume is lost.
func TestARepeatedInstallGoesOnFromItsHooks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind, annotations string
		again             string        // the word of the second attempt
		failsAt           release.Phase // the first attempt
		word              string        // in the end
		runs              int           // of a hook that has to complete
	}{
		"a Secret":                               {"Secret", "", "two", release.PhaseRollout, "one", 0},
		"a Secret that is deleted when it fails": {"Secret", policy + "hook-failed" + keep, "two", release.PhaseRollout, "one", 0},
		"a Secret that is replaced":              {"Secret", policy + "before-hook-creation", "two", release.PhaseRollout, "two", 0},
		"a Secret that is replaced and kept":     {"Secret", policy + "before-hook-creation" + keep, "two", release.PhaseRollout, "one", 0},
		"a claim":                                {"PersistentVolumeClaim", "", "two", release.PhaseRollout, "one", 0},
		"a ConfigMap":                            {"ConfigMap", "", "two", release.PhaseRollout, "two", 0},
		"a ConfigMap that stays":                 {"ConfigMap", policy + "hook-failed", "two", release.PhaseRollout, "two", 0},
		"a Job":                                  {"Job", "", "one", release.PhaseRollout, "one", 1},
		"a Job that is deleted":                  {"Job", policy + "hook-succeeded", "one", release.PhaseRollout, "", 1},
		"a Job that has changed":                 {"Job", "", "two", release.PhaseRollout, "two", 2},
		"a Job that failed":                      {"Job", policy + "hook-succeeded", "one", release.PhaseHooks, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), hookDeployment(t, test.kind, "pre-install", test.annotations)
			runs := 0
			wait := func(fails release.Phase) release.Wait {
				return func(_ context.Context, phase release.Phase, objects []release.Object) error {
					if phase == release.PhaseHooks && objects[0].Kind == "Job" {
						runs++
					}
					if phase == fails {
						return errors.New("failed")
					}
					return nil
				}
			}
			if _, err := c.Deploy(t.Context(), withWord(d, "one"), wait(test.failsAt)); err == nil {
				t.Fatal("the first attempt did not fail")
			}
			uid := s.uid(test.kind)
			if _, err := c.Deploy(t.Context(), withWord(d, test.again), wait("")); err != nil {
				t.Fatal(err)
			}
			if got := s.word(test.kind); got != test.word || runs != test.runs {
				t.Errorf("the hook holds %q, want %q; it ran %d times, want %d", got, test.word, runs, test.runs)
			}
			if same := s.uid(test.kind) == uid; test.word == "one" && !same {
				t.Error("it was replaced")
			}
		})
	}
}

// uid is the hook's in the cluster, "" if it does not exist.
func (s *server) uid(kind string) string {
	object := s.object("/" + strings.ToLower(kind) + "s/hooked")
	if object == nil {
		return ""
	}
	return object["metadata"].(map[string]any)["uid"].(string)
}

// TestHookPoliciesOfAnUpgrade: in an upgrade a hook is replaced as Helm does, and never against "keep".
func TestHookPoliciesOfAnUpgrade(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ kind, annotations, word string }{
		"by default":                          {"Secret", "", "two"},
		"by default, kept":                    {"Secret", keep, "one"},
		"by its policy":                       {"Secret", policy + "before-hook-creation", "two"},
		"against its policy":                  {"Secret", policy + "hook-failed", "one"},
		"a claim against its policy":          {"PersistentVolumeClaim", policy + "hook-failed", "one"},
		"a ConfigMap against its policy":      {"ConfigMap", policy + "hook-failed", "two"},
		"a Job that a killed run left behind": {"Job", policy + "hook-failed", "two"},
		"deleted when it has succeeded":       {"Secret", policy + "hook-succeeded", ""},
		"kept, deleted when it has succeeded": {"Secret", policy + "hook-succeeded" + keep, "one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), hookDeployment(t, test.kind, "pre-install,pre-upgrade", test.annotations)
			mustDeploy(t, c, withWord(d, "one"))
			mustDeploy(t, c, withWord(d, "two"))
			if got := s.word(test.kind); got != test.word {
				t.Errorf("the hook holds %q, want %q", got, test.word)
			}
		})
	}
}
