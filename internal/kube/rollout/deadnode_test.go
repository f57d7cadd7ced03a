package rollout

import (
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestADaemonSetWithADeadNode: it wants a pod on a node that does not answer, whose pod nobody replaces. The pods on all other nodes decide.
func TestADaemonSetWithADeadNode(t *testing.T) {
	t.Parallel()
	on := func(p *core.Pod, node string) *core.Pod {
		p.Spec.NodeName = node
		p.Status.Conditions = append(p.Status.Conditions, core.PodCondition{Type: core.ContainersReady, Status: core.ConditionTrue})
		started := meta.NewTime(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
		p.Status.StartTime = &started
		return p
	}
	// silent is what the node's controller makes of a pod whose kubelet does not answer.
	silent := func(p *core.Pod) *core.Pod {
		p.Status.Conditions[0] = core.PodCondition{Type: core.PodReady, Status: core.ConditionFalse, LastTransitionTime: meta.NewTime(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))}
		return p
	}
	deleted := func(p *core.Pod) *core.Pod {
		p.DeletionTimestamp, p.Finalizers = &meta.Time{Time: time.Date(2000, 1, 1, 0, 0, 30, 0, time.UTC)}, []string{"test/keep"}
		return p
	}
	untaken := func(p *core.Pod) *core.Pod {
		p.Status = core.PodStatus{Phase: core.PodPending, Conditions: []core.PodCondition{{Type: core.PodScheduled, Status: core.ConditionTrue, LastTransitionTime: meta.NewTime(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))}}}
		return p
	}
	unready := func(p *core.Pod) *core.Pod {
		p.Status.Conditions[0].Status, p.Status.Conditions[1].Status, p.Status.ContainerStatuses[0].Ready = core.ConditionFalse, core.ConditionFalse, false
		return p
	}
	gated := func(p *core.Pod) *core.Pod {
		p.Spec.ReadinessGates = []core.PodReadinessGate{{ConditionType: "example.com/ready"}}
		return p
	}
	a, b := on(agentPod("a", "2", "True"), "node-a"), on(agentPod("b", "2", "True"), "node-b")
	for name, test := range map[string]struct {
		pods    []runtime.Object
		updated int32
		done    bool
		told    string
	}{
		"its old pod stays in its deletion": {[]runtime.Object{a, b, deleted(silent(on(agentPod("c", "1", "True"), "node-c")))}, 2, true, "1 of 3 pods are not waited for, because their nodes do not answer: node-c"},
		"its old pod is not deleted":        {[]runtime.Object{a, b, silent(on(agentPod("c", "1", "True"), "node-c"))}, 2, true, "nodes do not answer: node-c"},
		"its new pod was never taken over":  {[]runtime.Object{a, b, untaken(on(agentPod("c", "2", "True"), "node-c"))}, 3, true, "nodes do not answer: node-c"},
		"its new pod was ready once":        {[]runtime.Object{a, b, silent(on(agentPod("c", "2", "True"), "node-c"))}, 3, true, "nodes do not answer: node-c"},
		"another pod has to be replaced":    {[]runtime.Object{a, on(agentPod("b", "1", "True"), "node-b"), deleted(silent(on(agentPod("c", "1", "True"), "node-c")))}, 1, false, "maxUnavailable"},
		"another pod is not ready":          {[]runtime.Object{a, unready(on(agentPod("b", "2", "True"), "node-b")), silent(on(agentPod("c", "1", "True"), "node-c"))}, 2, false, ""},
		"all nodes are dead":                {[]runtime.Object{silent(on(agentPod("c", "1", "True"), "node-c"))}, 0, false, "1 of 3 nodes do not answer (node-c)"},
		"a pod whose node answers":          {[]runtime.Object{a, b, unready(on(agentPod("c", "2", "True"), "node-c"))}, 3, false, ""},
		"a pod with a readiness gate":       {[]runtime.Object{a, b, gated(silent(on(agentPod("c", "2", "True"), "node-c")))}, 3, false, ""},
		"a pod that was just created": {[]runtime.Object{a, b, func() *core.Pod {
			p := untaken(on(agentPod("c", "2", "True"), "node-c"))
			p.Status.Conditions[0].LastTransitionTime = meta.NewTime(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(diagnose.ProvingTime))
			return p
		}()}, 3, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agent := daemonSet(3, 2)
			agent.Annotations = map[string]string{"deprecated.daemonset.template.generation": "2"}
			agent.Status.UpdatedNumberScheduled = test.updated
			play(t, false, []release.Object{ofDaemon}, func(s *stage) {
				s.Put(append([]runtime.Object{agent}, test.pods...)...)
				if s.evaluate(); len(s.last.pending) == 0 {
					t.Errorf("ready at once: %+v", s.last.steps)
				}
				if name == "a pod that was just created" {
					time.Sleep(diagnose.GraceDeadNode)
				} else {
					time.Sleep(diagnose.GraceDeadNode + time.Second)
				}
				s.evaluate()
				if done := len(s.last.pending) == 0; done != test.done {
					t.Errorf("done %t, want %t: %+v", done, test.done, s.last.pending)
				}
				if said := s.last.steps[0].Message; test.told != "" && !strings.Contains(said, test.told) {
					t.Errorf("told %q, want %q", said, test.told)
				}
			})
		})
	}
}
