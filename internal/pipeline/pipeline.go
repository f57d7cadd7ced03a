// Package pipeline runs the verbs one after the other, as the workflows do, on one machine.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
)

// Deps are the adapters of pipeline: the other verbs, and the cluster for the proof.
type Deps struct {
	Build    func(ctx context.Context, settings build.Settings) (build.Result, error)
	Deploy   func(ctx context.Context, settings deploy.Settings) (deploy.Result, error)
	Smoke    func(ctx context.Context, settings smoke.Settings) (smoke.Result, error)
	Promote  func(ctx context.Context, settings promote.Settings) (promote.Result, error)
	Cluster  Cluster // nil for a matrix
	Registry Registry
	Reporter release.Reporter
	Now      func() time.Time
	// Connect connects to a cluster of a matrix.
	Connect func(ctx context.Context, ref setting.ClusterRef) (Cluster, error)
	// CheckFile reads a file of smoke checks, "" for none, and returns what is wrong with it as a *release.InputError.
	CheckFile func(path string) error
	// CheckDeploys checks the charts, the values and the files of smoke checks that deploys will read; what is wrong with them and can be found without a
	// cluster is a *release.InputError. It changes nothing.
	CheckDeploys func(ctx context.Context, deploys []deploy.Settings) error
}

// Cluster reports what runs after the last step.
type Cluster interface {
	// Running lists the workloads of a release whose pod template contains the image, with what the kubelets report of their
	// pods.
	Running(ctx context.Context, namespace, name string, image release.Image) (release.Running, error)
	// NodePlatform returns the platform of a node.
	NodePlatform(ctx context.Context, node string) (release.Platform, error)
}

// Registry reads what images consist of.
type Registry interface {
	// Platforms lists the images of a digest: the digest itself, or the children of an index; false if the registry does not have
	// it.
	Platforms(ctx context.Context, image release.Image) ([]release.PlatformImage, bool, error)
}

// contents combines the registry and the cluster for release.Running.Prove.
type contents struct {
	Registry
	Cluster
}

// Step is one row of the table.
type Step struct {
	Name    string         `json:"step"`
	Outcome string         `json:"outcome"`
	Digest  release.Digest `json:"digest"`
	Seconds float64        `json:"seconds"`
}

// Result is the table and the proof. A matrix has a proof for each service; that of the whole says only whether all of them hold.
type Result struct {
	Steps    []Step          `json:"steps"`
	Proof    Proof           `json:"proof"`
	Services []ServiceResult `json:"services,omitempty"` // of a matrix
}

// NotRun lists the steps that the run did not come to, in their order; none if it began none.
func (r Result) NotRun() (names []string) {
	if len(r.Steps) == 0 {
		return nil
	}
	all := []string{"build"}
	for i, environment := range release.DefaultPromotionOrder {
		if i > 0 {
			all = append(all, "promote")
		}
		all = append(all, "deploy "+environment.String(), "smoke "+environment.String())
	}
	for _, name := range all {
		if !slices.ContainsFunc(r.Steps, func(step Step) bool { return step.Name == name }) {
			names = append(names, name)
		}
	}
	return names
}

// Proof compares the built digest and commit with the pods and the answers of every environment; it holds if all of them agree.
type Proof struct {
	Commit   release.Commit      `json:"commit"`
	Source   release.Commit      `json:"source,omitempty"` // commit whose chart and values are deployed, if the image was built from an earlier one
	Built    release.Digest      `json:"built"`
	Running  map[string][]string `json:"running"`  // pods that report the built digest, by environment
	Answered map[string][]string `json:"answered"` // commits that the service's answers named, by environment; none if it names none
	URLs     map[string]string   `json:"urls"`
	Further  []ImageProof        `json:"further,omitempty"` // images that were built already
	Holds    bool                `json:"holds"`
}

// ImageProof lists the pods that run a further image, in each environment.
type ImageProof struct {
	Name    string              `json:"name"`
	Image   release.Image       `json:"image"`
	Running map[string][]string `json:"running"` // pods that report its digest, by environment
}

// StepError is the error of a step of the pipeline. It has the exit code of the error that it wraps.
type StepError struct {
	Step string // as in the table: "deploy staging"
	Err  error
}

// Error puts the step's name before every line.
func (e *StepError) Error() string {
	var lines []string
	for line := range strings.Lines(e.Err.Error()) {
		lines = append(lines, e.Step+": "+line)
	}
	return strings.Join(lines, "")
}

func (e *StepError) Unwrap() error { return e.Err }

// Run takes the commit of the work tree to production. It stops at the first step that fails; production is changed only after
// staging proved the digest. The charts and values of every environment are checked before the first step.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	p := &pipeline{settings: settings, Deps: deps}
	if err := p.checkDeploys(ctx); err != nil {
		return p.result, err
	}
	if err := p.build(ctx); err != nil {
		return p.result, err
	}
	err := p.afterBuild(ctx)
	return p.result, afterChange(err)
}

// afterChange makes an error of bad input one of a failure: another step has changed something before.
func afterChange(err error) error {
	if err == nil {
		return nil
	}
	return &release.JobsError{Err: err, Succeeded: true}
}

// checkDeploys checks what the deploys to all environments will read.
func (p *pipeline) checkDeploys(ctx context.Context) error {
	var deploys []deploy.Settings
	for _, environment := range release.DefaultPromotionOrder {
		settings, err := p.settings.deploySettings(environment, p.settings.Repository.At(placeholder), "")
		if err != nil {
			return err
		}
		deploys = append(deploys, settings)
	}
	return p.CheckDeploys(ctx, deploys)
}

// afterBuild runs the steps after the build, up to the first that fails, and compares what runs with what was built.
func (p *pipeline) afterBuild(ctx context.Context) error {
	for i, environment := range release.DefaultPromotionOrder {
		if i > 0 {
			if err := p.promote(ctx, environment); err != nil {
				return err
			}
		}
		if err := p.deploy(ctx, environment); err != nil {
			return err
		}
		if err := p.smoke(ctx, environment); err != nil {
			return err
		}
	}
	return p.prove(ctx)
}

type pipeline struct {
	Deps
	settings Settings
	image    release.Image  // the image that was built
	commit   release.Commit // the commit in the tag of the built image; "" if the work tree has changes
	result   Result
}

func (p *pipeline) build(ctx context.Context) error {
	return p.step("build", func() (outcome string, digest release.Digest, err error) {
		settings, err := p.settings.buildSettings()
		if err != nil {
			return "", release.Digest{}, err
		}
		built, err := p.Build(ctx, settings)
		if err != nil {
			return "", release.Digest{}, err
		}
		p.image = p.settings.Repository.At(built.Digest)
		p.commit, _ = release.ParseCommit(built.Tag.String()) // the tag of a work tree with changes is not a commit
		p.result.Proof = Proof{Commit: built.Commit, Built: built.Digest, Running: map[string][]string{}, Answered: map[string][]string{}, URLs: map[string]string{}}
		if p.commit != built.Commit {
			p.result.Proof.Source = p.commit
		}
		return string(built.Outcome), built.Digest, nil
	})
}

func (p *pipeline) promote(ctx context.Context, environment release.Environment) error {
	return p.step("promote", func() (outcome string, digest release.Digest, err error) {
		settings, err := p.settings.promoteSettings(environment, p.image)
		if err != nil {
			return "", release.Digest{}, err
		}
		promoted, err := p.Promote(ctx, settings)
		return string(promoted.Outcome), promoted.Digest, err
	})
}

// deploy deploys the image to an environment, and records the address in the result. If the deploy did nothing because the
// environment runs a newer commit, the error is a *release.Refusal: later steps would test another image than the built one.
func (p *pipeline) deploy(ctx context.Context, environment release.Environment) error {
	superseded := false
	err := p.step("deploy "+environment.String(), func() (outcome string, digest release.Digest, err error) {
		settings, err := p.settings.deploySettings(environment, p.image, p.commit)
		if err != nil {
			return "", release.Digest{}, err
		}
		deployed, err := p.Deploy(ctx, settings)
		if err != nil {
			return "", release.Digest{}, err
		}
		superseded = deployed.Outcome == release.Superseded
		p.result.Proof.URLs[environment.String()] = deployed.URL
		return string(deployed.Outcome), deployed.Digest, nil
	})
	if err == nil && superseded {
		return &release.Refusal{Why: fmt.Sprintf("%s runs a newer commit already", environment), Do: "check that commit out, or deploy this one with --allow-rollback"}
	}
	return err
}

// smoke checks the environment, and rolls it back if the verdict is a failure.
func (p *pipeline) smoke(ctx context.Context, environment release.Environment) error {
	verdict := release.Inconclusive
	err := p.step("smoke "+environment.String(), func() (outcome string, digest release.Digest, err error) {
		settings, err := p.settings.smokeSettings(environment, p.image)
		if err != nil {
			return "", release.Digest{}, err
		}
		smoked, err := p.Smoke(ctx, settings)
		verdict = smoked.Verdict
		if err != nil {
			return "", release.Digest{}, err
		}
		p.result.Proof.Answered[environment.String()] = answeredCommits(smoked)
		return string(smoked.Verdict), smoked.Digest, nil
	})
	if err != nil && verdict == release.Fail {
		err = errors.Join(err, p.rollBack(ctx, environment))
	}
	return err
}

// answeredCommits returns the commits that the service's own answers named, each once.
func answeredCommits(smoked smoke.Result) []string {
	commits := []string{}
	for _, answer := range ownAnswers(smoked) {
		if answer.Commit != "" && !slices.Contains(commits, answer.Commit) {
			commits = append(commits, answer.Commit)
		}
	}
	return commits
}

// ownAnswers returns the answers without those of pods that run further images, which may be of other commits.
func ownAnswers(smoked smoke.Result) []release.Answer {
	further := map[string]bool{}
	for i, image := range smoked.Images {
		for _, pod := range image.Pods {
			further[pod] = i > 0 && (further[pod] || !slices.Contains(smoked.Images[0].Pods, pod))
		}
	}
	return slices.DeleteFunc(slices.Clone(smoked.Report.Answers), func(answer release.Answer) bool {
		pod, _, _ := strings.Cut(strings.TrimPrefix(answer.Address, "pod "), ":")
		return further[pod]
	})
}

// rollBack rolls back an environment whose smoke failed.
func (p *pipeline) rollBack(ctx context.Context, environment release.Environment) error {
	return p.step("rollback "+environment.String(), func() (outcome string, digest release.Digest, err error) {
		settings, err := p.settings.rollbackSettings(environment)
		if err != nil {
			return "", release.Digest{}, err
		}
		rolledBack, err := p.Deploy(ctx, settings)
		return string(rolledBack.Outcome), rolledBack.Digest, err
	})
}

// step runs one verb and adds its row to the table, also if it fails.
func (p *pipeline) step(name string, run func() (outcome string, digest release.Digest, err error)) error {
	p.Reporter.Infof("── %s", name)
	start := p.Now()
	outcome, digest, err := run()
	if err != nil {
		outcome, err = "failed", &StepError{Step: name, Err: err}
	}
	p.result.Steps = append(p.result.Steps, Step{Name: name, Outcome: outcome, Digest: digest, Seconds: p.Now().Sub(start).Seconds()})
	return err
}

// prove compares the pods in the cluster and the services' answers with the digests and the built commit.
func (p *pipeline) prove(ctx context.Context) error {
	proof := &p.result.Proof
	var broken []string
	for _, further := range p.settings.Images[1:] {
		proof.Further = append(proof.Further, ImageProof{Name: further.Name, Image: further.Image, Running: map[string][]string{}})
	}
	for _, environment := range release.DefaultPromotionOrder {
		name := environment.String()
		for i, image := range p.settings.withDigest(p.image) {
			pods, problems, err := proveImage(ctx, p.Cluster, p.Registry, name, name, p.settings.Release, image.Image)
			if err != nil {
				return err
			}
			broken = append(broken, problems...)
			if i == 0 {
				proof.Running[name] = pods
			} else {
				proof.Further[i-1].Running[name] = pods
			}
		}
		for _, answered := range proof.Answered[name] {
			if !proof.Commit.IsNamedBy(answered) {
				broken = append(broken, fmt.Sprintf("%s answered commit %.40s", name, answered))
			}
		}
	}
	proof.Holds = len(broken) == 0
	if !proof.Holds {
		return &release.Failure{What: fmt.Sprintf("not every environment runs commit %s, digest %s: %s", proof.Commit, proof.Built, strings.Join(broken, "; "))}
	}
	return nil
}

// proveImage returns the pods of a release that run an image, and what shows that it is not run there.
func proveImage(ctx context.Context, cluster Cluster, registry Registry, place, namespace, name string, image release.Image) (pods, broken []string, err error) {
	running, err := cluster.Running(ctx, namespace, name, image)
	if err != nil {
		return nil, nil, err
	}
	found, err := running.Prove(ctx, image, contents{registry, cluster})
	if err != nil {
		return nil, nil, err
	}
	for _, problem := range found.Problems {
		broken = append(broken, place+": "+problem)
	}
	if len(found.Pods) == 0 && len(found.Problems) == 0 && !found.Hooked {
		broken = append(broken, strings.Join(append([]string{fmt.Sprintf("no pod runs %s in %s", image.Digest, place)}, found.Notes...), ", "))
	}
	return found.Pods, broken, nil
}
