package helm

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/history"
	"github.com/onedigest/onedigest/internal/helm/plan"
	"github.com/onedigest/onedigest/internal/release"
	helmchart "helm.sh/helm/v3/pkg/chart"
)

// Plan finds out what Deploy would do, and what the cluster would refuse, without changing anything: it sends every object as a
// dry run. It logs what the cluster could not validate.
//
// The errors are those of Check, and a *release.Fault if the cluster does not answer. A refusal by the cluster is a problem of
// the plan, not an error.
func (c *Client) Plan(ctx context.Context, deployment release.Deployment) (release.Plan, error) {
	loaded, err := c.charts.Get(deployment)
	if err != nil {
		return release.Plan{}, err
	}
	c.authors.remember(deployment)
	s, err := c.open(ctx)
	if err != nil {
		return release.Plan{}, err
	}
	defer s.close()
	state, err := s.store.State(ctx, deployment.Name)
	if err != nil {
		return release.Plan{}, err
	}
	if newest := state.Newest(); newest != nil && history.InProgress(newest.Info.Status) {
		c.log(fmt.Sprintf("WARNING: release %q is %s (revision %d): the plan may be out of date", deployment.Name, newest.Info.Status, newest.Version))
	}
	rendered, err := s.render(deployment, loaded, state)
	if err != nil {
		return release.Plan{}, failure.Classify(ctx, err, "rendering release %q", deployment.Name)
	}
	asked := s.hiddenLookups.Load()
	if err := waitForAnotherSecond(ctx, loaded.Chart); err != nil {
		return release.Plan{}, err
	}
	again, err := s.renderUncached(deployment, loaded, state) // shows which fields differ each time
	if err != nil {
		return release.Plan{}, failure.Classify(ctx, err, "rendering release %q", deployment.Name)
	}
	s.beginChange(deployment.Name, state, nil)
	planned, err := plan.Make(ctx, plan.Request{Deployment: deployment, Chart: loaded, Rendered: rendered, Rerendered: again, State: state, Release: s.kube.Release, Log: c.log})
	if err != nil {
		return release.Plan{}, failure.Classify(ctx, err, "planning the deploy of release %q in namespace %q", deployment.Name, deployment.Namespace)
	}
	planned.Basis.Server = c.connection.config.Host
	c.planned.Store(releaseKey(deployment), &plannedRendering{rendered: rendered, revision: state.NextRevision(), install: state.Install})
	if asked > 0 {
		planned.Basis.NotKeepable = "the chart's templates look Secrets up, and a dry run reads none"
		planned.Notes = append(planned.Notes, fmt.Sprintf("the chart's templates looked Secrets up (%d requests) and found none, because a dry run reads none: the deploy may render something else (--lookup-secrets reads them)", asked))
	}
	return planned, nil
}

// CheckChangeable refuses a deploy that would change a field which the cluster does not allow to change, also of an object that it would adopt, before anything is changed. The error is a
// *release.Failure with all such fields; otherwise those of Check, and a *release.Fault if the cluster does not answer.
func (c *Client) CheckChangeable(ctx context.Context, deployment release.Deployment) error {
	loaded, err := c.charts.Get(deployment)
	if err != nil {
		return err
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	state, err := s.store.State(ctx, deployment.Name)
	if err != nil {
		return err
	}
	rendered, err := s.render(deployment, loaded, state)
	if err != nil {
		return failure.Classify(ctx, err, "rendering release %q", deployment.Name)
	}
	s.beginChange(deployment.Name, state, nil)
	problems, err := plan.Impossible(plan.Request{Deployment: deployment, Rendered: rendered, State: state, Release: s.kube.Release})
	if err != nil {
		return failure.Classify(ctx, err, "comparing release %q in namespace %q with the cluster", deployment.Name, deployment.Namespace)
	}
	if len(problems) == 0 {
		return nil
	}
	return failure.Unchangeable(deployment.Name, problems)
}

// waitForAnotherSecond waits for the clock's next second if a chart's templates may read the clock, so that two renderings differ by it.
func waitForAnotherSecond(ctx context.Context, c *helmchart.Chart) error {
	if !readsClock(c) {
		return nil
	}
	now := time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(now.Truncate(time.Second).Add(time.Second).Sub(now)):
		return nil
	}
}

// clock matches the name of Sprig's function for the present time.
var clock = regexp.MustCompile(`\bnow\b`)

// readsClock reports whether a template of a chart or of its subcharts may read the clock.
func readsClock(c *helmchart.Chart) bool {
	return slices.ContainsFunc(c.Templates, func(template *helmchart.File) bool { return clock.Match(template.Data) }) ||
		slices.ContainsFunc(c.Dependencies(), readsClock)
}

// plannedRendering is a plan's rendered objects, with the revision that they are for.
type plannedRendering struct {
	rendered *chart.Rendered
	revision int
	install  bool
}

func releaseKey(deployment release.Deployment) [2]string {
	return [2]string{deployment.Namespace, deployment.Name}
}

// renderAsPlanned returns the objects that the last plan of a release rendered, so that exactly these are applied. If the release has got another
// revision since, the error is a *release.Refusal.
func (s *session) renderAsPlanned(deployment release.Deployment, state history.State) (*chart.Rendered, error) {
	found, _ := s.client.planned.LoadAndDelete(releaseKey(deployment))
	planned, _ := found.(*plannedRendering)
	if planned == nil || planned.revision != state.NextRevision() || planned.install != state.Install {
		return nil, &release.Refusal{Why: fmt.Sprintf("release %q in namespace %q got a new revision after the plan was compared", deployment.Name, deployment.Namespace), Do: "make a new plan"}
	}
	return planned.rendered, nil
}
