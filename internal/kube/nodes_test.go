package kube

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name, architecture string, change func(*core.Node)) *core.Node {
	n := &core.Node{ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/arch": architecture}}}
	n.Status.NodeInfo.OperatingSystem, n.Status.NodeInfo.Architecture = "linux", architecture
	if change != nil {
		change(n)
	}
	return n
}

func TestUnrunnableTemplates(t *testing.T) {
	t.Parallel()
	platform := func(architecture string) release.Platform {
		return release.Platform{OS: "linux", Architecture: architecture}
	}
	required := func(terms ...core.NodeSelectorTerm) *core.Affinity {
		return &core.Affinity{NodeAffinity: &core.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &core.NodeSelector{NodeSelectorTerms: terms}}}
	}
	term := func(key string, operator core.NodeSelectorOperator, values ...string) core.NodeSelectorTerm {
		return core.NodeSelectorTerm{MatchExpressions: []core.NodeSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
	}
	tainted := func(n *core.Node) {
		n.Spec.Taints = []core.Taint{{Key: "dedicated", Value: "db", Effect: core.TaintEffectNoSchedule}}
	}
	cordoned := func(n *core.Node) { n.Spec.Unschedulable = true }
	amd, arm := node("amd", "amd64", nil), node("arm", "arm64", nil)
	toAmd := core.PodSpec{NodeSelector: map[string]string{"kubernetes.io/arch": "amd64"}}
	for name, test := range map[string]struct {
		nodes  []*core.Node
		spec   core.PodSpec
		image  []release.Platform
		misfit []release.Platform // the nodes', none if the image fits or nothing is known
	}{
		"another architecture":                    {[]*core.Node{amd}, core.PodSpec{}, []release.Platform{platform("arm64")}, []release.Platform{platform("amd64")}},
		"one node fits":                           {[]*core.Node{amd, arm}, core.PodSpec{}, []release.Platform{platform("arm64")}, nil},
		"one platform fits":                       {[]*core.Node{amd}, core.PodSpec{}, []release.Platform{platform("arm64"), platform("amd64")}, nil},
		"32 bits on 64":                           {[]*core.Node{arm}, core.PodSpec{}, []release.Platform{{OS: "linux", Architecture: "arm", Variant: "v7"}}, nil},
		"64 bits on 32":                           {[]*core.Node{node("old", "arm", nil)}, core.PodSpec{}, []release.Platform{platform("arm64")}, []release.Platform{platform("arm")}},
		"another system":                          {[]*core.Node{amd}, core.PodSpec{}, []release.Platform{{OS: "windows", Architecture: "amd64"}}, []release.Platform{platform("amd64")}},
		"no node":                                 {nil, core.PodSpec{}, []release.Platform{platform("arm64")}, nil},
		"a node without a report":                 {[]*core.Node{node("new", "", nil)}, core.PodSpec{}, []release.Platform{platform("arm64")}, nil},
		"selected, and wrong":                     {[]*core.Node{amd, arm}, toAmd, []release.Platform{platform("arm64")}, []release.Platform{platform("amd64")}},
		"selected, and scaled to zero":            {[]*core.Node{amd}, core.PodSpec{NodeSelector: map[string]string{"kubernetes.io/arch": "arm64"}}, []release.Platform{platform("arm64")}, nil},
		"by affinity, and wrong":                  {[]*core.Node{amd, arm}, core.PodSpec{Affinity: required(term("kubernetes.io/arch", core.NodeSelectorOpIn, "amd64"))}, []release.Platform{platform("arm64")}, []release.Platform{platform("amd64")}},
		"by affinity, either":                     {[]*core.Node{amd, arm}, core.PodSpec{Affinity: required(term("kubernetes.io/arch", core.NodeSelectorOpIn, "amd64"), term("kubernetes.io/arch", core.NodeSelectorOpExists))}, []release.Platform{platform("arm64")}, nil},
		"by affinity, not this":                   {[]*core.Node{amd, arm}, core.PodSpec{Affinity: required(term("kubernetes.io/arch", core.NodeSelectorOpNotIn, "arm64"))}, []release.Platform{platform("arm64")}, []release.Platform{platform("amd64")}},
		"by affinity, nothing":                    {[]*core.Node{amd}, core.PodSpec{Affinity: required(core.NodeSelectorTerm{})}, []release.Platform{platform("arm64")}, nil},
		"by name":                                 {[]*core.Node{amd, arm}, core.PodSpec{NodeName: "amd"}, []release.Platform{platform("arm64")}, []release.Platform{platform("amd64")}},
		"the one that fits is tainted":            {[]*core.Node{amd, node("arm", "arm64", tainted)}, core.PodSpec{}, []release.Platform{platform("arm64")}, []release.Platform{platform("amd64")}},
		"the one that fits is tainted, tolerated": {[]*core.Node{amd, node("arm", "arm64", tainted)}, core.PodSpec{Tolerations: []core.Toleration{{Key: "dedicated", Value: "db"}}}, []release.Platform{platform("arm64")}, nil},
		"all are tainted":                         {[]*core.Node{node("amd", "amd64", tainted)}, core.PodSpec{}, []release.Platform{platform("arm64")}, nil},
		"the one that does not fit is cordoned":   {[]*core.Node{node("amd", "amd64", cordoned)}, core.PodSpec{}, []release.Platform{platform("arm64")}, nil},
		"tolerates everything":                    {[]*core.Node{node("amd", "amd64", tainted)}, core.PodSpec{Tolerations: []core.Toleration{{Operator: core.TolerationOpExists}}}, []release.Platform{platform("arm64")}, []release.Platform{platform("amd64")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			for _, n := range test.nodes {
				s.Put(n)
			}
			spec, err := json.Marshal(test.spec)
			if err != nil {
				t.Fatal(err)
			}
			object := release.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop"}
			got, err := s.client().UnrunnableTemplates(t.Context(), []release.PodTemplate{{Object: object, Spec: spec}}, test.image)
			if err != nil {
				t.Fatal(err)
			}
			var want []release.UnrunnableTemplate
			if test.misfit != nil {
				want = []release.UnrunnableTemplate{{Object: object, Nodes: test.misfit}}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestUnrunnableTemplatesWithoutAccess: who may not list nodes deploys as before.
func TestUnrunnableTemplatesWithoutAccess(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(node("amd", "amd64", nil))
	s.Break(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/nodes") {
			return http.StatusForbidden
		}
		return 0
	})
	got, err := s.client().UnrunnableTemplates(t.Context(), []release.PodTemplate{{Spec: []byte("{}")}}, []release.Platform{{OS: "linux", Architecture: "arm64"}})
	if len(got) > 0 || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}
