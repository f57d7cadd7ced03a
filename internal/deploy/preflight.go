package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
)

// request is one deploy with its inputs checked. Its steps do not change it: they return what they found or did.
type request struct {
	Deps
	settings   Settings
	deployment release.Deployment
	address    release.Address
	lease      release.Lease // nil until it is acquired
}

// result is the result of a deploy that has not done anything.
func (r request) result() Result {
	return Result{Environment: r.settings.Environment, Release: r.settings.Release, Namespace: r.settings.Namespace,
		Image: r.settings.Image, Commit: r.deployment.Commit}
}

// preflight checks the paths, the chart, the smoke checks, the image and the access to the cluster, and changes nothing. The
// request is filled as far as the checks came.
func preflight(ctx context.Context, settings Settings, deps Deps) (request, error) {
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	r, err := resolvePaths(settings, deps)
	if err != nil {
		return r, err
	}
	if err := errors.Join(r.Chart.Check(r.deployment), r.checkSmokeChecks()); err != nil {
		return r, err
	}
	if r.address, err = r.resolveAddress(); err != nil {
		return r, err
	}
	labelled, err := r.checkImage(ctx)
	if err != nil {
		return r, err
	}
	commit := cmp.Or(labelled, settings.Commit)
	r.deployment.Commit, r.deployment.ImageCommit, r.Holder.Commit = commit, labelled, commit
	return r, r.checkAccess(ctx)
}

// checkAccess refuses a cluster that does not answer or does not permit the deploy, and warns which features a missing
// optional permission disables.
func (r request) checkAccess(ctx context.Context) error {
	limits, err := r.Cluster.Check(ctx, r.settings.Namespace, r.settings.CreateNamespace)
	if err != nil {
		return err
	}
	kinds, err := r.Chart.AppliedKinds(ctx, r.deployment)
	if err != nil {
		return err
	}
	more, err := r.Cluster.CheckKinds(ctx, r.settings.Namespace, kinds)
	for _, limit := range append(limits, more...) {
		r.Reporter.Warnf("%s", limit)
	}
	return err
}

// resolvePaths makes the chart's path and those of the values files absolute, and reports all that are unusable together.
func resolvePaths(settings Settings, deps Deps) (request, error) {
	var problems []release.Problem
	resolve := func(setting, path string) string {
		absolute, err := deps.Workspace.Inside(path)
		if err != nil {
			problems = append(problems, release.Problem{Setting: setting, What: err.Error(), Do: "name a path inside the work tree"})
		}
		return absolute
	}
	resolveAll := func(setting string, paths []string) (absolute []string) {
		for _, path := range paths {
			absolute = append(absolute, resolve(setting, path))
		}
		return absolute
	}
	deployment := release.Deployment{
		Name: settings.Release, Namespace: settings.Namespace, Environment: settings.Environment, Image: settings.Image, Commit: settings.Commit,
		Chart: resolve("chart", settings.Chart), ValuesFiles: resolveAll("values", settings.Values),
		Set: settings.Set, SetJSON: settings.SetJSON, ApplyCRDs: settings.ApplyCRDs, RunURL: deps.Holder.URL, Actor: deps.Holder.Actor,
	}
	settings.CompareValues = resolveAll("compare-values", settings.CompareValues)
	r := request{Deps: deps, settings: settings, deployment: deployment}
	if len(problems) > 0 {
		return r, &release.InputError{Problems: problems}
	}
	return r, nil
}

func (r request) checkSmokeChecks() error {
	if r.settings.SmokeChecks == "" {
		return nil
	}
	return r.Smoker.Check(r.settings.checksFile())
}

// checkImage refuses an image that is not in its registry, or that is labelled with another commit than the one given. It
// returns the commit that the image is labelled with, "" if it is none.
func (r request) checkImage(ctx context.Context) (release.Commit, error) {
	info, found, err := r.Registry.Describe(ctx, r.settings.Image)
	if err != nil {
		return "", err
	}
	if !found {
		return "", &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry", r.settings.Image), Do: "build it first, or check the repository"}
	}
	if r.settings.Commit != "" && info.Revision != "" && info.Revision != r.settings.Commit.String() {
		return "", &release.Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, not with commit %s", r.settings.Image, info.Revision, r.settings.Commit)}
	}
	commit, err := release.ParseCommit(info.Revision)
	if err != nil {
		return "", nil
	}
	return commit, nil
}
