package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/text"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Limits of the events that are shown.
const (
	maxEvents     = 5
	maxEventBytes = 1 << 10 // bytes of one line
)

// failedAttempts are the reasons of events about an attempt to place, create, equip or start a pod that has failed (kubelet: pkg/kubelet/events/event.go;
// scheduler: pkg/scheduler/schedule_one.go; controllers: pkg/controller/controller_utils.go, pkg/controller/volume/events/event.go). The
// probes of a container that runs, and policies of others, give other reasons.
var failedAttempts = []string{"Failed", "InspectFailed", "ErrImageNeverPull", "FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "FailedScheduling",
	ReasonFailedCreate, "ProvisioningFailed", "VolumeMismatch", "ClaimLost", "FailedBinding"}

// IsFailedAttempt reports whether an event says that an attempt to place, create, equip or start a pod has failed.
func IsFailedAttempt(event *core.Event) bool {
	return event.Type == core.EventTypeWarning && slices.Contains(failedAttempts, event.Reason)
}

// SortEvents sorts events by their last occurrence, then by their resource version, because most events give the time in whole
// seconds only.
func SortEvents(events []*core.Event) {
	slices.SortFunc(events, func(a, b *core.Event) int {
		return cmp.Or(LastOccurrence(a).Compare(LastOccurrence(b)),
			cmp.Compare(len(a.ResourceVersion), len(b.ResourceVersion)), cmp.Compare(a.ResourceVersion, b.ResourceVersion), cmp.Compare(a.Name, b.Name))
	})
}

// EventLines formats the last five events, oldest first, one line of at most 1 KiB each.
func EventLines(events []*core.Event) (lines []string) {
	for _, event := range events[max(0, len(events)-maxEvents):] {
		times := ""
		if n := max(int(event.Count), seriesCount(event)); n > 1 {
			times = fmt.Sprintf(" (%d times)", n)
		}
		lines = append(lines, text.Line(fmt.Sprintf("%s %s%s: %s", event.Type, event.Reason, times, event.Message), maxEventBytes))
	}
	return lines
}

// LastOccurrence returns when an event last occurred: the latest of its times.
func LastOccurrence(event *core.Event) time.Time {
	latest := event.CreationTimestamp.Time
	for _, t := range []meta.Time{event.FirstTimestamp, event.LastTimestamp, meta.NewTime(event.EventTime.Time), meta.NewTime(seriesTime(event))} {
		if t.After(latest) {
			latest = t.Time
		}
	}
	return latest
}

func seriesTime(event *core.Event) time.Time {
	if event.Series == nil {
		return time.Time{}
	}
	return event.Series.LastObservedTime.Time
}

func seriesCount(event *core.Event) int {
	if event.Series == nil {
		return 0
	}
	return int(event.Series.Count)
}
