package deploy

import (
	"cmp"
	"context"
	"errors"
	"slices"
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
	settings    deploy.Settings
	cluster     string // as records name it
}

// newAnnouncer returns what records the deploy on GitHub, as a deployment, in the organization's linked artifacts or both; nil if that is not wanted, or not on GitHub. A deploy of a matrix has an environment of its own on
// GitHub, since a deployment that succeeds makes the others to the same environment inactive, unless that is a production environment.
func newAnnouncer(run *app.RunContext, reporter release.Reporter, settings deploy.Settings, cluster string, isMatrix bool) deploy.Announcer {
	if !settings.GitHubDeployment && !settings.ArtifactRecord || !github.On(run.Process.Getenv) {
		return nil
	}
	name := settings.Environment.String()
	if isMatrix {
		if cluster := cmp.Or(settings.Cluster, settings.Context); cluster != "" {
			name += "/" + cluster
		}
		name += "/" + settings.Release
	}
	return announcer{run, reporter, run.API(settings.GitHubToken), name, settings.Environment == release.DefaultPromotionOrder[len(release.DefaultPromotionOrder)-1], settings, cluster}
}

// stoppedTime is how long a run that is stopped waits for GitHub: the runner kills it after ten seconds.
const stoppedTime = 2 * time.Second

// Begin creates a deployment in progress; when that has ended well, what runs is recorded.
func (a announcer) Begin(ctx context.Context, commit release.Commit, images []release.BuiltImage) (ended func(deploy.Result, error)) {
	deployed := a.begin(ctx, commit, images[0].Image)
	return func(result deploy.Result, failed error) {
		deployed(result, failed)
		if failed == nil && a.settings.ArtifactRecord {
			a.recordArtifacts(ctx, commit, images)
		}
	}
}

// recordArtifacts records that the release runs its images. What cannot be recorded is one warning.
func (a announcer) recordArtifacts(ctx context.Context, commit release.Commit, images []release.BuiltImage) {
	for i, each := range images {
		record := github.RunningArtifact{Artifact: each.Image.Repository.String(), Digest: each.Image.Digest, Commit: each.Commit, Environment: a.settings.Environment.String(), Region: a.settings.Region,
			Cluster: a.cluster, Name: a.settings.Namespace + "-" + a.settings.Release}
		if i == 0 {
			record.Commit = commit
		}
		if each.Name != "" {
			record.Name += "-" + each.Name
		}
		err := a.api.RecordArtifact(ctx, record)
		if errors.As(err, new(*github.DeniedError)) {
			a.reporter.Warnf("what %q runs could not be recorded in the organization's linked artifacts: GitHub answered %v; only repositories of an organization have them, and the job needs permissions: {artifact-metadata: write}", a.environment, err)
			return
		}
		if err != nil {
			a.reporter.Warnf("what %q runs is not in the organization's linked artifacts: %v", a.environment, err)
			return
		}
		a.reporter.Infof("recorded in the organization's linked artifacts that %q runs %s", a.environment, each.Image.Digest.Short())
	}
}

// begin creates a deployment in progress, if that is wanted.
func (a announcer) begin(ctx context.Context, commit release.Commit, image release.Image) (ended func(deploy.Result, error)) {
	if !a.settings.GitHubDeployment {
		return func(deploy.Result, error) {}
	}
	if commit == "" {
		a.reporter.Infof("no deployment is recorded on GitHub, because the commit of the image is not known")
		return func(deploy.Result, error) {}
	}
	recorded := Record(ctx, a.run, a.reporter, a.api, github.Deployment{Commit: commit, Environment: a.environment, Digest: image.Digest, Production: a.production})
	return func(result deploy.Result, failed error) {
		recorded(github.DeploymentStatus{Description: describe(result, failed), URL: result.URL}, failed)
	}
}

// Failed gives the newest deployment of a commit and a digest the status failure, so that GitHub does not show as a success what smoke has failed since. Another
// service's deployment of the commit has another digest.
func (a announcer) Failed(ctx context.Context, commit release.Commit, digest release.Digest, why string) {
	if !a.settings.GitHubDeployment {
		return
	}
	all, err := a.api.Deployments(ctx, a.environment, commit)
	own := slices.IndexFunc(all, func(each github.RecordedDeployment) bool { return each.Digest == digest })
	if err == nil && own >= 0 {
		err = a.api.SetDeployment(ctx, all[own].ID, github.DeploymentStatus{State: github.DeploymentFailure, Description: a.run.Secrets.CleanLine(why), Log: a.run.RunURL()})
	}
	switch {
	case err != nil:
		WarnUnrecorded(a.reporter, "the failure of the deployment", a.environment, err)
	case own >= 0:
		a.reporter.Infof("recorded on GitHub that the deployment to %q is in state %q", a.environment, github.DeploymentFailure)
	}
}

// Record creates a deployment in progress on GitHub; the caller then calls ended once, which sets its last status. A status without a state gets the one
// that follows from why the deploy failed. What cannot be recorded is a warning.
func Record(ctx context.Context, run *app.RunContext, reporter release.Reporter, api github.API, deployment github.Deployment) (ended func(status github.DeploymentStatus, failed error)) {
	id, err := api.CreateDeployment(ctx, deployment)
	if err != nil {
		WarnUnrecorded(reporter, "the deployment", deployment.Environment, err)
		return func(github.DeploymentStatus, error) {}
	}
	if err := api.SetDeployment(ctx, id, github.DeploymentStatus{State: github.DeploymentInProgress, Log: run.RunURL()}); err != nil {
		WarnUnrecorded(reporter, "the beginning of the deployment", deployment.Environment, err) // its end is still recorded, or GitHub would show it as pending forever
	}
	return func(status github.DeploymentStatus, failed error) {
		last := context.WithoutCancel(ctx)
		if ctx.Err() != nil {
			limited, cancel := context.WithTimeout(last, stoppedTime)
			defer cancel()
			last = limited
		}
		status.State = cmp.Or(status.State, stateOfDeployment(ctx, failed))
		status.Description, status.URL, status.Log = run.Secrets.CleanLine(status.Description), run.Secrets.CleanLine(status.URL), run.RunURL()
		if err := api.SetDeployment(last, id, status); err != nil {
			WarnUnrecorded(reporter, "the end of the deployment", deployment.Environment, err)
			return
		}
		reporter.Infof("recorded on GitHub that the deployment to %q is in state %q", deployment.Environment, status.State)
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

// WarnUnrecorded warns that GitHub did not record what (such as "the end of the deployment"), and names the permission that the job lacks if GitHub denied it.
func WarnUnrecorded(reporter release.Reporter, what, environment string, err error) {
	if errors.As(err, new(*github.DeniedError)) {
		reporter.Warnf("%s to %q is not recorded on GitHub, which answered %v; the job needs permissions: {deployments: write}", what, environment, err)
		return
	}
	reporter.Warnf("%s to %q is not recorded on GitHub: %v", what, environment, err)
}
