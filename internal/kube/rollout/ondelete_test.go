package rollout

import (
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// agentPod is a pod of the DaemonSet by the generation of its template.
func agentPod(name, generation string, ready core.ConditionStatus) *core.Pod {
	p := pod(name, 1)
	p.OwnerReferences[0].UID, p.Labels["pod-template-generation"] = "uid-agent", generation
	p.Status.Conditions[0].Status = ready
	return p
}

// TestPodsKeptAtAnOlderRevisionAreReported: under OnDelete a pod of an older template is replaced when somebody deletes it, and below a
// partition never.
func TestPodsKeptAtAnOlderRevisionAreReported(t *testing.T) {
	t.Parallel()
	agent := daemonSet(3, 2)
	agent.Annotations = map[string]string{"deprecated.daemonset.template.generation": "2"}
	agent.Spec.UpdateStrategy.Type = apps.OnDeleteDaemonSetStrategyType
	agent.Status.UpdatedNumberScheduled = 1
	set := statefulSet(2, 2, 1, 2)
	set.Status.CurrentReplicas, set.Status.CurrentRevision = 1, "db-a"
	set.Spec.UpdateStrategy = apps.StatefulSetUpdateStrategy{Type: apps.RollingUpdateStatefulSetStrategyType, RollingUpdate: &apps.RollingUpdateStatefulSetStrategy{Partition: ptr(int32(1))}}
	setPod := func(name, revision string) *core.Pod {
		p := pod(name, 1)
		p.OwnerReferences[0].UID, p.Labels[apps.ControllerRevisionHashLabelKey] = "uid-db", revision
		return p
	}
	manual := set.DeepCopy()
	manual.Spec.UpdateStrategy = apps.StatefulSetUpdateStrategy{Type: apps.OnDeleteStatefulSetStrategyType}
	const byHand = " pods have an older template: updateStrategy OnDelete replaces a pod only when somebody deletes it"
	tests := map[string]struct {
		object release.Object
		there  []runtime.Object
		done   bool
		note   string
	}{
		"old ones only":               {ofDaemon, []runtime.Object{agent, agentPod("a", "1", "True"), agentPod("b", "1", "True"), agentPod("c", "1", "True")}, true, "3 of 3" + byHand},
		"old ones that are broken":    {ofDaemon, []runtime.Object{agent, agentPod("a", "1", "False"), agentPod("b", "1", "True"), agentPod("c", "2", "True")}, true, "2 of 3" + byHand},
		"a new one that is not ready": {ofDaemon, []runtime.Object{agent, agentPod("a", "1", "True"), agentPod("b", "1", "True"), agentPod("c", "2", "False")}, false, ""},
		"one is missing":              {ofDaemon, []runtime.Object{agent, agentPod("a", "1", "True"), agentPod("b", "1", "True")}, false, ""},
		"new ones only":               {ofDaemon, []runtime.Object{agent, agentPod("a", "2", "True"), agentPod("b", "2", "True"), agentPod("c", "2", "True")}, true, ""},
		"a StatefulSet":               {ofStateful, []runtime.Object{manual, setPod("db-0", "db-a"), setPod("db-1", "db-b")}, true, "1 of 2" + byHand},
		"a StatefulSet without pods":  {ofStateful, []runtime.Object{manual}, false, ""},
		"a partition":                 {ofStateful, []runtime.Object{set, setPod("db-0", "db-a"), setPod("db-1", "db-b")}, true, "1 of 2 pods have an older template: updateStrategy has partition 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, []release.Object{test.object}, func(s *stage) {
				s.Put(test.there...)
				s.evaluate()
				time.Sleep(diagnose.ProvingTime)
				s.evaluate()
				if done := len(s.last.pending) == 0; done != test.done {
					t.Errorf("done %t, want %t: %+v", done, test.done, s.last.pending)
				}
				if said := s.last.steps[0].Message; test.done && said != test.note {
					t.Errorf("told %q, want %q", said, test.note)
				}
			})
		})
	}
}

// TestReadyPodsMustBeSeen: a workload's status may be read before its pods.
func TestReadyPodsMustBeSeen(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		object release.Object
		ready  runtime.Object
	}{
		"Deployment":  {ofDeployment, deployment(1, 2, 2, 2)},
		"StatefulSet": {ofStateful, statefulSet(2, 2, 2, 2)},
		"DaemonSet":   {ofDaemon, daemonSet(2, 2)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, []release.Object{test.object}, func(s *stage) {
				s.Put(test.ready)
				pods := podsOf(test.ready)
				last := pods[len(pods)-1].(*core.Pod)
				if err := s.r.stores.pods[space].Delete(last); err != nil {
					t.Fatal(err)
				}
				if s.evaluate(); len(s.last.pending) != 1 || s.last.steps[0].Message != "its pods are not read yet" {
					t.Errorf("ready without all pods: %+v", s.last.steps)
				}
				s.Put(last)
				if s.evaluate(); len(s.last.pending) > 0 {
					t.Errorf("not ready: %+v", s.last.pending)
				}
			})
		})
	}
}
