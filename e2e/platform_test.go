package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// copyValues copies a file of values from testdata/platform into the checkout, where deploy takes it from, and fills the namespace in.
func (c checkout) copyValues(t *testing.T, file, namespace string) (name string) {
	t.Helper()
	c.write(file, strings.ReplaceAll(string(golden(t, "platform/"+file)), "NAMESPACE", namespace))
	return file
}

// await waits until the condition is met, for at most two minutes.
func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !met(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited two minutes for %s", what)
		}
		if t.Context().Err() != nil {
			t.Fatalf("interrupted while waiting for %s", what)
		}
	}
}

// underLoad asks an address over kept-alive and over new connections during an action, and until it has been answered 1,000
// times in all and for some seconds afterwards: connections to pods that end drain for as long. Each request must be answered 200.
func underLoad(t *testing.T, url string, pairs int, action func()) {
	t.Helper()
	const least = 1000
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	load := startLoad(ctx, url, pairs)
	await(t, "the load to begin", func() bool { return load.answered.Load() >= least/10 })
	action()
	settled := time.Now().Add(5 * time.Second)
	await(t, "1,000 answers", func() bool { return load.answered.Load() >= least && time.Now().After(settled) })
	cancel()
	load.wait.Wait()
	if len(load.dropped) > 0 {
		t.Errorf("of %d requests %d were dropped: %v", load.answered.Load()+int64(len(load.dropped)), len(load.dropped), load.dropped)
	}
	t.Logf("%d requests answered, %d dropped", load.answered.Load(), len(load.dropped))
}

// TestPlatformAutoscaling scales out under load, updates the release meanwhile, and scales in under less of it. No request is dropped.
func TestPlatformAutoscaling(t *testing.T) {
	onNode(t)
	tree := newCheckout(t)
	const namespace = "scaled"
	values := tree.copyValues(t, "autoscaling.yaml", namespace)
	deployed, got := tree.deploy(t.Context(), namespace, tree.build(), "--values", values)
	got.expect(t, 0)
	autoscaler := func() (current, desired int32, cpu string) {
		t.Helper()
		now, err := client(t).AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(t.Context(), "shop", meta.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, metric := range now.Status.CurrentMetrics {
			if metric.Resource != nil && metric.Resource.Current.AverageValue != nil {
				cpu = metric.Resource.Current.AverageValue.String()
			}
		}
		return now.Status.CurrentReplicas, now.Status.DesiredReplicas, cpu
	}
	await(t, "the autoscaler to know what two idle pods use", func() bool {
		current, desired, cpu := autoscaler()
		return current == 2 && desired == 2 && cpu != ""
	})
	_, _, idle := autoscaler()
	commit := deployed.Commit.String()
	underLoad(t, deployed.URL, 4, func() {
		began := time.Now()
		await(t, "four pods under load", func() bool { return readyPods(t, namespace) == 4 })
		_, _, busy := autoscaler()
		t.Logf("scaled out from 2 to 4 pods in %.0f s: %s of CPU for each pod at rest, %s under load", time.Since(began).Seconds(), idle, busy)
		tree.edit("app/config.go", `"GREETING", "Hello"`, `"GREETING", "Good day"`)
		commit = tree.commit("greet otherwise")
		_, got := tree.deploy(t.Context(), namespace, tree.build(), "--values", values)
		got.expect(t, 0)
		if current, _, _ := autoscaler(); current < 3 {
			t.Errorf("the update took the release back to %d pods under load", current)
		}
	})
	if answers := servedCommit(t, deployed.URL); answers != commit {
		t.Errorf("commit %s answers, want %s", answers, commit)
	}
	began, asked := time.Now(), 0
	await(t, "two pods after the load", func() bool {
		if answers := servedCommit(t, deployed.URL); answers != commit {
			t.Errorf("while it scaled in, %q answered", answers)
		}
		asked++
		_, desired, _ := autoscaler()
		return desired == 2 && readyPods(t, namespace) == 2
	})
	t.Logf("scaled in to 2 pods after %.0f s, %d requests answered meanwhile", time.Since(began).Seconds(), asked)
}

// podsOf lists a release's pods that are not about to end.
func podsOf(t *testing.T, namespace string) (list []core.Pod) {
	t.Helper()
	found, err := client(t).CoreV1().Pods(namespace).List(t.Context(), meta.ListOptions{LabelSelector: "app.kubernetes.io/instance=shop"})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range found.Items {
		if pod.DeletionTimestamp == nil {
			list = append(list, pod)
		}
	}
	return list
}

func isReady(pod core.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c core.PodCondition) bool { return c.Type == core.PodReady && c.Status == core.ConditionTrue })
}

func readyPods(t *testing.T, namespace string) (n int) {
	t.Helper()
	for _, pod := range podsOf(t, namespace) {
		if isReady(pod) {
			n++
		}
	}
	return n
}

// gate is a condition that a pod needs, besides its probes, to be ready: a load balancer's controller sets such ones.
const gate = "example.com/in-service"

// TestPlatformLosesPods deletes a pod, and makes one unready: the address answers throughout, and both come back.
func TestPlatformLosesPods(t *testing.T) {
	onNode(t)
	tree := newCheckout(t)
	const namespace = "losing"
	deployed, got := tree.deploy(t.Context(), namespace, tree.build())
	got.expect(t, 0)
	t.Run("one is deleted", func(t *testing.T) {
		before := podsOf(t, namespace)
		underLoad(t, deployed.URL, 2, func() {
			if err := client(t).CoreV1().Pods(namespace).Delete(t.Context(), before[0].Name, meta.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			await(t, "another pod in its place", func() bool {
				return readyPods(t, namespace) == len(before) && !slices.ContainsFunc(podsOf(t, namespace), func(pod core.Pod) bool { return pod.Name == before[0].Name })
			})
		})
	})
	t.Run("one is unready", func(t *testing.T) {
		patch := []byte(`{"spec":{"template":{"spec":{"readinessGates":[{"conditionType":"` + gate + `"}]}}}}`)
		if _, err := client(t).AppsV1().Deployments(namespace).Patch(t.Context(), "shop", types.StrategicMergePatchType, patch, meta.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		await(t, "the pods that have the gate", func() bool {
			for _, pod := range podsOf(t, namespace) {
				if len(pod.Spec.ReadinessGates) > 0 && !isReady(pod) {
					setGate(t, pod, core.ConditionTrue)
				}
			}
			return rolledOut(t, namespace)
		})
		underLoad(t, deployed.URL, 2, func() {
			pod := podsOf(t, namespace)[0]
			setGate(t, pod, core.ConditionFalse)
			await(t, "the load balancer to leave the pod out", func() bool {
				backends := backendsOf(t, namespace)
				return len(backends) == 1 && !strings.HasPrefix(backends[0], pod.Status.PodIP+":")
			})
			if n := readyPods(t, namespace); n != 1 {
				t.Errorf("%d pods are ready, want 1", n)
			}
			time.Sleep(3 * time.Second) // in which the one that is left answers alone
			setGate(t, pod, core.ConditionTrue)
			await(t, "the load balancer to take the pod in again", func() bool { return len(backendsOf(t, namespace)) == 2 })
		})
	})
}

func setGate(t *testing.T, pod core.Pod, status core.ConditionStatus) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []core.PodCondition{{Type: gate, Status: status, LastTransitionTime: meta.Now()}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client(t).CoreV1().Pods(pod.Namespace).Patch(t.Context(), pod.Name, types.StrategicMergePatchType, patch, meta.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}

// rolledOut reports whether all pods, and only those, are of the Deployment's present template.
func rolledOut(t *testing.T, namespace string) bool {
	t.Helper()
	d, err := client(t).AppsV1().Deployments(namespace).Get(t.Context(), "shop", meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := func(s apps.DeploymentStatus) bool {
		return s.UpdatedReplicas == *d.Spec.Replicas && s.AvailableReplicas == *d.Spec.Replicas && s.Replicas == *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration >= d.Generation && done(d.Status)
}

// backendsOf returns the pods' addresses to which the sandbox's load balancer carries new connections of a release.
func backendsOf(t *testing.T, namespace string) (backends []string) {
	t.Helper()
	text, err := output("sandbox", "status", "--dir", site.node, "--output", "json")
	var now struct {
		Services []struct {
			Service  string
			Backends []string
		}
	}
	if err := json.Unmarshal([]byte(text), &now); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if err != nil {
		t.Logf("the sandbox is not ready: %v", err)
	}
	for _, service := range now.Services {
		if service.Service == namespace+"/shop" {
			backends = append(backends, service.Backends...)
		}
	}
	return backends
}

// getStatus sends one GET request and returns the status.
func getStatus(t *testing.T, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}
