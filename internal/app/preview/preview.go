// Package preview wires the preview verb: deploy with all its adapters, and what removes a release with its namespace.
package preview

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/git"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/helm"
	"github.com/onedigest/onedigest/internal/kube/lease"
	"github.com/onedigest/onedigest/internal/kube/previews"
	"github.com/onedigest/onedigest/internal/preview"
	"github.com/onedigest/onedigest/internal/release"
)

// Command is the preview verb as a program.
func Command() app.Command {
	command := app.NewCommand(app.Wiring[preview.Settings, preview.Result]{
		Verb: preview.Verb, Declare: (*preview.Settings).Declare, ResolveCommit: git.ResolveCommit, Run: Run, Page: Page,
		Comment: func(s *preview.Settings, _ preview.Result) app.Comment {
			about := commentOn(s.GitHubToken, s.Release, s.PullRequest)
			about.Wanted = s.Comment && s.Mode == preview.Open
			return about
		},
		Outputs: func(r preview.Result) map[string]string {
			return map[string]string{"url": r.URL, "namespace": r.Namespace, "outcome": string(r.Outcome), "expires": expires(r), "removed": app.JSONOf(r.Removed)}
		},
	})
	command.Child = appdeploy.Command().Child
	return command
}

// commentOn is the comment of a preview: the release's, with a part for the preview.
func commentOn(token, name string, pull int) app.Comment {
	return app.Comment{Wanted: true, Token: token, Of: []string{name}, Pull: pull}
}

func expires(r preview.Result) string {
	if r.Expires.IsZero() {
		return ""
	}
	return r.Expires.Format(time.RFC3339)
}

// Run runs the verb with its adapters.
func Run(ctx context.Context, settings *preview.Settings, run *app.RunContext) (preview.Result, error) {
	run.Mask(settings.GitHubToken)
	_, config, err := clusters.Connect(ctx, run, settings.ClusterRef)
	if err != nil {
		return preview.Result{}, err
	}
	namespaces, err := previews.NewForConfig(config)
	if err != nil {
		return preview.Result{}, err
	}
	leases, err := lease.NewForConfig(config)
	if err != nil {
		return preview.Result{}, err
	}
	deps := preview.Deps{
		Namespaces: namespaces, Leases: leases, Releases: releases(func(ctx context.Context, namespace, name string) error {
			client, err := helm.New(config, namespace, run.Reporter.Raw)
			if err != nil {
				return err
			}
			return client.Collecting(run.Secrets).Uninstall(ctx, name)
		}),
		Deploy: func(ctx context.Context, s deploy.Settings) (deploy.Result, error) {
			return appdeploy.Run(ctx, &s, run)
		},
		CheckDeploy: func(ctx context.Context, s deploy.Settings) error {
			return appdeploy.CheckFiles(ctx, []deploy.Settings{s}, run)
		},
		Holder: holder(run), Reporter: run.Reporter, Now: run.Process.Now,
	}
	if run.InJob() && (settings.GitHubDeployment || settings.Comment) {
		deps.Announcer = announcer{run, settings, run.API(settings.GitHubToken)}
	}
	return preview.Run(ctx, *settings, deps)
}

// releases uninstalls releases.
type releases func(ctx context.Context, namespace, name string) error

// Uninstall uninstalls a release.
func (r releases) Uninstall(ctx context.Context, namespace, name string) error {
	return r(ctx, namespace, name)
}

// holder is this run, as its Lease names it.
func holder(run *app.RunContext) release.Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return release.Holder{Run: fmt.Sprintf("%s/%d/%d", host, os.Getpid(), run.Process.Now().UnixNano()), URL: run.RunURL(), Actor: run.Actor()}
}

// announcer tells GitHub of previews.
type announcer struct {
	run      *app.RunContext
	settings *preview.Settings
	api      github.API
}

// Begin creates a deployment to a transient environment, which has the namespace's name.
func (a announcer) Begin(ctx context.Context, p release.Preview, image release.Image) func(deploy.Result, error) {
	nothing := func(deploy.Result, error) {}
	switch {
	case !a.settings.GitHubDeployment:
		return nothing
	case a.settings.Commit == "":
		a.run.Reporter.Infof("no deployment is recorded on GitHub, because commit is not given")
		return nothing
	}
	id, err := a.api.CreateDeployment(ctx, github.Deployment{Commit: a.settings.Commit, Environment: p.Namespace(), Digest: image.Digest, Transient: true})
	if err != nil {
		a.warn("the deployment", p, err)
		return nothing
	}
	if err := a.api.SetDeployment(ctx, id, github.DeploymentStatus{State: github.DeploymentInProgress, Log: a.run.RunURL()}); err != nil {
		a.warn("the beginning of the deployment", p, err)
	}
	return func(result deploy.Result, failed error) {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stoppedTime)
		defer cancel()
		status := github.DeploymentStatus{State: github.DeploymentSuccess, Description: "until " + p.Expires.UTC().Format(time.RFC3339), URL: a.run.Secrets.CleanLine(result.URL), Log: a.run.RunURL()}
		switch {
		case failed == nil:
		case ctx.Err() != nil, release.ExitCode(failed) == release.ExitFault:
			status.State, status.Description = github.DeploymentError, a.run.Secrets.CleanLine(failed.Error())
		default:
			status.State, status.Description = github.DeploymentFailure, a.run.Secrets.CleanLine(failed.Error())
		}
		if err := a.api.SetDeployment(last, id, status); err != nil {
			a.warn("the end of the deployment", p, err)
		}
	}
}

// stoppedTime is how long a run that is stopped waits for GitHub: the runner kills it after ten seconds.
const stoppedTime = 5 * time.Second

// Removed makes the preview's deployments inactive, and says in the comment that the preview is gone, if there is a comment.
func (a announcer) Removed(ctx context.Context, p release.Preview) {
	if a.settings.GitHubDeployment {
		ids, err := a.api.Deployments(ctx, p.Namespace())
		for _, id := range ids {
			err = errors.Join(err, a.api.SetDeployment(ctx, id, github.DeploymentStatus{State: github.DeploymentInactive, Log: a.run.RunURL()}))
		}
		if err != nil {
			a.warn("the end of the preview", p, err)
		}
	}
	if a.settings.Comment {
		about := commentOn(a.settings.GitHubToken, p.Release, p.PullRequest)
		about.Existing = true
		a.run.CommentOn(ctx, about, removedPage(p))
	}
}

func (a announcer) warn(what string, p release.Preview, err error) {
	if errors.As(err, new(*github.DeniedError)) {
		a.run.Reporter.Warnf("%s %q is not recorded on GitHub, which answered %v; the job needs permissions: {deployments: write}", what, p.Namespace(), err)
		return
	}
	a.run.Reporter.Warnf("%s %q is not recorded on GitHub: %v", what, p.Namespace(), err)
}
