package build

import (
	"context"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// MatrixVerb describes the verb to a matrix.
var MatrixVerb = matrix.Verb[Settings]{Name: Verb.Name, Declare: func(s *Settings) *setting.Set { return s.Declare() }, Whole: []string{"sign-key", "legacy-signatures"}}

// RunMatrix builds the images of a matrix's services, some at once. A service that fails does not keep the others from being built. newDeps
// makes what one service needs.
func RunMatrix(ctx context.Context, content []byte, given Settings, reporter release.Reporter, newDeps func(Settings, release.Reporter) Deps) (Result, error) {
	services, err := matrix.RunEach(ctx, content, given.Options, reporter, matrix.Each[Settings, Deps, Result]{
		Verb: MatrixVerb, Jobs: "builds", Run: Run,
		Prepare: func(_ context.Context, settings Settings, reporter release.Reporter) (Deps, error) {
			return newDeps(settings, reporter), nil
		},
		Label: func(result *Result, part matrix.Part) { result.Part = part },
	})
	total := Result{Services: services, Digests: map[string]release.Digest{}}
	outcomes := make([]release.Outcome, len(total.Services))
	for i, built := range total.Services {
		outcomes[i] = built.Outcome
		if built.Error == "" {
			total.Digests[built.Service] = built.Digest
		}
		reporter.Infof("%-12s %s  %s", built.State(string(built.Outcome)), built.Service, built.Image)
	}
	total.Outcome = matrix.CommonOutcome(outcomes)
	return total, err
}
