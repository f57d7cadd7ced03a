package rollout

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var (
	ofBalancing = release.Object{APIVersion: "v1", Kind: "Service", Namespace: space, Name: "shop"}
	ofScaling   = release.Object{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Namespace: space, Name: "shop"}
)

func autoscaler(metrics core.ConditionStatus) *autoscaling.HorizontalPodAutoscaler {
	a := &autoscaling.HorizontalPodAutoscaler{ObjectMeta: described("shop", "", nil)}
	a.Spec.MinReplicas, a.Spec.MaxReplicas = ptr(int32(2)), 6
	a.Status.CurrentReplicas, a.Status.DesiredReplicas = 2, 3
	a.Status.Conditions = []autoscaling.HorizontalPodAutoscalerCondition{{Type: autoscaling.ScalingActive, Status: metrics, Reason: "FailedGetResourceMetric", Message: "no metrics"}}
	return a
}

// TestWatchReportsWithoutWaiting: a load balancer and an autoscaler are reported, and not waited for.
func TestWatchReportsWithoutWaiting(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	balancer := service("shop", core.ServiceTypeLoadBalancer, "")
	inside := service("peers", core.ServiceTypeClusterIP, "")
	s.Put(deployment(2, 1, 0, 1), balancer, inside, autoscaler(core.ConditionFalse))
	r := observe(t, s.watcher(), ofDeployment, ofBalancing, release.Object{APIVersion: "v1", Kind: "Service", Namespace: space, Name: "peers"}, ofScaling)
	reports := func(object release.Object, words string, done bool) {
		t.Helper()
		r.until(words, func(step release.RolloutStep) bool {
			return step.Object == object && strings.Contains(step.Message, words) && step.Done == done && step.Desired == -1
		})
	}
	reports(ofBalancing, "no address yet", false)
	more := autoscaler(core.ConditionFalse)
	more.Status.DesiredReplicas = 4
	s.Put(more)
	reports(ofScaling, "2 pods, wants 4 of 2 to 6; FailedGetResourceMetric: no metrics", true)
	s.Put(service("shop", core.ServiceTypeLoadBalancer, "lb.example.com"))
	reports(ofBalancing, "at lb.example.com", true)
	s.Put(service("shop", core.ServiceTypeLoadBalancer, ""), deployment(2, 1, 1, 1))
	steps, err := r.rest()
	if err != nil {
		t.Error(err)
	}
	for _, step := range steps {
		if step.Object.Name == "peers" {
			t.Errorf("a Service inside the cluster is reported: %+v", step)
		}
	}
}

func definition(established string) *unstructured.Unstructured {
	d := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "widgets.example.com"}}}
	if established != "" {
		d.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": established, "reason": "InitialNamesAccepted"}}}
	}
	return d
}

func TestWatchWaitsForADefinition(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(definition(""))
	object := release.Object{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Namespace: space, Name: "widgets.example.com"}
	r := observe(t, s.watcher(), object)
	if step := r.until("the first", func(release.RolloutStep) bool { return true }); step.Done {
		t.Errorf("established at once: %+v", step)
	}
	s.Put(definition("True"))
	if _, err := r.rest(); err != nil {
		t.Error(err)
	}
}

// TestRefusedPodsWithoutCondition: controllers without a condition say so in events, which outlive what they say.
func TestRefusedPodsWithoutCondition(t *testing.T) {
	t.Parallel()
	const full = `is forbidden: exceeded quota: team, requested: pods=2, used: pods=1, limited: pods=1`
	stateful, daemon, migrate := statefulSet(2, 2, 1, 1), daemonSet(2, 1), job("", "")
	daemon.Status.CurrentNumberScheduled = 1
	for name, test := range map[string]struct {
		object release.Object
		about  meta.ObjectMeta
		put    func(s *stage)
		says   string
	}{
		"StatefulSet": {ofStateful, stateful.ObjectMeta, func(s *stage) { s.Put(stateful) }, `Create Pod db-1 in StatefulSet db failed error: pods "db-1" ` + full},
		"DaemonSet":   {ofDaemon, daemon.ObjectMeta, func(s *stage) { s.Put(daemon) }, `Error creating: pods "agent-x" ` + full},
		"Job":         {ofJobs, migrate.ObjectMeta, func(s *stage) { s.Put(migrate) }, `Error creating: pods "migrate-x" ` + full},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusal := eventAbout("e1", test.about, "", "Warning", diagnose.ReasonFailedCreate, test.says)
			refusal.ResourceVersion = "7"
			one := pod("one", 1)
			one.OwnerReferences[0].UID = test.about.UID
			one.CreationTimestamp = meta.NewTime(refusal.LastTimestamp.Add(-1e9))
			if name == "Job" {
				one.OwnerReferences[0].UID = "another"
			}
			play(t, false, []release.Object{test.object}, func(s *stage) {
				test.put(s)
				s.Put(one, refusal)
				s.failsAfter(diagnose.GraceShort, causes.QuotaExceeded)
				later := pod("two", 1)
				later.OwnerReferences[0].UID, later.CreationTimestamp = test.about.UID, meta.NewTime(refusal.LastTimestamp.Add(1e9))
				s.Put(later)
				s.fails("a pod was made since", "")
			})
			play(t, false, []release.Object{test.object}, func(s *stage) {
				test.put(s)
				s.r.stores.events[space] = synced(t, refusal)
				s.neverFails() // said before the watch began, of another rollout
			})
		})
	}
}

// TestWatchAsksOnce: one list and watch a kind, and of a kind that the release brings one of, that one by name.
func TestWatchAsksOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Break(func(r *http.Request) int {
		if only := r.URL.Query().Get("fieldSelector"); strings.HasSuffix(r.URL.Path, "/deployments") && only != "metadata.name=shop" {
			t.Errorf("Deployments are asked for by %q", only)
		}
		return 0
	})
	set, sets := &apps.ReplicaSet{}, release.Object{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: space, Name: "bare"}
	set.ObjectMeta, set.Generation = described("bare", "", nil), 1
	set.Spec.Replicas, set.Status = ptr(int32(1)), apps.ReplicaSetStatus{ObservedGeneration: 1, Replicas: 1, FullyLabeledReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	s.Put(deployment(1, 1, 1, 1), set, hookPod(core.PodRunning), job(batch.JobComplete, ""), claim(core.ClaimBound))
	if _, err := observe(t, s.watcher(), ofDeployment, sets, ofSeed, ofJobs, ofClaim).rest(); err != nil {
		t.Error(err)
	}
	asked := s.Requests()
	for i, request := range asked {
		if slices.Contains(asked[:i], request) {
			t.Errorf("%q is asked twice: %q", request, asked)
		}
	}
	if len(asked) == 0 {
		t.Error("nothing was asked")
	}
}
