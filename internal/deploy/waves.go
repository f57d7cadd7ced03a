package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
)

// MatrixError is what a deploy of a matrix failed with. It has the exit code of the error that it wraps.
type MatrixError struct {
	Deploy string // cluster/namespace/release
	Err    error
}

// Error names the deploy on every line.
func (e *MatrixError) Error() string {
	var lines []string
	for line := range strings.Lines(e.Err.Error()) {
		lines = append(lines, e.Deploy+": "+line)
	}
	return strings.Join(lines, "")
}

func (e *MatrixError) Unwrap() error { return e.Err }

// RunWaves checks every deploy of every wave, and then runs the waves one after the other; the deploys of a wave run
// concurrently, at most so many at once. If a deploy fails, the others of its wave go on to their end and later waves are
// skipped, and so is one that the job's time would not suffice for. The error joins those of all deploys, each with the deploy's
// name. matrix are the settings of the whole; newDeps makes what one deploy needs.
func RunWaves(ctx context.Context, matrix Settings, waves []Wave, reporter release.Reporter, newDeps func(Settings, release.Reporter) (Deps, error)) (Result, error) {
	began, concurrency := time.Now(), matrix.Concurrency
	if err := matrix.checkWaves(waves); err != nil {
		return Result{}, err
	}
	checked, err := preflightAll(ctx, waves, concurrency, reporter, newDeps)
	if err != nil {
		return Result{}, err
	}
	var total Result
	var failures error
	for i, requests := range checked {
		name := waves[i].Name
		if failures == nil {
			failures = matrix.checkTimeLeft(waves[i], time.Since(began))
		}
		if failures != nil || ctx.Err() != nil {
			reporter.Warnf("skipped: wave %q, %d deploys", name, len(requests))
			total.Skipped += len(requests)
			continue
		}
		reporter.Infof("wave %q (%d of %d): %d deploys", name, i+1, len(waves), len(requests))
		var results []Result
		results, failures = runAll(ctx, requests, concurrency)
		total.Deploys = append(total.Deploys, results...)
	}
	total.Outcome = commonOutcome(total.Deploys)
	for _, result := range total.Deploys {
		reporter.Infof("%-12s %s/%s  %s", result.Outcome, result.Namespace, result.Release, result.State)
	}
	if failures == nil && total.Skipped > 0 {
		failures = context.Cause(ctx)
	}
	return total, failures
}

// preflightAll checks all deploys before the first one changes anything.
func preflightAll(ctx context.Context, waves []Wave, concurrency int, reporter release.Reporter, newDeps func(Settings, release.Reporter) (Deps, error)) ([][]request, error) {
	var all []*request
	checked := make([][]request, len(waves))
	for i, wave := range waves {
		checked[i] = make([]request, len(wave.Deploys))
		for j, settings := range wave.Deploys {
			deps, err := newDeps(settings, &prefixed{Reporter: reporter, prefix: settings.title()})
			if err != nil {
				return nil, withTitle(settings, err)
			}
			checked[i][j] = request{Deps: deps, settings: settings}
			all = append(all, &checked[i][j])
		}
	}
	return checked, concurrently(len(all), concurrency, func(i int) (err error) {
		settings := all[i].settings
		*all[i], err = preflight(ctx, settings, all[i].Deps)
		return withTitle(settings, err)
	})
}

// runAll runs the deploys of one wave. The results are in the order of the requests.
func runAll(ctx context.Context, requests []request, concurrency int) ([]Result, error) {
	results := make([]Result, len(requests))
	return results, concurrently(len(requests), concurrency, func(i int) (err error) {
		results[i], err = requests[i].run(ctx, time.Now())
		if err != nil && results[i].State == "" {
			results[i].State = "failed"
		}
		return withTitle(requests[i].settings, err)
	})
}

// concurrently calls do for 0 to n-1, at most limit calls at once, and joins the errors in that order.
func concurrently(n, limit int, do func(i int) error) error {
	failed := make([]error, n)
	var group errgroup.Group
	group.SetLimit(limit)
	for i := range n {
		group.Go(func() error {
			failed[i] = do(i)
			return nil
		})
	}
	_ = group.Wait() // nil: every error is in failed
	return errors.Join(failed...)
}

// withTitle adds the deploy's title (cluster/namespace/release) to an error.
func withTitle(settings Settings, err error) error {
	if err == nil {
		return nil
	}
	return &MatrixError{Deploy: settings.title(), Err: err}
}

// title names a deploy of a matrix: cluster/namespace/release.
func (s Settings) title() string {
	title := s.Namespace + "/" + s.Release
	if cluster := cmp.Or(s.Cluster, s.Context); cluster != "" {
		title = cluster + "/" + title
	}
	return title
}

// commonOutcome returns the outcome that all deploys share, or changed if they differ; "" if there are none.
func commonOutcome(results []Result) release.Outcome {
	if len(results) == 0 {
		return ""
	}
	for _, result := range results {
		if result.Outcome != results[0].Outcome {
			return release.Changed
		}
	}
	return results[0].Outcome
}

// prefixed is the reporter of one of several deploys: it puts the deploy's name before every line. It opens no groups, because a
// folded group would hide the lines of other deploys.
type prefixed struct {
	release.Reporter
	prefix string
}

func (p *prefixed) Infof(format string, args ...any) {
	p.Reporter.Infof("[%s] %s", p.prefix, fmt.Sprintf(format, args...))
}

func (p *prefixed) Warnf(format string, args ...any) {
	p.Reporter.Warnf("[%s] %s", p.prefix, fmt.Sprintf(format, args...))
}

func (p *prefixed) Step(step release.RolloutStep) {
	step.Object.Name = step.Object.Name + " of " + p.prefix
	p.Reporter.Step(step)
}

func (p *prefixed) Raw(text string) { p.Reporter.Raw("[" + p.prefix + "] " + text) }

func (p *prefixed) Group(title string) func() {
	p.Infof("%s", title)
	return func() {}
}
