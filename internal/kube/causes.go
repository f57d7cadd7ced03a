package kube

import (
	"regexp"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
)

// Times of patience. docs/decisions/0009 says why they are what they are.
const (
	// never: however long it stands, time alone does not make it count.
	never time.Duration = -1
	// soon is for what only another release helps against: what it misses may come with this one a moment later.
	soon = 2 * time.Second
	// passing is for what often passes by itself: an API call of the kubelet's that failed, a webhook out of reach.
	passing = 20 * time.Second
	// slowly is for what a busy node takes its time for.
	slowly = 90 * time.Second
	// making is how long what a Job or an operator may make can be missing.
	making = time.Minute
	// companyTime is how long a container may wait for something else of the release.
	companyTime = 2 * time.Minute
)

// pullTries is how many pulls must have failed before a failure that may pass counts: some thirty seconds of the kubelet's
// back-off.
const pullTries = 3

// cause is a reason for which a container waits, as the kubelet words it, and when to stop hoping.
type cause struct {
	reason string
	code   causes.Code
	// final matches messages after which only another release helps; nil: none is.
	final *regexp.Regexp
	// bears is how long any other message may stand.
	bears time.Duration
}

// anything is the message of a cause that is final whatever it says.
var anything = regexp.MustCompile(``)

// refused are the ways in which registries and container runtimes say that trying again will not help.
var refused = regexp.MustCompile(`(?i)not found|manifest unknown|name unknown|unauthorized|authentication required|no basic auth|access denied|` +
	`\bdenied\b|\b40[134]\b|forbidden|invalid reference|no match for platform`)

// absent is how the kubelet says that a Secret, a ConfigMap or a key of one is missing (pkg/kubelet/kubelet_pods.go,
// makeEnvironmentVariables; pkg/volume/secret, pkg/volume/configmap). A failing API call of its own it words otherwise.
var absent = regexp.MustCompile(`(?i)(secret|configmap) "[^"]*" not found|couldn't find key|references non-existent (secret|config) key`)

// unstartable is how the kubelet and container runtimes say that a container can never be made or started as it is asked for.
var unstartable = regexp.MustCompile(`(?i)no such file or directory|executable file not found|permission denied|not a directory|is a directory|exec format error|` +
	`no command specified|runAsNonRoot|non-numeric user|no users found|unable to find (user|group)|invalid|must not be|cannot find the volume`)

// held is how a container runtime says that it is still busy with the try before.
var held = regexp.MustCompile(`(?i)deadline exceeded|is reserved for|timed out`)

// waiting are the reasons of a waiting container but the crash loop (kubelet: pkg/kubelet/images/types.go,
// pkg/kubelet/kuberuntime/kuberuntime_container.go, pkg/kubelet/container/sync_result.go).
var waiting = []cause{
	{reason: "InvalidImageName", code: causes.ImageNameInvalid, final: anything},
	{reason: "ErrImageNeverPull", code: causes.ImageNotPulled, final: anything},
	{reason: "ErrImagePull", code: causes.ImageNotPulled, final: refused, bears: never},
	{reason: "ImagePullBackOff", code: causes.ImageNotPulled, final: refused, bears: never},
	{reason: "RegistryUnavailable", code: causes.ImageNotPulled, bears: never},
	{reason: "SignatureValidationFailed", code: causes.ImageNotPulled, final: anything},
	{reason: "ImageInspectError", code: causes.ImageNotPulled, bears: slowly},
	{reason: "CreateContainerConfigError", code: causes.ContainerNotStarted, final: unstartable, bears: passing},
	{reason: "CreateContainerError", code: causes.ContainerNotStarted, final: unstartable, bears: passing},
	{reason: "RunContainerError", code: causes.ContainerNotStarted, final: unstartable, bears: passing},
	{reason: "PreCreateHookError", code: causes.ContainerNotStarted, bears: passing},
	{reason: "PreStartHookError", code: causes.ContainerNotStarted, bears: passing},
	{reason: "PostStartHookError", code: causes.ContainerNotStarted, bears: passing},
}

// causeOf looks a waiting reason up. A reason that is not in the table (ContainerCreating, PodInitializing) is no cause.
func causeOf(reason string) (cause, bool) {
	for _, known := range waiting {
		if known.reason == reason {
			return known, true
		}
	}
	return cause{}, false
}

func pulling(reason string) bool {
	return reason == "ErrImagePull" || reason == "ImagePullBackOff" || reason == "RegistryUnavailable"
}

// weigh gives a finding its code and its patience, by the reason for which a container waits and what is said of it.
func (c cause) weigh(found *finding, seen *past) {
	found.code, found.bears = c.code, c.bears
	switch {
	case absent.MatchString(found.message):
		found.code, found.bears, found.made = causes.ConfigurationAbsent, soon, true
	case c.final == nil || !c.final.MatchString(found.message):
		if c.code == causes.ContainerNotStarted && held.MatchString(found.message) {
			found.bears = slowly
		}
	case c.code == causes.ContainerNotStarted:
		found.bears = soon
	default:
		found.bears = 0
	}
	if pulling(c.reason) && seen.pulls >= pullTries {
		found.bears = 0
	}
}
