package rollout

import (
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

const (
	space  = "staging"
	digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

func ptr[T any](value T) *T { return &value }

func described(name string, owner types.UID, labels map[string]string) meta.ObjectMeta {
	described := meta.ObjectMeta{Name: name, Namespace: space, UID: types.UID("uid-" + name), Labels: labels}
	if owner != "" {
		described.OwnerReferences = []meta.OwnerReference{{UID: owner, Controller: ptr(true), Kind: "Owner", Name: string(owner), APIVersion: "v1"}}
	}
	return described
}

// deployment is one as its controller describes it: revision of its template, pods of that template, and of them available.
func deployment(revision int, replicas, updated, available int32) *apps.Deployment {
	d := &apps.Deployment{ObjectMeta: described("shop", "", nil)}
	d.Generation = int64(revision)
	d.Annotations = map[string]string{diagnose.RevisionAnnotation: fmt.Sprint(revision)}
	d.Spec.Replicas, d.Spec.ProgressDeadlineSeconds = &replicas, ptr(int32(600))
	d.Status = apps.DeploymentStatus{ObservedGeneration: int64(revision), Replicas: replicas, UpdatedReplicas: updated, ReadyReplicas: available, AvailableReplicas: available}
	progress := apps.DeploymentCondition{Type: apps.DeploymentProgressing, Status: core.ConditionTrue, Reason: "ReplicaSetUpdated"}
	if available >= replicas && updated >= replicas {
		progress.Reason = "NewReplicaSetAvailable"
		d.Status.Conditions = append(d.Status.Conditions, apps.DeploymentCondition{Type: apps.DeploymentAvailable, Status: core.ConditionTrue})
	}
	d.Status.Conditions = append(d.Status.Conditions, progress)
	return d
}

func replicaSet(revision int) *apps.ReplicaSet {
	set := &apps.ReplicaSet{ObjectMeta: described(fmt.Sprintf("shop-%d", revision), "uid-shop", nil)}
	set.Annotations = map[string]string{diagnose.RevisionAnnotation: fmt.Sprint(revision)}
	return set
}

// pod is one of the Deployment's revision, running and ready.
func pod(name string, revision int) *core.Pod {
	p := &core.Pod{ObjectMeta: described(name, types.UID(fmt.Sprintf("uid-shop-%d", revision)), map[string]string{"app.kubernetes.io/instance": "shop"})}
	p.Status.Phase = core.PodRunning
	p.Status.Conditions = []core.PodCondition{{Type: core.PodReady, Status: core.ConditionTrue}}
	p.Status.ContainerStatuses = []core.ContainerStatus{{Name: "app", Ready: true, ImageID: "localhost:5000/shop@" + digest, State: core.ContainerState{Running: &core.ContainerStateRunning{}}}}
	return p
}

// waits makes a pod's container wait for a reason.
func waits(p *core.Pod, reason, message string) *core.Pod {
	p = p.DeepCopy()
	p.Status.Phase = core.PodPending
	p.Status.Conditions = []core.PodCondition{{Type: core.PodReady, Status: core.ConditionFalse}}
	p.Status.ContainerStatuses = []core.ContainerStatus{{Name: "app", State: core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: reason, Message: message}}}}
	return p
}

// crashes makes a pod's container fail for the second time.
func crashes(p *core.Pod) *core.Pod {
	p = waits(p, "CrashLoopBackOff", "back-off 10s restarting failed container")
	p.Status.Phase = core.PodRunning
	p.Status.ContainerStatuses[0].RestartCount = 1
	p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &core.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}
	return p
}

func replicaFailure(message string) apps.ReplicaSetCondition {
	return apps.ReplicaSetCondition{Type: apps.ReplicaSetReplicaFailure, Status: core.ConditionTrue, Reason: "FailedCreate", Message: message}
}

func event(name string, about meta.ObjectMeta, reason, message string) *core.Event {
	return &core.Event{ObjectMeta: described(name, "", nil), InvolvedObject: core.ObjectReference{UID: about.UID, Name: about.Name}, Type: "Warning", Reason: reason, Message: message}
}

func statefulSet(observed int64, replicas, updated, ready int32) *apps.StatefulSet {
	s := &apps.StatefulSet{ObjectMeta: described("db", "", nil)}
	s.Generation, s.Spec.Replicas = 2, &replicas
	s.Status = apps.StatefulSetStatus{ObservedGeneration: observed, Replicas: replicas, UpdatedReplicas: updated, CurrentReplicas: updated, ReadyReplicas: ready,
		CurrentRevision: "db-b", UpdateRevision: "db-b"}
	return s
}

func daemonSet(desired, ready int32) *apps.DaemonSet {
	d := &apps.DaemonSet{ObjectMeta: described("agent", "", nil)}
	d.Generation = 1
	d.Status = apps.DaemonSetStatus{ObservedGeneration: 1, DesiredNumberScheduled: desired, CurrentNumberScheduled: desired, UpdatedNumberScheduled: desired, NumberReady: ready, NumberAvailable: ready}
	return d
}

// podsOf are the pods of a workload whose status says that all are ready, and its ReplicaSet if it has one.
func podsOf(object runtime.Object) (owned []runtime.Object) {
	add := func(prefix string, count int32, owner types.UID, label, value string) {
		for i := range count {
			p := pod(fmt.Sprintf("%s-ready-%d", prefix, i), 1)
			p.UID, p.OwnerReferences[0].UID = types.UID(fmt.Sprintf("%s-pod-%d", owner, i)), owner
			if label != "" {
				p.Labels[label] = value
			}
			owned = append(owned, p)
		}
	}
	switch typed := object.(type) {
	case *apps.Deployment:
		if wanted := *typed.Spec.Replicas; typed.Status.UpdatedReplicas >= wanted && typed.Status.AvailableReplicas >= wanted {
			set := replicaSet(int(typed.Generation))
			set.Annotations[diagnose.RevisionAnnotation] = typed.Annotations[diagnose.RevisionAnnotation]
			set.OwnerReferences[0].UID = typed.UID
			if typed.UID != "uid-shop" {
				set.Name, set.UID = set.Name+"-of-"+string(typed.UID), set.UID+"-of-"+typed.UID
			}
			set.Status.ReadyReplicas = wanted
			owned = append(owned, set)
			add(set.Name, wanted, set.UID, "", "")
		}
	case *apps.StatefulSet:
		if wanted := *typed.Spec.Replicas; typed.Status.UpdatedReplicas >= wanted && typed.Status.ReadyReplicas >= wanted {
			add(typed.Name, wanted, typed.UID, apps.ControllerRevisionHashLabelKey, typed.Status.UpdateRevision)
		}
	case *apps.ReplicaSet:
		if typed.Name == "bare" {
			add(typed.Name, typed.Status.AvailableReplicas, typed.UID, "", "")
		}
	case *apps.DaemonSet:
		if typed.Status.NumberAvailable >= typed.Status.DesiredNumberScheduled {
			add(typed.Name, typed.Status.DesiredNumberScheduled, typed.UID, "", "")
		}
	}
	return owned
}

func job(condition batch.JobConditionType, reason string) *batch.Job {
	j := &batch.Job{ObjectMeta: described("migrate", "", nil)}
	j.Spec.Completions, j.Spec.Parallelism = ptr(int32(1)), ptr(int32(1))
	j.Status.StartTime = &meta.Time{}
	if condition != "" {
		j.Status.Conditions = []batch.JobCondition{{Type: condition, Status: core.ConditionTrue, Reason: reason, Message: "the job says so"}}
	}
	return j
}

func claim(phase core.PersistentVolumeClaimPhase) *core.PersistentVolumeClaim {
	c := &core.PersistentVolumeClaim{ObjectMeta: described("disk", "", nil)}
	c.Status.Phase = phase
	return c
}

var (
	ofDeployment = release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: space, Name: "shop"}
	ofStateful   = release.Object{APIVersion: "apps/v1", Kind: "StatefulSet", Namespace: space, Name: "db"}
	ofDaemon     = release.Object{APIVersion: "apps/v1", Kind: "DaemonSet", Namespace: space, Name: "agent"}
	ofJobs       = release.Object{APIVersion: "batch/v1", Kind: "Job", Namespace: space, Name: "migrate"}
	ofClaim      = release.Object{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: space, Name: "disk"}
)

var long = strings.Repeat("x", 1<<18)

func service(name string, kind core.ServiceType, host string) *core.Service {
	s := &core.Service{ObjectMeta: described(name, "", nil)}
	s.Spec.Type, s.Spec.Ports = kind, []core.ServicePort{{Port: 80, Name: "http"}}
	if host != "" {
		s.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{Hostname: host}}
	}
	return s
}
