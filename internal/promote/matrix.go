package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// serviceResult is the result of one service, with what remains to be done once every service has its tags.
type serviceResult struct {
	Result
	promotions []promotion
}

// RunMatrix promotes the images of a matrix's services. The proof and the tags of all services are read before the first tag is written: if one
// service is refused, none is promoted. The tags are then written, some at once; a write that fails does not keep the other services from
// getting theirs, but no moving tag is moved then. A moving tag that cannot be moved does not keep those of other services from being moved, and is the
// error of its service.
func RunMatrix(ctx context.Context, content []byte, given Settings, deps Deps) (Result, error) {
	type prepared struct {
		promotions []promotion
		deps       Deps
	}
	services, err := matrix.RunEach(ctx, content, given.Options, deps.Reporter, matrix.Each[Settings, prepared, serviceResult]{
		Verb: MatrixVerb, Jobs: "promotions",
		Prepare: func(ctx context.Context, settings Settings, reporter release.Reporter) (prepared, error) {
			own := deps
			own.Reporter = reporter
			promotions, err := prepareAll(ctx, settings, own)
			return prepared{promotions, own}, err
		},
		Run: func(ctx context.Context, _ Settings, job prepared) (serviceResult, error) {
			if given.DryRun {
				return serviceResult{Result: planned(job.promotions, job.deps)}, nil
			}
			err := writeTags(ctx, job.promotions, job.deps)
			return serviceResult{newResult(job.promotions), job.promotions}, err
		},
		Label: func(result *serviceResult, part matrix.Part) { result.Part = part },
	})
	if err == nil {
		err = moveAllTags(ctx, services, deps)
	}
	total := Result{Promoted: Promoted{From: given.From, To: given.To}}
	outcomes := make([]release.Outcome, len(services))
	for i, promoted := range services {
		total.Services = append(total.Services, promoted.Result)
		outcomes[i] = promoted.Outcome
		deps.Reporter.Infof("%-12s %s  %s", promoted.State(string(promoted.Outcome)), promoted.Service, promoted.Image)
	}
	total.Outcome = matrix.CommonOutcome(outcomes)
	return total, err
}

// moveAllTags moves the moving tags of all services, and writes a failure into the service's result.
func moveAllTags(ctx context.Context, services []serviceResult, deps Deps) error {
	var failures error
	var moved, failed []string
	for i := range services {
		service := &services[i]
		err := moveTags(ctx, service.promotions, deps)
		switch {
		case err != nil:
			service.Error = err.Error()
			failures, failed = errors.Join(failures, &matrix.JobError{Title: service.Service, Err: err}), append(failed, service.Service)
		case slices.ContainsFunc(service.promotions, func(p promotion) bool { return p.settings.MovingTag != "" }):
			moved = append(moved, service.Service)
		}
	}
	if failures == nil {
		return nil
	}
	if len(moved) > 0 {
		deps.Reporter.Warnf("the moving tags name the promoted images of %s, and not those of %s", strings.Join(moved, ", "), strings.Join(failed, ", "))
	}
	return &release.JobsError{Err: failures, Succeeded: true}
}
