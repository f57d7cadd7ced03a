package kube

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
)

const older = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

func builtImage(t testing.TB) release.Image {
	t.Helper()
	image, err := release.ParseImage("localhost:5000/shop@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// recordOf is the Secret in which Helm keeps a revision with a manifest.
func recordOf(t testing.TB, revision int, status, manifest string) *core.Secret {
	t.Helper()
	text, err := json.Marshal(map[string]any{"name": "shop", "manifest": manifest, "version": revision})
	if err != nil {
		t.Fatal(err)
	}
	var compressed bytes.Buffer
	out := gzip.NewWriter(&compressed)
	if _, err := out.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("sh.helm.release.v1.shop.v%d", revision)
	return &core.Secret{ObjectMeta: described(name, map[string]string{"owner": "helm", "name": "shop", "status": status, "version": strconv.Itoa(revision)}),
		Data: map[string][]byte{"release": []byte(base64.StdEncoding.EncodeToString(compressed.Bytes()))}}
}

// put creates the objects of a manifest, each with a uid of its kind and name.
func (s *server) put(manifest string) {
	s.t.Helper()
	s.putIn(space, manifest)
}

// putIn is put for another namespace, or "" for the cluster.
func (s *server) putIn(namespace, manifest string) {
	s.t.Helper()
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		content, err := yaml.ToJSON([]byte(document))
		if err != nil {
			s.t.Fatal(err)
		}
		object := new(unstructured.Unstructured)
		if err := object.UnmarshalJSON(content); err != nil {
			s.t.Fatal(err)
		}
		object.SetNamespace(namespace)
		object.SetUID(uidOf(object.GetKind(), object.GetName()))
		s.Put(object)
	}
}

func uidOf(kind, name string) types.UID { return types.UID("uid-" + kind + "-" + name) }

// owned is a pod of a controller, whose container app reports the digest.
func owned(name, kind, controller, reported string) *core.Pod {
	p := pod(name)
	p.Labels = map[string]string{"app": "web", instanceLabel: "shop"}
	yes := true
	p.OwnerReferences = []meta.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: controller, UID: uidOf(kind, controller), Controller: &yes}}
	p.Spec.NodeName = "node-1"
	p.Spec.Containers = []core.Container{{Name: "app", Image: "localhost:5000/shop@" + reported}, {Name: "proxy", Image: "proxy:1"}}
	p.Status.ContainerStatuses = []core.ContainerStatus{{Name: "app", ImageID: "localhost:5000/shop@" + reported}, {Name: "proxy", ImageID: "proxy@" + older}}
	return p
}

const replicaSets = `
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, labels: {app: web}, annotations: {deployment.kubernetes.io/revision: "1"}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: uid-Deployment-web, controller: true}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-2, labels: {app: web}, annotations: {deployment.kubernetes.io/revision: "2"}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: uid-Deployment-web, controller: true}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: other-1, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: other, uid: uid-Deployment-other, controller: true}]}`

// workload is one that names the image, or another image under the same labels.
func workload(apiVersion, kind, name, extra string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, labels: {app.kubernetes.io/instance: shop}, annotations: {deployment.kubernetes.io/revision: \"2\"}}\nspec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {spec: {initContainers: [{name: wait, image: \"busybox:1\"}], containers: [{name: app, image: \"localhost:5000/shop@%s\"}, {name: proxy, image: \"proxy:1\"}]}}%s}",
		apiVersion, kind, name, digest, extra)
}

func TestRunningFindsPodsByOwnership(t *testing.T) {
	t.Parallel()
	deleted, ended := owned("web-deleted", "ReplicaSet", "web-1", older), owned("web-ended", "ReplicaSet", "web-2", older)
	deletedAndEnded, deletedOther := owned("web-gone", "ReplicaSet", "web-1", older), owned("other-deleted", "ReplicaSet", "other-1", older)
	now := meta.Now()
	for _, pod := range []*core.Pod{deleted, deletedAndEnded, deletedOther} {
		pod.DeletionTimestamp, pod.Finalizers = &now, []string{"test/keep"}
	}
	ended.Status.Phase, deletedAndEnded.Status.Phase = core.PodFailed, core.PodFailed
	labelledSet := func(pod *core.Pod, hash string) *core.Pod { pod.Labels["controller-revision-hash"] = hash; return pod }
	is := func(pod, reported string, change func(*release.PodImage)) release.PodImage {
		image := release.PodImage{Pod: pod, Container: "app", Node: "node-1", ImageID: "localhost:5000/shop@" + reported, Repository: "localhost:5000/shop", Named: reported == digest}
		image.Digest, _ = release.ParseDigest(reported)
		if change != nil {
			change(&image)
		}
		return image
	}
	outdated := func(i *release.PodImage) { i.Outdated = true }
	held := func(why string) func(*release.PodImage) { return func(i *release.PodImage) { i.HeldBack = why } }
	deployment := workload("apps/v1", "Deployment", "web", "")
	partitioned := workload("apps/v1", "StatefulSet", "web", ", updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}") + "\nstatus: {updateRevision: new}"
	onDelete := workload("apps/v1", "StatefulSet", "web", ", updateStrategy: {type: OnDelete}") + "\nstatus: {updateRevision: new}"
	rolling := workload("apps/v1", "StatefulSet", "web", "") + "\nstatus: {updateRevision: new}"
	daemons := workload("apps/v1", "DaemonSet", "web", ", updateStrategy: {type: OnDelete}") + "\nstatus: {desiredNumberScheduled: 1}"
	job := workload("batch/v1", "Job", "web", "")
	rollout := workload("argoproj.io/v1alpha1", "Rollout", "web", "")
	late := strings.Replace(partitioned, "partition: 1}}", "partition: 1}}, ordinals: {start: 5}", 1)
	bareSet := workload("apps/v1", "ReplicaSet", "web", "")
	controller := strings.Replace(workload("v1", "ReplicationController", "web", ""), "{matchLabels: {app: web}}", "{app: web}", 1)
	knative := strings.Replace(rollout, "replicas: 2, ", "", 1)
	zero := strings.Replace(deployment, "replicas: 2", "replicas: 0", 1)
	completed := owned("web-job", "Job", "web", digest)
	completed.Status.Phase = core.PodSucceeded
	bare := "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {nodeName: node-1, containers: [{name: app, image: \"localhost:5000/shop@" + digest + "\"}]}\n" +
		"status: {containerStatuses: [{name: app, imageID: \"localhost:5000/shop@" + digest + "\"}]}"
	foreign := workload("apps/v1", "StatefulSet", "redis", "")
	foreign = strings.ReplaceAll(foreign, "localhost:5000/shop@"+digest, "redis:7")
	canary := []*core.Pod{owned("web-a", "ReplicaSet", "canary", digest), owned("web-b", "ReplicaSet", "canary", older)}
	canarySet := "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: canary, ownerReferences: [{apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: web, uid: uid-Rollout-web, controller: true}]}"
	silent := func(pod *core.Pod) *core.Pod { // as the node's controller leaves it
		pod.Status.Phase, pod.Status.StartTime = core.PodRunning, &now
		pod.Status.Conditions = []core.PodCondition{{Type: core.ContainersReady, Status: core.ConditionTrue}, {Type: core.PodReady, Status: core.ConditionFalse, LastTransitionTime: meta.NewTime(now.Add(-time.Hour))}}
		return pod
	}
	for name, test := range map[string]struct {
		manifest string // as applied, and as it is
		besides  string // other objects
		pods     []*core.Pod
		want     release.RunningWorkload
	}{
		"a Deployment beside a labelled StatefulSet": {deployment + "\n---\n" + foreign, replicaSets,
			[]*core.Pod{owned("web-x", "ReplicaSet", "web-2", digest), owned("redis-0", "StatefulSet", "redis", older), owned("other-x", "ReplicaSet", "other-1", older), deleted, deletedAndEnded, deletedOther, ended,
				pod("by-hand")},
			release.RunningWorkload{WantsPods: true, Pods: []release.PodImage{is("web-x", digest, nil)}, Terminating: []string{"web-deleted"}}},
		"a Deployment whose old pods still run": {deployment, replicaSets, []*core.Pod{owned("web-x", "ReplicaSet", "web-1", older), owned("web-y", "ReplicaSet", "web-2", digest)},
			release.RunningWorkload{WantsPods: true, Pods: []release.PodImage{is("web-x", older, outdated), is("web-y", digest, nil)}}},
		"a Deployment of none": {zero, replicaSets, nil, release.RunningWorkload{Note: "wants no pod: it has 0 replicas"}},
		"a partition": {partitioned, "", []*core.Pod{labelledSet(owned("web-0", "StatefulSet", "web", older), "old"), labelledSet(owned("web-1", "StatefulSet", "web", digest), "new")},
			release.RunningWorkload{WantsPods: true, Pods: []release.PodImage{is("web-0", older, held("the StatefulSet's partition is 1")), is("web-1", digest, nil)}}},
		"above the partition": {partitioned, "", []*core.Pod{labelledSet(owned("web-1", "StatefulSet", "web", older), "old")},
			release.RunningWorkload{WantsPods: true, Pods: []release.PodImage{is("web-1", older, outdated)}}},
		"a StatefulSet on its way": {rolling, "", []*core.Pod{labelledSet(owned("web-0", "StatefulSet", "web", older), "old")},
			release.RunningWorkload{WantsPods: true, Pods: []release.PodImage{is("web-0", older, outdated)}}},
		"OnDelete": {onDelete, "", []*core.Pod{labelledSet(owned("web-0", "StatefulSet", "web", older), "old")},
			release.RunningWorkload{WantsPods: true, Pods: []release.PodImage{is("web-0", older, held("the StatefulSet replaces a pod only when it is deleted (OnDelete)"))}}},
		"an OnDelete DaemonSet": {daemons, "", []*core.Pod{owned("web-x", "DaemonSet", "web", older)},
			release.RunningWorkload{WantsPods: true, Pods: []release.PodImage{is("web-x", older, held("the DaemonSet replaces a pod only when it is deleted (OnDelete)"))}}},
		"a DaemonSet's pod on a node that does not answer": {strings.Replace(daemons, "OnDelete", "RollingUpdate", 1), "", []*core.Pod{silent(owned("web-x", "DaemonSet", "web", older)), owned("web-y", "DaemonSet", "web", digest)},
			release.RunningWorkload{WantsPods: true, Pods: []release.PodImage{is("web-x", older, held(`its node "node-1" does not answer`)), is("web-y", digest, nil)}}},
		"a completed Job": {job, "", []*core.Pod{completed}, release.RunningWorkload{Note: "has no pod any more that could be compared", Pods: []release.PodImage{is("web-job", digest, nil)}}},
		"a Pod":           {bare, "", nil, release.RunningWorkload{WantsPods: true, ByPods: true, Pods: []release.PodImage{is("web", digest, nil)}}},
		"a partition that counts from the first ordinal": {late, "", []*core.Pod{labelledSet(owned("web-5", "StatefulSet", "web", older), "old"), labelledSet(owned("web-6", "StatefulSet", "web", digest), "new")},
			release.RunningWorkload{WantsPods: true, Pods: []release.PodImage{is("web-5", older, held("the StatefulSet's partition is 1")), is("web-6", digest, nil)}}},
		"a ReplicaSet": {bareSet, "", []*core.Pod{owned("web-x", "ReplicaSet", "web", older)},
			release.RunningWorkload{WantsPods: true, Pods: []release.PodImage{is("web-x", older, held("a ReplicaSet replaces a pod only when it is deleted"))}}},
		"a ReplicationController": {controller, "", []*core.Pod{owned("web-x", "ReplicationController", "web", older)},
			release.RunningWorkload{WantsPods: true, ByPods: true, Pods: []release.PodImage{is("web-x", older, held("a ReplicationController replaces a pod only when it is deleted"))}}},
		"a custom kind that says not how many pods it wants": {knative, "", []*core.Pod{owned("web-x", "Rollout", "web", digest)},
			release.RunningWorkload{WantsPods: true, ByPods: true, Pods: []release.PodImage{is("web-x", digest, held("the controller of Rollout decides when it is replaced"))}}},
		"a custom kind": {rollout, canarySet, canary, release.RunningWorkload{WantsPods: true, ByPods: true, Pods: []release.PodImage{
			is("web-a", digest, held("the controller of Rollout decides when it is replaced")), is("web-b", older, held("the controller of Rollout decides when it is replaced"))}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Put(recordOf(t, 1, "superseded", "kind: nothing"), recordOf(t, 2, "deployed", test.manifest), recordOf(t, 3, "failed", "kind: nothing"))
			s.put(test.manifest)
			if test.besides != "" {
				s.put(strings.TrimSpace(test.besides))
			}
			for _, pod := range test.pods {
				s.Put(pod.DeepCopy())
			}
			running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
			if err != nil {
				t.Fatal(err)
			}
			if len(running.Workloads) != 1 || running.Workloads[0].Object.Name != "web" || len(running.Others) > 0 {
				t.Fatalf("got %+v", running)
			}
			test.want.Object = running.Workloads[0].Object
			if diff := cmp.Diff(test.want, running.Workloads[0], cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestRunningOfKindsOfAnyPlural: a custom kind's resource is what the cluster calls it, and may have no namespace.
func TestRunningOfKindsOfAnyPlural(t *testing.T) {
	t.Parallel()
	for name, namespaced := range map[string]bool{"in a namespace": true, "in the cluster": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Serve(schema.GroupVersionKind{Group: "db.example.com", Version: "v1", Kind: "Redis"}, "redis", namespaced)
			manifest := workload("db.example.com/v1", "Redis", "web", "")
			s.Put(recordOf(t, 1, "deployed", manifest))
			where := ""
			if namespaced {
				where = space
			}
			s.putIn(where, manifest)
			s.Put(owned("web-x", "Redis", "web", digest))
			running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
			if err != nil || len(running.Workloads) != 1 || running.Workloads[0].Note == "it does not exist" || namespaced && len(running.Workloads[0].Pods) != 1 {
				t.Errorf("got %+v, %v", running, err)
			}
		})
	}
}

func TestRunningOfWhatIsGoneOrScheduled(t *testing.T) {
	t.Parallel()
	cron := "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: night}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: \"localhost:5000/shop@" + digest + "\"}]}}}}}"
	s := newServer(t)
	suspended := strings.NewReplacer("name: night", "name: paused", "spec: {jobTemplate", "spec: {suspend: true, jobTemplate").Replace(cron)
	waiting := workload("batch/v1", "Job", "waiting", ", suspend: true")
	s.putIn(space, waiting)
	s.Put(recordOf(t, 1, "deployed", cron+"\n---\n"+suspended+"\n---\n"+waiting+"\n---\n"+workload("batch/v1", "Job", "done", "")+"\n---\n"+workload("apps/v1", "Deployment", "lost", "")))
	running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
	if err != nil {
		t.Fatal(err)
	}
	type told struct {
		WantsPods bool
		Note      string
	}
	got := map[string]told{}
	for _, one := range running.Workloads {
		got[one.Object.String()] = told{one.WantsPods, one.Note}
	}
	want := map[string]told{"CronJob/night": {false, "runs the image at its next schedule"}, "CronJob/paused": {false, "is suspended, and runs nothing"},
		"Job/waiting": {false, "wants no pod: it is suspended"}, "Deployment/lost": {true, "it does not exist"},
		"Job/done": {false, "has been collected, so that its pods can no longer be compared"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestRunningOfWhatRanToItsEnd: a CronJob's Jobs of this image count, and the hooks that succeeded with it.
func TestRunningOfWhatRanToItsEnd(t *testing.T) {
	t.Parallel()
	job := func(name, by, reported, condition string) string {
		return fmt.Sprintf("apiVersion: batch/v1\nkind: Job\nmetadata: {name: %s, ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: %s, uid: u, controller: true}]}\n"+
			"spec: {selector: {matchLabels: {app: web}}, template: {spec: {containers: [{name: app, image: \"localhost:5000/shop@%s\"}]}}}\nstatus: {conditions: [{type: %s, status: \"True\"}]}", name, by, reported, condition)
	}
	ended := func(name, job, reported string) *core.Pod {
		pod := owned(name, "Job", job, reported)
		pod.Status.Phase = core.PodSucceeded
		return pod
	}
	cron := "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: night}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: \"localhost:5000/shop@" + digest + "\"}]}}}}}"
	s := newServer(t)
	s.put(job("night-1", "night", older, "Complete") + "\n---\n" + job("night-2", "night", digest, "Complete") + "\n---\n" + job("night-3", "night", digest, "Failed") + "\n---\n" + job("day-1", "day", digest, "Complete"))
	for _, pod := range []*core.Pod{ended("one", "night-1", older), ended("two", "night-2", digest), ended("three", "night-3", digest), ended("four", "day-1", digest)} {
		s.Put(pod)
	}
	hook := func(name, phase string) map[string]any {
		return map[string]any{"manifest": workload("batch/v1", "Job", name, ""), "last_run": map[string]any{"phase": phase}}
	}
	text, err := json.Marshal(map[string]any{"name": "shop", "manifest": cron, "version": 1, "hooks": []any{hook("migrate", "Succeeded"), hook("check", "Failed"), hook("later", "")}})
	if err != nil {
		t.Fatal(err)
	}
	record := recordOf(t, 1, "deployed", "")
	record.Data["release"] = []byte(base64.StdEncoding.EncodeToString(text))
	s.Put(record)
	running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
	if err != nil || len(running.Workloads) != 1 {
		t.Fatalf("got %+v, %v", running, err)
	}
	var pods []string
	for _, pod := range running.Workloads[0].Pods {
		pods = append(pods, pod.Pod)
	}
	if diff := cmp.Diff([]string{"two"}, pods); diff != "" {
		t.Errorf("pods -want +got:\n%s", diff)
	}
	if !strings.HasPrefix(running.Workloads[0].Failed, `Job "night-3": `) {
		t.Errorf("the newest Job has failed, got %q", running.Workloads[0].Failed)
	}
	for name, change := range map[string]func(*core.Secret, *server){
		"the revision is newer than the Job": func(record *core.Secret, _ *server) {
			record.CreationTimestamp = meta.NewTime(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
		},
		"a newer Job is complete": func(_ *core.Secret, s *server) { s.put(job("night-4", "night", digest, "Complete")) },
	} {
		s := newServer(t)
		s.put(job("night-3", "night", digest, "Failed"))
		changed := record.DeepCopy()
		change(changed, s)
		s.Put(changed)
		if got, err := s.client().Running(t.Context(), space, "shop", builtImage(t)); err != nil || len(got.Workloads) != 1 || got.Workloads[0].Failed != "" {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	failed := newServer(t)
	failed.put(job("seed", "nobody", digest, "Failed"))
	failed.Put(recordOf(t, 1, "deployed", job("seed", "nobody", digest, "Failed")))
	if got, err := failed.client().Running(t.Context(), space, "shop", builtImage(t)); err != nil || len(got.Workloads) != 1 || got.Workloads[0].Failed == "" {
		t.Errorf("a Job that failed: got %+v, %v", got, err)
	}
	if len(running.Hooks) != 1 || running.Hooks[0].String() != "Job/migrate" {
		t.Errorf("got hooks %v", running.Hooks)
	}
}

// TestRunningWithoutHelmsRecord: another tool deployed, or this user may not read Secrets.
func TestRunningWithoutHelmsRecord(t *testing.T) {
	t.Parallel()
	for name, secrets := range map[string]int{"no record": 0, "forbidden": http.StatusForbidden} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.put(workload("apps/v1", "Deployment", "web", "") + "\n---\n" + strings.TrimSpace(replicaSets))
			s.Put(owned("web-x", "ReplicaSet", "web-2", digest))
			s.Break(func(r *http.Request) int {
				if strings.HasSuffix(r.URL.Path, "/secrets") {
					return secrets
				}
				return 0
			})
			running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
			if err != nil || len(running.Workloads) != 1 || len(running.Workloads[0].Pods) != 1 {
				t.Fatalf("got %+v, %v", running, err)
			}
			none, err := s.client().Running(t.Context(), space, "another", builtImage(t))
			if err != nil || len(none.Workloads) != 0 || none.RecordUnread != (secrets != 0) {
				t.Errorf("got %+v, %v", none, err)
			}
			s.put(strings.Replace(workload("apps/v1", "Deployment", "web", ""), "app.kubernetes.io/instance: shop", release.LabelRelease+": shop", 1))
			if by, err := s.client().Running(t.Context(), space, "shop", builtImage(t)); err != nil || len(by.Workloads) != 1 {
				t.Errorf("by the label that deploy sets: got %+v, %v", by, err)
			}
		})
	}
}

// TestRunningOfKindsThatMayNotBeListed: a kind that this user may not list keeps no other from being compared.
func TestRunningOfKindsThatMayNotBeListed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		refused map[string]int
		unread  []string
		fault   bool
	}{
		"all are allowed":                      {},
		"two are forbidden":                    {refused: map[string]int{"statefulsets": http.StatusForbidden, "daemonsets": http.StatusForbidden}, unread: []string{"StatefulSet", "DaemonSet"}},
		"the release's is forbidden":           {refused: map[string]int{"deployments": http.StatusForbidden}, fault: true},
		"all are forbidden":                    {refused: map[string]int{"deployments": http.StatusForbidden, "statefulsets": http.StatusForbidden, "daemonsets": http.StatusForbidden}, fault: true},
		"another is not answered":              {refused: map[string]int{"daemonsets": http.StatusInternalServerError}, fault: true},
		"one is forbidden, another not served": {refused: map[string]int{"statefulsets": http.StatusForbidden, "daemonsets": http.StatusNotFound}, unread: []string{"StatefulSet"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.put(workload("apps/v1", "Deployment", "web", "") + "\n---\n" + strings.TrimSpace(replicaSets))
			s.Put(owned("web-x", "ReplicaSet", "web-2", digest))
			s.Break(func(r *http.Request) int {
				if strings.HasSuffix(r.URL.Path, "/secrets") {
					return http.StatusForbidden
				}
				return test.refused[path.Base(r.URL.Path)]
			})
			running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
			if fault := new(release.Fault); errors.As(err, &fault) != test.fault || !test.fault && (err != nil || len(running.Workloads) != 1 || len(running.Workloads[0].Pods) != 1) {
				t.Fatalf("got %+v, %v", running, err)
			}
			if diff := cmp.Diff(test.unread, running.Unread); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRunningSaysWhatNamesAnotherImage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(recordOf(t, 1, "deployed", strings.ReplaceAll(workload("apps/v1", "Deployment", "web", ""), digest, older)))
	running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
	if err != nil || len(running.Workloads) > 0 {
		t.Fatalf("got %+v, %v", running, err)
	}
	if diff := cmp.Diff([]string{"Deployment/web app: localhost:5000/shop@" + older}, running.Others); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRunningThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	broken := recordOf(t, 1, "deployed", "")
	broken.Data["release"] = []byte("not base64!")
	s.Put(broken)
	_, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
	var fault *release.Fault
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), "sh.helm.release.v1.shop.v1") {
		t.Errorf("got %v", err)
	}
}

// TestRunningOfWhatOnlyTextsName: a text and a hook that has not run name the image, and no workload does.
func TestRunningOfWhatOnlyTextsName(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		manifest string
		want     []string
	}{
		"a ConfigMap":     {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {image: \"localhost:5000/shop@" + digest + "\"}", []string{"ConfigMap/shop"}},
		"another image's": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {image: \"localhost:5000/shop@" + older + "\"}", nil},
		"a workload, too": {workload("apps/v1", "Deployment", "web", "") + "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {image: \"localhost:5000/shop@" + digest + "\"}", nil},
	} {
		s := newServer(t)
		s.Put(recordOf(t, 1, "deployed", test.manifest))
		running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
		var got []string
		for _, object := range running.Named {
			got = append(got, object.String())
		}
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(recordOf(f, 1, "deployed", "kind: Deployment").Data["release"])
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte(`{"name":"shop","manifest":"a: b"}`))))
	f.Add([]byte("H4sI"))
	image := builtImage(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		record, err := decodeRecord(content)
		if err != nil && record.Manifest != "" {
			t.Errorf("got %q with %v", record.Manifest, err)
		}
		_, _ = workloadsNaming(record.Manifest, space, image)
		_, _ = record.hooksThatRan(space, image)
	})
}

func FuzzWorkloadsNaming(f *testing.F) {
	f.Add(workload("apps/v1", "Deployment", "web", ""))
	f.Add("kind: List\nitems: [{kind: Pod, spec: {containers: [{name: a, image: \"localhost:5000/shop:1\"}]}}]")
	f.Add("localhost:5000/shop: [")
	image := builtImage(f)
	f.Fuzz(func(t *testing.T, manifest string) {
		found, err := workloadsNaming(manifest, space, image)
		for _, one := range found {
			if len(one.containers)+len(one.others) == 0 || err != nil && !strings.Contains(manifest, image.Repository.String()) {
				t.Errorf("got %+v, %v", one, err)
			}
		}
	})
}

// TestRunningOfCustomTemplates: a template is found by its shape, wherever a custom kind has it, and each pod is compared by the containers of its own.
func TestRunningOfCustomTemplates(t *testing.T) {
	t.Parallel()
	custom := func(kind, spec string) string {
		return fmt.Sprintf("apiVersion: example.com/v1\nkind: %s\nmetadata: {name: web}\nspec: %s", kind, strings.ReplaceAll(spec, "IMAGE", `"localhost:5000/shop@`+digest+`"`))
	}
	ofJob := owned("run-x", "Job", "run", older)
	ofJob.OwnerReferences[0].APIVersion, ofJob.Spec.RestartPolicy = "batch/v1", core.RestartPolicyNever
	ofJob.Status.Conditions = []core.PodCondition{{Type: core.PodReady, Status: core.ConditionTrue}}
	withContainer := func(pod *core.Pod, name string) *core.Pod {
		pod.Spec.Containers[0].Name, pod.Status.ContainerStatuses[0].Name = name, name
		return pod
	}
	imageOf := func(pod *core.Pod, image string) *core.Pod {
		pod.Spec.Containers[0].Image = image
		return pod
	}
	neverRestarted := func(pod *core.Pod) *core.Pod {
		pod.OwnerReferences[0].APIVersion, pod.Spec.RestartPolicy = "example.com/v1", core.RestartPolicyNever
		pod.Status.Conditions = []core.PodCondition{{Type: core.PodReady, Status: core.ConditionTrue}}
		return pod
	}
	succeeded := func(pod *core.Pod) *core.Pod {
		pod.Status.Phase, pod.OwnerReferences[0].APIVersion = core.PodSucceeded, "example.com/v1"
		return pod
	}
	for name, test := range map[string]struct {
		manifest, besides string
		pods              []*core.Pod
		want              []string // pod, container and digest
	}{
		"KEDA's ScaledJob": {custom("ScaledJob", "{jobTargetRef: {template: {spec: {containers: [{name: app, image: IMAGE}]}}}}"),
			"apiVersion: batch/v1\nkind: Job\nmetadata: {name: run, ownerReferences: [{apiVersion: example.com/v1, kind: ScaledJob, name: web, uid: uid-ScaledJob-web, controller: true}]}",
			[]*core.Pod{ofJob, withContainer(owned("other-x", "Unreadable", "other", older), "redis")}, []string{"run-x app " + older}},
		"Knative's Service, which gives the container a name": {custom("Service", "{template: {spec: {containers: [{image: IMAGE}]}}}"),
			"apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: run, ownerReferences: [{apiVersion: example.com/v1, kind: Service, name: web, uid: uid-Service-web, controller: true}]}",
			[]*core.Pod{withContainer(owned("web-x", "ReplicaSet", "run", older), "user-container"), withContainer(imageOf(owned("other-x", "Unreadable", "other", older), "redis:7"), "redis")},
			[]string{"web-x user-container " + older}},
		"a name that the controller changes": {custom("Renamed", "{template: {spec: {containers: [{name: app, image: IMAGE}]}}}"), "",
			[]*core.Pod{withContainer(owned("web-x", "Renamed", "web", digest), "main")}, []string{"web-x main " + digest}},
		"Agones' Fleet, whose pods serve and are never restarted": {custom("Fleet", "{replicas: 1, template: {spec: {template: {spec: {containers: [{name: app, image: IMAGE}]}}}}}"),
			"apiVersion: example.com/v1\nkind: GameServer\nmetadata: {name: run, ownerReferences: [{apiVersion: example.com/v1, kind: Fleet, name: web, uid: uid-Fleet-web, controller: true}]}",
			[]*core.Pod{neverRestarted(owned("web-x", "GameServer", "run", older))}, []string{"web-x app " + older}},
		"a template for each group": {custom("Cluster", "{head: {template: {spec: {containers: [{name: head, image: IMAGE}]}}}, groups: [{template: {spec: {containers: [{name: worker, image: IMAGE}]}}}]}"), "",
			[]*core.Pod{withContainer(owned("web-h", "Cluster", "web", digest), "head"), withContainer(owned("web-w", "Cluster", "web", older), "worker")},
			[]string{"web-h head " + digest, "web-w worker " + older}},
		"an Argo Workflow, which has run": {custom("Workflow", "{templates: [{name: a, container: {image: IMAGE}}, {name: b, script: {image: 'python:3'}}]}"), "",
			[]*core.Pod{succeeded(withContainer(owned("web-1", "Workflow", "web", digest), "main")), succeeded(withContainer(imageOf(owned("web-2", "Workflow", "web", older), "python:3"), "main"))},
			[]string{"web-1 main " + digest}},
		"an Argo CronWorkflow, of which an earlier run used another image": {custom("CronWorkflow", "{workflowSpec: {templates: [{sidecars: [{name: side, image: IMAGE}], containerSet: {containers: [{name: first, image: IMAGE}]}}]}}"),
			"apiVersion: example.com/v1\nkind: Workflow\nmetadata: {name: run, ownerReferences: [{apiVersion: example.com/v1, kind: CronWorkflow, name: web, uid: uid-CronWorkflow-web, controller: true}]}",
			[]*core.Pod{succeeded(withContainer(owned("run-1", "Workflow", "run", digest), "first")), succeeded(withContainer(owned("run-0", "Workflow", "run", older), "first"))},
			[]string{"run-1 first " + digest}},
		"a custom resource with a spec.image": {custom("Renamed", "{replicas: 2, image: IMAGE}"), "",
			[]*core.Pod{owned("web-x", "Renamed", "web", older), withContainer(imageOf(owned("db-x", "Unreadable", "other", older), "redis:7"), "redis")}, []string{"web-x app " + older}},
		"a custom resource with a spec.image, without pods": {custom("Renamed", "{replicas: 2, image: IMAGE}"), "", nil, []string{"Renamed/web owns no pod of the image, so whether what it makes runs it is not known"}},
		"a custom resource with a spec.image, that is gone": {custom("Renamed", "{image: IMAGE}"), "gone", nil, []string{"Renamed/web cannot be read, so whether its pods run the image is not "}},
		"a reference to a Deployment": {strings.Replace(workload("apps/v1", "Deployment", "web", ""), "replicas: 2", "replicas: 0", 1) + "\n---\n" + custom("Rollout", "{replicas: 1, workloadRef: {apiVersion: apps/v1, kind: Deployment, name: web}}"),
			"apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: run, ownerReferences: [{apiVersion: example.com/v1, kind: Rollout, name: web, uid: uid-Rollout-web, controller: true}]}",
			[]*core.Pod{owned("web-x", "ReplicaSet", "run", digest)}, []string{"web-x app " + digest}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			for _, kind := range []string{"ScaledJob", "Cluster", "Rollout", "Service", "Renamed", "Fleet", "GameServer", "Workflow", "CronWorkflow"} {
				s.Serve(schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: kind}, strings.ToLower(kind)+"s", true)
			}
			s.Put(recordOf(t, 1, "deployed", test.manifest))
			if test.besides != "gone" {
				s.put(test.manifest)
			}
			if strings.HasPrefix(test.besides, "apiVersion") {
				s.put(test.besides)
			}
			for _, pod := range test.pods {
				s.Put(pod.DeepCopy())
			}
			running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, workload := range running.Workloads {
				if workload.Object.Kind == "ScaledJob" && (workload.ByPods || workload.WantsPods) {
					t.Errorf("got %+v", workload)
				}
				if workload.Object.Kind == "Fleet" && (!workload.ByPods || !workload.WantsPods) {
					t.Errorf("its pods are not judged: %+v", workload)
				}
				if workload.Unfound != "" {
					unfound, _, _ := strings.Cut(workload.Unfound, "known: ")
					got = append(got, fmt.Sprintf("%s %s", workload.Object, unfound))
				}
				for _, pod := range workload.Pods {
					got = append(got, fmt.Sprintf("%s %s %s", pod.Pod, pod.Container, pod.Digest))
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			backends, err := s.client().Backends(t.Context(), space, "shop", builtImage(t))
			if err != nil || strings.Contains(test.manifest, "ScaledJob") && len(backends.Pods)+len(backends.Workloads) > 0 {
				t.Errorf("pods that run to their end serve nothing: %+v, %v", backends, err)
			}
			if strings.Contains(test.manifest, "Fleet") && (len(backends.Pods) != 1 || backends.Pods[0].Runs) {
				t.Errorf("pods that serve are left out: %+v", backends)
			}
		})
	}
}

// TestAnOwnerThatMayNotBeReadIsAFault: its pods could be the workload's, so that nothing is known of them.
func TestAnOwnerThatMayNotBeReadIsAFault(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	rollout := workload("argoproj.io/v1alpha1", "Rollout", "web", "")
	s.Put(recordOf(t, 1, "deployed", rollout))
	s.put(rollout)
	s.Put(owned("web-a", "ReplicaSet", "canary", digest))
	s.Break(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/replicasets/canary") {
			return http.StatusForbidden
		}
		return 0
	})
	if running, err := s.client().Running(t.Context(), space, "shop", builtImage(t)); release.ExitCode(err) != release.ExitFault {
		t.Errorf("got %+v, %v, want a fault", running, err)
	}
}

// TestRunningOfManyWorkloads: the requests do not grow with the number of workloads, and the result is that of reading each by itself.
func TestRunningOfManyWorkloads(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		refused      int // the answer to a list of Deployments, 0 if they may be listed
		deployments  int // how many requests are about them
		pods, others int // how many lists
	}{
		"they may be listed":     {deployments: 1, pods: 1, others: 1},
		"they may only be read":  {refused: http.StatusForbidden, deployments: 1 + 6, pods: 5, others: 5},
		"the server is at fault": {refused: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			var manifests []string
			for _, one := range []string{"a", "b", "c", "d", "e", "gone"} {
				manifests = append(manifests, strings.ReplaceAll(workload("apps/v1", "Deployment", one, ""), "app: web", "app: "+one))
				if one == "gone" {
					continue
				}
				s.put(manifests[len(manifests)-1] + "\n---\n" + strings.NewReplacer("app: web", "app: "+one, "web", one).Replace(strings.TrimSpace(strings.Split(replicaSets, "\n---\n")[1])))
				pod := owned(one+"-x", "ReplicaSet", one+"-2", digest)
				pod.Labels["app"] = one
				s.Put(pod)
			}
			s.Put(recordOf(t, 1, "deployed", strings.Join(manifests, "\n---\n")))
			s.Break(func(r *http.Request) int {
				if path.Base(r.URL.Path) == "deployments" {
					return test.refused
				}
				return 0
			})
			running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
			if test.refused == http.StatusInternalServerError {
				if fault := new(release.Fault); !errors.As(err, &fault) {
					t.Fatalf("got %+v, %v, want a fault", running, err)
				}
				return
			}
			if err != nil || len(running.Workloads) != 6 {
				t.Fatalf("got %+v, %v", running, err)
			}
			for _, one := range running.Workloads {
				if one.Object.Name == "gone" {
					if len(one.Pods) > 0 || !one.WantsPods || one.Note != "it does not exist" {
						t.Errorf("got %+v", one)
					}
				} else if len(one.Pods) != 1 || one.Pods[0].Pod != one.Object.Name+"-x" {
					t.Errorf("got %+v", one)
				}
			}
			base := "get /apis/apps/v1/namespaces/" + space
			got := [3]int{s.Count(base + "/deployments"), s.Count("get /api/v1/namespaces/" + space + "/pods"), s.Count(base + "/replicasets")}
			if diff := cmp.Diff([3]int{test.deployments, test.pods, test.others}, got); diff != "" {
				t.Errorf("-want +got:\n%s\n%s", diff, strings.Join(s.Requests(), "\n"))
			}
		})
	}
}

// serverWithWeb has the release shop with one Deployment, its current ReplicaSet and a pod.
func serverWithWeb(t *testing.T) *server {
	t.Helper()
	s := newServer(t)
	manifest := workload("apps/v1", "Deployment", "web", "")
	pod := owned("web-x", "ReplicaSet", "web-2", digest)
	pod.Labels["app"] = "web"
	s.put(manifest + "\n---\n" + strings.TrimSpace(strings.Split(replicaSets, "\n---\n")[1]))
	s.Put(pod, recordOf(t, 1, "deployed", manifest))
	return s
}

// TestRunningListsPodsAndReplicaSetsTogether: each list waits for the apiserver's cache, and both wait at once.
func TestRunningListsPodsAndReplicaSetsTogether(t *testing.T) {
	t.Parallel()
	s := serverWithWeb(t)
	asked, both := map[string]chan struct{}{"pods": make(chan struct{}), "replicasets": make(chan struct{})}, make(chan struct{})
	go func() {
		<-asked["pods"]
		<-asked["replicasets"]
		close(both)
	}()
	s.Break(func(r *http.Request) int {
		if list := asked[path.Base(r.URL.Path)]; list != nil {
			close(list)
			<-both // none is answered before both are asked for
		}
		return 0
	})
	running, err := s.client().Running(t.Context(), space, "shop", builtImage(t))
	if err != nil || len(running.Workloads) != 1 || len(running.Workloads[0].Pods) != 1 {
		t.Errorf("got %+v, %v", running, err)
	}
}

// TestRunningListsWhatAWatchHasReported: pods and ReplicaSets that a watch has just reported need not be read from the database again. An apiserver that lags behind,
// and a watch that ended long ago, ask for a consistent list.
func TestRunningListsWhatAWatchHasReported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		watched time.Duration // how long ago, 0 for never
		lags    bool
		want    []string // the resource version that each list asks for
	}{
		"a watch has ended":               {watched: time.Millisecond, want: []string{"pods 41", "replicasets 40"}},
		"the apiserver lags behind it":    {watched: time.Millisecond, lags: true, want: []string{"pods ", "pods 41", "replicasets ", "replicasets 40"}},
		"a watch ended more than 1 s ago": {watched: 2 * observationTime, want: []string{"pods ", "replicasets "}},
		"there was no watch":              {want: []string{"pods ", "replicasets "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serverWithWeb(t)
			client := s.client()
			if test.watched > 0 {
				client.RecordObservedPods(space, "41", "40")
				for _, resource := range []schema.GroupVersionResource{podsResource, replicaSetsResource} {
					last, _ := client.observed.Load(listed{resource, space})
					client.observed.Store(listed{resource, space}, observation{last.(observation).version, time.Now().Add(-test.watched)}) //nolint:forcetypeassert // stored above
				}
			}
			var mu sync.Mutex
			var asked []string
			s.Break(func(r *http.Request) int {
				resource, version := path.Base(r.URL.Path), r.URL.Query().Get("resourceVersion")
				if resource != "pods" && resource != "replicasets" {
					return 0
				}
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, resource+" "+version)
				if test.lags && version != "" {
					return http.StatusGatewayTimeout // "Too large resource version"
				}
				return 0
			})
			running, err := client.Running(t.Context(), space, "shop", builtImage(t))
			if err != nil || len(running.Workloads) != 1 || len(running.Workloads[0].Pods) != 1 {
				t.Fatalf("got %+v, %v", running, err)
			}
			slices.Sort(asked)
			if diff := cmp.Diff(test.want, asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRunningReadsARecordOnce: a record of Helm's is read again only if it has changed.
func TestRunningReadsARecordOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	manifest := workload("apps/v1", "Deployment", "web", "")
	s.put(manifest)
	record := recordOf(t, 1, "deployed", manifest)
	s.Put(record)
	client := s.client()
	for i, want := range []struct {
		reads, workloads int
		change           string // of the manifest, before Running
	}{{1, 1, ""}, {1, 1, ""}, {2, 0, workload("apps/v1", "Deployment", "other", "")}} {
		if want.change != "" {
			s.Put(recordOf(t, 1, "deployed", strings.ReplaceAll(want.change, digest, older)))
		}
		running, err := client.Running(t.Context(), space, "shop", builtImage(t))
		if err != nil || len(running.Workloads) != want.workloads {
			t.Fatalf("%d: got %+v, %v", i, running, err)
		}
		if reads := s.Count("get /api/v1/namespaces/" + space + "/secrets/" + record.Name); reads != want.reads {
			t.Errorf("%d: the record was read %d times, want %d", i, reads, want.reads)
		}
	}
}
