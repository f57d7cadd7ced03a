package smoke

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// loadChecks loads the checks and validates the URL, and reports the problems of both at once.
func loadChecks(settings Settings, deps Deps) ([]release.Check, error) {
	checks, err := deps.Checks.Load(settings.Checks)
	if settings.URL == "" {
		return checks, err
	}
	if badURL := deps.Prober.CheckURL(settings.URL); badURL != nil {
		err = errors.Join(err, release.BadSetting("url", badURL.Error(), ""))
	}
	return checks, err
}

// expectImageCommit expects the commit that the image is labelled with, and refuses an image that is labelled with another
// commit than the one expected, or with none.
func expectImageCommit(ctx context.Context, settings Settings, deps Deps) (Settings, error) {
	if settings.Image.IsZero() {
		return settings, nil
	}
	tagged, found, err := deps.Registry.Describe(ctx, settings.Image)
	if err != nil {
		return settings, err
	}
	if !found {
		return settings, &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry", settings.Image), Do: "push the image first; its verdict is recorded beside it"}
	}
	commit, err := release.ParseCommit(tagged.Revision)
	switch {
	case err != nil:
		return settings, &release.Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, which is no commit", settings.Image, tagged.Revision),
			Do: "build the image from a clean work tree; an image that belongs to no commit cannot be proved"}
	case settings.ExpectCommit != "" && settings.ExpectCommit != commit:
		return settings, &release.Refusal{Why: fmt.Sprintf("image %q was built from commit %s, not from %s", settings.Image, commit, settings.ExpectCommit)}
	}
	settings.ExpectCommit = commit
	return settings, nil
}

// findURL is the URL that was given or the external address of the release, which it waits for.
func findURL(ctx context.Context, settings Settings, deps Deps) (string, error) {
	if settings.URL != "" {
		return settings.URL, nil
	}
	address, err := deps.Cluster.Address(ctx, settings.Namespace, settings.Release, settings.Address, func(line string) { deps.Reporter.Infof("%s", line) })
	if err != nil {
		return "", err
	}
	if address == "" {
		return "", &release.Failure{What: fmt.Sprintf("the Service of release %q has no external address", settings.Release), Do: "say with --address where it is served"}
	}
	return address, nil
}

// contents is what the pods are compared by.
type contents struct {
	Registry
	Cluster
}

// confirmPods lists the pods that run the image, and fails unless every pod that is meant to runs it, and at least one does. Without
// an image it does nothing. Ready reports whether one of them is ready.
func confirmPods(ctx context.Context, settings Settings, deps Deps) (pods []string, ready bool, err error) {
	if settings.Image.IsZero() {
		return nil, false, nil
	}
	running, err := deps.Cluster.Running(ctx, settings.Namespace, settings.Release, settings.Image)
	if err != nil {
		return nil, false, err
	}
	proof, err := running.Prove(ctx, settings.Image, contents{deps.Registry, deps.Cluster})
	if err != nil {
		return nil, false, err
	}
	problems := proof.Problems
	if len(problems) == 0 && len(proof.Pods) == 0 {
		problems = append([]string{fmt.Sprintf("no pod of release %q runs %s", settings.Release, settings.Image.Digest)}, proof.Notes...)
	}
	if len(problems) > 0 {
		return nil, false, &release.Failure{What: strings.Join(problems, "; "), Do: "deploy the image first, or wait until its rollout has finished"}
	}
	for _, note := range proof.Notes {
		deps.Reporter.Infof("%s", note)
	}
	return proof.Pods, slices.ContainsFunc(running.Workloads, hasReadyPod), nil
}
