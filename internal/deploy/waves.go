package deploy

import (
	"cmp"
	"context"
	"time"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
)

// RunWaves checks every deploy of every wave, and then runs the waves one after the other; the deploys of a wave run
// concurrently, at most so many at once. If a deploy fails, the others of its wave run to their end and later waves are skipped. A wave that the job's remaining time is too short for is
// skipped too. The error joins those of all deploys, each with the deploy's
// name. given are the settings of the whole; newDeps makes what one deploy needs.
func RunWaves(ctx context.Context, given Settings, waves []Wave, reporter release.Reporter, newDeps func(Settings, release.Reporter) (Deps, error)) (Result, error) {
	runner := matrix.Runner[Settings, request, Result]{
		Jobs: "deploys", Concurrency: given.Concurrency, Stops: true, JobTimeout: given.JobTimeout,
		Longest: func(settings Settings) time.Duration { return settings.Timeout },
		Prepare: func(ctx context.Context, settings Settings, reporter release.Reporter) (request, error) {
			deps, err := newDeps(settings, reporter)
			if err != nil {
				return request{}, err
			}
			return preflight(ctx, settings, deps)
		},
		Run: func(ctx context.Context, prepared request) (Result, error) {
			result, err := prepared.run(ctx, time.Now())
			if err != nil && result.State == "" {
				result.State = "failed"
			}
			return result, err
		},
		Label: func(result *Result, part matrix.Part) { result.Part = part },
	}
	var total Result
	var err error
	total.Deploys, total.Skipped, err = runner.RunAll(ctx, waves, reporter)
	outcomes := make([]release.Outcome, len(total.Deploys))
	for i, result := range total.Deploys {
		outcomes[i] = result.Outcome
		reporter.Infof("%-12s %s/%s  %s", result.Outcome, result.Namespace, result.Release, result.State)
	}
	total.Outcome = matrix.CommonOutcome(outcomes)
	return total, err
}

// title names a deploy of a matrix: cluster/namespace/release.
func (s Settings) title() string {
	title := s.Namespace + "/" + s.Release
	if cluster := cmp.Or(s.Cluster, s.Context); cluster != "" {
		title = cluster + "/" + title
	}
	return title
}
