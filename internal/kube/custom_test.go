package kube

import (
	"fmt"
	"testing"
	"time"

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
		"replicas":                      {"replicas: 2, " + template, "", 0, true, "its controller has made none"},
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
