package kube

import (
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release/causes"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// reasonUncreated is how a controller says that it may not create a pod, in an event and, a ReplicaSet's, in a condition
// (pkg/controller/controller_utils.go, FailedCreatePodReason; stateful_pod_control.go, recordPodEvent).
const reasonUncreated = "FailedCreate"

// transient is a refusal that may pass: a webhook or the apiserver out of reach.
var transient = regexp.MustCompile(`(?i)failed calling webhook|timeout|timed out|deadline exceeded|connection refused|etcdserver|try again|unable to handle the request`)

// exceeded is a quota's refusal (k8s.io/apiserver/pkg/admission/plugin/resourcequota, CheckRequest).
var exceeded = regexp.MustCompile(`exceeded quota: [^,]*, requested: (.*), used: .*, limited: ([^;]*)`)

// uncreated gives a finding of pods that may not be created its code and its patience. going tells that pods of the namespace
// are on their way out, which frees a quota.
func (f *finding) uncreated(message string, going bool) {
	f.code, f.bears = causes.AdmissionRefused, soon
	switch {
	case strings.Contains(message, "failed quota:"):
		f.code = causes.QuotaExceeded
	case strings.Contains(message, "status unknown for quota"): // it is new, and is being counted
		f.code, f.bears = causes.QuotaExceeded, passing
	case strings.Contains(message, "exceeded quota:"):
		f.code = causes.QuotaExceeded
		if !neverFits(message) {
			if f.bears = passing; going {
				f.bears = slowly
			}
		}
	case transient.MatchString(message):
		f.bears = passing
	}
}

// neverFits tells whether a pod asks for more than the whole quota.
func neverFits(message string) bool {
	parts := exceeded.FindStringSubmatch(message)
	if parts == nil {
		return false
	}
	limited := amounts(parts[2])
	for name, wanted := range amounts(parts[1]) {
		if limit, found := limited[name]; found && wanted.Cmp(limit) > 0 {
			return true
		}
	}
	return false
}

// amounts reads pods=1,limits.cpu=500m; what cannot be read is left out.
func amounts(text string) map[string]resource.Quantity {
	read := map[string]resource.Quantity{}
	for part := range strings.SplitSeq(text, ",") {
		name, amount, _ := strings.Cut(strings.TrimSpace(part), "=")
		if quantity, err := resource.ParseQuantity(amount); err == nil {
			read[name] = quantity
		}
	}
	return read
}

// going tells whether a pod is on its way out.
func going(pods []*core.Pod) bool {
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			return true
		}
	}
	return false
}
