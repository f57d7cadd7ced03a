package cluster

import (
	"regexp"
	"time"
)

// cause is something that keeps a pod from becoming ready, as the cluster words it, and when to stop hoping.
type cause struct {
	reason string
	// final matches messages after which only another release helps; nil: none is.
	final *regexp.Regexp
	// tries is how often the cluster must have tried before any message is final; 0: however often, it never is.
	tries int
	// grace is how long a final message may stand before it counts: what it misses may come with the same release.
	grace time.Duration
	// patience is how long any message may stand before it counts; 0: for ever.
	patience time.Duration
	crashed  bool   // the container ran: its log says more
	do       string // what to do about it
}

// anything is the message of a cause that is final whatever it says.
var anything = regexp.MustCompile(``)

// refused are the ways in which registries and container runtimes say that trying again will not help.
var refused = regexp.MustCompile(`(?i)not found|manifest unknown|name unknown|unauthorized|authentication required|no basic auth|access denied|` +
	`\bdenied\b|\b40[134]\b|forbidden|invalid reference|no match for platform`)

// absent is how the kubelet says that a Secret, a ConfigMap or a key of one is missing, or that the pod contradicts
// itself. A failing API call of its own it words otherwise, and that may pass.
var absent = regexp.MustCompile(`(?i)not found|couldn't find key|runAsNonRoot|non-numeric user|invalid`)

const checkImage = "see that the image is in its registry and that the cluster's nodes may pull it"

// waiting are the reasons of a waiting container (kubelet: pkg/kubelet/images/types.go, pkg/kubelet/container/sync_result.go).
var waiting = []cause{
	{reason: "InvalidImageName", final: anything, do: "correct the image's name"},
	{reason: "ErrImageNeverPull", final: anything, do: "the image is not on the node and imagePullPolicy forbids pulling it"},
	{reason: "ErrImagePull", final: refused, tries: 2, do: checkImage},
	{reason: "ImagePullBackOff", final: refused, tries: 2, do: checkImage},
	{reason: "RegistryUnavailable", tries: 3, do: checkImage},
	{reason: "SignatureValidationFailed", final: anything, do: "the node's policy wants a signature that the image does not have"},
	{reason: "ImageInspectError", patience: 30 * time.Second},
	{reason: "CrashLoopBackOff", final: anything, crashed: true, do: "the container's own log says why it ends"},
	{reason: "CreateContainerConfigError", final: absent, grace: 2 * time.Second, patience: 20 * time.Second,
		do: "see that every Secret and ConfigMap which the pod names exists and has the keys it names"},
	{reason: "CreateContainerError", patience: 20 * time.Second, do: "see the container's command, mounts and security context"},
	{reason: "RunContainerError", patience: 20 * time.Second, crashed: true, do: "see the container's command, mounts and security context"},
}

// A pod that its controller may not even create (kube-controller-manager: pkg/controller/controller_utils.go, FailedCreate).
var (
	uncreated = cause{reason: "FailedCreate", final: anything, grace: 2 * time.Second,
		do: "see the namespace's quotas, its pod security level and the service account"}
	// crowded is one that may pass while old pods go: a quota in use, a webhook out of reach.
	crowded = cause{reason: "FailedCreate", patience: 20 * time.Second, do: "see the namespace's quotas and its admission webhooks"}

	transient = regexp.MustCompile(`(?i)exceeded quota|failed calling webhook|timeout|connection refused|etcdserver|try again`)
)

func creationCause(message string) cause {
	if transient.MatchString(message) {
		return crowded
	}
	return uncreated
}

// givenUp are conditions after which the cluster itself has given up.
var givenUp = map[string]cause{
	"ProgressDeadlineExceeded": {reason: "ProgressDeadlineExceeded", do: "the pods say why"},
	"JobFailed":                {reason: "JobFailed", crashed: true, do: "the pod's log says why"},
	"PodFailed":                {reason: "PodFailed", crashed: true, do: "the pod's log says why"},
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

// counts tells whether a cause is to be believed by now: it is final for its message and has stood through its grace, was
// tried often enough, or has stood longer than anyone would wait. If not, wait is how long until time alone decides; 0 if
// time does not.
func (c cause) counts(message string, tries int, stood time.Duration, grace func(time.Duration) time.Duration) (now bool, wait time.Duration) {
	if c.tries > 0 && tries >= c.tries {
		return true, 0
	}
	limit := time.Duration(-1)
	if c.patience > 0 {
		limit = grace(c.patience)
	}
	if c.final != nil && c.final.MatchString(message) {
		limit = grace(c.grace)
	}
	switch {
	case limit < 0:
		return false, 0
	case stood >= limit:
		return true, 0
	}
	return false, limit - stood
}
