package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestGraces holds every cause that time decides to its grace, on a clock of its own.
func TestGraces(t *testing.T) {
	t.Parallel()
	aboutPod := unreadyPod().ObjectMeta
	creating := waitsFor("ContainerCreating", "")
	mount := func(reason, message string) []runtime.Object {
		return []runtime.Object{amend(unreadyPod(), creating), eventAbout("e1", aboutPod, "", "Warning", reason, message)}
	}
	provision := func(reason, message string) []runtime.Object {
		return []runtime.Object{claim(core.ClaimPending), amend(unreadyPod(), mounts(ofDisk), unscheduledFor("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")),
			eventAbout("e1", claim("").ObjectMeta, "", "Warning", reason, message)}
	}
	waiting := func(reason, message string) []runtime.Object {
		return []runtime.Object{amend(unreadyPod(), waitsFor(reason, message))}
	}
	readiness := func(probe core.Probe, changes ...func(*core.Pod)) []runtime.Object {
		return []runtime.Object{amend(amend(unreadyPod(), probed("readiness", probe)), changes...)}
	}
	leaving := pod("old", 1)
	leaving.DeletionTimestamp, leaving.Finalizers = ptr(meta.Now()), []string{"test/keep"}
	const none, helpless = `0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.`,
		`0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.`
	unscheduled := func(message string, events ...runtime.Object) []runtime.Object {
		return append(events, amend(unreadyPod(), unscheduledFor(message)))
	}
	nominated := amend(unreadyPod(), unscheduledFor(none))
	nominated.Status.NominatedNodeName = "ip-10-0-3-17"
	remade := amend(unreadyPod(), creating, func(p *core.Pod) {
		p.Status.ContainerStatuses[0].RestartCount = 1
		p.Status.Conditions = append(p.Status.Conditions, core.PodCondition{Type: core.PodReadyToStartContainers, Status: core.ConditionFalse})
	})
	mountsLater := func(after time.Duration) []runtime.Object {
		all := eventAbout("e2", aboutPod, "", "Warning", "FailedMount", `Unable to attach or mount volumes: unmounted volumes=[c], unattached volumes=[]: timed out waiting for the condition`)
		all.LastTimestamp.Time = all.LastTimestamp.Add(after)
		return append(mount("FailedMount", `MountVolume.SetUp failed for volume "c" : secret "shop" not found`), all)
	}
	startup := probed("startup", core.Probe{FailureThreshold: 60, PeriodSeconds: 1})
	started := func(p *core.Pod) { startup(p); p.Status.ContainerStatuses[0].Started = ptr(true) }
	tests := map[string]struct {
		there    []runtime.Object
		patience time.Duration
		code     causes.Code
	}{
		"a Secret":                         {waiting("CreateContainerConfigError", `secret "shop" not found`), diagnose.GraceTransient, causes.ConfigurationAbsent},
		"a ConfigMap as a volume":          {mount("FailedMount", `MountVolume.SetUp failed for volume "c" : configmap "shop" not found`), 2 * diagnose.GraceTransient, causes.ConfigurationAbsent},
		"a kubelet out of step":            {waiting("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"), diagnose.GraceBusyNode, causes.ContainerNotStarted},
		"a user that cannot be":            {waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"), diagnose.GraceShort, causes.ContainerNotStarted},
		"a busy runtime":                   {waiting("CreateContainerError", `failed to reserve container name "app": name "app" is reserved for "1"`), diagnose.GraceBusyNode, causes.ContainerNotStarted},
		"a runtime's trouble":              {waiting("CreateContainerError", "some trouble"), diagnose.GraceTransient, causes.ContainerNotStarted},
		"no network yet":                   {mount("FailedCreatePodSandBox", "failed to assign an IP address to container"), diagnose.GraceBusyNode, causes.ContainerNotStarted},
		"no network after a restart":       {[]runtime.Object{remade, eventAbout("e1", aboutPod, "", "Warning", "FailedCreatePodSandBox", "failed to assign an IP address to container")}, diagnose.GraceBusyNode, causes.ContainerNotStarted},
		"a Secret behind a summary":        {mountsLater(2 * time.Minute), 2 * diagnose.GraceTransient, causes.ConfigurationAbsent},
		"a Secret that came since":         {mountsLater(3 * time.Minute), diagnose.GraceAttach, causes.VolumePending},
		"a volume that is held":            {mount("FailedAttachVolume", "Multi-Attach error"), diagnose.GraceAttach, causes.VolumePending},
		"a class that is absent":           {provision("ProvisioningFailed", `storageclass.storage.k8s.io "fast" not found`), diagnose.GraceShort, causes.VolumePending},
		"a node that has left":             {provision("ProvisioningFailed", `error getting target node: node "ip-10-0-1-7" not found`), diagnose.GraceProvisioning, causes.VolumePending},
		"a node that has just come":        {provision("ProvisioningFailed", `failed to provision volume with StorageClass "gp3": error generating accessibility requirements: csinode.storage.k8s.io "ip-10-0-1-7" not found`), diagnose.GraceProvisioning, causes.VolumePending},
		"a provisioner's trouble":          {provision("ProvisioningFailed", "rpc error: code = Internal desc = try later"), diagnose.GraceProvisioning, causes.VolumePending},
		"a provisioner that is silent":     {provision("ExternalProvisioning", "Waiting for a volume to be created"), diagnose.GraceProvisioner, causes.VolumePending},
		"no class":                         {provision("FailedBinding", "no persistent volumes available for this claim and no storage class is set"), diagnose.GraceNoNode, causes.VolumePending},
		"a node":                           {unscheduled(none), diagnose.GraceNode, causes.Unschedulable},
		"a node that no pod makes room on": {unscheduled(helpless), diagnose.GraceNoNode, causes.Unschedulable},
		"a node that is drained":           {unscheduled(strings.Replace(helpless, "node(s) didn't match Pod's node affinity/selector", "node(s) were unschedulable", 1)), diagnose.GraceNode, causes.Unschedulable},
		"a node that starts":               {unscheduled(strings.Replace(helpless, "node(s) didn't match Pod's node affinity/selector", "node(s) had untolerated taint {node.cilium.io/agent-not-ready: }", 1)), diagnose.GraceNode, causes.Unschedulable},
		"a node that is coming": {unscheduled(helpless, eventAbout("e1", aboutPod, "", "Normal", "TriggeredScaleUp", "pod triggered scale-up: [{eks 1->2 (max: 5)}]")),
			diagnose.GraceNewNode, causes.Unschedulable},
		"a node of Karpenter's": {unscheduled(helpless, eventAbout("e1", aboutPod, "", "Normal", "Nominated", "Pod should schedule on: nodeclaim/default-x")), diagnose.GraceNewNode, causes.Unschedulable},
		"a node that is not coming": {unscheduled(none, eventAbout("e1", aboutPod, "", "Normal", "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")),
			diagnose.GraceNoNode, causes.Unschedulable},
		"a node that is being cleared":   {[]runtime.Object{nominated}, diagnose.GraceNewNode, causes.Unschedulable},
		"a quota in use":                 {[]runtime.Object{refusedSet("exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3")}, 2 * diagnose.GraceTransient, causes.QuotaExceeded},
		"a quota that is new":            {[]runtime.Object{refusedSet(`pods "shop-" is forbidden: status unknown for quota: q, resources: pods`)}, 2 * diagnose.GraceTransient, causes.QuotaExceeded},
		"a quota that is too small":      {[]runtime.Object{leaving, refusedSet("exceeded quota: q, requested: cpu=1,memory=2Gi, used: cpu=0,memory=0, limited: cpu=2,memory=1500Mi")}, diagnose.GraceShort, causes.QuotaExceeded},
		"a policy":                       {[]runtime.Object{refusedSet(`admission webhook "policy" denied the request: no`)}, diagnose.GraceShort, causes.AdmissionRefused},
		"an account that comes":          {[]runtime.Object{refusedSet(`pods "shop-" is forbidden: error looking up service account shop/default: serviceaccount "default" not found`)}, 2 * diagnose.GraceTransient, causes.AdmissionRefused},
		"a webhook out of reach":         {[]runtime.Object{refusedSet(`Internal error occurred: failed calling webhook "policy": connection refused`)}, 2 * diagnose.GraceTransient, causes.AdmissionRefused},
		"a paused Deployment":            {[]runtime.Object{pausedDeployment()}, diagnose.GracePaused, causes.DeploymentPaused},
		"readiness by default":           {readiness(core.Probe{}), 90 * time.Second, causes.NotReady},
		"readiness without a start":      {readiness(core.Probe{PeriodSeconds: 1}), diagnose.GraceStart, causes.NotReady},
		"readiness after a delay":        {readiness(core.Probe{PeriodSeconds: 5, InitialDelaySeconds: 40}), 85 * time.Second, causes.NotReady},
		"readiness with slow answers":    {readiness(core.Probe{PeriodSeconds: 5, TimeoutSeconds: 20}), 180 * time.Second, causes.NotReady},
		"readiness after a startup":      {readiness(core.Probe{PeriodSeconds: 2, FailureThreshold: 2}, started), 12 * time.Second, causes.NotReady},
		"readiness soon after a startup": {readiness(core.Probe{PeriodSeconds: 1, FailureThreshold: 1}, started), diagnose.GraceStarted, causes.NotReady},
		"a readiness command that is not there": {append(readiness(core.Probe{PeriodSeconds: 30}), eventAbout("e1", aboutPod, "app", "Warning", "Unhealthy",
			`Readiness probe errored and resulted in unknown state: rpc error: code = Unknown desc = failed to exec in container: failed to start exec "1": OCI runtime exec failed: exec failed: unable to start container process: exec: "podcli": executable file not found in $PATH: unknown`)),
			diagnose.GraceTransient, causes.NotReady},
		"a startup command that is not there": {[]runtime.Object{amend(unreadyPod(), startup), eventAbout("e1", aboutPod, "app", "Warning", "Unhealthy",
			`Startup probe errored and resulted in unknown state: rpc error: code = Unknown desc = failed to exec in container: exec: "/bin/grpc_health_probe": stat /bin/grpc_health_probe: no such file or directory: unknown`)},
			diagnose.GraceTransient, causes.NotAlive},
		"readiness of a command that says so": {append(readiness(core.Probe{PeriodSeconds: 1}), eventAbout("e1", aboutPod, "app", "Warning", "Unhealthy", `Readiness probe failed: exec: "a": executable file not found in $PATH`)),
			diagnose.GraceStart, causes.NotReady},
		"readiness beside liveness": {readiness(core.Probe{PeriodSeconds: 1}, probed("liveness", core.Probe{InitialDelaySeconds: 120})), 150 * time.Second, causes.NotReady},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, []release.Object{ofDeployment}, func(s *stage) {
				s.Put(deployment(2, 2, 1, 1), replicaSet(2))
				s.Put(test.there...)
				s.failsAfter(test.patience, test.code)
			})
		})
	}
}

// TestGraceNever: what time alone never decides.
func TestGraceNever(t *testing.T) {
	t.Parallel()
	crash := core.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	running := amend(unreadyPod(), func(p *core.Pod) { p.Status.ContainerStatuses[0].RestartCount = 1 }, probed("startup", core.Probe{}))
	gate := amend(unreadyPod(), func(p *core.Pod) {
		p.Status.ContainerStatuses[0].Ready = true
		p.Status.Conditions[0].Reason, p.Status.Conditions[0].Message = "ReadinessGatesNotReady", `corresponding condition of pod readiness gate "target-health" does not exist.`
	})
	gated := amend(unreadyPod(), unscheduledFor("Scheduling is blocked due to non-empty scheduling gates"))
	gated.Status.Conditions[0].Reason = core.PodReasonSchedulingGated
	mounted := amend(unreadyPod(), waitsFor("ContainerCreating", ""), func(p *core.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, core.PodCondition{Type: core.PodReadyToStartContainers, Status: core.ConditionTrue})
	})
	aboutPod := unreadyPod().ObjectMeta
	failedMount := eventAbout("e1", aboutPod, "", "Warning", "FailedMount", `MountVolume.SetUp failed for volume "c" : failed to sync configmap cache`)
	later := eventAbout("e2", aboutPod, "app", "Normal", "Pulling", `Pulling image "shop"`)
	later.LastTimestamp.Time = later.LastTimestamp.Add(time.Second)
	tests := map[string][]runtime.Object{
		"a container being created":     {amend(unreadyPod(), waitsFor("ContainerCreating", ""))},
		"a first crash":                 {amend(unreadyPod(), loops(0, crash))},
		"a start that has its time":     {running},
		"one failed pull":               {amend(unreadyPod(), waitsFor("ErrImagePull", "dial tcp: i/o timeout"))},
		"a load balancer's gate":        {gate},
		"a scheduling gate":             {gated},
		"volumes that were mounted":     {mounted, failedMount},
		"an image that is being pulled": {amend(unreadyPod(), waitsFor("ContainerCreating", "")), failedMount, later},
		"a claim that waits for a pod": {claim(core.ClaimPending), amend(unreadyPod(), mounts(ofDisk), func(p *core.Pod) {
			p.Spec.NodeName, p.Status = "", core.PodStatus{Phase: core.PodPending}
		}), eventAbout("e1", claim("").ObjectMeta, "", "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")},
	}
	for name, there := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, []release.Object{ofDeployment}, func(s *stage) {
				s.Put(deployment(2, 2, 1, 1), replicaSet(2))
				s.Put(there...)
				s.neverFails()
			})
		})
	}
}

// TestProvisionersAreWaitedFor: a Secret that a Job or an operator of the release may make is waited for longer.
func TestProvisionersAreWaitedFor(t *testing.T) {
	t.Parallel()
	play(t, false, []release.Object{ofDeployment, ofJobs}, func(s *stage) {
		s.Put(deployment(2, 2, 1, 1), replicaSet(2), job("", ""), amend(unreadyPod(), waitsFor("CreateContainerConfigError", `secret "shop" not found`)))
		s.failsAfter(diagnose.GraceProvisioning, causes.ConfigurationAbsent)
	})
}

// TestAMountThatWillBeTriedAgainIsWaitedFor: the kubelet doubles the pause before each attempt to mount a Secret, so that an attempt that failed early
// says nothing about a Secret that was created since.
func TestAMountThatWillBeTriedAgainIsWaitedFor(t *testing.T) {
	t.Parallel()
	failed := eventAbout("e1", unreadyPod().ObjectMeta, "", "Warning", "FailedMount", `MountVolume.SetUp failed for volume "c" : secret "shop" not found`)
	play(t, false, []release.Object{ofDeployment}, func(s *stage) {
		s.Put(deployment(2, 2, 1, 1), replicaSet(2), amend(unreadyPod(), waitsFor("ContainerCreating", "")))
		again := func(version string, after time.Duration, want causes.Code) {
			time.Sleep(after)
			event := failed.DeepCopy()
			event.ResourceVersion = version
			s.Put(event)
			s.fails("attempt "+version, want)
		}
		again("10", 0, "")
		again("11", 15*time.Second, "")
		time.Sleep(16 * time.Second)
		s.fails("before the next attempt", "")
		again("12", time.Second, causes.ConfigurationAbsent)
	})
}

// TestAMountThatFailedBeforeTheStartIsOver: a kubelet before 1.28 does not report the sandbox, and the last event about a volume stays.
func TestAMountThatFailedBeforeTheStartIsOver(t *testing.T) {
	t.Parallel()
	play(t, false, []release.Object{ofDeployment}, func(s *stage) {
		s.Put(deployment(2, 2, 1, 1), replicaSet(2), unreadyPod(),
			eventAbout("e1", unreadyPod().ObjectMeta, "", "Warning", "FailedMount", `MountVolume.SetUp failed for volume "c" : secret "shop" not found`))
		s.neverFails()
	})
}

// TestPodsThatAreEndingMakeRoom: a pod that ends slowly, by its own grace period, holds its node, its quota and its volumes until then.
func TestPodsThatAreEndingMakeRoom(t *testing.T) {
	t.Parallel()
	attach := []runtime.Object{amend(unreadyPod(), waitsFor("ContainerCreating", "")), eventAbout("e1", unreadyPod().ObjectMeta, "", "Warning", "FailedAttachVolume", "Multi-Attach error")}
	const helpless = `0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.`
	for name, test := range map[string]struct {
		there []runtime.Object
		grace time.Duration
		code  causes.Code
		helps bool
	}{
		"a node":                 {[]runtime.Object{amend(unreadyPod(), unscheduledFor("0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports."))}, diagnose.GraceNode, causes.Unschedulable, true},
		"a quota":                {[]runtime.Object{refusedSet("exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3")}, diagnose.GraceTransient, causes.QuotaExceeded, true},
		"a volume":               {attach, diagnose.GraceAttach, causes.VolumePending, true},
		"a node elsewhere":       {[]runtime.Object{amend(unreadyPod(), unscheduledFor(helpless))}, diagnose.GraceNoNode, causes.Unschedulable, false},
		"a claim that is absent": {[]runtime.Object{amend(unreadyPod(), mounts("none"), unscheduledFor(`0/3 nodes are available: persistentvolumeclaim "none" not found.`))}, diagnose.GraceShort, causes.VolumePending, false},
		"a claim that is lost":   {[]runtime.Object{amend(unreadyPod(), unscheduledFor(`0/3 nodes are available: persistentvolumeclaim "disk" bound to non-existent persistentvolume "pv".`))}, diagnose.GraceShort, causes.VolumePending, false},
		"a claim without volume": {[]runtime.Object{amend(unreadyPod(), unscheduledFor(`0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.`))}, diagnose.GraceNode, causes.VolumePending, false},
	} {
		for _, looks := range []int{10, 1} {
			t.Run(fmt.Sprintf("%s, %d looks before", name, looks), func(t *testing.T) {
				t.Parallel()
				play(t, false, []release.Object{ofDeployment}, func(s *stage) {
					leaving := pod("old", 1)
					leaving.DeletionTimestamp, leaving.DeletionGracePeriodSeconds, leaving.Finalizers = ptr(meta.NewTime(time.Now().Add(5*time.Minute))), ptr(int64(300)), []string{"test/keep"}
					s.Put(deployment(2, 2, 1, 1), replicaSet(2), leaving)
					s.Put(test.there...)
					if !test.helps {
						s.failsAfter(test.grace, test.code)
						return
					}
					for range looks {
						s.fails("while a pod is ending", "")
						time.Sleep(5 * time.Minute / time.Duration(looks))
					}
					if err := s.r.stores.pods[space].Delete(leaving); err != nil {
						t.Fatal(err)
					}
					s.fails("when it has ended", "")
					time.Sleep(test.grace)
					s.fails("soon after", "")
					time.Sleep(10 * time.Minute)
					s.fails("long after", test.code)
				})
			})
		}
	}
}

// TestPodsThatAreStuckMakeNoRoom: a pod that should be gone long since, or whose containers have ended, holds nothing that ends with it.
func TestPodsThatAreStuckMakeNoRoom(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		deleted time.Duration // ago
		grace   int64
		phase   core.PodPhase
		want    time.Duration
	}{
		"deleted days ago":             {72 * time.Hour, 3600, core.PodRunning, 2 * diagnose.GraceTransient},
		"past its grace and a margin":  {151 * time.Second, 120, core.PodRunning, 2 * diagnose.GraceTransient},
		"past the time of a busy node": {91 * time.Second, 30, core.PodRunning, 2 * diagnose.GraceTransient},
		"succeeded":                    {0, 3600, core.PodSucceeded, 2 * diagnose.GraceTransient},
		"failed":                       {0, 3600, core.PodFailed, 2 * diagnose.GraceTransient},
		"on a busy node":               {30 * time.Second, 1, core.PodRunning, 0},
		"within its grace":             {50 * time.Minute, 3600, core.PodRunning, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, []release.Object{ofDeployment}, func(s *stage) {
				leaving := pod("old", 1)
				leaving.DeletionTimestamp, leaving.DeletionGracePeriodSeconds = ptr(meta.NewTime(time.Now().Add(time.Duration(test.grace)*time.Second-test.deleted))), &test.grace
				leaving.Status.Phase, leaving.Finalizers = test.phase, []string{"test/keep"}
				s.Put(deployment(2, 2, 1, 1), replicaSet(2), leaving, refusedSet("exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"))
				if test.want > 0 {
					s.failsAfter(test.want, causes.QuotaExceeded)
					return
				}
				s.fails("at once", "")
				time.Sleep(2 * diagnose.GraceTransient)
				s.fails("while it is ending", "")
			})
		})
	}
}

// TestARefusalOfAnEarlierDeployIsTriedAgain: the ReplicaSet of an unchanged template keeps its condition until its controller tries again, and what was missing may
// have been created since.
func TestARefusalOfAnEarlierDeployIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		message string
		code    causes.Code
	}{
		"an account":        {`pods "shop-" is forbidden: error looking up service account shop/shop: serviceaccount "shop" not found`, causes.AdmissionRefused},
		"a webhook":         {`Internal error occurred: failed calling webhook "policy": connection refused`, causes.AdmissionRefused},
		"a quota in use":    {"exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3", causes.QuotaExceeded},
		"a quota too small": {"exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0", causes.QuotaExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := refusedSet(test.message)
			before := release.Baseline{Seen: map[string]string{string(set.UID): ""}}
			playSince(t, before, false, []release.Object{ofDeployment}, func(s *stage) {
				s.Put(deployment(2, 2, 1, 1), set)
				s.neverFails()
				s.Put(eventAbout("e1", set.ObjectMeta, "", "Warning", diagnose.ReasonFailedCreate, test.message))
				s.fails("at the next attempt", test.code)
			})
		})
	}
}

// TestAPullWithoutItsSecretIsTriedAgain: an operator may create the Secret after the pod, and the kubelet pulls again.
func TestAPullWithoutItsSecretIsTriedAgain(t *testing.T) {
	t.Parallel()
	refused := `failed to pull image: failed to authorize: 401 Unauthorized`
	for _, lacks := range []bool{true, false} {
		play(t, false, []release.Object{ofDeployment}, func(s *stage) {
			s.Put(deployment(2, 2, 1, 1), replicaSet(2))
			if lacks {
				s.Put(eventAbout("e1", unreadyPod().ObjectMeta, "", "Warning", "FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (registry); attempting to pull the image may not succeed."))
			}
			for attempt := range 3 {
				want := causes.ImageNotPulled
				if lacks && attempt < 2 {
					want = ""
				}
				s.Put(amend(unreadyPod(), waitsFor("ErrImagePull", refused)))
				s.fails("a pull", want)
				s.Put(amend(unreadyPod(), waitsFor("ImagePullBackOff", "Back-off pulling image")))
				s.fails("a pause", want)
			}
		})
	}
}

// TestADeploymentsOwnDeadlineIsPatience: what may pass with time counts as a failure no earlier than the deadline of the Deployment's spec, if that is
// longer than the default.
func TestADeploymentsOwnDeadlineIsPatience(t *testing.T) {
	t.Parallel()
	notReady := amend(unreadyPod(), probed("readiness", core.Probe{PeriodSeconds: 1}))
	for name, test := range map[string]struct {
		seconds int32
		pod     *core.Pod
		want    time.Duration
		code    causes.Code
	}{
		"a longer one":         {900, notReady, 15 * time.Minute, causes.NotReady},
		"a shorter one":        {300, notReady, diagnose.GraceStart, causes.NotReady},
		"the default":          {600, notReady, diagnose.GraceStart, causes.NotReady},
		"no node":              {900, amend(unreadyPod(), unscheduledFor("0/3 nodes are available: 3 Insufficient cpu.")), 15 * time.Minute, causes.Unschedulable},
		"what will never pass": {900, amend(unreadyPod(), waitsFor("CreateContainerError", "no command specified")), diagnose.GraceShort, causes.ContainerNotStarted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, []release.Object{ofDeployment}, func(s *stage) {
				stated := deployment(2, 2, 1, 1)
				stated.Spec.ProgressDeadlineSeconds = &test.seconds
				s.Put(stated, replicaSet(2), test.pod)
				s.failsAfter(test.want, test.code)
			})
		})
	}
}

// TestAPodThatNoNodeTakes: a Deployment's own deadline is waited for, and the reason is told at once. It is not waited for if an autoscaler says that none of its nodes would
// take the pod either; its limits may be raised.
func TestAPodThatNoNodeTakes(t *testing.T) {
	t.Parallel()
	const helpless = `0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.`
	for name, test := range map[string]struct {
		event string // of the autoscaler; "" if there is none
		want  time.Duration
		told  string
	}{
		"without an autoscaler":          {"", 15 * time.Minute, "no node that exists takes it, which is waited for until progressDeadlineSeconds (15 minutes): 0/3 nodes"},
		"none of its nodes would":        {"pod didn't trigger scale-up: 2 node(s) didn't match Pod's node affinity/selector", diagnose.GraceNoNode, "0/3 nodes are available"},
		"its groups are at their limits": {"pod didn't trigger scale-up: 1 node(s) didn't match Pod's node affinity/selector, 1 max node group size reached", 15 * time.Minute, "no node that exists takes it"},
		"it says nothing more":           {"pod didn't trigger scale-up", 15 * time.Minute, "no node that exists takes it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, []release.Object{ofDeployment}, func(s *stage) {
				stated := deployment(2, 2, 1, 1)
				stated.Spec.ProgressDeadlineSeconds = ptr(int32(900))
				s.Put(stated, replicaSet(2), amend(unreadyPod(), unscheduledFor(helpless)))
				if test.event != "" {
					s.Put(eventAbout("e1", unreadyPod().ObjectMeta, "", "Normal", "NotTriggerScaleUp", test.event))
				}
				if s.evaluate(); !strings.Contains(s.last.steps[0].Message, test.told) {
					t.Errorf("told %q, want %q", s.last.steps[0].Message, test.told)
				}
				s.failsAfter(test.want, causes.Unschedulable)
			})
		})
	}
}

// TestWhatAHookMakesIsWaitedFor: Helm deletes and creates a hook's custom resource at each upgrade, and its Secret goes and comes with it. Other hooks
// change no grace, neither that of the rollout nor that of a later hook.
func TestWhatAHookMakesIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		hook release.Object
		want time.Duration
	}{
		"a custom resource": {release.Object{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Namespace: space, Name: "shop"}, diagnose.GraceProvisioning},
		"a Job that ended":  {ofJobs, diagnose.GraceTransient},
		"a ConfigMap":       {release.Object{APIVersion: "v1", Kind: "ConfigMap", Namespace: space, Name: "shop"}, diagnose.GraceTransient},
	} {
		since := release.Baseline{Hooks: []release.Object{test.hook}}
		t.Run("the rollout after "+name, func(t *testing.T) {
			t.Parallel()
			playSince(t, since, false, []release.Object{ofDeployment}, func(s *stage) {
				s.Put(deployment(2, 2, 1, 1), replicaSet(2), amend(unreadyPod(), waitsFor("CreateContainerConfigError", `secret "shop" not found`)))
				s.failsAfter(test.want, causes.ConfigurationAbsent)
			})
		})
		t.Run("a hook after "+name, func(t *testing.T) {
			t.Parallel()
			playSince(t, since, true, []release.Object{ofSeed}, func(s *stage) {
				if got := s.r.policy.hasCreators; got != (test.want > diagnose.GraceTransient) {
					t.Errorf("something of the release may create the Secret: %t", got)
				}
			})
		})
	}
}

// TestDependentFindingsWaitForOthers: a container may be waiting for something else of the release, and is tried once more when that is there.
func TestDependentFindingsWaitForOthers(t *testing.T) {
	t.Parallel()
	crash := core.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	both := []release.Object{ofDeployment, ofStateful}
	t.Run("for two minutes", func(t *testing.T) {
		t.Parallel()
		play(t, false, both, func(s *stage) {
			s.Put(deployment(2, 2, 1, 1), replicaSet(2), statefulSet(2, 1, 1, 0), amend(unreadyPod(), loops(1, crash)))
			s.failsAfter(diagnose.GraceDependency, causes.CrashLoop)
		})
	})
	t.Run("until it is there, and one try more", func(t *testing.T) {
		t.Parallel()
		play(t, false, both, func(s *stage) {
			s.Put(deployment(2, 2, 1, 1), replicaSet(2), statefulSet(2, 1, 1, 0), amend(unreadyPod(), loops(2, crash)))
			s.fails("while the other makes progress", "")
			time.Sleep(40 * time.Second)
			s.Put(statefulSet(2, 1, 1, 1))
			s.fails("no try since", "")
			s.Put(amend(unreadyPod(), loops(3, crash)))
			s.fails("one try more", causes.CrashLoop)
		})
	})
	t.Run("readiness starts from zero", func(t *testing.T) {
		t.Parallel()
		play(t, false, both, func(s *stage) {
			s.Put(deployment(2, 2, 1, 1), replicaSet(2), statefulSet(2, 1, 1, 0), amend(unreadyPod(), probed("readiness", core.Probe{PeriodSeconds: 1})))
			s.fails("while the other makes progress", "")
			time.Sleep(40 * time.Second)
			s.fails("while the other makes progress", "")
			s.Put(statefulSet(2, 1, 1, 1))
			s.failsAfter(diagnose.GraceStart, causes.NotReady)
		})
	})
	t.Run("not if the other is in trouble too", func(t *testing.T) {
		t.Parallel()
		play(t, false, both, func(s *stage) {
			other := amend(unreadyPod(), loops(1, crash))
			other.ObjectMeta = described("db-0", "uid-db", map[string]string{"controller-revision-hash": "db-b"})
			s.Put(deployment(2, 2, 1, 1), replicaSet(2), statefulSet(2, 1, 1, 0), amend(unreadyPod(), loops(1, crash)), other)
			s.fails("two loops", causes.CrashLoop)
		})
	})
	t.Run("what it is waiting for is named", func(t *testing.T) {
		t.Parallel()
		play(t, false, both, func(s *stage) {
			other := amend(unreadyPod(), waitsFor("InvalidImageName", "no"))
			other.ObjectMeta = described("db-0", "uid-db", map[string]string{"controller-revision-hash": "db-b"})
			s.Put(deployment(2, 2, 1, 1), replicaSet(2), statefulSet(2, 1, 1, 0), amend(unreadyPod(), loops(1, crash)), other)
			s.fails("a loop and its reason", causes.ImageNameInvalid)
		})
	})
	for name, refusal := range map[string]struct {
		message string
		code    causes.Code
	}{
		"a webhook of the release": {`Internal error occurred: failed calling webhook "inject": no endpoints available for service "injector"`, causes.AdmissionRefused},
		"a quota that it uses":     {"exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3", causes.QuotaExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, false, both, func(s *stage) {
				s.Put(deployment(2, 2, 1, 1), replicaSet(2), refusedSet(refusal.message), statefulSet(2, 1, 1, 0))
				s.fails("while the other makes progress", "")
				time.Sleep(40 * time.Second)
				s.fails("while the other still does", "")
				s.Put(statefulSet(2, 1, 1, 1))
				s.failsAfter(diagnose.GraceTransient, refusal.code)
			})
		})
	}
	t.Run("of the same pod", func(t *testing.T) {
		t.Parallel()
		play(t, false, []release.Object{ofDeployment}, func(s *stage) {
			s.Put(deployment(2, 2, 1, 1), replicaSet(2), amend(unreadyPod(), loops(1, crash), func(p *core.Pod) {
				p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, core.ContainerStatus{Name: "proxy", State: core.ContainerState{Running: &core.ContainerStateRunning{}}})
			}))
			s.failsAfter(diagnose.GraceDependency, causes.CrashLoop)
		})
	})
}

// TestACrashAfterReadyIsNoLoop: what a container did before it was ready says nothing against it.
func TestACrashAfterReadyIsNoLoop(t *testing.T) {
	t.Parallel()
	crash := core.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	play(t, false, []release.Object{ofDeployment}, func(s *stage) {
		once := amend(unreadyPod(), func(p *core.Pod) {
			p.Status.ContainerStatuses[0].Ready, p.Status.ContainerStatuses[0].RestartCount = true, 3
		})
		s.Put(deployment(2, 2, 1, 1), replicaSet(2), once)
		s.fails("ready after three crashes", "")
		s.Put(amend(unreadyPod(), loops(3, crash)))
		s.fails("the fourth, after it was ready", "")
		s.Put(amend(unreadyPod(), loops(4, crash)))
		s.fails("the fifth", causes.CrashLoop)
	})
}

// TestAgeRestartsWithTheFinding: the age of a finding that disappeared and came back starts from zero.
func TestAgeRestartsWithTheFinding(t *testing.T) {
	t.Parallel()
	play(t, false, []release.Object{ofDeployment}, func(s *stage) {
		trouble := amend(unreadyPod(), waitsFor("CreateContainerError", "some trouble"))
		s.Put(deployment(2, 2, 1, 1), replicaSet(2), trouble)
		s.fails("at first", "")
		time.Sleep(15 * time.Second)
		s.Put(amend(unreadyPod(), waitsFor("ContainerCreating", "")))
		s.fails("passed", "")
		time.Sleep(15 * time.Second)
		s.Put(trouble)
		s.failsAfter(diagnose.GraceTransient, causes.ContainerNotStarted)
	})
}

// TestThirdPullCounts: a failing pull that may pass is believed when it has failed three times.
func TestThirdPullCounts(t *testing.T) {
	t.Parallel()
	play(t, false, []release.Object{ofDeployment}, func(s *stage) {
		s.Put(deployment(2, 2, 1, 1), replicaSet(2))
		for _, want := range []causes.Code{"", "", causes.ImageNotPulled} {
			s.Put(amend(unreadyPod(), waitsFor("ErrImagePull", "dial tcp: i/o timeout")))
			s.fails("a pull", want)
			s.Put(amend(unreadyPod(), waitsFor("ImagePullBackOff", `Back-off pulling image "shop"`)))
			s.fails("a pause", want)
		}
		if got := s.last.failure.finding.Message; got != "dial tcp: i/o timeout" {
			t.Errorf("the pause hides what the pull said: %q", got)
		}
	})
}

// TestJobLimitsItsOwnAttempts: a Job whose pods crash fails when the Job says so.
func TestJobLimitsItsOwnAttempts(t *testing.T) {
	t.Parallel()
	crash := core.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	play(t, false, []release.Object{ofJobs}, func(s *stage) {
		trying := amend(unreadyPod(), loops(4, crash))
		trying.ObjectMeta = described("migrate-a", "uid-migrate", nil)
		s.r.logs.lines["uid-migrate-a/app"], s.r.logs.asked["uid-migrate-a/app/5"] = []string{"no table"}, true
		s.Put(job("", ""), trying)
		s.neverFails()
		if err := s.r.stores.pods[space].Delete(trying); err != nil {
			t.Fatal(err)
		}
		s.Put(job("Failed", "BackoffLimitExceeded"))
		s.fails("failed, and its pod is gone", causes.CrashLoop)
		if got := s.last.failure.finding.Object.Name; got != "migrate-a" {
			t.Errorf("the failure names %s, want the pod that is gone", got)
		}
	})
}
