package smoke

import (
	"context"
	"slices"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// MatrixVerb describes the verb to a matrix.
var MatrixVerb = matrix.Verb[Settings]{Name: Verb.Name, Declare: func(s *Settings) *setting.Set { return s.Declare() }}

// RunMatrix checks the services of a matrix in one environment, on all its clusters, some at once. A service that fails does not keep the
// others from being checked. The verdict of all is the worst one. newDeps makes what the smoke of one service needs.
func RunMatrix(ctx context.Context, content []byte, given Settings, reporter release.Reporter, newDeps func(context.Context, Settings, release.Reporter) (Deps, error)) (Result, error) {
	services, err := matrix.RunEach(ctx, content, given.Options, reporter, matrix.Each[Settings, Deps, Result]{
		Verb: MatrixVerb, Jobs: "smokes", Run: Run,
		Prepare: func(ctx context.Context, settings Settings, reporter release.Reporter) (Deps, error) {
			return newDeps(ctx, settings, reporter)
		},
		Label: func(result *Result, part matrix.Part) { result.Part = part },
	})
	total := Result{Services: services}
	verdicts := make([]release.Verdict, len(total.Services))
	for i, smoked := range total.Services {
		verdicts[i] = smoked.Verdict
		reporter.Infof("%-12s %s", smoked.State(string(smoked.Verdict)), smoked.Service)
	}
	total.Verdict = worst(verdicts)
	return total, err
}

// worst returns fail if any verdict is, pass if all are, otherwise inconclusive.
func worst(verdicts []release.Verdict) release.Verdict {
	switch {
	case slices.Contains(verdicts, release.Fail):
		return release.Fail
	case len(verdicts) > 0 && !slices.ContainsFunc(verdicts, func(v release.Verdict) bool { return v != release.Pass }):
		return release.Pass
	}
	return release.Inconclusive
}
