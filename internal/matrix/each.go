package matrix

import (
	"context"

	"github.com/onedigest/onedigest/internal/release"
)

// Each describes to RunEach how a verb is run for each service. S is the type of a job's settings, P of what its preparation gives, R of its
// result.
type Each[S, P, R any] struct {
	Verb Verb[S]
	Jobs string // the plural that the log uses for the jobs, such as "builds"
	// Prepare checks a job and changes nothing. If it fails for one job, no job is run.
	Prepare func(ctx context.Context, settings S, reporter release.Reporter) (P, error)
	// Run runs a job that was prepared.
	Run func(ctx context.Context, settings S, prepared P) (R, error)
	// Label writes the job's part of the matrix, with its error, into its result.
	Label func(result *R, part Part)
}

// RunEach reads a matrix and runs the verb for each of its jobs, some at once. A job that fails does not keep the others from being run. The
// results are in the order of the file, and nil if nothing was run; the error joins those of all jobs, each with the job's title.
func RunEach[S, P, R any](ctx context.Context, content []byte, options Options, reporter release.Reporter, each Each[S, P, R]) ([]R, error) {
	waves, err := Parse(each.Verb, options.Matrix, content, options)
	if err != nil {
		return nil, err
	}
	type job struct {
		settings S
		prepared P
	}
	runner := Runner[S, job, R]{
		Jobs: each.Jobs, Concurrency: options.Concurrency, Label: each.Label,
		Prepare: func(ctx context.Context, settings S, reporter release.Reporter) (job, error) {
			prepared, err := each.Prepare(ctx, settings, reporter)
			return job{settings, prepared}, err
		},
		Run: func(ctx context.Context, one job) (R, error) { return each.Run(ctx, one.settings, one.prepared) },
	}
	results, _, err := runner.RunAll(ctx, waves, reporter)
	return results, err
}
