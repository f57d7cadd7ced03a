// Package preview wires the preview verb: deploy with all its adapters, and what removes a release with its namespace.
package preview

import (
	"context"
	"errors"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/clusters"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	"github.com/onedigest/onedigest/internal/app/hooks"
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
			about := commentOn(s, s.Release, s.PullRequest)
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
func commentOn(s *preview.Settings, name string, pull int) app.Comment {
	return app.Comment{Wanted: true, Token: s.GitHubToken, Of: []string{name}, Repository: s.Repository, Pull: pull}
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
	settings.SmokeChecks = appdeploy.SmokeChecksOf(run, settings.SmokeChecks)
	cluster, config, err := clusters.Connect(ctx, run, settings.ClusterRef)
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
			return client.Collecting(run.Secrets).UninstallWith(ctx, name, helm.UninstallOptions{NoHooks: settings.NoHooks, Explain: hooks.Explain(cluster, namespace, run.Reporter)})
		}),
		Deploy: func(ctx context.Context, s deploy.Settings) (deploy.Result, error) {
			return appdeploy.Run(ctx, &s, run)
		},
		CheckDeploy: func(ctx context.Context, s deploy.Settings) error {
			return appdeploy.CheckFiles(ctx, []deploy.Settings{s}, run)
		},
		Holder: run.Holder(), Reporter: run.Reporter, Now: run.Process.Now,
	}
	if run.InJob() && (settings.GitHubDeployment || settings.Comment) {
		deps.Announcer = newAnnouncer(run, settings)
	}
	return preview.Run(ctx, *settings, deps)
}

// releases uninstalls releases.
type releases func(ctx context.Context, namespace, name string) error

// Uninstall uninstalls a release.
func (r releases) Uninstall(ctx context.Context, namespace, name string) error {
	return r(ctx, namespace, name)
}

// announcer tells GitHub of previews.
type announcer struct {
	run      *app.RunContext
	settings *preview.Settings
	api      github.API // of the previews' repository, which need not be the run's
}

func newAnnouncer(run *app.RunContext, settings *preview.Settings) announcer {
	api := run.API(settings.GitHubToken)
	api.Repository = settings.Repository
	return announcer{run, settings, api}
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
	ended := appdeploy.Record(ctx, a.run, a.run.Reporter, a.api, github.Deployment{Commit: a.settings.Commit, Environment: p.Namespace(), Digest: image.Digest, Transient: true})
	return func(result deploy.Result, failed error) {
		status := github.DeploymentStatus{Description: "until " + p.Expires.UTC().Format(time.RFC3339), URL: result.URL}
		switch {
		case failed != nil:
			status.Description = failed.Error()
		case result.Outcome == release.Superseded: // the deployment before it stays the active one
			status.State, status.Description = github.DeploymentInactive, string(result.Outcome)
		}
		ended(status, failed)
	}
}

// Removed makes the preview's deployments inactive, and says in the comment that the preview is gone, if there is a comment.
func (a announcer) Removed(ctx context.Context, p release.Preview) {
	if a.settings.GitHubDeployment {
		recorded, err := a.api.Deployments(ctx, p.Namespace(), "")
		for _, each := range recorded {
			err = errors.Join(err, a.api.SetDeployment(ctx, each.ID, github.DeploymentStatus{State: github.DeploymentInactive, Log: a.run.RunURL()}))
		}
		if err != nil {
			appdeploy.WarnUnrecorded(a.run.Reporter, "the end of the deployment", p.Namespace(), err)
		}
	}
	if a.settings.Comment {
		about := commentOn(a.settings, p.Release, p.PullRequest)
		about.Existing = true
		a.run.CommentOn(ctx, about, removedPage(p))
	}
}
