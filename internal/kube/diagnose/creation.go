package diagnose

import (
	"regexp"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// ReasonFailedCreate is the reason with which a controller reports that it may not create a pod: in an event and, for a
// ReplicaSet, in a condition (pkg/controller/controller_utils.go, FailedCreatePodReason; stateful_pod_control.go,
// recordPodEvent).
const ReasonFailedCreate = "FailedCreate"

// transientRefusal matches a refusal that may pass: a webhook or the apiserver cannot be reached.
var transientRefusal = regexp.MustCompile(`(?i)failed calling webhook|timeout|timed out|deadline exceeded|connection refused|etcdserver|try again|unable to handle the request`)

// accountAbsent matches a refusal because the service account does not exist yet: its own controller creates "default" after the namespace
// (k8s.io/kubernetes, plugin/pkg/admission/serviceaccount).
var accountAbsent = regexp.MustCompile(`(?i)serviceaccount "[^"]*" not found`)

// quotaExceeded matches a quota's refusal (k8s.io/apiserver/pkg/admission/plugin/resourcequota, CheckRequest).
var quotaExceeded = regexp.MustCompile(`exceeded quota: [^,]*, requested: (.*), used: .*, limited: ([^;]*)`)

// classifyRefusal sets the code and the grace of a finding about pods that may not be created. leaving is how much longer
// pods of the namespace that are being deleted may take, which frees quota.
func (f *Finding) classifyRefusal(message string, leaving time.Duration) {
	f.Code, f.Grace = causes.AdmissionRefused, GraceShort
	switch {
	case strings.Contains(message, "failed quota:"):
		f.Code = causes.QuotaExceeded
	case strings.Contains(message, "status unknown for quota"): // a new quota, whose usage is being counted
		f.Code, f.Grace = causes.QuotaExceeded, GraceTransient
	case strings.Contains(message, "exceeded quota:"):
		f.Code = causes.QuotaExceeded
		if !exceedsWholeQuota(message) {
			f.Grace, f.Dependent, f.Leaving = GraceTransient, true, leaving // pods of this release may free it
		}
	case transientRefusal.MatchString(message):
		f.Grace, f.Dependent = GraceTransient, true // the webhook may be one of this release
	case accountAbsent.MatchString(message):
		f.Grace, f.MayBeCreated = GraceTransient, true
	}
	if f.Grace == GraceTransient {
		f.Report = message // the controller doubles the pause before each attempt (client-go, util/workqueue, DefaultControllerRateLimiter)
	}
}

// exceedsWholeQuota reports whether a pod requests more than the quota's limit, whatever is in use.
func exceedsWholeQuota(message string) bool {
	parts := quotaExceeded.FindStringSubmatch(message)
	if parts == nil {
		return false
	}
	limited := parseAmounts(parts[2])
	for name, wanted := range parseAmounts(parts[1]) {
		if limit, found := limited[name]; found && wanted.Cmp(limit) > 0 {
			return true
		}
	}
	return false
}

// parseAmounts reads a list such as pods=1,limits.cpu=500m; it skips what it cannot parse.
func parseAmounts(list string) map[string]resource.Quantity {
	read := map[string]resource.Quantity{}
	for part := range strings.SplitSeq(list, ",") {
		name, amount, _ := strings.Cut(strings.TrimSpace(part), "=")
		if quantity, err := resource.ParseQuantity(amount); err == nil {
			read[name] = quantity
		}
	}
	return read
}

// LeavingTime returns how much longer the pods that are being deleted may take to end, 0 if none is being deleted that still holds a node or quota. A pod may
// take until its deletion timestamp, which includes its grace period, and a margin of 30 s; and 90 s from its deletion in any case. What takes longer is stuck, and
// is not waited for. Source: k8s.io/apimachinery/pkg/apis/meta/v1, ObjectMeta, deletionTimestamp; kubernetes.io, "Pod Lifecycle", Termination of Pods.
func LeavingTime(pods []*core.Pod, now time.Time) (leaving time.Duration) {
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil || pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed {
			continue
		}
		grace := time.Duration(0)
		if seconds := pod.DeletionGracePeriodSeconds; seconds != nil {
			grace = time.Duration(*seconds) * time.Second
		}
		left := pod.DeletionTimestamp.Sub(now)
		leaving = max(leaving, left+GraceEarlier, left-grace+GraceBusyNode)
	}
	return leaving
}
