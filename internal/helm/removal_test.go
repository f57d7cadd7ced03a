package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

// TestRemoval: what an uninstall deletes and leaves is said before, without a change, and is what it then deletes and leaves.
func TestRemoval(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), wideDeployment(t)
	if removal, err := c.Removal(t.Context(), d.Name); err != nil || removal.Revision != 0 {
		t.Errorf("before the install: %+v, %v", removal, err)
	}
	d.Chart = addTemplate(t, d.Chart, "more.yaml", `apiVersion: v1
kind: ConfigMap
metadata: {name: kept, annotations: {helm.sh/resource-policy: "Keep "}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: made, annotations: {helm.sh/hook: pre-install}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec: {volumeClaimTemplates: [{metadata: {name: data}}]}
`)
	mustDeploy(t, c, d)
	s.changes()
	removal, err := c.Removal(t.Context(), d.Name)
	if err != nil || removal.Revision != 1 || removal.Status != "deployed" {
		t.Fatalf("got %+v, %v", removal, err)
	}
	if changed := s.changes(); len(changed) > 0 {
		t.Errorf("it changed %q", changed)
	}
	var stays, deletes []string
	for _, stay := range removal.Kept {
		stays = append(stays, stay.Object.String())
	}
	if diff := cmp.Diff([]string{"ConfigMap/kept", "ConfigMap/made", "Job/after", "PersistentVolumeClaim/data-db-*"}, stays); diff != "" {
		t.Error(diff)
	}
	for _, object := range removal.Deletes {
		deletes = append(deletes, object.String())
	}
	var kinds []string
	for _, kind := range removal.Kinds {
		kinds = append(kinds, fmt.Sprintf("%s %s", kind.Resource, kind.Use))
	}
	if !slices.Contains(kinds, "statefulsets "+string(release.UseRemove)) {
		t.Errorf("the kinds are %q", kinds)
	}
	if err := c.Uninstall(t.Context(), d.Name); err != nil {
		t.Fatal(err)
	}
	var deleted []string
	for _, change := range s.changes() {
		if path, is := strings.CutPrefix(change, "DELETE "); is {
			deleted = append(deleted, path[strings.LastIndex(path, "/")+1:])
		}
	}
	for _, object := range deletes {
		if _, name, _ := strings.Cut(object, "/"); !slices.Contains(deleted, name) {
			t.Errorf("%s was to be deleted, and only %q were", object, deleted)
		}
	}
	for _, name := range []string{"kept", "made"} {
		if slices.Contains(deleted, name) {
			t.Errorf("%s was to stay", name)
		}
	}
}

// TestKeptHoweverItIsWritten: what the plan of an uninstall leaves, an uninstall after a failed deploy and an upgrade without the object leave too.
func TestKeptHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "Keep", " keep"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), wideDeployment(t)
			without := d.Chart
			d.Chart = addTemplate(t, d.Chart, "more.yaml", fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, annotations: {helm.sh/resource-policy: %q}}\n", policy))
			mustDeploy(t, c, d)
			failed := d
			failed.Set = []string{"word=two"}
			wait := errors.New("it does not start")
			if _, err := c.Deploy(t.Context(), failed, func(context.Context, release.Phase, []release.Object) error { return wait }); !errors.Is(err, wait) {
				t.Fatalf("got %v", err)
			}
			removal, err := c.Removal(t.Context(), d.Name)
			isKept := func(stay release.KeptObject) bool { return stay.Object.Name == "kept" }
			if err != nil || !slices.ContainsFunc(removal.Kept, isKept) || slices.ContainsFunc(removal.Deletes, func(o release.Object) bool { return o.Name == "kept" }) {
				t.Errorf("got %+v, %v", removal, err)
			}
			d.Chart = without
			mustDeploy(t, c, d)
			if err := c.Uninstall(t.Context(), d.Name); err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(s.changes(), func(change string) bool {
				return strings.HasPrefix(change, "DELETE ") && strings.HasSuffix(change, "/kept")
			}) {
				t.Error("it was deleted")
			}
		})
	}
}

// TestAHookThatFailsInAnUninstall: the chart is at fault, why is asked before Helm deletes the hook, and without hooks the release goes.
func TestAHookThatFailsInAnUninstall(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, d := s.client("staging"), hookDeployment(t, "Job", "pre-delete", ", helm.sh/hook-delete-policy: 'hook-failed,before-hook-creation'")
	mustDeploy(t, c, d)
	if err := c.Mark(t.Context(), "shop", 1, release.MarkProved); err != nil {
		t.Fatal(err)
	}
	s.admit = func(object map[string]any) {
		if object["kind"] == "Job" {
			object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}}}
		}
	}
	err := c.Uninstall(t.Context(), "shop")
	if !release.IsBadRelease(err) || release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "OD-112 hook Job/") || !strings.Contains(err.Error(), "BackoffLimitExceeded") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Heal(t.Context(), "shop", func(string) {}); err != nil {
		t.Fatal(err)
	}
	explained := &release.BadRelease{Err: &release.Failure{What: "its pod ended with exit code 7"}}
	var there bool
	err = c.UninstallWith(t.Context(), "shop", UninstallOptions{Explain: func(_ context.Context, hook []release.Object) error {
		there = len(hook) == 1 && hook[0].Kind == "Job" && len(s.named("jobs")) == 1
		return explained
	}})
	if !errors.Is(err, explained) || !there || len(s.named("jobs")) > 0 || len(s.named("deployments")) != 1 {
		t.Errorf("got %v, asked while the hook was there: %t", err, there)
	}
	if healed, err := c.Heal(t.Context(), "shop", func(string) {}); err != nil || healed != nil || statuses(t, c) != "deployed" {
		t.Fatalf("nothing was deleted, and it is %s: %v", statuses(t, c), err)
	}
	if target, err := c.RollbackTarget(t.Context(), withWord(d, "two")); err != nil || target.Revision != 1 {
		t.Errorf("a rollback would go to revision %d: %v", target.Revision, err)
	}
	if got := mustDeploy(t, c, withWord(d, "two")); got.Outcome != release.Changed {
		t.Errorf("a deploy after it: %+v", got)
	}
	if err := c.UninstallWith(t.Context(), "shop", UninstallOptions{NoHooks: true}); err != nil || len(s.named("deployments")) > 0 {
		t.Errorf("without hooks: %v", err)
	}
}

// TestAnUnknownResourcePolicy is handled as Helm does: an uninstall leaves the object, also after a failed deploy, and says so; an upgrade without it deletes it.
func TestAnUnknownResourcePolicy(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("after a failed deploy: %t", fails), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c, d := s.client("staging"), wideDeployment(t)
			without := d.Chart
			d.Chart = addTemplate(t, d.Chart, "more.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: odd, annotations: {helm.sh/resource-policy: retain}}\n")
			wasDeleted := func() bool {
				return slices.ContainsFunc(s.changes(), func(change string) bool {
					return strings.HasPrefix(change, "DELETE ") && strings.HasSuffix(change, "/odd")
				})
			}
			install := func() {
				mustDeploy(t, c, d)
				if !fails {
					return
				}
				failed, wait := withWord(d, "two"), errors.New("it does not start")
				if _, err := c.Deploy(t.Context(), failed, func(context.Context, release.Phase, []release.Object) error { return wait }); !errors.Is(err, wait) {
					t.Fatalf("got %v", err)
				}
			}
			install()
			removal, err := c.Removal(t.Context(), d.Name)
			isOdd := func(object release.Object) bool { return object.Name == "odd" }
			stays := slices.ContainsFunc(removal.Kept, func(stay release.KeptObject) bool {
				return isOdd(stay.Object) && strings.Contains(stay.Why, "does not know")
			})
			if err != nil || !stays || slices.ContainsFunc(removal.Deletes, isOdd) {
				t.Errorf("got %+v, %v", removal, err)
			}
			if err := c.Uninstall(t.Context(), d.Name); err != nil || wasDeleted() {
				t.Errorf("it was deleted, or %v", err)
			}
			s.remove("/configmaps/odd")
			install()
			d.Chart = without
			if mustDeploy(t, c, d); !wasDeleted() {
				t.Error("an upgrade without it left it")
			}
		})
	}
}
