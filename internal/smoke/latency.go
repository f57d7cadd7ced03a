package smoke

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Latency is the distribution of one check's latencies over the rounds that count: those of the soak, or else the last consecutive ones.
type Latency struct {
	Check    string  `json:"check"`
	Requests int     `json:"requests"`
	P50      float64 `json:"p50Seconds"`
	P90      float64 `json:"p90Seconds"`
	P95      float64 `json:"p95Seconds"`
	P99      float64 `json:"p99Seconds"`
	Max      float64 `json:"maxSeconds"`
}

// latencyWindow keeps the latencies of the last rounds.
type latencyWindow struct {
	soak        time.Duration
	consecutive int
	rounds      []latencyRound
}

type latencyRound struct {
	at      time.Time
	answers []timedAnswer
}

type timedAnswer struct {
	check   string
	fromPod bool
	latency time.Duration
}

// add adds a round, and drops those that no longer count.
func (w *latencyWindow) add(now time.Time, answers []release.Answer) {
	round := latencyRound{at: now}
	for _, answer := range answers {
		if isTimed(answer) {
			round.answers = append(round.answers, timedAnswer{answer.Check, answer.FromPod, answer.Latency})
		}
	}
	w.rounds = append(w.rounds, round)
	if w.soak > 0 {
		w.rounds = slices.DeleteFunc(w.rounds, func(round latencyRound) bool { return now.Sub(round.at) > w.soak })
		return
	}
	w.rounds = w.rounds[max(len(w.rounds)-max(w.consecutive, 1), 0):]
}

// isTimed reports whether a client waited for the answer: it is complete, or it did not come in the time of a request. A connection that ends at
// once is not a latency.
func isTimed(answer release.Answer) bool {
	switch answer.Stage {
	case release.StageDone:
		return true
	case release.StageCheck:
		return answer.Latency > 0
	case release.StageHTTP:
		return answer.Latency > 0 && !answer.NotHTTP
	}
	return false
}

// sorted returns the latencies of a check in ascending order: of its requests to the release's address, as clients have them. If there are none, it
// returns those of the requests to the pods, which go through the API server.
func (w *latencyWindow) sorted(check string) []time.Duration {
	var outside, inside []time.Duration
	for _, round := range w.rounds {
		for _, answer := range round.answers {
			switch {
			case answer.check != check:
			case answer.fromPod:
				inside = append(inside, answer.latency)
			default:
				outside = append(outside, answer.latency)
			}
		}
	}
	if len(outside) == 0 {
		outside = inside
	}
	slices.Sort(outside)
	return outside
}

// percentile returns a percentile of sorted latencies by the nearest-rank method: the smallest that at least that share of all does not exceed.
func percentile(sorted []time.Duration, percent float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(percent / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// exceeded describes every limit of a percentile that the requests of the window exceed.
func (w *latencyWindow) exceeded(checks []release.Check) (wrong []release.Answer) {
	for _, check := range checks {
		if len(check.Latency) == 0 {
			continue
		}
		sorted := w.sorted(check.Name)
		answer := release.Answer{Check: check.Name, Kind: check.Kind, Stage: release.StageCheck}
		for _, name := range slices.Sorted(maps.Keys(check.Latency)) {
			percent, err := strconv.ParseFloat(name[1:], 64)
			if got := percentile(sorted, percent); err == nil && got > check.Latency[name] {
				answer.Wrong = append(answer.Wrong, fmt.Sprintf("latency %s: expected at most %s, got %s of %d requests", name, text.Duration(check.Latency[name]), text.Duration(got.Round(time.Millisecond/10)), len(sorted)))
			}
		}
		if len(answer.Wrong) > 0 {
			wrong = append(wrong, answer)
		}
	}
	return wrong
}

// summary returns the latencies of every check, in the order of the names.
func (w *latencyWindow) summary() (all []Latency) {
	var names []string
	for _, round := range w.rounds {
		for _, answer := range round.answers {
			if !slices.Contains(names, answer.check) {
				names = append(names, answer.check)
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		sorted := w.sorted(name)
		at := func(percent float64) float64 { return percentile(sorted, percent).Seconds() }
		all = append(all, Latency{Check: name, Requests: len(sorted), P50: at(50), P90: at(90), P95: at(95), P99: at(99), Max: at(100)})
	}
	return all
}
