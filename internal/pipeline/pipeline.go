// Package pipeline chains the verbs as the gitflow does, on one machine.
package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Deps is what pipeline needs of everything around it.
type Deps struct {
	Verbs    Verbs
	Cluster  Cluster
	Reporter release.Reporter
	Now      func() time.Time
}

// Verbs runs a verb as a workflow's step would: by its flags, to its outputs.
type Verbs interface {
	Run(ctx context.Context, verb string, flags []string) (Done, error)
}

// Done is what a step leaves for the next: its outcome, and strings.
type Done struct {
	Outcome string
	Digest  release.Digest
	Commit  release.Commit
	URL     string
	Answers []string // the commits that answered
}

// Cluster is asked at the end for what is really running.
type Cluster interface {
	Images(ctx context.Context, namespace, name string) ([]release.PodImage, error)
}

// Step is one line of the table.
type Step struct {
	Name    string         `json:"step"`
	Outcome string         `json:"outcome"`
	Digest  release.Digest `json:"digest"`
	Seconds float64        `json:"seconds"`
}

// Result is the table and the proof.
type Result struct {
	Steps []Step `json:"steps"`
	Proof Proof  `json:"proof"`
}

// Proof is the promise, item by item: they must all be one.
type Proof struct {
	Commit   release.Commit      `json:"commit"`
	Built    release.Digest      `json:"built"`
	Running  map[string][]string `json:"running"`  // environment to the pods that report the digest built
	Answered map[string][]string `json:"answered"` // environment to the commits it answered
	URLs     map[string]string   `json:"urls"`
	Holds    bool                `json:"holds"`
}

// Run takes the commit of the work tree to production. The first step that fails ends it; production is touched only
// after staging proved the digest.
func Run(ctx context.Context, settings Settings, world Deps) (Result, error) {
	run := &run{settings: settings, world: world}
	built, err := run.step(ctx, "build", "build", settings.build())
	if err != nil {
		return run.result, err
	}
	run.result.Proof = Proof{Commit: built.Commit, Built: built.Digest, Running: map[string][]string{}, Answered: map[string][]string{}, URLs: map[string]string{}}
	image := settings.Repository.At(built.Digest)
	for i, environment := range release.DefaultLadder {
		if i > 0 {
			if _, err := run.step(ctx, "promote", "promote", []string{"--image", image.String(), "--to", environment.String()}); err != nil {
				return run.result, err
			}
		}
		if err := run.enter(ctx, environment, image); err != nil {
			return run.result, err
		}
	}
	return run.result, run.prove(ctx)
}

type run struct {
	settings Settings
	world    Deps
	result   Result
}

// enter deploys the image to an environment and smokes it there.
func (r *run) enter(ctx context.Context, environment release.Environment, image release.Image) error {
	deployed, err := r.step(ctx, "deploy "+environment.String(), "deploy", r.settings.deploy(environment, image))
	if err != nil {
		return err
	}
	if deployed.Outcome == string(release.Superseded) {
		return &release.Refusal{Why: fmt.Sprintf("%s runs a newer commit already", environment), Do: "check that commit out, or deploy this one with --allow-rollback"}
	}
	r.result.Proof.URLs[environment.String()] = deployed.URL
	smoked, err := r.step(ctx, "smoke "+environment.String(), "smoke", r.settings.smoke(environment, image))
	if err != nil {
		return err
	}
	r.result.Proof.Answered[environment.String()] = smoked.Answers
	return nil
}

// step runs one verb and adds its line to the table, also when it fails.
func (r *run) step(ctx context.Context, name, verb string, flags []string) (Done, error) {
	r.world.Reporter.Infof("── %s", name)
	began := r.world.Now()
	done, err := r.world.Verbs.Run(ctx, verb, flags)
	step := Step{Name: name, Outcome: done.Outcome, Digest: done.Digest, Seconds: r.world.Now().Sub(began).Seconds()}
	if err != nil {
		step.Outcome = "failed"
	}
	r.result.Steps = append(r.result.Steps, step)
	return done, err
}

// prove asks the cluster what runs and holds everything to the digest that was built.
func (r *run) prove(ctx context.Context) error {
	proof := &r.result.Proof
	var broken []string
	for _, environment := range release.DefaultLadder {
		name := environment.String()
		images, err := r.world.Cluster.Images(ctx, name, r.settings.Release)
		if err != nil {
			return err
		}
		pods, others := release.SplitByDigest(images, proof.Built)
		proof.Running[name] = pods
		for _, other := range others {
			broken = append(broken, fmt.Sprintf("pod %q in %s runs %s", other.Pod, name, other.Digest))
		}
		if len(pods) == 0 {
			broken = append(broken, fmt.Sprintf("no pod runs in %s", name))
		}
		if !slices.Equal(proof.Answered[name], []string{proof.Commit.String()}) {
			broken = append(broken, fmt.Sprintf("%s answered commits [%s]", name, strings.Join(proof.Answered[name], " ")))
		}
	}
	proof.Holds = len(broken) == 0
	if !proof.Holds {
		return &release.Failure{What: fmt.Sprintf("the promise is broken for commit %s, digest %s: %s", proof.Commit, proof.Built, strings.Join(broken, "; "))}
	}
	return nil
}

func (s Settings) build() []string {
	return []string{"--repository", s.Repository.String(), "--context", s.Context, "--platforms", s.Platform.String()}
}

func (s Settings) deploy(environment release.Environment, image release.Image) []string {
	values := strings.ReplaceAll(s.Values, "{environment}", environment.String())
	flags := []string{"--environment", environment.String(), "--image", image.String(), "--chart", s.Chart, "--values", values,
		"--release", s.Release, "--create-namespace", "--timeout", s.Timeout.String()}
	return append(flags, s.access()...)
}

func (s Settings) smoke(environment release.Environment, image release.Image) []string {
	flags := []string{"--environment", environment.String(), "--image", image.String(), "--release", s.Release, "--timeout", s.Timeout.String()}
	if s.Checks != "" {
		flags = append(flags, "--checks", s.Checks)
	}
	return append(flags, s.access()...)
}

func (s Settings) access() (flags []string) {
	if s.Kubeconfig != "" {
		flags = append(flags, "--kubeconfig", s.Kubeconfig)
	}
	if s.KubeContext != "" {
		flags = append(flags, "--context", s.KubeContext)
	}
	return flags
}
