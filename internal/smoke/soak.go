package smoke

import (
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// soakWindow counts the requests of the last rounds. It begins with a round that passes, and begins again after a wrong answer
// for which there is no budget. An answer of another commit is never within the budget: it is a backend that does not run what
// is proved.
type soakWindow struct {
	length time.Duration
	budget float64 // of the requests
	begun  time.Time
	rounds []roundCount
}

type roundCount struct {
	at              time.Time
	requests, wrong int
}

// add adds a round's answers to the window, or starts the window again.
func (w *soakWindow) add(now time.Time, answers []release.Answer) {
	wrong := countWrong(answers)
	foreign := slices.ContainsFunc(answers, func(answer release.Answer) bool { return answer.OtherCommit })
	switch {
	case foreign || wrong > 0 && w.budget == 0:
		w.begun, w.rounds = time.Time{}, nil
		return
	case w.begun.IsZero() && wrong > 0:
		return
	case w.begun.IsZero():
		w.begun = now
	}
	w.rounds = append(w.rounds, roundCount{at: now, requests: len(answers), wrong: wrong})
	w.rounds = slices.DeleteFunc(w.rounds, func(round roundCount) bool { return now.Sub(round.at) > w.length })
}

// passed reports whether the window is as long as it must be and its wrong answers are within the budget.
func (w *soakWindow) passed(now time.Time) bool {
	if w.begun.IsZero() || now.Sub(w.begun) < w.length {
		return false
	}
	var requests, wrong int
	for _, round := range w.rounds {
		requests, wrong = requests+round.requests, wrong+round.wrong
	}
	return float64(wrong) <= w.budget*float64(requests)
}

func countWrong(answers []release.Answer) (wrong int) {
	for _, answer := range answers {
		if !answer.OK() {
			wrong++
		}
	}
	return wrong
}
