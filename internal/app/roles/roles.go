// Package roles assumes the AWS role that a run was given, with its job's identity token. The credentials stay in the process.
package roles

import (
	"context"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/awsx"
	"github.com/onedigest/onedigest/internal/idtoken"
	"github.com/onedigest/onedigest/internal/oidc"
	"github.com/onedigest/onedigest/internal/release"
)

// Credentials returns the credentials of the run's role; nil if it was given none, so that those of the environment are used. The first call
// of a run assumes the role, and returns the refusal if AWS does not let it; all calls share the credentials, which are renewed while the run lasts.
func Credentials(ctx context.Context, run *app.RunContext) (awsx.Credentials, error) {
	if run.Role == nil {
		return nil, nil
	}
	assumed, err := run.Role.Once(func() (any, error) {
		role, err := oidc.New(ctx, oidc.Options{Environ: run.Process.Getenv, Role: run.Role.ARN, Audience: run.Role.Audience, Secrets: run.Secrets, Mask: run.Mask, WorkTree: run.WorkTree()})
		if err != nil {
			return nil, err
		}
		if _, err := role.Retrieve(ctx); err != nil {
			return nil, err
		}
		run.Reporter.Infof("assumed %s with the job's identity token", run.Role.ARN)
		return role, nil
	})
	if err != nil {
		return nil, err
	}
	credentials, _ := assumed.(awsx.Credentials)
	return credentials, nil
}

// Subject returns the subject of the job's identity token. A job without the permission to ask for one is a *release.InputError, and so is a run outside of a job.
func Subject(run *app.RunContext) (string, error) {
	if !idtoken.Allowed(run.Process.Getenv) {
		return "", release.BadInput("the job", "it may not ask for an identity token", "add `id-token: write` to the job's permissions; a pull request from a fork never has it")
	}
	options := oidc.Options{Environ: run.Process.Getenv, Secrets: run.Secrets, Mask: run.Mask}
	if run.Role != nil {
		options.Audience = run.Role.Audience
	}
	return oidc.Subject(options)
}
