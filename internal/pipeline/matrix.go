package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
)

// ServiceResult is what the pipeline did with one service of a matrix.
type ServiceResult struct {
	Service string        `json:"service"`
	Steps   []ServiceStep `json:"steps"`
	Proof   Proof         `json:"proof"` // by environment, or ENVIRONMENT/CLUSTER if the cluster has a name
}

// ServiceStep is the outcome of a step for one service.
type ServiceStep struct {
	Name    string `json:"step"` // as in the table of all services
	Cluster string `json:"cluster,omitempty"`
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
}

// RunMatrix takes the services of a matrix to production. Each step is the verb's matrix: it runs for all services and clusters, and the next
// step starts only if it succeeded for every one, so that production is changed only after staging proved all services. The whole file is
// checked for every step before the first one starts.
func RunMatrix(ctx context.Context, content []byte, settings Settings, deps Deps) (Result, error) {
	p := &matrixPipeline{pipeline: pipeline{settings: settings, Deps: deps}, content: content, digests: map[string]release.Digest{}, clusters: map[setting.ClusterRef]Cluster{}}
	err := p.check(ctx)
	if err == nil {
		err = p.build(ctx)
	}
	if err == nil {
		err = afterChange(p.afterBuild(ctx))
	}
	for _, service := range p.services {
		p.result.Services = append(p.result.Services, *service)
	}
	return p.result, err
}

type matrixPipeline struct {
	pipeline
	content  []byte
	digests  map[string]release.Digest // by service
	services []*ServiceResult          // in the order of the file
	clusters map[setting.ClusterRef]Cluster
}

// placeholder stands for a digest that is not built yet.
var placeholder, _ = release.ParseDigest("sha256:" + strings.Repeat("0", 64))

// check reads the file as each step will, with the charts and values of deploy and the checks of smoke, and connects to every cluster. Nothing is changed. The error is a
// *release.InputError with all problems of the file, or that of a cluster.
func (p *matrixPipeline) check(ctx context.Context) error {
	found := new(problems)
	builds, err := jobsFor[build.Settings](p, build.MatrixVerb, "")
	if err := found.add(err); err != nil {
		return err
	}
	for _, job := range builds {
		p.services = append(p.services, &ServiceResult{Service: job.Service})
		p.digests[job.Service] = placeholder
	}
	for i, environment := range release.DefaultPromotionOrder {
		if len(builds) == 0 { // every step would say why
			break
		}
		if err := p.checkEnvironment(ctx, environment, i > 0, found); err != nil && len(found.all) == 0 {
			return err
		}
	}
	clear(p.digests)
	if len(found.all) > 0 {
		p.services = nil
		return &release.InputError{Problems: found.all}
	}
	return nil
}

// checkEnvironment does what check does for the steps of one environment.
func (p *matrixPipeline) checkEnvironment(ctx context.Context, environment release.Environment, promoted bool, found *problems) error {
	deploys, err := p.deploys(environment)
	if err := found.add(err); err != nil {
		return err
	}
	settings := make([]deploy.Settings, len(deploys))
	for i, job := range deploys {
		settings[i] = job.Settings
	}
	if err := found.add(p.CheckDeploys(ctx, settings)); err != nil {
		return err
	}
	for _, job := range deploys {
		_, err := p.connect(ctx, job.Settings.ClusterRef)
		if err := found.add(err); err != nil {
			return err
		}
	}
	smokes, err := jobsFor[smoke.Settings](p, smoke.MatrixVerb, environment)
	if err := found.add(err); err != nil {
		return err
	}
	for _, job := range smokes {
		if err := found.add(p.CheckFile(job.Settings.Checks)); err != nil {
			return err
		}
	}
	if !promoted {
		return nil
	}
	_, err = jobsFor[promote.Settings](p, promote.MatrixVerb, environment)
	return found.add(err)
}

// problems collects bad input.
type problems struct{ all []release.Problem }

// add adds the problems of a *release.InputError, each once, and returns any other error.
func (p *problems) add(err error) error {
	var input *release.InputError
	if !errors.As(err, &input) {
		return err
	}
	for _, problem := range input.Problems {
		if !slices.Contains(p.all, problem) {
			p.all = append(p.all, problem)
		}
	}
	return nil
}

// afterBuild runs the steps after the build for all services, up to the first that fails, and compares what runs with what was built.
func (p *matrixPipeline) afterBuild(ctx context.Context) error {
	for i, environment := range release.DefaultPromotionOrder {
		if i > 0 {
			if err := p.promote(ctx, environment); err != nil {
				return err
			}
		}
		deployed, err := p.deploy(ctx, environment)
		if len(deployed) > 0 && ctx.Err() == nil { // what runs now is checked, even if other services were not deployed
			err = errors.Join(err, p.smoke(ctx, environment, deployed))
		}
		if err != nil {
			return err
		}
	}
	return p.prove(ctx)
}

// build builds the images of all services, and keeps their digests.
func (p *matrixPipeline) build(ctx context.Context) error {
	return p.step("build", func() (outcome string, digest release.Digest, err error) {
		settings, err := settingsFor[build.Settings](p, "build", "")
		if err != nil {
			return "", digest, err
		}
		built, err := p.Build(ctx, settings)
		for _, one := range built.Services {
			service := p.record("build", one.Part, string(one.Outcome))
			service.Proof = Proof{Commit: one.Commit, Built: one.Digest, Running: map[string][]string{}, Answered: map[string][]string{}, URLs: map[string]string{}}
			p.commit, _ = release.ParseCommit(one.Tag.String()) // of the work tree, the same for all; none if it has changes
		}
		p.digests, p.result.Proof.Commit = built.Digests, p.commit
		return string(built.Outcome), digest, err
	})
}

// promote promotes the images of all services to an environment.
func (p *matrixPipeline) promote(ctx context.Context, environment release.Environment) error {
	return p.step("promote", func() (outcome string, digest release.Digest, err error) {
		settings, err := settingsFor[promote.Settings](p, "promote", environment)
		if err != nil {
			return "", digest, err
		}
		promoted, err := p.Promote(ctx, settings)
		for _, one := range promoted.Services {
			p.record("promote", one.Part, string(one.Outcome))
		}
		return string(promoted.Outcome), digest, err
	})
}

// deploy deploys all services to an environment, and returns those parts that were deployed, also if others were not. If one deploy did nothing
// because the environment runs a newer commit, the error is a *release.Refusal.
func (p *matrixPipeline) deploy(ctx context.Context, environment release.Environment) (deployed []matrix.Part, err error) {
	var superseded, others []matrix.Part
	step := "deploy " + environment.String()
	err = p.step(step, func() (outcome string, digest release.Digest, err error) {
		settings, err := settingsFor[deploy.Settings](p, "deploy", environment)
		if err != nil {
			return "", digest, err
		}
		done, err := p.Deploy(ctx, settings)
		for _, one := range done.Deploys {
			service := p.record(step, one.Part, string(one.Outcome))
			service.Proof.URLs[place(environment, one.Part)] = one.URL
			switch {
			case one.Outcome == release.Superseded && one.Part.Error == "":
				superseded, others = append(superseded, one.Part), append(others, one.Part)
			case one.Part.Error != "":
				others = append(others, one.Part)
			default:
				deployed = append(deployed, one.Part)
			}
		}
		return string(done.Outcome), digest, err
	})
	// Clusters without a name cannot be told apart.
	deployed = slices.DeleteFunc(deployed, func(part matrix.Part) bool { return slices.ContainsFunc(others, part.IsSameJob) })
	if err == nil && len(superseded) > 0 {
		err = &release.Refusal{Why: fmt.Sprintf("%s runs a newer commit of %s already", environment, names(superseded)), Do: "check that commit out"}
	}
	if err != nil && len(deployed) > 0 {
		p.Reporter.Warnf("deployed to %s anyway: %s", environment, names(deployed))
	}
	return deployed, err
}

// names lists the services and clusters of parts.
func names(parts []matrix.Part) string {
	list := make([]string, len(parts))
	for i, part := range parts {
		list[i] = part.Service
		if part.Cluster != "" {
			list[i] += " (" + part.Cluster + ")"
		}
	}
	return strings.Join(list, ", ")
}

// smoke checks the services that were deployed to an environment, and rolls those back whose verdict is a failure.
func (p *matrixPipeline) smoke(ctx context.Context, environment release.Environment, deployed []matrix.Part) error {
	var failed []matrix.Part
	step := "smoke " + environment.String()
	err := p.step(step, func() (outcome string, digest release.Digest, err error) {
		settings, err := settingsFor[smoke.Settings](p, "smoke", environment)
		if err != nil {
			return "", digest, err
		}
		settings.Only = deployed
		smoked, err := p.Smoke(ctx, settings)
		for _, one := range smoked.Services {
			service := p.record(step, one.Part, string(one.Verdict))
			service.Proof.Answered[place(environment, one.Part)] = answeredCommits(one)
			if one.Verdict == release.Fail {
				failed = append(failed, one.Part)
			}
		}
		return string(smoked.Verdict), digest, err
	})
	if err != nil && len(failed) > 0 {
		err = errors.Join(err, p.rollBack(ctx, environment, failed))
	}
	return err
}

// rollBack rolls back the releases whose smoke failed.
func (p *matrixPipeline) rollBack(ctx context.Context, environment release.Environment, failed []matrix.Part) error {
	step := "rollback " + environment.String()
	return p.step(step, func() (outcome string, digest release.Digest, err error) {
		deploys, err := p.deploys(environment)
		if err != nil {
			return "", digest, err
		}
		var outcomes []release.Outcome
		for _, job := range deploys {
			isFailed := slices.ContainsFunc(failed, job.Part.IsSameJob)
			if !isFailed {
				continue
			}
			var settings deploy.Settings
			of := job.Settings
			rolledBack, oneErr := deploy.Result{}, settings.Declare().ApplyDefaults(func() {
				settings.RollbackFailedSmoke, settings.Environment, settings.Release, settings.Namespace = true, environment, of.Release, of.Namespace
				settings.Timeout, settings.ClusterRef = of.Timeout, of.ClusterRef
				settings.SignKey, settings.LegacySignatures, settings.PlainHTTP = of.SignKey, of.LegacySignatures, of.PlainHTTP
			})
			if oneErr == nil {
				rolledBack, oneErr = p.Deploy(ctx, settings)
			}
			part := job.Part
			if oneErr != nil {
				part.Error = oneErr.Error()
				err = errors.Join(err, &matrix.JobError{Title: job.Title, Err: oneErr})
			}
			p.record(step, part, string(rolledBack.Outcome))
			outcomes = append(outcomes, rolledBack.Outcome)
		}
		return string(matrix.CommonOutcome(outcomes)), digest, err
	})
}

// record adds the outcome of a step to a service.
func (p *matrixPipeline) record(step string, part matrix.Part, outcome string) *ServiceResult {
	at := slices.IndexFunc(p.services, func(service *ServiceResult) bool { return service.Service == part.Service })
	service := p.services[at]
	service.Steps = append(service.Steps, ServiceStep{Name: step, Cluster: part.Cluster, Outcome: part.State(outcome), Error: part.Error})
	return service
}

// place names where a part of the matrix runs.
func place(environment release.Environment, part matrix.Part) string {
	if part.Cluster == "" {
		return environment.String()
	}
	return environment.String() + "/" + part.Cluster
}

// connect connects to a cluster once.
func (p *matrixPipeline) connect(ctx context.Context, ref setting.ClusterRef) (Cluster, error) {
	if known, found := p.clusters[ref]; found {
		return known, nil
	}
	cluster, err := p.Connect(ctx, ref)
	if err == nil {
		p.clusters[ref] = cluster
	}
	return cluster, err
}

// prove compares the pods of every release and the services' answers with the digests and commits that were built.
func (p *matrixPipeline) prove(ctx context.Context) error {
	for _, service := range p.services {
		service.Proof.Holds = true
	}
	var broken []string
	for _, environment := range release.DefaultPromotionOrder {
		deploys, err := p.deploys(environment)
		if err != nil {
			return err
		}
		for _, job := range deploys {
			problems, err := p.proveRelease(ctx, place(environment, job.Part), job)
			if err != nil {
				return err
			}
			broken = append(broken, problems...)
		}
	}
	if p.result.Proof.Holds = len(broken) == 0; !p.result.Proof.Holds {
		return &release.Failure{What: "not every environment runs what was built: " + strings.Join(broken, "; ")}
	}
	return nil
}

// proveRelease adds the pods of a release to the proofs of the services whose images it runs, and returns what is wrong.
func (p *matrixPipeline) proveRelease(ctx context.Context, place string, job matrix.Job[deploy.Settings]) (broken []string, err error) {
	cluster, err := p.connect(ctx, job.Settings.ClusterRef)
	if err != nil {
		return nil, err
	}
	for _, image := range job.Settings.Images {
		name := image.Name
		if name == "" {
			name = job.Service
		}
		proof := &p.services[slices.IndexFunc(p.services, func(service *ServiceResult) bool { return service.Service == name })].Proof
		pods, problems, err := proveImage(ctx, cluster, p.Registry, place, job.Settings.Namespace, job.Settings.Release, image.Image)
		if err != nil {
			return nil, err
		}
		for _, answered := range proof.Answered[place] {
			if !proof.Commit.IsNamedBy(answered) {
				problems = append(problems, fmt.Sprintf("%s answered commit %.40s", place, answered))
			}
		}
		proof.Running[place], proof.Holds = pods, proof.Holds && len(problems) == 0
		for _, problem := range problems {
			broken = append(broken, name+": "+problem)
		}
	}
	return broken, nil
}

// deploys returns the deploys to an environment, of all waves.
func (p *matrixPipeline) deploys(environment release.Environment) ([]matrix.Job[deploy.Settings], error) {
	settings, err := settingsFor[deploy.Settings](p, "deploy", environment)
	if err != nil {
		return nil, err
	}
	waves, err := deploy.ParseMatrix(settings.Matrix, p.content, settings.Options)
	return jobsOf(waves), err
}

// jobsFor returns the jobs of a verb in an environment.
func jobsFor[S any, D declared[S]](p *matrixPipeline, verb matrix.Verb[S], environment release.Environment) ([]matrix.Job[S], error) {
	var settings S
	values, err := p.settings.matrixInputs(verb.Name, environment, p.digests, p.commit)
	if err != nil {
		return nil, err
	}
	if err := D(&settings).Declare().Apply(values); err != nil {
		return nil, err
	}
	options := p.settings.Options
	delete(values, "matrix")
	options.Inputs, options.Digests = values, p.digests
	waves, err := matrix.Parse(verb, options.Matrix, p.content, options)
	return jobsOf(waves), err
}

func jobsOf[S any](waves []matrix.Wave[S]) (jobs []matrix.Job[S]) {
	for _, wave := range waves {
		jobs = append(jobs, wave.Jobs...)
	}
	return jobs
}

// declared are the settings of a verb.
type declared[S any] interface {
	*S
	Declare() *setting.Set
}

// settingsFor returns the settings of a step of a matrix.
func settingsFor[S any, D declared[S]](p *matrixPipeline, verb string, environment release.Environment) (S, error) {
	var settings S
	values, err := p.settings.matrixInputs(verb, environment, p.digests, p.commit)
	if err != nil {
		return settings, err
	}
	err = D(&settings).Declare().Apply(values)
	return settings, err
}

// stepSettings are the settings of the pipeline that a step of a matrix gets, by the verb, with their names there.
var stepSettings = map[string]map[string]string{
	"build": named(map[string]string{"platform": "platforms"}, "repository", "context", "builder", "tags", "without-cgo", "commit", "sign-key", "legacy-signatures"),
	"deploy": named(map[string]string{}, "kube-context", "chart", "chart-repo", "chart-version", "chart-host", "schema-host", "chart-login", "chart-cache",
		"image-alias", "image-values", "pin-text", "values", "address", "kubeconfig", "allow-work-tree-kubeconfig", "pod-security", "timeout",
		"sign-key", "legacy-signatures", "policy", "override-reason", "github-token"),
	"smoke": named(map[string]string{}, "kube-context", "address", "checks", "kubeconfig", "allow-work-tree-kubeconfig", "timeout", "sign-key",
		"legacy-signatures"),
	"promote": named(map[string]string{}, "verify-key", "sign-key", "legacy-signatures", "policy", "override-reason"),
}

// named adds the settings with the same name in the verb, and those of every step.
func named(names map[string]string, same ...string) map[string]string {
	for _, name := range append(same, "matrix", "services", "concurrency", "plain-http") {
		names[name] = name
	}
	return names
}

// matrixInputs returns the inputs of a step of a matrix: what was given to the pipeline, and what follows from the steps before.
func (s Settings) matrixInputs(verb string, environment release.Environment, digests map[string]release.Digest, commit release.Commit) (setting.Values, error) {
	values := setting.Values{}
	put := func(name string, texts ...string) { values[name] = setting.Input{Texts: texts, Origin: "--" + name} }
	for from, to := range stepSettings[verb] {
		given, isGiven := s.Inputs[from]
		if !isGiven {
			continue
		}
		texts := slices.Clone(given.Texts)
		for i := range texts {
			if from == "values" || from == "address" {
				texts[i] = strings.ReplaceAll(texts[i], "{environment}", environment.String())
			}
		}
		values[to] = setting.Input{Texts: texts, Origin: given.Origin}
	}
	if verb == "build" {
		return values, nil
	}
	encoded, err := json.Marshal(digests)
	if err != nil {
		return nil, err
	}
	put("digests", string(encoded))
	switch verb {
	case "promote":
		put("to", environment.String())
		return values, nil
	case "deploy":
		put("create-namespace", "true")
		if commit != "" {
			put("commit", commit.String())
		}
		if before, found := release.DefaultPromotionOrder.Before(environment); found {
			put("proved-in", before.String())
			maps.Copy(values, onlyGiven(s.Inputs, "verify-key"))
		}
	}
	put("environment", environment.String())
	return values, nil
}

// onlyGiven returns the input of one setting, none if it was not given.
func onlyGiven(inputs setting.Values, name string) setting.Values {
	if given, found := inputs[name]; found {
		return setting.Values{name: given}
	}
	return nil
}
