// Package causes is the table of everything that is known to make a deploy fail: a stable code, what it means, and what to do.
// The messages and docs/troubleshooting.md are written from it.
package causes

import "slices"

// Code names a known cause of a failed deploy. Codes are stable: scripts, alerts and docs/troubleshooting.md name them.
type Code string

// The codes: 1xx is what keeps a rollout from becoming ready, 2xx what keeps a release from being changed.
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
	TimedOut            Code = "OD-117" // not ready in time, and nothing known is the matter

	FieldImmutable  Code = "OD-201"
	ObjectNotOurs   Code = "OD-202"
	ReleaseHeld     Code = "OD-203" // by another run
	ReleasePinned   Code = "OD-204" // by a deliberate rollback
	RollbackBlocked Code = "OD-205"
	RollbackFailed  Code = "OD-206"
	LeaseLost       Code = "OD-207"
	SmokeFailed     Code = "OD-208"
)

// Cause is what is to be known of a cause: docs/troubleshooting.md and the messages come from it.
type Cause struct {
	Code    Code
	Name    string   // "the image cannot be pulled"
	Meaning string   // what has happened and when it is said, one paragraph
	Advice  string   // what to try first, one line: the message's last words
	Example string   // the message as it looks, one line
	Steps   []string // what to look at, in order; Markdown
}

// All is the table of all codes, in their order.
var All = slices.Concat(rolloutCauses, releaseCauses)

// Cause looks a code up; the zero Cause for none.
func (c Code) Cause() Cause {
	for _, known := range All {
		if known.Code == c {
			return known
		}
	}
	return Cause{Code: c}
}
