package deploy

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
)

// announcer records deploys as deployments on GitHub.
type announcer struct {
	run         *app.RunContext
	reporter    release.Reporter
	api         github.API
	environment string // GitHub's name
	production  bool
}

// newAnnouncer returns what records the deploy on GitHub; nil if that is not wanted, or not on GitHub. A deploy of a matrix has an environment of its own on
// GitHub, since a deployment that succeeds makes the others to the same environment inactive, unless that is a production environment.
func newAnnouncer(run *app.RunContext, reporter release.Reporter, settings deploy.Settings, isMatrix bool) deploy.Announcer {
	if !settings.GitHubDeployment || !github.On(run.Process.Getenv) {
		return nil
	}
	name := settings.Environment.String()
	if isMatrix {
		if cluster := cmp.Or(settings.Cluster, settings.Context); cluster != "" {
			name += "/" + cluster
		}
		name += "/" + settings.Release
	}
	return announcer{run, reporter, run.API(settings.GitHubToken), name, settings.Environment == release.DefaultPromotionOrder[len(release.DefaultPromotionOrder)-1]}
}

// stoppedTime is how long a run that is stopped waits for GitHub: the runner kills it after ten seconds.
const stoppedTime = 2 * time.Second

// Begin creates a deployment in progress.
func (a announcer) Begin(ctx context.Context, commit release.Commit, image release.Image) (ended func(deploy.Result, error)) {
	if commit == "" {
		a.reporter.Infof("no deployment is recorded on GitHub, because the commit of the image is not known")
		return func(deploy.Result, error) {}
	}
	id, err := a.api.CreateDeployment(ctx, github.Deployment{Commit: commit, Environment: a.environment, Digest: image.Digest, Production: a.production})
	if err != nil {
		a.warn("the deployment", err)
		return func(deploy.Result, error) {}
	}
	if err := a.api.SetDeployment(ctx, id, github.DeploymentStatus{State: github.DeploymentInProgress, Log: a.run.RunURL()}); err != nil {
		a.warn("the beginning of the deployment", err) // whose end is recorded nevertheless, or it would be pending for ever
	}
	return func(result deploy.Result, failed error) {
		last := context.WithoutCancel(ctx)
		if ctx.Err() != nil {
			limited, cancel := context.WithTimeout(last, stoppedTime)
			defer cancel()
			last = limited
		}
		status := github.DeploymentStatus{State: stateOfDeployment(ctx, failed), Description: a.run.Secrets.CleanLine(describe(result, failed)), URL: a.run.Secrets.CleanLine(result.URL), Log: a.run.RunURL()}
		if err := a.api.SetDeployment(last, id, status); err != nil {
			a.warn("the end of the deployment", err)
			return
		}
		a.reporter.Infof("recorded on GitHub that the deployment to %q is in state %q", a.environment, status.State)
	}
}

// stateOfDeployment is what GitHub calls the end of a deploy. A deploy that was rolled back has failed: the deployment before it stays the active one.
func stateOfDeployment(ctx context.Context, failed error) github.DeploymentState {
	switch {
	case failed == nil:
		return github.DeploymentSuccess
	case ctx.Err() != nil, release.ExitCode(failed) == release.ExitFault:
		return github.DeploymentError
	}
	return github.DeploymentFailure
}

// describe is the end of a deploy in a few words.
func describe(result deploy.Result, failed error) string {
	switch {
	case failed == nil:
		return string(result.Outcome) + " " + result.Image.Digest.Short()
	case result.Code != "":
		return cmp.Or(string(result.Outcome), "failed") + ": " + string(result.Code) + " " + result.Code.Cause().Name
	}
	return cmp.Or(result.State, failed.Error())
}

// warn says what is not recorded.
func (a announcer) warn(what string, err error) {
	if errors.As(err, new(*github.DeniedError)) {
		a.reporter.Warnf("%s to %q is not recorded on GitHub, which answered %v; the job needs permissions: {deployments: write}", what, a.environment, err)
		return
	}
	a.reporter.Warnf("%s to %q is not recorded on GitHub: %v", what, a.environment, err)
}
