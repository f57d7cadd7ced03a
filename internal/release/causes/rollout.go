package causes

// Codes of what keeps a rollout from becoming ready. internal/kube/diagnose finds these.
const (
	ImageNotPulled      Code = "OD-101"
	ImageNameInvalid    Code = "OD-102"
	CrashLoop           Code = "OD-103"
	OutOfMemory         Code = "OD-104"
	ConfigurationAbsent Code = "OD-105" // a Secret, a ConfigMap or a key of one
	NotReady            Code = "OD-106" // the readiness probe
	NotAlive            Code = "OD-107" // the liveness or the startup probe
	QuotaExceeded       Code = "OD-108"
	AdmissionRefused    Code = "OD-109"
	VolumePending       Code = "OD-110"
	Unschedulable       Code = "OD-111"
	HookFailed          Code = "OD-112"
	ProgressDeadline    Code = "OD-113"
	JobFailed           Code = "OD-114"
	ContainerNotStarted Code = "OD-115"
	NoAddress           Code = "OD-116"
	TimedOut            Code = "OD-117" // none of the other causes was found in time
	DeploymentPaused    Code = "OD-118"
	// CustomResourceFailed is the failure of a custom resource by its own annotations.
	CustomResourceFailed Code = "OD-119"
)

var rolloutCauses = []Cause{
	{
		Code: ImageNotPulled, Name: "the image cannot be pulled",
		Meaning: "A node asked the registry for the image and was refused, or could not reach it. This fails at once if the registry's answer " +
			"will be the same next time (not found, not authorised, no such platform), and otherwise after the third failed pull.",
		Advice: "check that the registry has the digest and that the cluster's nodes may pull it",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-101 Pod/shop-6d4cf56db6-x7k2p container "app": ErrImagePull: ` +
			`failed to pull and unpack image "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:9c1d": failed to resolve reference ` +
			`"123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:9c1d": ` +
			`123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:9c1d: not found; check that the registry has the digest and that the ` +
			`cluster's nodes may pull it`,
		Steps: []string{
			"Read the container runtime's error in the message. `not found`: this repository does not have the digest. `401`, `403`, `no basic auth " +
				"credentials`: the nodes may not pull. `no such host`, `i/o timeout`: the node cannot reach the registry. `no match for " +
				"platform`: the image was not built for the node's architecture.",
			"Ask the registry: `aws ecr describe-images --repository-name REPOSITORY --image-ids imageDigest=sha256:…`. If it is gone, a " +
				"lifecycle rule may have expired it: protect images that run (rules count from the push, retagging does not renew it).",
			"See the node role's permissions: `ecr:GetAuthorizationToken`, `ecr:BatchGetImage`, `ecr:GetDownloadUrlForLayer`; a repository of " +
				"another account also needs a repository policy.",
			"With pull secrets: `kubectl -n NAMESPACE get pod POD -o jsonpath='{.spec.imagePullSecrets}'`; check that each of them exists and " +
				"has not expired.",
			"In private subnets, nodes need a NAT gateway, or VPC endpoints for `ecr.api`, `ecr.dkr` and S3.",
		},
	},
	{
		Code: ImageNameInvalid, Name: "the image reference is invalid",
		Meaning: "The kubelet cannot parse the image reference in the pod, so it does not try to pull it. This fails at once.",
		Advice:  "correct the image in the chart or its values: repository@sha256:…, all in lower case",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-102 Pod/shop-6d4cf56db6-x7k2p container "app": ` +
			`InvalidImageName: Failed to apply default image tag "Shop": couldn't parse image name "Shop": invalid reference format: ` +
			`repository name (Shop) must be lowercase; correct the image in the chart or its values: repository@sha256:…, all in lower case`,
		Steps: []string{
			"See what was rendered: `kubectl -n NAMESPACE get pod POD -o jsonpath='{.spec.containers[*].image}'`.",
			"Look for a doubled or missing separator, an upper-case letter, a space, or a value that was not set (`repository: \"\"`).",
			"If a sidecar's or an init container's image is the wrong one, it comes from the chart or from an injecting webhook, not from " +
				"`--image`.",
		},
	},
	{
		Code: CrashLoop, Name: "the container keeps crashing",
		Meaning: "The container was started at least twice, ended each time and was not ready in between; the kubelet waits longer before every " +
			"restart. A first crash does not count as a loop. While another object of the release is still progressing, which the container " +
			"may depend on, crashes are tolerated for two minutes. An init container may try again for as long as `progressDeadlineSeconds` of its " +
			"Deployment allows.",
		Advice: "read the container's last lines: they say why it ends",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-103 Pod/shop-6d4cf56db6-x7k2p container "app": ` +
			`CrashLoopBackOff: ended with exit code 1; read the container's last lines: they say why it ends`,
		Steps: []string{
			"The last lines of the container's log are in the message; all of them: `kubectl -n NAMESPACE logs POD -c CONTAINER --previous`.",
			"The exit code narrows it down: 1 or 2 comes from the program itself, 126 and 127 is a command that cannot be run, 137 a kill from " +
				"outside, 139 a crash in native code, 143 a SIGTERM.",
			"Compare the configuration with that of an environment where it runs: `deploy --dry-run --compare-values FILE` names the keys that are " +
				"missing here.",
			"If it ends because a dependency is not there yet, let the program wait for it, or add an init container that does.",
		},
	},
	{
		Code: OutOfMemory, Name: "the container ran out of memory",
		Meaning: "The kernel killed the container because it needed more memory than its limit (`OOMKilled`), at least twice.",
		Advice:  "raise the container's memory limit, or make it use less",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-104 Pod/shop-6d4cf56db6-x7k2p container "app": OOMKilled: ended ` +
			`with exit code 137 (OOMKilled); its memory limit is 64Mi; raise the container's memory limit, or make it use less`,
		Steps: []string{
			"The limit is in the message. See what it uses where it runs: `kubectl -n NAMESPACE top pod --containers`.",
			"Raise `resources.limits.memory`, and `resources.requests.memory` with it, so that the node reserves it.",
			"A language runtime with its own heap must know the limit: `GOMEMLIMIT`, `-XX:MaxRAMPercentage`, `--max-old-space-size`.",
			"If it is killed while it starts, look for a cache or a migration that loads everything at once.",
		},
	},
	{
		Code: ConfigurationAbsent, Name: "a Secret, a ConfigMap or a key of one is missing",
		Meaning: "The pod references a Secret, a ConfigMap or a key that the namespace does not have, as a variable or as a volume, so its " +
			"container is not created. Kubernetes would wait for it forever. This fails after twenty seconds, in which an operator " +
			"may create it, and after one minute if the release contains Jobs or custom resources, or its hooks custom resources. A volume has failed only " +
			"once the kubelet has tried again after that time.",
		Advice: "create the Secret, the ConfigMap or the key that the message names, or mark the reference as optional",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-105 Pod/shop-6d4cf56db6-x7k2p container "app": ` +
			`CreateContainerConfigError: secret "shop-database" not found; create the Secret, the ConfigMap or the key that the message names, ` +
			`or mark the reference as optional`,
		Steps: []string{
			"See what exists: `kubectl -n NAMESPACE get secret,configmap`, and the keys: `kubectl -n NAMESPACE get secret NAME -o " +
				"jsonpath='{.data}' | jq keys`.",
			"If an operator creates it (External Secrets, Sealed Secrets), see what the operator reports: `kubectl -n NAMESPACE describe externalsecret NAME`.",
			"Check the namespace: a Secret of the same name in another namespace does not count.",
			"`deploy --dry-run` names every missing Secret, ConfigMap, key and ServiceAccount before anything changes.",
		},
	},
	{
		Code: NotReady, Name: "the readiness probe does not pass",
		Meaning: "The container runs, and its readiness probe has failed for longer than the pod's own settings allow: three times what the probe " +
			"takes to report it unready, at least the start time that its startup and liveness probes allow, at least thirty seconds " +
			"without a startup probe, and at least its Deployment's `progressDeadlineSeconds`, if that is above the default of 600. While another object of the release is still progressing, at least two minutes. " +
			"If the probe's command is not in the image, this fails after twenty seconds.",
		Advice: "see the probe's answer and the container's log; the probe needs the port and the path that the program serves, or a command that the image has, and a slow start needs a startupProbe that allows for it",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-106 Pod/shop-6d4cf56db6-x7k2p container "app": Unhealthy: ` +
			`Readiness probe failed: HTTP probe failed with statuscode: 500; see the probe's answer and the container's log; the probe needs ` +
			`the port and the path that the program serves, or a command that the image has, and a slow start needs a startupProbe that allows ` +
			`for it`,
		Steps: []string{
			"The probe's answer is in the message. `connection refused`: nothing listens on that port (yet). `statuscode: 404`: the path " +
				"is wrong. `statuscode: 500` or `503`: the application reports that it cannot serve. `context deadline exceeded`: it answered " +
				"after `timeoutSeconds`. `executable file not found`: the image has no such command: probe by HTTP, TCP or gRPC instead, or build an image " +
				"that has the command (`build --builder docker`, or `--adopt` of the program's own image).",
			"Send the request yourself: `kubectl -n NAMESPACE port-forward POD 8080:PORT`, then `curl -i localhost:8080/PATH`.",
			"Compare `containerPort` and the probe's port with the port that the log says it listens on.",
			"If it was about to become ready, allow more time: a `startupProbe` with `failureThreshold` × `periodSeconds` as long as the slowest start.",
		},
	},
	{
		Code: NotAlive, Name: "the liveness or the startup probe fails",
		Meaning: "The kubelet restarted the container because a probe failed. This fails at once if the startup probe used up the time that it " +
			"allows, and after the second restart for a liveness probe. It fails after twenty seconds if the command of the startup probe is not in the image.",
		Advice: "see the probe's answer and the log of the container's previous run; allow a slow start more time in the startupProbe",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-107 Pod/shop-6d4cf56db6-x7k2p container "app": ` +
			`CrashLoopBackOff: Liveness probe failed: Get "http://10.0.3.44:8080/healthz": context deadline exceeded (Client.Timeout exceeded ` +
			`while awaiting headers); see the probe's answer and the log of the container's previous run; allow a slow start more time in ` +
			`the startupProbe`,
		Steps: []string{
			"The probe's answer is in the message. The log of the run that was killed: `kubectl -n NAMESPACE logs POD -c CONTAINER " +
				"--previous`.",
			"If the log shows that it was still starting: raise `startupProbe.failureThreshold`, or add a startupProbe, so that the " +
				"liveness probe begins later.",
			"If it shows an application that was running: the probe's port, path or `timeoutSeconds` is wrong, or the application hangs.",
			"A liveness probe must not depend on other services: a database outage would kill every pod.",
		},
	},
	{
		Code: QuotaExceeded, Name: "the namespace's quota does not allow the pods",
		Meaning: "A ResourceQuota refuses the pods. This fails at once if the pod can never fit (it requests more than the whole quota, or does not " +
			"set what the quota requires), after forty seconds if other pods use up the quota, counted from the end of pods that are terminating.",
		Advice: "request less, or have the namespace's ResourceQuota raised; a rollout needs room for new pods beside the old ones",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-108 ReplicaSet/shop-2: FailedCreate: pods ` +
			`"shop-6d4cf56db6-x7k2p" is forbidden: exceeded quota: team, requested: pods=1, used: pods=10, limited: pods=10; request less, or ` +
			`have the namespace's ResourceQuota raised; a rollout needs room for new pods beside the old ones`,
		Steps: []string{
			"See what is used and what is allowed: `kubectl -n NAMESPACE describe resourcequota`.",
			"`must specify …`: the quota requires every container to set that in `resources`, or the namespace to have a LimitRange with defaults.",
			"A rollout creates new pods before it deletes old ones. With `maxSurge: 0` and `maxUnavailable: 1` it replaces them one at a time " +
				"and needs no extra room.",
			"Look for pods that should not be there: old releases, finished Jobs, replicas that were scaled by hand.",
		},
	},
	{
		Code: AdmissionRefused, Name: "the cluster refuses the pods",
		Meaning: "An admission rule refuses the pods, or an object of the chart: the namespace's Pod Security level, a policy, a webhook, a LimitRange, a claim " +
			"that cannot be resized, a namespace that is being deleted, or a ServiceAccount that is missing. A refused object fails the deploy at once. " +
			"Refused pods fail it after two seconds, and after forty if a webhook does not answer or the ServiceAccount is missing; a missing ServiceAccount that a Job or a custom resource of the release may still create, after two minutes.",
		Advice: "change what the rule in the message objects to, or have the rule changed",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-109 ReplicaSet/shop-2: FailedCreate: pods ` +
			`"shop-6d4cf56db6-x7k2p" is forbidden: violates PodSecurity "restricted:latest": privileged (container "app" must not set ` +
			`securityContext.privileged=true); change what the rule in the message objects to, or have the rule changed`,
		Steps: []string{
			"`violates PodSecurity`: the message lists the fields. The level is a label: `kubectl get namespace NAMESPACE --show-labels`. A namespace that " +
				"`deploy --create-namespace` created has the level of its `--pod-security`, by default `baseline`.",
			"`admission webhook \"…\" denied the request`: the name says which policy engine it is (Kyverno, Gatekeeper, …); its message follows.",
			"`serviceaccount \"…\" not found`: create it, or let the chart create it.",
			"`failed calling webhook`: the webhook's own pods are not running: `kubectl get " +
				"validatingwebhookconfigurations,mutatingwebhookconfigurations`.",
			"Try it without deploying: `deploy --dry-run` has the API server validate every object.",
		},
	},
	{
		Code: VolumePending, Name: "a volume is not available",
		Meaning: "A PersistentVolumeClaim is not bound, or its volume cannot be attached or mounted, so the pod cannot start. A storage class or a " +
			"claim that does not exist fails at once; a provisioner's errors are tolerated for one minute, a failing attachment for two.",
		Advice: "see the claim's events and its storage class",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-110 PersistentVolumeClaim/disk: ProvisioningFailed: ` +
			`storageclass.storage.k8s.io "fast" not found; see the claim's events and its storage class`,
		Steps: []string{
			"`kubectl -n NAMESPACE describe pvc CLAIM` shows what the provisioner reports; `kubectl get storageclass` lists the classes and which is " +
				"the default.",
			"On EKS: the EBS CSI driver is an add-on, and its role needs permission to create volumes: `aws eks describe-addon --cluster-name " +
				"CLUSTER --addon-name aws-ebs-csi-driver`.",
			"`didn't match PersistentVolume's node affinity`, `volume node affinity conflict`: the volume is in a zone that has no node " +
				"with room.",
			"`Multi-Attach error`: another pod on another node still has the volume; a Deployment with such a volume needs the strategy " +
				"`Recreate`.",
		},
	},
	{
		Code: Unschedulable, Name: "no node can run the pod",
		Meaning: "The scheduler finds no node for the pod. A node may still be added, so this fails after one minute; after thirty seconds if no " +
			"terminating pod could make room on an existing node; after ten minutes if an autoscaler reports that it is adding a node. A Deployment with " +
			"`progressDeadlineSeconds` above 600 is waited for that long, unless an autoscaler reports that none of its nodes would take the pod; the log names the reason at once.",
		Advice: "see the scheduler's reason: request less, correct the node selector, affinity and tolerations, or add nodes",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-111 Pod/shop-6d4cf56db6-x7k2p: Unschedulable: 0/3 nodes are ` +
			`available: 3 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for ` +
			`scheduling; see the scheduler's reason: request less, correct the node selector, affinity and tolerations, or add nodes`,
		Steps: []string{
			"The scheduler's reason counts the nodes: `Insufficient cpu` or `memory` (requests, not use), `didn't match Pod's node " +
				"affinity/selector`, `untolerated taint(s)`, `Too many pods`.",
			"Compare with what the nodes have left: `kubectl describe nodes | grep -A8 'Allocated resources'`.",
			"If an autoscaler should have added a node, its events say why it did not: `kubectl -n NAMESPACE get events --field-selector " +
				"reason=NotTriggerScaleUp`, or `kubectl describe nodepool`.",
			"With hard anti-affinity or topology spread, a rollout needs one node more than there are pods: set `maxSurge: 0`, or make the " +
				"rule preferred instead of required.",
		},
	},
	{
		Code: HookFailed, Name: "a hook of the chart failed",
		Meaning: "A Job or a Pod that the chart runs before or after the change (usually a migration) failed, or cannot start, or the cluster refused its object. The message holds its " +
			"name and its last log lines, because Helm may delete the hook itself.",
		Advice: "read the hook's last lines; nothing after the hook was applied",
		Example: `hook Job/migrate in namespace "staging" failed (JobFailed): OD-112 Pod/migrate-8kd2q container "app": PodFailed: ended with ` +
			`exit code 7; read the hook's last lines; nothing after the hook was applied`,
		Steps: []string{
			"The message holds the underlying cause, and its code in brackets if it has one: follow that.",
			"Keep the hook's Job to inspect it: set `helm.sh/hook-delete-policy` to `before-hook-creation` alone.",
			"See how far it got before you run it again: a migration must be safe to start twice.",
			"If it needs longer: `activeDeadlineSeconds` and `backoffLimit` of the Job, and the deploy's `timeout`.",
		},
	},
	{
		Code: ProgressDeadline, Name: "the rollout made no progress in time",
		Meaning: "The Deployment's `progressDeadlineSeconds` passed without another pod becoming available, and nothing that the pods report " +
			"explains it.",
		Advice: "describe the pods of the new ReplicaSet to see what they wait for",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-113 Deployment/shop: ProgressDeadlineExceeded: Progress ` +
			`deadline exceeded; describe the pods of the new ReplicaSet to see what they wait for`,
		Steps: []string{
			"`kubectl -n NAMESPACE rollout status deployment NAME`, then `kubectl -n NAMESPACE describe pod POD`.",
			"Readiness gates count: `kubectl -n NAMESPACE get pod POD -o jsonpath='{.status.conditions}'` (a load balancer's target may not be " +
				"healthy yet).",
			"If the start is just slow, raise `progressDeadlineSeconds`; `minReadySeconds` counts towards it.",
		},
	},
	{
		Code: JobFailed, Name: "a Job or a pod ended in failure",
		Meaning: "A Job of the release used up its retries or its time, or a pod that is not restarted ended with an error.",
		Advice:  "read the last lines of the pod's log",
		Example: `Job/migrate in namespace "staging" cannot become ready (JobFailed): OD-114 Pod/migrate-8kd2q container "app": PodFailed: ended ` +
			`with exit code 7; read the last lines of the pod's log`,
		Steps: []string{
			"`BackoffLimitExceeded`: every attempt failed; the last attempt's log lines are in the message. `DeadlineExceeded`: `activeDeadlineSeconds` " +
				"was too short.",
			"See what is left of it: `kubectl -n NAMESPACE describe job NAME`; with `restartPolicy: Never` its pods stay: `kubectl -n NAMESPACE " +
				"logs job/NAME`.",
			"A Job's template cannot be changed: give the Job a name that changes with the release, or make it a hook.",
		},
	},
	{
		Code: ContainerNotStarted, Name: "the container cannot be started",
		Meaning: "The node has the image but cannot start the container: the command does not exist, a mount or the security context does not fit " +
			"the image, or the pod gets no IP address. This fails at once if another attempt cannot help, and otherwise after twenty to ninety " +
			"seconds.",
		Advice: "see the container's command, mounts and security context",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-115 Pod/shop-6d4cf56db6-x7k2p container "app": StartError: ` +
			`failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start ` +
			`container process: exec: "/shop": stat /shop: no such file or directory: unknown; see the container's command, mounts and ` +
			`security context`,
		Steps: []string{
			"`no such file or directory`, `executable file not found`: the command is not in the image, such as a chart's that was written for another build: an image of the go builder has only its program, `/app/NAME`, and starts it without a command; a shell script also needs its shell, " +
				"which minimal images do not have.",
			"`exec format error`: the image was not built for the node's architecture: name it in `build --platforms`, or select nodes by " +
				"`kubernetes.io/arch`.",
			"`permission denied`: the file is not executable, or the pod's user may not read its directory.",
			"`container has runAsNonRoot and image will run as root`: set `USER` in the image, or `runAsUser`. A user name cannot be " +
				"checked: use a number.",
			"`failed to assign an IP address` (EKS): the subnet or the node has no address left; use the VPC CNI's prefix delegation, or " +
				"larger subnets.",
		},
	},
	{
		Code: NoAddress, Name: "no address outside the cluster",
		Meaning: "The Service of type LoadBalancer, or the Ingress, got no address within its share of the timeout. The rollout itself is ready: the " +
			"release is verified without an address, its smoke checks are sent to its pods, and the deploy fails only if these cannot be reached.",
		Advice: "see the Service's events and check that the cluster can create load balancers",
		Example: `release "shop" in namespace "staging" has no external address in time: OD-116 Service/shop: NoAddress: no load balancer has ` +
			`been assigned; last event: Warning SyncLoadBalancerFailed: no subnet is tagged; see the Service's events and check that the cluster ` +
			`can create load balancers`,
		Steps: []string{
			"`kubectl -n NAMESPACE describe service NAME`: the last events hold the cloud provider's own error.",
			"On EKS: subnets must carry the tag `kubernetes.io/role/elb` (or `internal-elb`), and the controller's role needs its policy.",
			"`loadBalancerClass` must name a controller that runs in the cluster; see its log: `kubectl -n kube-system logs " +
				"deployment/aws-load-balancer-controller`.",
			"If nothing ever assigns one, say where the release is served: `address: https://…`, or `address: none`.",
			"If it just takes longer, raise `timeout`: a network load balancer's targets take three to five minutes.",
		},
	},
	{
		Code: TimedOut, Name: "not ready in time",
		Meaning: "The rollout used up its share of the timeout, and none of the causes above was found.",
		Advice:  "describe the object that the message names; if it was still progressing, raise timeout",
		Example: `not ready in namespace "staging" within 4 minutes: Deployment/shop: OD-117 Pod/shop-6d4cf56db6-x7k2p container "app": ` +
			`ContainerCreating; describe the object that the message names; if it was still progressing, raise timeout`,
		Steps: []string{
			"The log above the message shows what changed last, and when.",
			"`kubectl -n NAMESPACE get pods` and `kubectl -n NAMESPACE describe pod POD` for the pod that is named.",
			"A custom resource is ready when its own controller says so: `kubectl -n NAMESPACE describe KIND NAME`.",
			"\"nodes do not answer\": after a minute the deploy ignores a DaemonSet's pods on nodes that are not ready. Its controller still counts them as unavailable: with " +
				"`maxUnavailable: 1` one such node keeps it from replacing any other pod. Remove the node (`kubectl delete node NODE`), or raise `updateStrategy.rollingUpdate.maxUnavailable`.",
			"If the cluster did not answer for long, the message says so: check the API server and the network first.",
		},
	},
	{
		Code: DeploymentPaused, Name: "the Deployment is paused",
		Meaning: "`spec.paused` of the Deployment is true, so its controller creates no pods of the new template. Somebody may be about to " +
			"resume it, so this fails after twenty seconds.",
		Advice: "run kubectl rollout resume deployment/NAME, or set paused: false in the chart",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-118 Deployment/shop: DeploymentPaused: spec.paused is true; ` +
			`run kubectl rollout resume deployment/NAME, or set paused: false in the chart`,
		Steps: []string{
			"See whether the chart or a person paused it: `helm -n NAMESPACE get manifest RELEASE | grep paused`, and which client owns " +
				"`spec.paused`: `kubectl -n NAMESPACE get deployment NAME -o yaml --show-managed-fields`.",
			"Paused by hand (`kubectl rollout pause`): ask the person who did it, then `kubectl -n NAMESPACE rollout resume deployment NAME` and " +
				"deploy again. A rollback stays paused too.",
			"Paused by the chart: set `paused: false` or remove the field, and deploy again.",
			"A controller that pauses Deployments for a gradual rollout (OpenKruise Rollouts) must resume them within the twenty seconds.",
		},
	},
	{
		Code: CustomResourceFailed, Name: "a custom resource has failed by its own annotations",
		Meaning: "A custom resource of the release, or the definition of its kind, has the annotation `onedigest.dev/failed-when`, and one of the " +
			"expectations that it lists has held for twenty seconds. Or that annotation, or `onedigest.dev/ready-when`, cannot be read. One that has " +
			"`ready-when`, and is not ready in time, fails the rollout too. Without them a custom resource is waited for and never makes a rollout fail: when " +
			"the time is up and nothing else is late, a warning names it.",
		Advice: "see the custom resource's status and its controller's log",
		Example: `Widget/w in namespace "staging" cannot become ready: OD-119 Widget/w: FailedWhen: condition=Degraded holds: QuotaUsedUp: no more ` +
			`widgets; see the custom resource's status and its controller's log`,
		Steps: []string{
			"`kubectl -n NAMESPACE describe KIND NAME` shows its conditions and events.",
			"The annotations list expectations in the syntax of `kubectl wait --for`, separated by commas or lines: `condition=Ready`, " +
				"`condition=Degraded=False`, `jsonpath={.status.phase}=Running`. It is ready when all of `ready-when` hold, and has failed when one of " +
				"`failed-when` does. Those of the object win over those of its CustomResourceDefinition.",
			"A status about an earlier generation (`status.observedGeneration`) says nothing.",
		},
	},
}
