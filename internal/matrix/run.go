package matrix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"golang.org/x/sync/errgroup"
)

// Runner runs the jobs of a matrix. S is the type of a job's settings, P that of a prepared job, R that of its result.
type Runner[S, P, R any] struct {
	Jobs        string // the plural that the log uses for the jobs, such as "deploys"
	Concurrency int    // jobs of a wave that run at once, at least 1
	// Prepare checks a job and changes nothing. If it fails for one job, no job is run.
	Prepare func(ctx context.Context, settings S, reporter release.Reporter) (P, error)
	// Run runs a job that was prepared.
	Run func(ctx context.Context, prepared P) (R, error)
	// Label writes the job's part of the matrix, with its error, into its result.
	Label func(result *R, part Part)
	// Stops is set if no further wave is started after a failure.
	Stops bool
	// Longest returns how long a job may take; nil if the jobs have no limit.
	Longest    func(S) time.Duration
	JobTimeout time.Duration // of the CI job that runs the matrix; 0: unknown
}

// RunAll prepares every job of every wave, and then runs the waves one after the other; the jobs of a wave run concurrently. If one fails,
// the others run to their end. If Stops is set, later waves are then skipped, and so is a wave for which the CI job has too little time
// left. The results are in the order of the file; skipped is the number of jobs that were not started. The error joins those of all
// jobs, each with the job's title.
func (r Runner[S, P, R]) RunAll(ctx context.Context, waves []Wave[S], reporter release.Reporter) (results []R, skipped int, err error) {
	began := time.Now()
	if err := r.checkTime(waves); err != nil {
		return nil, 0, err
	}
	prepared, err := r.prepareAll(ctx, waves, reporter)
	if err != nil {
		return nil, 0, err
	}
	var failures error
	succeeded := false
	for i, wave := range waves {
		if failures == nil || !r.Stops {
			failures = errors.Join(failures, r.checkTimeLeft(wave, time.Since(began)))
		}
		if failures != nil && r.Stops || ctx.Err() != nil {
			reporter.Warnf("skipped: wave %q, %d %s", wave.Name, len(wave.Jobs), r.Jobs)
			skipped += len(wave.Jobs)
			continue
		}
		if len(waves) > 1 || r.Stops {
			reporter.Infof("wave %q (%d of %d): %d %s", wave.Name, i+1, len(waves), len(wave.Jobs), r.Jobs)
		}
		done, failed, err := r.runWave(ctx, wave, prepared[i])
		results, failures, succeeded = append(results, done...), errors.Join(failures, err), succeeded || failed < len(done)
	}
	if failures == nil && skipped > 0 {
		failures = context.Cause(ctx)
	}
	if failures != nil {
		failures = &release.JobsError{Err: failures, Succeeded: succeeded}
	}
	return results, skipped, failures
}

// prepareAll checks all jobs before the first one changes anything.
func (r Runner[S, P, R]) prepareAll(ctx context.Context, waves []Wave[S], reporter release.Reporter) ([][]P, error) {
	prepared := make([][]P, len(waves))
	var places [][2]int
	for i, wave := range waves {
		prepared[i] = make([]P, len(wave.Jobs))
		for j := range wave.Jobs {
			places = append(places, [2]int{i, j})
		}
	}
	return prepared, r.concurrently(len(places), func(n int) (err error) {
		i, j := places[n][0], places[n][1]
		job := waves[i].Jobs[j]
		prepared[i][j], err = r.Prepare(ctx, job.Settings, &prefixed{Reporter: reporter, prefix: job.Title})
		return withTitle(job.Title, err)
	})
}

// runWave runs the jobs of one wave. The results are in the order of the jobs; failed is how many jobs have failed.
func (r Runner[S, P, R]) runWave(ctx context.Context, wave Wave[S], prepared []P) (results []R, failed int, err error) {
	results = make([]R, len(prepared))
	var failures atomic.Int32
	err = r.concurrently(len(prepared), func(i int) (err error) {
		results[i], err = r.Run(ctx, prepared[i])
		part := wave.Jobs[i].Part
		if err != nil {
			part.Error = err.Error()
			failures.Add(1)
		}
		r.Label(&results[i], part)
		return withTitle(wave.Jobs[i].Title, err)
	})
	return results, int(failures.Load()), err
}

// concurrently calls do for 0 to n-1 and joins the errors in that order.
func (r Runner[S, P, R]) concurrently(n int, do func(i int) error) error {
	failed := make([]error, n)
	var group errgroup.Group
	group.SetLimit(max(1, r.Concurrency))
	for i := range n {
		group.Go(func() error {
			failed[i] = do(i)
			return nil
		})
	}
	_ = group.Wait() // nil: every error is in failed
	return errors.Join(failed...)
}

// withTitle puts a job's title into its error.
func withTitle(title string, err error) error {
	if err == nil || title == "" {
		return err
	}
	return &JobError{Title: title, Err: err}
}

// CommonOutcome returns the outcome that all jobs have; changed if the outcomes differ, "" if there are none.
func CommonOutcome(outcomes []release.Outcome) release.Outcome {
	switch {
	case len(outcomes) == 0:
		return ""
	case slices.ContainsFunc(outcomes, func(outcome release.Outcome) bool { return outcome != outcomes[0] }):
		return release.Changed
	}
	return outcomes[0]
}

// StartAndReport is the time that a CI job needs besides that of the verb: to check out, to build or download the binary, to report.
const StartAndReport = 30 * time.Second

// checkTime refuses a time limit of the CI job that is shorter than all waves, one after the other, may take.
func (r Runner[S, P, R]) checkTime(waves []Wave[S]) error {
	if r.JobTimeout == 0 || r.Longest == nil {
		return nil
	}
	needed := StartAndReport
	for _, wave := range waves {
		needed += r.longest(wave)
	}
	if r.JobTimeout >= needed {
		return nil
	}
	return release.BadSetting("job-timeout",
		fmt.Sprintf("%s is too short for %d waves that take up to %s, and %s to start and to report: the job would be killed before the last wave has ended", text.Duration(r.JobTimeout), len(waves),
			text.Duration(needed-StartAndReport), text.Duration(StartAndReport)),
		"raise the job's timeout-minutes, give the deploys a shorter --timeout, or run more of a wave at once (--concurrency)")
}

// checkTimeLeft refuses to start a wave if the CI job's remaining time is too short for it.
func (r Runner[S, P, R]) checkTimeLeft(wave Wave[S], passed time.Duration) error {
	if r.JobTimeout == 0 || r.Longest == nil {
		return nil
	}
	left, longest := r.JobTimeout-passed, r.longest(wave)
	if left >= longest {
		return nil
	}
	return &release.Failure{
		What: fmt.Sprintf("wave %q was not started: it may take %s, and only %s of the job's %s are left", wave.Name, text.Duration(longest), text.Duration(left.Round(time.Second)), text.Duration(r.JobTimeout)),
		Do:   "raise the job's timeout-minutes",
	}
}

// longest returns how long a wave takes at most: every job uses its whole timeout, and waits for a free place if the concurrency is used up.
func (r Runner[S, P, R]) longest(wave Wave[S]) time.Duration {
	ends := make([]time.Duration, max(1, r.Concurrency))
	for _, job := range wave.Jobs {
		slices.Sort(ends)
		ends[0] += r.Longest(job.Settings)
	}
	return slices.Max(ends)
}
