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
		killed            bool          // the first attempt does not fail, its process is killed there
	}{
		"a Secret":                               {"Secret", "", "two", release.PhaseRollout, "one", 0, false},
		"a Secret that is deleted when it fails": {"Secret", policy + "hook-failed" + keep, "two", release.PhaseRollout, "one", 0, false},
		"a Secret that is replaced":              {"Secret", policy + "before-hook-creation", "two", release.PhaseRollout, "two", 0, false},
		"a Secret that is replaced and kept":     {"Secret", policy + "before-hook-creation" + keep, "two", release.PhaseRollout, "one", 0, false},
		"a claim":                                {"PersistentVolumeClaim", "", "two", release.PhaseRollout, "one", 0, false},
		"a ConfigMap":                            {"ConfigMap", "", "two", release.PhaseRollout, "two", 0, false},
		"a ConfigMap that stays":                 {"ConfigMap", policy + "hook-failed", "two", release.PhaseRollout, "two", 0, false},
		"a Job":                                  {"Job", "", "one", release.PhaseRollout, "one", 1, false},
		"a Job that is deleted":                  {"Job", policy + "hook-succeeded", "one", release.PhaseRollout, "", 1, false},
		"a Job that has changed":                 {"Job", "", "two", release.PhaseRollout, "two", 2, false},
		"a Job that failed":                      {"Job", policy + "hook-succeeded", "one", release.PhaseHooks, "", 2, false},
		"a kept Job":                             {"Job", keep, "one", release.PhaseRollout, "one", 1, false},
		"a kept Job that failed":                 {"Job", keep, "two", release.PhaseHooks, "two", 2, false},
		"a Secret, killed":                       {"Secret", "", "two", release.PhaseRollout, "one", 0, true},
		"a Secret, killed right after it":        {"Secret", "", "two", release.PhaseHooks, "one", 0, true},
		"a Secret against its policy, killed":    {"Secret", policy + "hook-failed", "two", release.PhaseRollout, "one", 0, true},
		"a Secret that is replaced, killed":      {"Secret", policy + "before-hook-creation", "two", release.PhaseRollout, "two", 0, true},
		"a claim, killed":                        {"PersistentVolumeClaim", "", "two", release.PhaseRollout, "one", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), hookDeployment(t, test.kind, "pre-install", test.annotations)
			runs := 0
			var left map[string]map[string]any
			wait := func(fails release.Phase) release.Wait {
				return func(_ context.Context, phase release.Phase, objects []release.Object) error {
					if phase == release.PhaseHooks && objects[0].Kind == "Job" {
						runs++
					}
					if phase == fails {
						left = s.snapshot()
						return errors.New("failed")
					}
					return nil
				}
			}
			if _, err := c.Deploy(t.Context(), withWord(d, "one"), wait(test.failsAt)); err == nil {
				t.Fatal("the first attempt did not fail")
			}
			if test.killed {
				s.restore(left)
				if healed, err := c.Heal(t.Context(), "shop", func(string) {}); healed == nil || err != nil {
					t.Fatalf("healed %+v, %v", healed, err)
				}
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
		"a kept Job":                          {"Job", keep, "two"},
		"a kept Job against its policy":       {"Job", policy + "hook-failed" + keep, "two"},
		"a kept Job that has succeeded":       {"Job", policy + "hook-succeeded" + keep, "two"},
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

// TestAKeptJobOfTwoEvents is run for each of them, in every deploy.
func TestAKeptJobOfTwoEvents(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), hookDeployment(t, "Job", "pre-install,post-install,pre-upgrade,post-upgrade", keep)
	for _, word := range []string{"one", "two"} {
		runs := map[string]bool{}
		_, err := c.Deploy(t.Context(), withWord(d, word), func(_ context.Context, phase release.Phase, _ []release.Object) error {
			if phase == release.PhaseHooks {
				runs[s.uid("Job")] = true
			}
			return nil
		})
		if err != nil || len(runs) != 2 || s.word("Job") != word {
			t.Errorf("%s: it ran %d times, holds %q: %v", word, len(runs), s.word("Job"), err)
		}
	}
}

// TestAJobOfAnotherOwnerIsNotReplaced although ours is to be kept.
func TestAJobOfAnotherOwnerIsNotReplaced(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := hookDeployment(t, "Job", "pre-install,pre-upgrade", policy+"hook-failed"+keep)
	mustDeploy(t, s.client("staging"), withWord(d, "one"))
	s.change("/jobs/hooked", func(object map[string]any) {
		annotations := object["metadata"].(map[string]any)["annotations"].(map[string]any)
		delete(annotations, "meta.helm.sh/release-name")
		delete(annotations, "meta.helm.sh/release-namespace")
	})
	if _, err := s.client("staging").Deploy(t.Context(), withWord(d, "two"), ready); release.ExitCode(err) != release.ExitFailed || s.word("Job") != "one" {
		t.Errorf("the hook holds %q: %v", s.word("Job"), err)
	}
}

// TestAHookThatCannotBeReadIsNotDeleted: it may hold a password.
func TestAHookThatCannotBeReadIsNotDeleted(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), hookDeployment(t, "Secret", "pre-install", "")
	failing := func(_ context.Context, phase release.Phase, _ []release.Object) error {
		if phase == release.PhaseRollout {
			return errors.New("failed")
		}
		return nil
	}
	if _, err := c.Deploy(t.Context(), withWord(d, "one"), failing); err == nil {
		t.Fatal("the first attempt did not fail")
	}
	uid := s.uid("Secret")
	s.answers(on("GET", "/secrets/hooked", 403, "secrets \"hooked\" is forbidden"))
	if _, err := c.Deploy(t.Context(), withWord(d, "two"), ready); err == nil {
		t.Error("nobody was told")
	}
	s.answers(nil)
	if s.uid("Secret") != uid {
		t.Error("it was replaced")
	}
	if _, err := c.Deploy(t.Context(), withWord(d, "two"), ready); err != nil || s.uid("Secret") != uid {
		t.Errorf("afterwards: replaced: %t, %v", s.uid("Secret") != uid, err)
	}
}

// TestHooksArePinned: what a hook runs, what is recorded, what a rollback runs again and what a plan compares name the digest, although the
// chart names a tag.
func TestHooksArePinned(t *testing.T) {
	t.Parallel()
	d := deployment(t, "staging")
	job := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: hooked, annotations: {helm.sh/hook: 'pre-install,pre-upgrade,pre-rollback'}}\n" +
		"spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'team/shop:1.0', env: [{name: WORD, value: '{{ .Values.word }}'}]}]}}}\n"
	d.Images[0].Aliases = []string{"docker.io/team/shop"}
	d.ValuesFiles, d.Chart = nil, files(t, map[string]string{"Chart.yaml": looseChart, "values.yaml": "word: one\n", "templates/hook.yaml": job,
		"templates/w.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  selector: {matchLabels: {app: shop}}\n" +
			"  template:\n    metadata: {labels: {app: shop}}\n    spec: {containers: [{name: app, image: 'team/shop:1.0', env: [{name: WORD, value: '{{ .Values.word }}'}]}]}\n"})
	s := newServer(t)
	c := s.client("staging")
	checkHook := func(when string) {
		t.Helper()
		containers := at(t, s.object("/jobs/hooked"), "spec", "template", "spec", "containers").([]any)
		if got := containers[0].(map[string]any)["image"]; got != d.Main().Image.String() {
			t.Errorf("%s: the hook runs %v", when, got)
		}
		revision, err := c.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer revision.close()
		state, err := revision.store.State(t.Context(), d.Name)
		if err != nil || len(state.Newest().Hooks) != 1 {
			t.Fatalf("%s: %v", when, err)
		}
		if recorded := state.Newest().Hooks[0].Manifest; !strings.Contains(recorded, d.Main().Image.String()) || strings.Contains(recorded, "team/shop:1.0") {
			t.Errorf("%s: recorded is\n%s", when, recorded)
		}
	}
	first := mustDeploy(t, c, d)
	checkHook("install")
	if plan, err := c.Plan(t.Context(), d); err != nil || plan.Outcome != release.Unchanged {
		t.Errorf("a second deploy would be %s, %v", plan.Outcome, err)
	}
	if again := mustDeploy(t, c, d); again.Outcome != release.Unchanged {
		t.Errorf("a second deploy is %s", again.Outcome)
	}
	mustDeploy(t, c, withWord(d, "two"))
	checkHook("upgrade")
	if _, err := c.Rollback(t.Context(), d.Name, first.Revision, ready); err != nil {
		t.Fatal(err)
	}
	checkHook("rollback")
}
