package causes

// rolloutCauses is what keeps a rollout from becoming ready: the cluster adapter finds these.
var rolloutCauses = []Cause{
	{
		Code: ImageNotPulled, Name: "the image cannot be pulled",
		Meaning: "A node asked the registry for the image and was refused, or could not reach it. It is said at once when the registry's answer " +
			"cannot change by asking again (not found, not authorised, no such platform), and after the third failed pull otherwise.",
		Advice: "see that the digest is in its registry and that the cluster's nodes may pull it",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-101 Pod/shop-6d4cf56db6-x7k2p container "app": ErrImagePull: ` +
			`failed to pull and unpack image "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:9c1d": failed to resolve reference ` +
			`"123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:9c1d": ` +
			`123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:9c1d: not found; see that the digest is in its registry and that the ` +
			`cluster's nodes may pull it`,
		Steps: []string{
			"Read the runtime's words in the message. `not found`: this repository does not hold the digest. `401`, `403`, `no basic auth " +
				"credentials`: the nodes may not pull. `no such host`, `i/o timeout`: the node cannot reach the registry. `no match for " +
				"platform`: the image was not built for the node's architecture.",
			"Ask the registry: `aws ecr describe-images --repository-name REPOSITORY --image-ids imageDigest=sha256:…`. If it is gone, a " +
				"lifecycle rule may have expired it: protect what runs (rules count from the push, retagging does not renew it).",
			"See the node role's permissions: `ecr:GetAuthorizationToken`, `ecr:BatchGetImage`, `ecr:GetDownloadUrlForLayer`; a repository of " +
				"another account needs a repository policy besides.",
			"With pull secrets: `kubectl -n NAMESPACE get pod POD -o jsonpath='{.spec.imagePullSecrets}'`, and that each of them exists and " +
				"has not expired.",
			"From private subnets: a NAT gateway, or VPC endpoints for `ecr.api`, `ecr.dkr` and S3.",
		},
	},
	{
		Code: ImageNameInvalid, Name: "the image's name is no image name",
		Meaning: "The kubelet cannot read the image reference in the pod, so that it asks nobody for it. It is said at once.",
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
		Code: CrashLoop, Name: "the container ends again and again",
		Meaning: "The container was started at least twice, ended each time, and was not ready in between: the kubelet pauses longer and longer " +
			"between the tries. A first crash is not said to be a loop. While something else of the release is still on its way, which the " +
			"container may be waiting for, it is borne with for two minutes.",
		Advice: "read the container's last lines: they say why it ends",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-103 Pod/shop-6d4cf56db6-x7k2p container "app": ` +
			`CrashLoopBackOff: ended with exit code 1; read the container's last lines: they say why it ends`,
		Steps: []string{
			"The last lines of the container's log are in the message; all of them: `kubectl -n NAMESPACE logs POD -c CONTAINER --previous`.",
			"The exit code narrows it down: 1 or 2 is the program's own doing, 126 and 127 a command that cannot be run, 137 a kill from " +
				"outside, 139 a crash in native code, 143 a SIGTERM.",
			"Compare the configuration with an environment where it runs: `deploy --dry-run --compare-values FILE` names the keys that are " +
				"missing here.",
			"If it ends because something that it needs is not there yet, let it wait for that, or give it an init container that does.",
		},
	},
	{
		Code: OutOfMemory, Name: "the container ran out of memory",
		Meaning: "The kernel ended the container because it wanted more memory than its limit (`OOMKilled`), twice at least.",
		Advice:  "raise the container's memory limit, or make it need less",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-104 Pod/shop-6d4cf56db6-x7k2p container "app": OOMKilled: ended ` +
			`with exit code 137 (OOMKilled); its memory limit is 64Mi; raise the container's memory limit, or make it need less`,
		Steps: []string{
			"The limit is in the message. See what it needs where it runs: `kubectl -n NAMESPACE top pod --containers`.",
			"Raise `resources.limits.memory`, and `resources.requests.memory` with it, so that the node has it.",
			"A runtime with a heap of its own must know the limit: `GOMEMLIMIT`, `-XX:MaxRAMPercentage`, `--max-old-space-size`.",
			"If it is killed while it starts, look for a cache or a migration that loads everything at once.",
		},
	},
	{
		Code: ConfigurationAbsent, Name: "a Secret, a ConfigMap or a key of one is missing",
		Meaning: "The pod names a Secret, a ConfigMap or a key that the namespace does not have, as a variable or as a volume, so that its " +
			"container is not created. Kubernetes would wait for it for ever. It is said after two seconds; after one minute if the release " +
			"brings Jobs or custom resources, for these may be what makes it.",
		Advice: "make the Secret, the ConfigMap or the key that the message names, or mark the reference as optional",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-105 Pod/shop-6d4cf56db6-x7k2p container "app": ` +
			`CreateContainerConfigError: secret "shop-database" not found; make the Secret, the ConfigMap or the key that the message names, ` +
			`or mark the reference as optional`,
		Steps: []string{
			"See what is there: `kubectl -n NAMESPACE get secret,configmap`, and the keys: `kubectl -n NAMESPACE get secret NAME -o " +
				"jsonpath='{.data}' | jq keys`.",
			"If an operator makes it (External Secrets, Sealed Secrets), ask the operator: `kubectl -n NAMESPACE describe externalsecret NAME`.",
			"See the namespace: a Secret of the same name in another one does not count.",
			"`deploy --dry-run` names every missing Secret, ConfigMap, key and ServiceAccount before anything changes.",
		},
	},
	{
		Code: NotReady, Name: "the readiness probe does not pass",
		Meaning: "The container runs, and its readiness probe has failed for longer than its own settings allow: three times what the probe " +
			"takes to call it unready, never less than the start that its startup and liveness probes grant, and without a startup probe never " +
			"less than thirty seconds. While something else of the release is still on its way, at least two minutes.",
		Advice: "see the probe's own answer and the container's log; what starts slowly needs a startupProbe that grants the time",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-106 Pod/shop-6d4cf56db6-x7k2p container "app": Unhealthy: ` +
			`Readiness probe failed: HTTP probe failed with statuscode: 500; see the probe's own answer and the container's log; what starts ` +
			`slowly needs a startupProbe that grants the time`,
		Steps: []string{
			"The probe's answer is in the message. `connection refused`: nothing listens on that port, or not yet. `statuscode: 404`: the path " +
				"is wrong. `statuscode: 500` or `503`: the application says that it cannot serve. `context deadline exceeded`: it answered " +
				"later than `timeoutSeconds`.",
			"Ask it yourself: `kubectl -n NAMESPACE port-forward POD 8080:PORT`, then `curl -i localhost:8080/PATH`.",
			"Compare `containerPort` and the probe's port with what the log says that it listens on.",
			"If it was about to be ready, grant the time: `startupProbe` with `failureThreshold` × `periodSeconds` as long as the slowest start.",
		},
	},
	{
		Code: NotAlive, Name: "the liveness or the startup probe fails",
		Meaning: "The kubelet restarted the container because a probe of it failed: at once if the startup probe used up the time that it " +
			"grants, after the second restart for a liveness probe.",
		Advice: "see the probe's own answer and the log of the container's run before; grant a slow start more time in the startupProbe",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-107 Pod/shop-6d4cf56db6-x7k2p container "app": ` +
			`CrashLoopBackOff: Liveness probe failed: Get "http://10.0.3.44:8080/healthz": context deadline exceeded (Client.Timeout exceeded ` +
			`while awaiting headers); see the probe's own answer and the log of the container's run before; grant a slow start more time in ` +
			`the startupProbe`,
		Steps: []string{
			"The probe's answer is in the message, and the log of the run that was ended: `kubectl -n NAMESPACE logs POD -c CONTAINER " +
				"--previous`.",
			"If the log shows a start that was still going on: raise `startupProbe.failureThreshold`, or add a startupProbe, so that the " +
				"liveness probe begins later.",
			"If it shows a running application: the probe's port, path or `timeoutSeconds` is wrong, or the application hangs.",
			"A liveness probe must not ask what the container depends on: a database that is away would end every pod.",
		},
	},
	{
		Code: QuotaExceeded, Name: "the namespace's quota does not allow the pods",
		Meaning: "A ResourceQuota refuses the pods. It is said at once if the pod can never fit (it asks for more than the whole quota, or does " +
			"not say what the quota wants said), and after twenty seconds if the quota is used up by others; ninety if pods are just going.",
		Advice: "ask for less, or have the namespace's ResourceQuota raised; a rollout needs room for the new pods beside the old",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-108 ReplicaSet/shop-2: FailedCreate: pods ` +
			`"shop-6d4cf56db6-x7k2p" is forbidden: exceeded quota: team, requested: pods=1, used: pods=10, limited: pods=10; ask for less, or ` +
			`have the namespace's ResourceQuota raised; a rollout needs room for the new pods beside the old`,
		Steps: []string{
			"See what is used and what is allowed: `kubectl -n NAMESPACE describe resourcequota`.",
			"`must specify …`: the quota wants every container to say so in `resources`, or the namespace to have a LimitRange with defaults.",
			"A rollout makes new pods before old ones go: with `maxSurge: 0` and `maxUnavailable: 1` it fits into the room of the old pods, " +
				"one at a time.",
			"Look for what should not be there: old releases, finished Jobs, replicas that were scaled by hand.",
		},
	},
	{
		Code: AdmissionRefused, Name: "the cluster refuses the pods",
		Meaning: "An admission rule does not let the pods be created: the namespace's Pod Security level, a policy, a webhook, a LimitRange, or " +
			"a ServiceAccount that is missing. It is said after two seconds; a webhook that does not answer has twenty.",
		Advice: "change what the rule in the message names, or have the rule changed",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-109 ReplicaSet/shop-2: FailedCreate: pods ` +
			`"shop-6d4cf56db6-x7k2p" is forbidden: violates PodSecurity "restricted:latest": privileged (container "app" must not set ` +
			`securityContext.privileged=true); change what the rule in the message names, or have the rule changed`,
		Steps: []string{
			"`violates PodSecurity`: the message lists the fields. The level is a label: `kubectl get namespace NAMESPACE --show-labels`.",
			"`admission webhook \"…\" denied the request`: the name says whose rule it is (Kyverno, Gatekeeper, …); its words follow.",
			"`serviceaccount \"…\" not found`: create it, or let the chart do so.",
			"`failed calling webhook`: the webhook's own pods are away: `kubectl get " +
				"validatingwebhookconfigurations,mutatingwebhookconfigurations`.",
			"Try without deploying: `deploy --dry-run` has the apiserver validate every object.",
		},
	},
	{
		Code: VolumePending, Name: "a volume is not there",
		Meaning: "A PersistentVolumeClaim is not bound, or its volume cannot be attached or mounted, so that the pod cannot start. A storage " +
			"class or a claim that does not exist is said at once; what a provisioner reports is borne with for one minute, an attachment that " +
			"fails for two.",
		Advice: "see the claim's events and its storage class",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-110 PersistentVolumeClaim/disk: ProvisioningFailed: ` +
			`storageclass.storage.k8s.io "fast" not found; see the claim's events and its storage class`,
		Steps: []string{
			"`kubectl -n NAMESPACE describe pvc CLAIM` shows what the provisioner says; `kubectl get storageclass` what there is and which is " +
				"the default.",
			"On EKS: the EBS CSI driver is an add-on, and its role needs the rights to make volumes: `aws eks describe-addon --cluster-name " +
				"CLUSTER --addon-name aws-ebs-csi-driver`.",
			"`didn't match PersistentVolume's node affinity`, `volume node affinity conflict`: the volume is in one zone and no node with room " +
				"is.",
			"`Multi-Attach error`: another pod on another node still has the volume; a Deployment with such a volume needs the strategy " +
				"`Recreate`.",
		},
	},
	{
		Code: Unschedulable, Name: "no node takes the pod",
		Meaning: "The scheduler finds no node for the pod. A node may come, so this waits: one minute; half of that if no pod that goes could " +
			"make room on any node there is; ten minutes if an autoscaler said that a node is on its way.",
		Advice: "see the scheduler's reason: ask for less, correct the node selector, affinity and tolerations, or add nodes",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-111 Pod/shop-6d4cf56db6-x7k2p: Unschedulable: 0/3 nodes are ` +
			`available: 3 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for ` +
			`scheduling; see the scheduler's reason: ask for less, correct the node selector, affinity and tolerations, or add nodes`,
		Steps: []string{
			"The scheduler's reason counts the nodes: `Insufficient cpu` or `memory` (requests, not use), `didn't match Pod's node " +
				"affinity/selector`, `untolerated taint(s)`, `Too many pods`.",
			"Compare with what the nodes have: `kubectl describe nodes | grep -A8 'Allocated resources'`.",
			"If an autoscaler should have helped, its events say why it did not: `kubectl -n NAMESPACE get events --field-selector " +
				"reason=NotTriggerScaleUp`, or `kubectl describe nodepool`.",
			"With hard anti-affinity or topology spread, a rollout needs one node more than there are pods: set `maxSurge: 0`, or make the " +
				"rule a preference.",
		},
	},
	{
		Code: HookFailed, Name: "a hook of the chart failed",
		Meaning: "A Job or a Pod that the chart runs before or after the change (a migration, most often) failed, or cannot start. What it is " +
			"and its last lines are in the message: Helm may delete the hook itself.",
		Advice: "read the hook's last lines; nothing after it was done",
		Example: `hook Job/migrate in namespace "staging" failed (JobFailed): OD-112 Pod/migrate-8kd2q container "app": PodFailed: ended with ` +
			`exit code 7; read the hook's last lines; nothing after it was done`,
		Steps: []string{
			"The message holds the underlying cause, with a code of its own in brackets where there is one: follow that.",
			"Keep the hook's Job for a look at it: `helm.sh/hook-delete-policy: before-hook-creation` alone.",
			"See how far it came before it is run again: a migration must be one that can be begun twice.",
			"If it needs longer: `activeDeadlineSeconds` and `backoffLimit` of the Job, and the deploy's `timeout`.",
		},
	},
	{
		Code: ProgressDeadline, Name: "the rollout made no progress in time",
		Meaning: "The Deployment's `progressDeadlineSeconds` passed without one more pod becoming available, and nothing is known of the pods " +
			"that explains it.",
		Advice: "see the pods of the new ReplicaSet: what are they waiting for?",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-113 Deployment/shop: ProgressDeadlineExceeded: Progress ` +
			`deadline exceeded; see the pods of the new ReplicaSet: what are they waiting for?`,
		Steps: []string{
			"`kubectl -n NAMESPACE rollout status deployment NAME`, then `kubectl -n NAMESPACE describe pod POD`.",
			"Readiness gates count: `kubectl -n NAMESPACE get pod POD -o jsonpath='{.status.conditions}'` (a load balancer's target may not be " +
				"healthy yet).",
			"If the start is merely slow, raise `progressDeadlineSeconds`; `minReadySeconds` counts towards it.",
		},
	},
	{
		Code: JobFailed, Name: "a Job or a pod ended in failure",
		Meaning: "A Job of the release used up its tries or its time, or a pod that is not restarted ended with an error.",
		Advice:  "read the last lines of the pod's log",
		Example: `Job/migrate in namespace "staging" cannot become ready (JobFailed): OD-114 Pod/migrate-8kd2q container "app": PodFailed: ended ` +
			`with exit code 7; read the last lines of the pod's log`,
		Steps: []string{
			"`BackoffLimitExceeded`: every try failed; the last one's lines are in the message. `DeadlineExceeded`: `activeDeadlineSeconds` " +
				"was not enough.",
			"What is left of it: `kubectl -n NAMESPACE describe job NAME`; with `restartPolicy: Never` its pods stay: `kubectl -n NAMESPACE " +
				"logs job/NAME`.",
			"A Job's template cannot be changed: give the Job a name that changes with the release, or make it a hook.",
		},
	},
	{
		Code: ContainerNotStarted, Name: "the container cannot be started",
		Meaning: "The node has the image and cannot make a running container of it: a command that does not exist, a mount or a security context " +
			"that contradicts the image, no address left for the pod. Said at once where trying again cannot help, and after twenty seconds to " +
			"ninety seconds otherwise.",
		Advice: "see the container's command, mounts and security context",
		Example: `Deployment/shop in namespace "staging" cannot become ready: OD-115 Pod/shop-6d4cf56db6-x7k2p container "app": StartError: ` +
			`failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start ` +
			`container process: exec: "/shop": stat /shop: no such file or directory: unknown; see the container's command, mounts and ` +
			`security context`,
		Steps: []string{
			"`no such file or directory`, `executable file not found`: the command is not in the image; a shell script also needs its shell, " +
				"which minimal images do not have.",
			"`permission denied`: the file is not executable, or its directory is closed to the user that the pod runs as.",
			"`container has runAsNonRoot and image will run as root`: set `USER` in the image, or `runAsUser`. A user given by name cannot be " +
				"checked: give a number.",
			"`failed to assign an IP address` (EKS): the subnet or the node has no address left; see the VPC CNI's prefix delegation, or " +
				"larger subnets.",
		},
	},
	{
		Code: NoAddress, Name: "no address outside the cluster",
		Meaning: "The Service of type LoadBalancer was given no address in the time that was kept for it. The rollout itself is ready, and is " +
			"not rolled back for this.",
		Advice: "see the Service's events and that the cluster can make load balancers",
		Example: `release "shop" in namespace "staging" has no external address in time: OD-116 Service/shop: NoAddress: no load balancer has ` +
			`been assigned; last event: Warning SyncLoadBalancerFailed: no subnet is tagged; see the Service's events and that the cluster can ` +
			`make load balancers`,
		Steps: []string{
			"`kubectl -n NAMESPACE describe service NAME`: the last events are the cloud's own words.",
			"On EKS: subnets must carry `kubernetes.io/role/elb` (or `internal-elb`), and the controller's role the rights of its policy.",
			"`loadBalancerClass` must name a controller that runs here; see its log: `kubectl -n kube-system logs " +
				"deployment/aws-load-balancer-controller`.",
			"If it only takes longer, raise `timeout`: a network load balancer's targets take three to five minutes.",
		},
	},
	{
		Code: TimedOut, Name: "not ready in time",
		Meaning: "The time for the rollout was used up, and nothing that is known to be final was seen.",
		Advice:  "see what the message names; if it was still on its way, raise timeout",
		Example: `not ready in namespace "staging" within 4m0s: Deployment/shop: OD-117 Pod/shop-6d4cf56db6-x7k2p container "app": ` +
			`ContainerCreating; see what the message names; if it was still on its way, raise timeout`,
		Steps: []string{
			"The account above the message shows what changed last, and when.",
			"`kubectl -n NAMESPACE get pods` and `kubectl -n NAMESPACE describe pod POD` for the pod that is named.",
			"A custom resource is ready when its own controller says so: `kubectl -n NAMESPACE describe KIND NAME`.",
			"If the cluster did not answer for long, the message says so: see the apiserver and the network first.",
		},
	},
}
