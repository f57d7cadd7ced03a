package diagnose

import "time"

// How long a finding may last before it counts as a failure. docs/decisions/0009 says why the times are what they are.
const (
	// GraceNever means that time alone never makes the finding a failure.
	GraceNever time.Duration = -1
	// GraceShort is for what only another release can fix. It is not zero, because another object of this release may be created a
	// moment after the pod.
	GraceShort = 2 * time.Second
	// GraceTransient is for what often passes by itself: a failed API call of the kubelet, a webhook that cannot be reached, a Secret or ConfigMap that
	// an operator creates after the pod, for an Ingress or for an object of another release.
	GraceTransient = 20 * time.Second
	// GraceBusyNode is for what is slow on a busy node.
	GraceBusyNode = 90 * time.Second
	// GraceProvisioning is for an object that a Job, an operator or a provisioner may be about to create.
	GraceProvisioning = time.Minute
	// GraceEarlier is for a problem that was reported before the release was applied and has not been reported since.
	GraceEarlier = 30 * time.Second
	// GracePaused is for a paused Deployment: somebody may be about to resume it.
	GracePaused = 20 * time.Second
	// GraceDependency is how long a container may wait for another object of the release.
	GraceDependency = 2 * time.Minute
)

// Graces of a pod without a node.
const (
	// GraceNode is for a pod that may fit once another pod has ended.
	GraceNode = time.Minute
	// GraceNoNode is for a pod for which no ending pod makes room: it needs another node, and no autoscaler has announced a new
	// node.
	GraceNoNode = 30 * time.Second
	// GraceNewNode is for a pod for which an autoscaler has announced a node.
	GraceNewNode = 10 * time.Minute
)

// Graces of a volume.
const (
	GraceAttach      = 2 * time.Minute // one node detaches the volume, another attaches it
	GraceProvisioner = 3 * time.Minute // a provisioner was asked and has not answered
)

// Graces of readiness, besides what the probe's own settings allow.
const (
	// readinessFactor times the probe's own failure time is how long a container must have been unready.
	readinessFactor = 3
	// GraceStart is the shortest time that a container without a startup probe gets to start.
	GraceStart = 30 * time.Second
	// GraceStarted is the shortest time that a container gets to become ready after its startup probe passed.
	GraceStarted = 10 * time.Second
)

// ProvingTime is how long a container without a readiness probe must have run to count as ready. Kubernetes counts it as ready as
// soon as it runs, even if it exits a moment later.
// Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle, "Container probes", readinessProbe.
const ProvingTime = 3 * time.Second
