// Package deploy is the verb that brings an image to an environment and watches it become ready.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// World is what deploy needs of everything around it.
type World struct {
	Workspace Workspace
	Registry  Registry
	Chart     Chart
	Cluster   Cluster
	Account   release.Account
	RunURL    string
	Actor     string
}

// Workspace is the part of the disk that the verb may read.
type Workspace interface {
	// Inside makes a path absolute, symbolic links resolved, and refuses one outside the work tree.
	Inside(path string) (string, error)
}

// Registry holds the images.
type Registry interface {
	// Describe reads what an image is labelled with.
	Describe(ctx context.Context, image release.Image) (release.Tagged, bool, error)
}

// Chart renders and applies a release.
type Chart interface {
	// Check finds everything wrong with the chart, its values and their fit, without the cluster.
	Check(deployment release.Deployment) error
	// Deploy installs or upgrades and does not wait.
	Deploy(ctx context.Context, deployment release.Deployment) (release.Deployed, error)
}

// Cluster is where the release runs.
type Cluster interface {
	// Check finds out whether the cluster answers and lets us deploy, before anything changes.
	Check(ctx context.Context, namespace string, create bool) error
	// Watch returns when every object is ready, or with the reason why one will not be.
	Watch(ctx context.Context, namespace string, objects []release.Object, report func(release.RolloutStep)) error
	// Address waits for the release's external address; "" if its Service has none by design.
	Address(ctx context.Context, namespace, name string, report func(string)) (string, error)
	// Images is what the kubelet says the release's pods run.
	Images(ctx context.Context, namespace, name string) ([]release.PodImage, error)
}

// Result is what deploy did.
type Result struct {
	Outcome     release.Outcome     `json:"outcome"`
	Environment release.Environment `json:"environment"`
	Release     string              `json:"release"`
	Namespace   string              `json:"namespace"`
	Revision    int                 `json:"revision"`
	URL         string              `json:"url"`
	Image       release.Image       `json:"image"`
	Digest      release.Digest      `json:"digest"`
	Commit      release.Commit      `json:"commit,omitempty"`
	Pods        []string            `json:"pods"`
	Seconds     float64             `json:"readySeconds"`
}

// Run brings the image to the environment: everything is checked before anything changes, the rollout is watched until
// it is ready, and the digest in the result is the one that the pods report.
func Run(ctx context.Context, settings Settings, world World) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	deployment, err := prepare(ctx, settings, world)
	if err != nil {
		return Result{}, err
	}
	began := time.Now()
	deployed, err := world.Chart.Deploy(ctx, deployment)
	if err != nil {
		return Result{}, err
	}
	tellApplied(world.Account, deployment, deployed)
	if err := world.Cluster.Watch(ctx, deployment.Namespace, deployed.Objects, reporter(world.Account)); err != nil {
		tellDiagnosis(world.Account, err)
		return resultOf(deployment, deployed), err
	}
	result := resultOf(deployment, deployed)
	result.Seconds = time.Since(began).Seconds()
	world.Account.Say("ready after %.1f s", result.Seconds)
	result.URL, err = world.Cluster.Address(ctx, deployment.Namespace, deployment.Name, func(line string) { world.Account.Say("%s", line) })
	if err != nil {
		return result, err
	}
	return prove(ctx, result, world)
}

func prepare(ctx context.Context, settings Settings, world World) (release.Deployment, error) {
	deployment := release.Deployment{
		Name: settings.Release, Namespace: settings.Namespace, Environment: settings.Environment,
		Image: settings.Image, Commit: settings.Commit, Set: settings.Set,
		RunURL: world.RunURL, Actor: world.Actor, CreateNamespace: settings.CreateNamespace,
	}
	if err := locate(&deployment, settings, world.Workspace); err != nil {
		return deployment, err
	}
	if err := world.Chart.Check(deployment); err != nil {
		return deployment, err
	}
	if err := identify(ctx, &deployment, world); err != nil {
		return deployment, err
	}
	return deployment, world.Cluster.Check(ctx, deployment.Namespace, settings.CreateNamespace)
}

// locate resolves the chart and the values files, and tells all that cannot be used at once.
func locate(deployment *release.Deployment, settings Settings, workspace Workspace) error {
	var problems []release.Problem
	inside := func(where, path string) string {
		found, err := workspace.Inside(path)
		if err != nil {
			problems = append(problems, release.Problem{Where: where, What: err.Error(), Do: "name a path inside the work tree"})
		}
		return found
	}
	deployment.Chart = inside("--chart (INPUT_CHART)", settings.Chart)
	for _, file := range settings.Values {
		deployment.ValuesFiles = append(deployment.ValuesFiles, inside("--values (INPUT_VALUES)", file))
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// identify asks the registry for the image before the cluster is told to pull it, and for the commit it was built from.
func identify(ctx context.Context, deployment *release.Deployment, world World) error {
	tagged, found, err := world.Registry.Describe(ctx, deployment.Image)
	if err != nil {
		return err
	}
	if !found {
		return &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry", deployment.Image), Do: "build it first, or check the repository"}
	}
	if deployment.Commit != "" && tagged.Revision != "" && tagged.Revision != deployment.Commit.String() {
		return &release.Refusal{Why: fmt.Sprintf("image %q is labelled with revision %q, not with commit %s", deployment.Image, tagged.Revision, deployment.Commit)}
	}
	if commit, err := release.ParseCommit(tagged.Revision); err == nil {
		deployment.Commit = commit
	}
	return nil
}

// prove holds the digest that was asked for against what the kubelet says that the pods run.
func prove(ctx context.Context, result Result, world World) (Result, error) {
	images, err := world.Cluster.Images(ctx, result.Namespace, result.Release)
	if err != nil {
		return result, err
	}
	pods, others := release.Running(images, result.Image.Digest)
	if len(others) > 0 {
		return result, &release.Failure{What: fmt.Sprintf("pod %q of %q runs %s, not %s", others[0].Pod, result.Release, others[0].Digest, result.Image.Digest)}
	}
	result.Pods = pods
	if len(result.Pods) > 0 {
		result.Digest = result.Image.Digest
	}
	world.Account.Say("%d pods run %s", len(result.Pods), result.Image.Digest)
	if result.URL != "" {
		world.Account.Say("served at %s", result.URL)
	}
	return result, nil
}

func resultOf(deployment release.Deployment, deployed release.Deployed) Result {
	return Result{
		Outcome: deployed.Outcome, Environment: deployment.Environment, Release: deployment.Name, Namespace: deployment.Namespace,
		Revision: deployed.Revision, Image: deployment.Image, Commit: deployment.Commit,
	}
}

func tellApplied(account release.Account, deployment release.Deployment, deployed release.Deployed) {
	account.Say("%s: release %q in namespace %q, revision %d, %d objects, %s",
		deployed.Outcome, deployment.Name, deployment.Namespace, deployed.Revision, len(deployed.Objects), deployment.Image.Digest.Short())
}

func reporter(account release.Account) func(release.RolloutStep) {
	return func(step release.RolloutStep) {
		line := fmt.Sprintf("%6.1fs  %s", step.At.Seconds(), step.Object)
		if step.Desired >= 0 && step.Ready >= 0 {
			line += fmt.Sprintf("  %d/%d ready", step.Ready, step.Desired)
		}
		if step.Message != "" {
			line += "  " + step.Message
		}
		account.Say("%s", line)
	}
}

// tellDiagnosis shows the evidence of a failed rollout: events and log lines are outsiders' text.
func tellDiagnosis(account release.Account, err error) {
	var diagnosed release.Diagnosed
	if !errors.As(err, &diagnosed) {
		return
	}
	diagnosis := diagnosed.Diagnosis()
	account.Say("%s %s: %s", diagnosis.Object, diagnosis.Container, diagnosis.Reason)
	if len(diagnosis.Events) > 0 {
		account.Say("last events:")
		for _, event := range diagnosis.Events {
			account.Untrusted(event)
		}
	}
	if len(diagnosis.Logs) > 0 {
		account.Say("last lines of %q:", diagnosis.Container)
		for _, line := range diagnosis.Logs {
			account.Untrusted(line)
		}
	}
}
