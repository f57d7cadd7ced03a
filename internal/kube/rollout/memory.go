package rollout

import (
	"maps"
	"time"

	"github.com/onedigest/onedigest/internal/kube/diagnose"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
	"k8s.io/apimachinery/pkg/types"
)

// memory is what one assessment hands to the next. The zero value is the memory of a new watch.
type memory struct {
	assessments int       // progress so far
	resumed     time.Time // when a store last caught up with the cluster; zero: never
	containers  map[types.UID]diagnose.PodHistory
	findings    map[string]observation // by the finding's key
	// podCauses are the last findings about the pods of Jobs and hooks. The pods may be deleted before their owner is seen to
	// fail.
	podCauses map[release.Object]diagnose.Finding
	began     time.Time                                  // by pod, for pods that existed before the release was applied
	starts    map[types.UID]map[string]containerBaseline // containers of pods of before the release was applied, by pod

	// About Jobs and hooks:  what has ended and may be deleted since, Jobs whose pods have succeeded, identities, and since when one is missing.
	ended        map[release.Object]readiness
	succeeded    map[release.Object]bool
	uids         map[release.Object]types.UID
	missingSince map[release.Object]time.Time
}

// observation records since when every assessment has made a finding.
type observation struct {
	code       causes.Code
	firstSeen  time.Time
	assessment int // the last assessment that made it
	report     string
	reported   time.Time     // when the report was first seen
	left       time.Time     // until when pods that may make room were ending; zero: never
	leaving    time.Duration // the longest time that such pods could take
	lastLeft   bool          // such pods were ending at the last assessment
}

// clone returns a deep enough copy: changing it does not change the original.
func (m memory) clone() memory {
	m.containers, m.findings, m.podCauses = cloneMap(m.containers), cloneMap(m.findings), cloneMap(m.podCauses)
	m.starts = cloneMap(m.starts)
	m.succeeded = cloneMap(m.succeeded)
	m.ended, m.uids, m.missingSince = cloneMap(m.ended), cloneMap(m.uids), cloneMap(m.missingSince)
	return m
}

// cloneMap returns a copy of a map; an empty map for nil.
func cloneMap[K comparable, V any](original map[K]V) map[K]V {
	if original == nil {
		return map[K]V{}
	}
	return maps.Clone(original)
}

// observe records that a finding was made. Its age starts at zero if the previous assessment did not make it.
func (m *memory) observe(found diagnose.Finding, now time.Time) {
	last, known := m.findings[found.Key()]
	if !known || last.code != found.Code || last.assessment < m.assessments-1 {
		last = observation{code: found.Code, firstSeen: now}
	}
	if last.assessment = m.assessments; last.report != found.Report || last.reported.IsZero() {
		last.report, last.reported = found.Report, now
	}
	// Pods that were ending at the assessment before may have ended just now. Pods that are deleted one after another do not prolong this without end.
	last.leaving = max(last.leaving, found.Leaving)
	if end := last.firstSeen.Add(last.leaving); found.Leaving > 0 || last.lastLeft {
		last.left = earlier(now, end)
	}
	last.lastLeft = found.Leaving > 0
	m.findings[found.Key()] = last
}

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// waited returns for how long after a finding was first made pods that may make room were ending.
func (m *memory) waited(found diagnose.Finding) time.Duration {
	known := m.findings[found.Key()]
	return max(0, known.left.Sub(known.firstSeen))
}

// age returns how long a finding has lasted while the cluster was followed. Time before the last interruption does not count.
func (m *memory) age(found diagnose.Finding, now time.Time) time.Duration {
	since := found.Since
	if since.IsZero() {
		since = m.findings[found.Key()].firstSeen
	}
	if since.IsZero() {
		return 0
	}
	if m.resumed.After(since) {
		since = m.resumed
	}
	return now.Sub(since)
}

// lastAttempt returns how long after a finding was first made the last attempt failed that it is about.
func (m *memory) lastAttempt(found diagnose.Finding) time.Duration {
	known := m.findings[found.Key()]
	return known.reported.Sub(known.firstSeen)
}

// containerOf returns the history of the finding's container.
func (m *memory) containerOf(found diagnose.Finding) diagnose.ContainerHistory {
	return m.containers[found.UID][found.Container]
}

func (m *memory) setContainer(found diagnose.Finding, history diagnose.ContainerHistory) {
	pod := cloneMap(m.containers[found.UID])
	pod[found.Container] = history
	m.containers[found.UID] = pod
}
