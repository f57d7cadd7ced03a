package diagnose

import (
	"regexp"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
)

// pullAttempts is how many failed pulls make a failure that may pass count. They take some 30 s with the kubelet's back-off.
const pullAttempts = 3

// waitingCause is the kubelet's reason for a waiting container, and when that counts as a failure.
type waitingCause struct {
	reason string
	code   causes.Code
	// final matches messages that only another release can fix; nil: no message is final.
	final *regexp.Regexp
	// grace is for all other messages.
	grace time.Duration
}

// anyMessage is the pattern of a cause that is final whatever the message.
var anyMessage = regexp.MustCompile(``)

// pullRefused matches messages of registries and container runtimes that say that another attempt will not help.
var pullRefused = regexp.MustCompile(`(?i)not found|manifest unknown|name unknown|unauthorized|authentication required|no basic auth|access denied|` +
	`\bdenied\b|\b40[134]\b|forbidden|invalid reference|no match for platform`)

// configurationAbsent matches the kubelet's message that a Secret, a ConfigMap or a key of one is missing
// (pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables; pkg/volume/secret, pkg/volume/configmap). Its message about a failed
// API call is different.
var configurationAbsent = regexp.MustCompile(`(?i)(secret|configmap) "[^"]*" not found|couldn't find key|references non-existent (secret|config) key`)

// unstartable matches messages of the kubelet and container runtimes about a container that can never be created or started as
// specified.
var unstartable = regexp.MustCompile(`(?i)no such file or directory|executable file not found|permission denied|not a directory|is a directory|exec format error|` +
	`no command specified|runAsNonRoot|non-numeric user|no users found|unable to find (user|group)|invalid|must not be|cannot find the volume`)

// runtimeBusy matches a container runtime's message that the previous attempt is still running.
var runtimeBusy = regexp.MustCompile(`(?i)deadline exceeded|is reserved for|timed out`)

// waitingCauses are the reasons of waiting containers, without CrashLoopBackOff (kubelet: pkg/kubelet/images/types.go,
// pkg/kubelet/kuberuntime/kuberuntime_container.go, pkg/kubelet/container/sync_result.go).
var waitingCauses = []waitingCause{
	{reason: "InvalidImageName", code: causes.ImageNameInvalid, final: anyMessage},
	{reason: "ErrImageNeverPull", code: causes.ImageNotPulled, final: anyMessage},
	{reason: "ErrImagePull", code: causes.ImageNotPulled, final: pullRefused, grace: GraceNever},
	{reason: "ImagePullBackOff", code: causes.ImageNotPulled, final: pullRefused, grace: GraceNever},
	{reason: "RegistryUnavailable", code: causes.ImageNotPulled, grace: GraceNever},
	{reason: "SignatureValidationFailed", code: causes.ImageNotPulled, final: anyMessage},
	{reason: "ImageInspectError", code: causes.ImageNotPulled, grace: GraceBusyNode},
	{reason: "CreateContainerConfigError", code: causes.ContainerNotStarted, final: unstartable, grace: GraceTransient},
	{reason: "CreateContainerError", code: causes.ContainerNotStarted, final: unstartable, grace: GraceTransient},
	{reason: "RunContainerError", code: causes.ContainerNotStarted, final: unstartable, grace: GraceTransient},
	{reason: "PreCreateHookError", code: causes.ContainerNotStarted, grace: GraceTransient},
	{reason: "PreStartHookError", code: causes.ContainerNotStarted, grace: GraceTransient},
	{reason: "PostStartHookError", code: causes.ContainerNotStarted, grace: GraceTransient},
}

// waitingCauseOf finds the cause for a reason. A reason that is not in the table (ContainerCreating, PodInitializing) is no
// failure.
func waitingCauseOf(reason string) (waitingCause, bool) {
	for _, known := range waitingCauses {
		if known.reason == reason {
			return known, true
		}
	}
	return waitingCause{}, false
}

// IsTrouble reports whether a container that waits for this reason has failed to start.
func IsTrouble(reason string) bool {
	_, known := waitingCauseOf(reason)
	return known || reason == "CrashLoopBackOff"
}

// IsStarting reports whether a container that waits for this reason is being started.
func IsStarting(reason string) bool {
	return reason == "ContainerCreating" || reason == "PodInitializing"
}

// isPullFailure reports whether a container waits because its image could not be pulled.
func isPullFailure(reason string) bool {
	return reason == "ErrImagePull" || reason == "ImagePullBackOff" || reason == "RegistryUnavailable"
}

// classify sets the code and the grace of a finding, by the container's reason for waiting and the message.
func (c waitingCause) classify(found *Finding, history *ContainerHistory) {
	found.Code, found.Grace = c.code, c.grace
	switch {
	case configurationAbsent.MatchString(found.Message):
		found.Code, found.Grace, found.MayBeCreated = causes.ConfigurationAbsent, GraceTransient, true
	case c.final == nil || !c.final.MatchString(found.Message):
		if c.code == causes.ContainerNotStarted && runtimeBusy.MatchString(found.Message) {
			found.Grace = GraceBusyNode
		}
	case c.code == causes.ContainerNotStarted:
		found.Grace = GraceShort
	default:
		found.Grace = 0
	}
	if isPullFailure(c.reason) && history.FailedPulls >= pullAttempts {
		found.Grace = 0
	}
}
