package entry

import (
	"context"
	"strconv"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/helm"
)

// Deploy is the deploy verb as a command.
func Deploy(ctx context.Context, process Process) int {
	return perform(ctx, process, verb[*deploy.Settings, deploy.Result]{
		about: deploy.Verb, settings: new(deploy.Settings), run: runDeploy,
		outputs: func(r deploy.Result) map[string]string {
			return map[string]string{"url": r.URL, "revision": strconv.Itoa(r.Revision), "outcome": string(r.Outcome), "digest": r.Digest.String()}
		},
		summary: func(r deploy.Result) []row {
			return []row{{"outcome", string(r.Outcome)}, {"environment", r.Environment.String()}, {"release", r.Release},
				{"revision", strconv.Itoa(r.Revision)}, {"digest", r.Digest.String()}, {"commit", r.Commit.String()}, {"url", r.URL}}
		},
	})
}

func runDeploy(ctx context.Context, settings *deploy.Settings, desk *desk) (deploy.Result, error) {
	watch, config, err := connect(desk, settings.Kubeconfig, settings.Context)
	if err != nil {
		return deploy.Result{}, err
	}
	chart, err := helm.New(config, settings.Namespace, func(line string) { desk.account.Untrusted(line) })
	if err != nil {
		return deploy.Result{}, err
	}
	images, err := newImages(ctx, desk)
	if err != nil {
		return deploy.Result{}, err
	}
	return deploy.Run(ctx, *settings, deploy.World{
		Workspace: newWorkspace(desk.process), Registry: images, Chart: chart, Cluster: watch, Account: desk.account,
		RunURL: desk.runURL(), Actor: desk.actor(),
	})
}
