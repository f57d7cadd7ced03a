package promote

import (
	"cmp"
	"context"
	"fmt"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// MatrixVerb describes the verb to a matrix.
var MatrixVerb = matrix.Verb[Settings]{Name: Verb.Name, Declare: func(s *Settings) *setting.Set { return s.Declare() },
	Target: func(s Settings) (target, name string) {
		repository := cmp.Or(s.TargetRepository, s.Image.Repository, s.Repository)
		return repository.String(), fmt.Sprintf("a promotion into %q", repository)
	}}

// RunMatrix promotes the images of a matrix's services, some at once. A service that is refused does not keep the others from being
// promoted.
func RunMatrix(ctx context.Context, content []byte, given Settings, deps Deps) (Result, error) {
	waves, err := matrix.Parse(MatrixVerb, given.Matrix, content, given.Options)
	if err != nil {
		return Result{}, err
	}
	type prepared struct {
		settings Settings
		deps     Deps
	}
	runner := matrix.Runner[Settings, prepared, Result]{
		Jobs: "promotions", Concurrency: given.Concurrency,
		Prepare: func(_ context.Context, settings Settings, reporter release.Reporter) (prepared, error) {
			own := deps
			own.Reporter = reporter
			return prepared{settings, own}, nil
		},
		Run:   func(ctx context.Context, job prepared) (Result, error) { return Run(ctx, job.settings, job.deps) },
		Label: func(result *Result, part matrix.Part) { result.Part = part },
	}
	total := Result{Promoted: Promoted{From: given.From, To: given.To}}
	total.Services, _, err = runner.RunAll(ctx, waves, deps.Reporter)
	outcomes := make([]release.Outcome, len(total.Services))
	for i, promoted := range total.Services {
		outcomes[i] = promoted.Outcome
		deps.Reporter.Infof("%-12s %s  %s", promoted.State(string(promoted.Outcome)), promoted.Service, promoted.Image)
	}
	total.Outcome = matrix.CommonOutcome(outcomes)
	return total, err
}
