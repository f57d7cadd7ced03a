package kube

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestTheControllerOfACustomResourceIsAwaited: one without pods says how long they are waited for, unless its spec says that it wants none, or how many.
func TestTheControllerOfACustomResourceIsAwaited(t *testing.T) {
	t.Parallel()
	template := fmt.Sprintf("template: {spec: {containers: [{name: app, image: %q}]}}", "localhost:5000/shop@"+digest)
	for name, test := range map[string]struct {
		spec, status string
		want         time.Duration
		wants        bool
		note         string
	}{
		"no status":                     {template, "", silentPatience, false, "has no pod that could be compared"},
		"a status of this generation":   {template, "observedGeneration: 2", spokenPatience, false, "has no pod that could be compared"},
		"one that is a text":            {template, `observedGeneration: "2"`, spokenPatience, false, "has no pod that could be compared"},
		"a status of an older one":      {template, "observedGeneration: 1, phase: Ready", silentPatience, false, "has no pod that could be compared"},
		"a status that does not say":    {template, "conditions: [{type: Ready, status: 'True'}]", spokenPatience, false, "has no pod that could be compared"},
		"an image outside of templates": {fmt.Sprintf("image: %q", "localhost:5000/shop@"+digest), "", spokenPatience, false, "has no pod that could be compared"},
		"no replicas":                   {"replicas: 0, " + template, "", 0, false, "wants no pod: it has 0 replicas"},
		"suspended":                     {"suspend: true, " + template, "", 0, false, "wants no pod: it is suspended"},
		"replicas":                      {"replicas: 2, " + template, "", 0, true, "its controller has created none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Serve(schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}, "widgets", true)
			manifest := fmt.Sprintf("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: web, generation: 2, creationTimestamp: '2026-01-02T03:04:05Z', managedFields: [{manager: a, time: '2026-02-03T04:05:06Z'}, "+
				"{manager: b, subresource: status, time: '2026-03-04T05:06:07Z'}]}\nspec: {%s}\nstatus: {%s}", test.spec, test.status)
			s.Put(recordOf(t, 1, "deployed", manifest))
			s.put(manifest)
			running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
			if err != nil || len(running.Workloads) != 1 {
				t.Fatalf("got %+v, %v", running, err)
			}
			got := running.Workloads[0]
			if got.Patience != test.want || got.WantsPods != test.wants || got.Note != test.note {
				t.Errorf("got %s, %t, %q; want %s, %t, %q", got.Patience, got.WantsPods, got.Note, test.want, test.wants, test.note)
			}
			if changed := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC); test.want > 0 && !got.Changed.Equal(changed) {
				t.Errorf("changed %s", got.Changed)
			}
			proof, err := running.Prove(t.Context(), builtImage(t), nil)
			if err != nil || proof.Patience != test.want || (len(proof.Awaited) > 0) != (test.want > 0) || proof.Pending != test.wants {
				t.Errorf("got %+v, %v", proof, err)
			}
			s.Put(owned("web-x", "Widget", "web", digest))
			if running, err = s.client().Running(t.Context(), space, "shop", builtImage(t)); err != nil || running.Workloads[0].Patience != 0 || len(running.Workloads[0].Pods) != 1 {
				t.Errorf("with a pod: got %+v, %v", running, err)
			}
		})
	}
}

// TestWhatAControllerHasApplied: the workloads of a release that Argo CD applies are found among its objects without a label and without a record, custom resources included.
func TestWhatAControllerHasApplied(t *testing.T) {
	t.Parallel()
	named := fmt.Sprintf("{spec: {containers: [{name: app, image: %q}]}}", "localhost:5000/shop@"+digest)
	widget := "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: web}\nspec: {template: " + named + "}"
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec: {replicas: 1, template: " + named + "}"
	objects := []release.Object{
		{APIVersion: "example.com/v1", Kind: "Widget", Namespace: space, Name: "web"},
		{APIVersion: "apps/v1", Kind: "Deployment", Namespace: space, Name: "api"},
		{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Namespace: space, Name: "api"},
		{APIVersion: "v1", Kind: "Secret", Namespace: space, Name: "password"},             // must not be read
		{APIVersion: "secrets.com/v1", Kind: "SealedSecret", Namespace: space, Name: "it"}, // nor this
		{APIVersion: "batch/v1", Kind: "CronJob", Namespace: space, Name: "nightly"},
		{APIVersion: "batch/v1", Kind: "Job", Namespace: space, Name: "collected"},
	}
	for name, test := range map[string]struct {
		deny []string
		pods string // the digest that they run
		want []string
		exit int
	}{
		"all is well":             {nil, digest, []string{"Widget/web 1", "Deployment/api 0", "Rollout/api 0"}, release.ExitDone},
		"another image":           {nil, older, []string{"Widget/web 1", "Deployment/api 0", "Rollout/api 0"}, release.ExitDone},
		"no right to read it":     {[]string{"/widgets/web"}, digest, []string{"Widget/web 0 cannot be read", "Deployment/api 0", "Rollout/api 0 has pods whose owners may not be read"}, release.ExitDone},
		"no right for its owners": {[]string{"/parts/part"}, digest, []string{"Widget/web 0 has pods whose owners may not be read", "Deployment/api 0", "Rollout/api 0 has pods whose owners may not be read"}, release.ExitDone},
		"no right for workloads":  {[]string{"/deployments/api"}, digest, nil, release.ExitFault},
		"no right for CronJobs":   {[]string{"/cronjobs/"}, digest, []string{"Widget/web 1", "Deployment/api 0", "Rollout/api 0", "unread CronJob"}, release.ExitDone},
		"no right for a referrer": {[]string{"/rollouts/"}, digest, []string{"Widget/web 1", "Deployment/api 0"}, release.ExitDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Serve(schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}, "widgets", true)
			s.Serve(schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Rollout"}, "rollouts", true)
			s.put(widget + "\n---\n" + deployment + "\n---\napiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: api}\nspec: {workloadRef: {kind: Deployment, name: api}}" +
				"\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec: {}")
			s.Put(owned("web-x", "Widget", "web", test.pods))
			if strings.Contains(fmt.Sprint(test.deny), "parts") {
				s.Serve(schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Part"}, "parts", true)
				between := owned("web-y", "Part", "part", test.pods)
				between.OwnerReferences[0].APIVersion = "example.com/v1"
				s.Put(between)
			}
			s.Break(func(r *http.Request) int {
				if slices.ContainsFunc(append(test.deny, "/secrets/password", "/sealedsecrets/"), func(denied string) bool { return strings.Contains(r.URL.Path, denied) }) {
					return http.StatusForbidden
				}
				return 0
			})
			client := s.client()
			client.SetApplied(space, "shop", objects, []string{"example.com/Widget"})
			running, err := client.Running(t.Context(), space, "shop", builtImage(t))
			if release.ExitCode(err) != test.exit {
				t.Fatalf("got %v", err)
			}
			var got []string
			for _, workload := range running.Workloads {
				unfound, _, _ := strings.Cut(workload.Unfound, ",")
				got = append(got, strings.TrimSpace(fmt.Sprintf("%s %d %s", workload.Object, len(workload.Pods), unfound)))
				for _, pod := range workload.Pods {
					if pod.Digest.String() != test.pods {
						t.Errorf("got %+v", pod)
					}
				}
			}
			for _, unread := range running.Unread {
				got = append(got, "unread "+unread)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPermissionsForWhatAControllerApplies: a custom resource that runs an image is read, and what owns its pods; without these rights the deploy goes on and says what is not known.
func TestPermissionsForWhatAControllerApplies(t *testing.T) {
	t.Parallel()
	fleet := release.AppliedKind{Group: "agones.dev", Resource: "fleets", Namespace: space, Use: release.UseWatch}
	for has, want := range map[bool][]string{false: {"fleets.agones.dev list watch"}, true: {"fleets.agones.dev list watch", "fleets.agones.dev get", "gameserversets.agones.dev get", "gameservers.agones.dev get"}} {
		fleet.HasContainers = has
		var got []string
		for _, permission := range KindPermissions(fleet) {
			got = append(got, permission.Name()+" "+strings.Join(permission.Verbs, " "))
			if permission.Without == "" || permission.Namespace != space {
				t.Errorf("got %+v", permission)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
