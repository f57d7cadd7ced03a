package rollout

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	shopPod    = "shop-6d4cf56db6-x7k2p"
	ofDisk     = "disk"
	imageAsked = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:9c1d"
)

// recorded is one cause as a cluster reports it: the statuses and events are worded as Kubernetes 1.37's kubelet, controllers
// and scheduler, and containerd, word them.
type recorded struct {
	object release.Object
	there  []runtime.Object
	logs   map[string]string
	want   release.Diagnosis
	looks  bool // it is the example in docs/troubleshooting.md
}

func unreadyPod() *core.Pod {
	p := pod(shopPod, 2)
	p.Spec.NodeName = "ip-10-0-3-17"
	p.Spec.Containers = []core.Container{{Name: "app"}}
	p.Status.Conditions[0].Status, p.Status.Conditions[0].Reason = core.ConditionFalse, "ContainersNotReady"
	p.Status.Conditions[0].Message = "containers with unready status: [app]"
	p.Status.ContainerStatuses[0].Ready = false
	return p
}

// amend changes a pod and hands it on.
func amend(p *core.Pod, changes ...func(*core.Pod)) *core.Pod {
	for _, change := range changes {
		change(p)
	}
	return p
}

func waitsFor(reason, message string) func(*core.Pod) {
	return func(p *core.Pod) {
		p.Status.Phase = core.PodPending
		p.Status.ContainerStatuses[0].State = core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: reason, Message: message}}
	}
}

// loops makes the container wait between two runs, of which so many were restarts.
func loops(restarts int32, last core.ContainerStateTerminated) func(*core.Pod) {
	return func(p *core.Pod) {
		waitsFor("CrashLoopBackOff", "back-off 10s restarting failed container=app pod="+shopPod+"_staging(0c1f)")(p)
		p.Status.Phase = core.PodRunning
		p.Status.ContainerStatuses[0].RestartCount = restarts
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &last
	}
}

func probed(kind string, probe core.Probe) func(*core.Pod) {
	return func(p *core.Pod) {
		p.Status.ContainerStatuses[0].Started = ptr(kind != "startup")
		switch kind {
		case "startup":
			p.Spec.Containers[0].StartupProbe = &probe
		case "liveness":
			p.Spec.Containers[0].LivenessProbe = &probe
		case "readiness":
			p.Spec.Containers[0].ReadinessProbe = &probe
		}
	}
}

func unscheduledFor(message string) func(*core.Pod) {
	return func(p *core.Pod) {
		p.Spec.NodeName = ""
		p.Status = core.PodStatus{Phase: core.PodPending, Conditions: []core.PodCondition{
			{Type: core.PodScheduled, Status: core.ConditionFalse, Reason: core.PodReasonUnschedulable, Message: message}}}
	}
}

func mounts(claim string) func(*core.Pod) {
	return func(p *core.Pod) {
		p.Spec.Volumes = []core.Volume{{Name: "v", VolumeSource: core.VolumeSource{PersistentVolumeClaim: &core.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}
	}
}

// eventAbout is an event as the core API has it.
func eventAbout(name string, about meta.ObjectMeta, container, kind, reason, message string) *core.Event {
	e := event(name, about, reason, message)
	e.Type, e.LastTimestamp, e.Count = kind, meta.NewTime(time.Unix(1_800_000_000, 0)), 1
	e.InvolvedObject.Namespace = space
	if container != "" {
		e.InvolvedObject.FieldPath = "spec.containers{" + container + "}"
	}
	return e
}

func refusedSet(message string) *apps.ReplicaSet {
	set := replicaSet(2)
	set.Status.Conditions = []apps.ReplicaSetCondition{replicaFailure(message)}
	return set
}

var (
	setObject = release.Object{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: space, Name: "shop-2"}
	podOfShop = release.Object{APIVersion: "v1", Kind: "Pod", Namespace: space, Name: shopPod}
)

// recordings are the causes of which a rollout fails at once: time decides none of them here.
func recordings() map[string]recorded {
	aboutPod := unreadyPod().ObjectMeta
	crash := core.ContainerStateTerminated{ExitCode: 1, Reason: "Error", ContainerID: "containerd://1"}
	outOfMemory := core.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", ContainerID: "containerd://1"}
	limited := func(p *core.Pod) {
		p.Spec.Containers[0].Resources.Limits = core.ResourceList{core.ResourceMemory: resource.MustParse("64Mi")}
	}
	creating := waitsFor("ContainerCreating", "")
	notFound := "failed to pull and unpack image \"" + imageAsked + "\": failed to resolve reference \"" + imageAsked + "\": " + imageAsked + ": not found"
	inPod := func(code causes.Code, reason, message string) release.Diagnosis {
		return release.Diagnosis{Code: code, Object: podOfShop, Container: "app", Reason: reason, Message: message}
	}
	all := map[string]recorded{
		"image absent": {there: []runtime.Object{amend(unreadyPod(), waitsFor("ErrImagePull", notFound))}, looks: true,
			want: inPod(causes.ImageNotPulled, "ErrImagePull", notFound)},
		"image forbidden": {there: []runtime.Object{amend(unreadyPod(), waitsFor("ImagePullBackOff", `Back-off pulling image "`+imageAsked+`": ErrImagePull: 403 Forbidden`))},
			want: inPod(causes.ImageNotPulled, "ImagePullBackOff", `Back-off pulling image "`+imageAsked+`": ErrImagePull: 403 Forbidden`)},
		"image never pulled": {there: []runtime.Object{amend(unreadyPod(), waitsFor("ErrImageNeverPull", `Container image "shop:dev" is not present with pull policy of Never`))},
			want: inPod(causes.ImageNotPulled, "ErrImageNeverPull", `Container image "shop:dev" is not present with pull policy of Never`)},
		"image name": {there: []runtime.Object{amend(unreadyPod(), waitsFor("InvalidImageName",
			`Failed to apply default image tag "Shop": couldn't parse image name "Shop": invalid reference format: repository name (Shop) must be lowercase`))}, looks: true,
			want: inPod(causes.ImageNameInvalid, "InvalidImageName",
				`Failed to apply default image tag "Shop": couldn't parse image name "Shop": invalid reference format: repository name (Shop) must be lowercase`)},
		"crash loop": {there: []runtime.Object{amend(unreadyPod(), loops(1, crash))}, logs: map[string]string{shopPod + "/app": "no DATABASE_URL\n", shopPod + "/app?previous": "no DATABASE_URL\n"}, looks: true,
			want: release.Diagnosis{Code: causes.CrashLoop, Object: podOfShop, Container: "app", Reason: "CrashLoopBackOff", Message: "ended with exit code 1", Logs: []string{"no DATABASE_URL"}}},
		"crash loop that runs again": {there: []runtime.Object{amend(unreadyPod(), loops(3, crash))}, logs: map[string]string{shopPod + "/app": "starting\n", shopPod + "/app?previous": "no\n"},
			want: release.Diagnosis{Code: causes.CrashLoop, Object: podOfShop, Container: "app", Reason: "CrashLoopBackOff", Message: "ended with exit code 1",
				Logs: []string{"starting"}, Previous: []string{"no"}}},
		"init container out of memory": {there: []runtime.Object{inInit(amend(unreadyPod(), loops(1, outOfMemory), limited))},
			want: inPod(causes.OutOfMemory, "OOMKilled", "ended with exit code 137 (OOMKilled); its memory limit is 64Mi")},
		"out of memory": {there: []runtime.Object{amend(unreadyPod(), loops(1, outOfMemory), limited)}, looks: true,
			want: inPod(causes.OutOfMemory, "OOMKilled", "ended with exit code 137 (OOMKilled); its memory limit is 64Mi")},
		"out of memory without a limit": {there: []runtime.Object{amend(unreadyPod(), loops(1, outOfMemory))},
			want: inPod(causes.OutOfMemory, "OOMKilled", "ended with exit code 137 (OOMKilled); it has no memory limit of its own")},
		"secret absent": {there: []runtime.Object{amend(unreadyPod(), waitsFor("CreateContainerConfigError", `secret "shop-database" not found`))}, looks: true,
			want: inPod(causes.ConfigurationAbsent, "CreateContainerConfigError", `secret "shop-database" not found`)},
		"config map absent": {there: []runtime.Object{amend(unreadyPod(), waitsFor("CreateContainerConfigError", `configmap "shop" not found`))},
			want: inPod(causes.ConfigurationAbsent, "CreateContainerConfigError", `configmap "shop" not found`)},
		"key absent": {there: []runtime.Object{amend(unreadyPod(), waitsFor("CreateContainerConfigError", "couldn't find key DATABASE_URL in Secret staging/shop-database"))},
			want: inPod(causes.ConfigurationAbsent, "CreateContainerConfigError", "couldn't find key DATABASE_URL in Secret staging/shop-database")},
		"volume's config map absent": {there: []runtime.Object{amend(unreadyPod(), creating),
			eventAbout("e1", aboutPod, "", "Warning", "FailedMount", `MountVolume.SetUp failed for volume "config" : configmap "shop" not found`)},
			want: release.Diagnosis{Code: causes.ConfigurationAbsent, Object: podOfShop, Reason: "FailedMount", Message: `MountVolume.SetUp failed for volume "config" : configmap "shop" not found`,
				Events: []string{`Warning FailedMount: MountVolume.SetUp failed for volume "config" : configmap "shop" not found`}}},
		"volume's key absent": {there: []runtime.Object{amend(unreadyPod(), creating),
			eventAbout("e1", aboutPod, "", "Warning", "FailedMount", `MountVolume.SetUp failed for volume "tls" : references non-existent secret key: tls.key`)},
			want: release.Diagnosis{Code: causes.ConfigurationAbsent, Object: podOfShop, Reason: "FailedMount", Message: `MountVolume.SetUp failed for volume "tls" : references non-existent secret key: tls.key`,
				Events: []string{`Warning FailedMount: MountVolume.SetUp failed for volume "tls" : references non-existent secret key: tls.key`}}},
		"not ready": {there: []runtime.Object{amend(unreadyPod(), probed("readiness", core.Probe{PeriodSeconds: 2})),
			eventAbout("e1", aboutPod, "app", "Warning", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500")},
			logs: map[string]string{shopPod + "/app": "database is away\n"}, looks: true,
			want: release.Diagnosis{Code: causes.NotReady, Object: podOfShop, Container: "app", Reason: "Unhealthy", Message: "Readiness probe failed: HTTP probe failed with statuscode: 500",
				Events: []string{"Warning Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 500"}, Logs: []string{"database is away"}}},
		"not alive": {there: []runtime.Object{amend(unreadyPod(), probed("liveness", core.Probe{}), loops(1, core.ContainerStateTerminated{ExitCode: 137, Reason: "Error"})),
			eventAbout("e1", aboutPod, "app", "Warning", "Unhealthy", `Liveness probe failed: Get "http://10.0.3.44:8080/healthz": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`),
			eventAbout("e2", aboutPod, "app", "Normal", "Killing", "Container app failed liveness probe, will be restarted")}, looks: true,
			want: release.Diagnosis{Code: causes.NotAlive, Object: podOfShop, Container: "app", Reason: "CrashLoopBackOff",
				Message: `Liveness probe failed: Get "http://10.0.3.44:8080/healthz": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
				Events: []string{`Warning Unhealthy: Liveness probe failed: Get "http://10.0.3.44:8080/healthz": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
					"Normal Killing: Container app failed liveness probe, will be restarted"}}},
		"not started": {there: []runtime.Object{amend(unreadyPod(), probed("startup", core.Probe{})),
			eventAbout("e1", aboutPod, "app", "Warning", "Unhealthy", `Startup probe failed: dial tcp 10.0.3.44:8080: connect: connection refused`),
			eventAbout("e2", aboutPod, "app", "Normal", "Killing", "Container app failed startup probe, will be restarted")},
			want: release.Diagnosis{Code: causes.NotAlive, Object: podOfShop, Container: "app", Reason: "Unhealthy",
				Message: `Startup probe failed: dial tcp 10.0.3.44:8080: connect: connection refused`,
				Events: []string{`Warning Unhealthy: Startup probe failed: dial tcp 10.0.3.44:8080: connect: connection refused`,
					"Normal Killing: Container app failed startup probe, will be restarted"}}},
		"quota": {there: []runtime.Object{refusedSet(`pods "shop-6d4cf56db6-x7k2p" is forbidden: exceeded quota: team, requested: pods=1, used: pods=10, limited: pods=10`)}, looks: true,
			want: release.Diagnosis{Code: causes.QuotaExceeded, Object: setObject, Reason: "FailedCreate",
				Message: `pods "shop-6d4cf56db6-x7k2p" is forbidden: exceeded quota: team, requested: pods=1, used: pods=10, limited: pods=10`}},
		"quota wants limits": {there: []runtime.Object{refusedSet(`pods "shop-6d4cf56db6-x7k2p" is forbidden: failed quota: team: must specify limits.cpu for: app`)},
			want: release.Diagnosis{Code: causes.QuotaExceeded, Object: setObject, Reason: "FailedCreate",
				Message: `pods "shop-6d4cf56db6-x7k2p" is forbidden: failed quota: team: must specify limits.cpu for: app`}},
		"admission": {there: []runtime.Object{refusedSet(`pods "shop-6d4cf56db6-x7k2p" is forbidden: violates PodSecurity "restricted:latest": privileged (container "app" must not set securityContext.privileged=true)`)}, looks: true,
			want: release.Diagnosis{Code: causes.AdmissionRefused, Object: setObject, Reason: "FailedCreate",
				Message: `pods "shop-6d4cf56db6-x7k2p" is forbidden: violates PodSecurity "restricted:latest": privileged (container "app" must not set securityContext.privileged=true)`}},
		"account absent": {there: []runtime.Object{refusedSet(`pods "shop-" is forbidden: error looking up service account staging/shop: serviceaccount "shop" not found`)},
			want: release.Diagnosis{Code: causes.AdmissionRefused, Object: setObject, Reason: "FailedCreate", Message: `pods "shop-" is forbidden: error looking up service account staging/shop: serviceaccount "shop" not found`}},
		"ReplicaSet refused": {there: []runtime.Object{refusedDeployment()},
			want: release.Diagnosis{Code: causes.QuotaExceeded, Object: ofDeployment, Reason: "ReplicaSetCreateError",
				Message: `Failed to create new replica set "shop-6d4cf56db6": replicasets.apps "shop-6d4cf56db6" is forbidden: exceeded quota: team, requested: count/replicasets.apps=1, used: count/replicasets.apps=0, limited: count/replicasets.apps=0`}},
		"claim of a pod": {there: []runtime.Object{claim(core.ClaimPending), amend(unreadyPod(), mounts(ofDisk), unscheduledFor(`0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found`)),
			eventAbout("e1", claim("").ObjectMeta, "", "Warning", "ProvisioningFailed", `storageclass.storage.k8s.io "fast" not found`)}, looks: true,
			want: release.Diagnosis{Code: causes.VolumePending, Object: ofClaim, Reason: "ProvisioningFailed", Message: `storageclass.storage.k8s.io "fast" not found`,
				Events: []string{`Warning ProvisioningFailed: storageclass.storage.k8s.io "fast" not found`}}},
		"claim absent": {there: []runtime.Object{amend(unreadyPod(), mounts("none"), unscheduledFor(`0/3 nodes are available: persistentvolumeclaim "none" not found. not found`))},
			want: release.Diagnosis{Code: causes.VolumePending, Object: podOfShop, Reason: "Unschedulable", Message: `0/3 nodes are available: persistentvolumeclaim "none" not found. not found`}},
		"volume not attached": {there: []runtime.Object{amend(unreadyPod(), creating),
			eventAbout("e1", aboutPod, "", "Warning", "FailedAttachVolume", `Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) shop-1`)},
			want: release.Diagnosis{Code: causes.VolumePending, Object: podOfShop, Reason: "FailedAttachVolume", Message: `Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) shop-1`,
				Events: []string{`Warning FailedAttachVolume: Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) shop-1`}}},
		"no node": {there: []runtime.Object{amend(unreadyPod(), unscheduledFor(`0/3 nodes are available: 3 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.`))}, looks: true,
			want: release.Diagnosis{Code: causes.Unschedulable, Object: podOfShop, Reason: "Unschedulable",
				Message: `0/3 nodes are available: 3 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling`}},
		"no progress": {there: []runtime.Object{lateDeployment()}, looks: true,
			want: release.Diagnosis{Code: causes.ProgressDeadline, Object: ofDeployment, Reason: "ProgressDeadlineExceeded", Message: "Progress deadline exceeded"}},
		"no progress, and why": {there: []runtime.Object{lateDeployment(), amend(unreadyPod(), loops(1, crash))}, want: inPod(causes.CrashLoop, "CrashLoopBackOff", "ended with exit code 1")},
		"paused": {there: []runtime.Object{pausedDeployment()}, looks: true,
			want: release.Diagnosis{Code: causes.DeploymentPaused, Object: ofDeployment, Reason: "DeploymentPaused", Message: "spec.paused is true"}},
		// The controller counts no new revision while it is paused: the pods of the previous release look like the current ones.
		"paused while the previous release crashes": {there: []runtime.Object{pausedDeployment(), amend(unreadyPod(), loops(1, crash))},
			want: release.Diagnosis{Code: causes.DeploymentPaused, Object: ofDeployment, Reason: "DeploymentPaused", Message: "spec.paused is true"}},
		"no command": {there: []runtime.Object{amend(unreadyPod(), loops(1, core.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: runcSays}))}, looks: true,
			want: inPod(causes.ContainerNotStarted, "StartError", runcSays)},
		"no command, the first time": {there: []runtime.Object{amend(unreadyPod(), waitsFor("RunContainerError", runcSays))},
			want: inPod(causes.ContainerNotStarted, "RunContainerError", runcSays)},
		"another architecture": {there: []runtime.Object{amend(unreadyPod(), loops(1, core.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: wrongArchitecture}))},
			want: inPod(causes.ContainerNotStarted, "StartError", wrongArchitecture)},
		"no such platform": {there: []runtime.Object{amend(unreadyPod(), waitsFor("ErrImagePull", noPlatform))},
			want: inPod(causes.ImageNotPulled, "ErrImagePull", noPlatform)},
		"custom resource": {object: ofWidget, there: []runtime.Object{widget(map[string]any{release.AnnotationFailedWhen: "condition=Degraded"},
			map[string]any{"type": "Degraded", "status": "True", "reason": "QuotaUsedUp", "message": "no more widgets"})}, looks: true,
			want: release.Diagnosis{Code: causes.CustomResourceFailed, Object: ofWidget, Reason: "FailedWhen", Message: "condition=Degraded holds: QuotaUsedUp: no more widgets"}},
		"root": {there: []runtime.Object{amend(unreadyPod(), waitsFor("CreateContainerConfigError", `container has runAsNonRoot and image will run as root (pod: "x", container: app)`))},
			want: inPod(causes.ContainerNotStarted, "CreateContainerConfigError", `container has runAsNonRoot and image will run as root (pod: "x", container: app)`)},
		"no network": {there: []runtime.Object{amend(unreadyPod(), creating),
			eventAbout("e1", aboutPod, "", "Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: plugin type="aws-cni" failed (add): add cmd: failed to assign an IP address to container`)},
			want: release.Diagnosis{Code: causes.ContainerNotStarted, Object: podOfShop, Reason: "FailedCreatePodSandBox",
				Message: `Failed to create pod sandbox: plugin type="aws-cni" failed (add): add cmd: failed to assign an IP address to container`,
				Events:  []string{`Warning FailedCreatePodSandBox: Failed to create pod sandbox: plugin type="aws-cni" failed (add): add cmd: failed to assign an IP address to container`}}},
	}
	for name, r := range jobRecordings() {
		all[name] = r
	}
	return all
}

const (
	wrongArchitecture = `failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec /shop: exec format error: unknown`
	noPlatform        = `failed to pull and unpack image "` + imageAsked + `": no match for platform in manifest: not found`
)

const runcSays = `failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/shop": stat /shop: no such file or directory: unknown`

func refusedDeployment() *apps.Deployment {
	d := deployment(2, 2, 0, 1)
	d.Annotations[diagnose.RevisionAnnotation] = "1" // the second was never made
	d.Status.Conditions[0] = apps.DeploymentCondition{Type: apps.DeploymentProgressing, Status: core.ConditionFalse, Reason: "ReplicaSetCreateError",
		Message: `Failed to create new replica set "shop-6d4cf56db6": replicasets.apps "shop-6d4cf56db6" is forbidden: exceeded quota: team, requested: count/replicasets.apps=1, used: count/replicasets.apps=0, limited: count/replicasets.apps=0`}
	return d
}

func pausedDeployment() *apps.Deployment {
	d := deployment(2, 2, 0, 1)
	d.Spec.Paused = true
	d.Status.Conditions[0] = apps.DeploymentCondition{Type: apps.DeploymentProgressing, Status: core.ConditionUnknown, Reason: "DeploymentPaused", Message: "Deployment is paused"}
	return d
}

func lateDeployment() *apps.Deployment {
	d := deployment(2, 2, 1, 1)
	d.Status.Conditions[0].Status, d.Status.Conditions[0].Reason = core.ConditionFalse, "ProgressDeadlineExceeded"
	d.Status.Conditions[0].Message = `ReplicaSet "shop-6d4cf56db6" has timed out progressing.`
	return d
}

// jobRecordings are those of Jobs, StatefulSets' and DaemonSets' refusals aside, which need an event to come.
func jobRecordings() map[string]recorded {
	failed := func(last core.ContainerStateTerminated) *core.Pod {
		p := pod("migrate-8kd2q", 1)
		p.OwnerReferences[0].UID = "uid-migrate"
		p.Status.Phase, p.Status.Conditions = core.PodFailed, nil
		p.Status.ContainerStatuses[0].State = core.ContainerState{Terminated: &last}
		return p
	}
	ofMigrate := release.Object{APIVersion: "v1", Kind: "Pod", Namespace: space, Name: "migrate-8kd2q"}
	says := map[string]string{"migrate-8kd2q/app": "relation \"orders\" already exists\n"}
	spent := job(batch.JobFailed, "BackoffLimitExceeded")
	spent.Status.Conditions[0].Message = "Job has reached the specified backoff limit"
	late := job(batch.JobFailed, "DeadlineExceeded")
	late.Status.Conditions[0].Message = "Job was active longer than specified deadline"
	ended := failed(core.ContainerStateTerminated{})
	ended.Status.Phase, ended.DeletionTimestamp, ended.Finalizers = core.PodRunning, ptr(meta.Now()), []string{"batch.kubernetes.io/job-tracking"}
	ended.Status.ContainerStatuses[0].State = core.ContainerState{Running: &core.ContainerStateRunning{}}
	ended.Status.ContainerStatuses[0].Ready = false
	return map[string]recorded{
		"job": {object: ofJobs, there: []runtime.Object{spent, failed(core.ContainerStateTerminated{ExitCode: 7, Reason: "Error"})}, logs: says, looks: true,
			want: release.Diagnosis{Code: causes.JobFailed, Object: ofMigrate, Container: "app", Reason: "PodFailed", Message: "ended with exit code 7", Logs: []string{`relation "orders" already exists`}}},
		"job out of memory": {object: ofJobs, there: []runtime.Object{spent, failed(core.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"})}, logs: says,
			want: release.Diagnosis{Code: causes.OutOfMemory, Object: ofMigrate, Container: "app", Reason: "OOMKilled", Message: "ended with exit code 137 (OOMKilled); it has no memory limit of its own",
				Logs: []string{`relation "orders" already exists`}}},
		"job out of time": {object: ofJobs, there: []runtime.Object{late, ended}, logs: says,
			want: release.Diagnosis{Code: causes.JobFailed, Object: ofMigrate, Container: "app", Reason: "DeadlineExceeded", Message: "Job was active longer than specified deadline",
				Logs: []string{`relation "orders" already exists`}}},
		"job without a pod": {object: ofJobs, there: []runtime.Object{late},
			want: release.Diagnosis{Code: causes.JobFailed, Object: ofJobs, Reason: "JobFailed", Message: "DeadlineExceeded: Job was active longer than specified deadline"}},
	}
}

// TestRecordedCauses holds each cause to its code, what it names and what it advises, and the examples in the documentation to
// what is really said.
func TestRecordedCauses(t *testing.T) {
	t.Parallel()
	for name, r := range recordings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			for container, text := range r.logs {
				s.SetLog(container, text)
			}
			if r.object.Name == "" {
				r.object = ofDeployment
			}
			brokenRollout(s, r.there...)
			_, err := observe(t, s.hasty(), r.object).rest()
			r.want.Advice = r.want.Code.Cause().Advice
			if diff := cmp.Diff(r.want, diagnosisOf(t, err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			certain(t, err, r.object)
			if looks := r.want.Code.Cause().Example; r.looks && looks != err.Error() {
				t.Errorf("causes.All shows\n\t%s\nand it says\n\t%s", looks, err)
			}
		})
	}
}

// TestEveryRolloutTroubleIsShown wants an example of what the messages of every code look like that a rollout can fail with.
func TestEveryRolloutTroubleIsShown(t *testing.T) {
	t.Parallel()
	shown := map[causes.Code]bool{causes.HookFailed: true, causes.NoAddress: true, causes.TimedOut: true} // theirs are held to it elsewhere
	for _, r := range recordings() {
		shown[r.want.Code] = shown[r.want.Code] || r.looks
	}
	for _, trouble := range causes.All {
		if strings.HasPrefix(string(trouble.Code), "OD-1") && !shown[trouble.Code] {
			t.Errorf("%s has no recorded example", trouble.Code)
		}
	}
}

// inInit makes a pod's container an init container.
func inInit(p *core.Pod) *core.Pod {
	p.Spec.InitContainers, p.Spec.Containers = p.Spec.Containers, []core.Container{{Name: "main"}}
	p.Status.InitContainerStatuses = p.Status.ContainerStatuses
	p.Status.ContainerStatuses = []core.ContainerStatus{{Name: "main", State: core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: "PodInitializing"}}}}
	return p
}
