// Package doctor looks at everything that a service needs on its way to an environment, and says of each part whether it is as it must be and what mends it. It
// changes nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
	"github.com/onedigest/onedigest/internal/release"
)

// Deps are what the verb works with.
type Deps struct {
	Tree     fs.FS // of the repository; nil if it is none of git
	Machine  Machine
	Cloud    Cloud
	Registry func(ctx context.Context, target Target) (Registry, error)
	Cluster  func(ctx context.Context, target Target) (Cluster, error)
	Chart    Chart
	// Signers reads the keys of the signers that the rules name for an environment, as deploy and promote do. The error is that of the file of rules.
	Signers  func(ctx context.Context, environment release.Environment) ([]Signer, error)
	Reporter release.Reporter
}

// Signer is somebody whose signature counts in an environment.
type Signer struct {
	Name  string
	OfJob bool  // the key is in the environment of the job
	Err   error // why the key cannot be read
}

// Machine is where the verb runs.
type Machine interface {
	// Find returns an error if a program is not on the PATH.
	Find(program string) error
	// Kubeconfig returns the kubeconfig of the environment, "" for none.
	Kubeconfig() string
	// IsShallow reports whether the history of the work tree is cut off.
	IsShallow(ctx context.Context) (bool, error)
}

// Cloud is the job's identity, and AWS.
type Cloud interface {
	// InJob reports whether this is a job of GitHub Actions.
	InJob() bool
	// Subject returns the subject of the job's identity token.
	Subject() (string, error)
	// Role returns the role that the run assumes, "" for none.
	Role() string
	// Assume assumes the role. A refusal says which statement of a trust policy would let it.
	Assume(ctx context.Context) error
	// Caller returns who the AWS credentials are.
	Caller(ctx context.Context, region string) (release.Caller, error)
}

// Registry is the registry of the image.
type Registry interface {
	IsECR(ctx context.Context, repository release.Repository) (bool, error)
	Settings(ctx context.Context, repository release.Repository) (release.RepositorySettings, error)
	ExpiryRule(ctx context.Context, repository release.Repository, tag release.Tag) (priority int, has bool, err error)
	HasReferrersAPI(ctx context.Context, repository release.Repository) (bool, error)
}

// Cluster is the environment's cluster.
type Cluster interface {
	// Address returns where the cluster is.
	Address() string
	// NamespacePhase returns the phase of a namespace, "" if it does not exist; known is false if that may not be asked.
	NamespacePhase(ctx context.Context, namespace string) (phase string, known bool, err error)
	// Rules returns the rules that every deploy needs.
	Rules() []release.Permission
	// NamespaceRule returns the rule that creating a namespace needs.
	NamespaceRule() release.Permission
	// RulesOf returns the rules that a deploy of the chart needs besides.
	RulesOf(namespace string, kinds []release.AppliedKind) []release.Permission
	// Missing returns those that the user lacks, with the verbs that are denied; asked is false if the cluster does not let the user ask.
	Missing(ctx context.Context, namespace string, rules []release.Permission) (missing []release.Permission, asked bool, err error)
}

// Chart is the chart with its values and the smoke checks.
type Chart interface {
	// Check reports what is wrong with them, all of it as one *release.InputError; a chart that cannot be fetched is a *release.Fault.
	Check(ctx context.Context, target Target) error
	// Kinds returns the kinds of the objects that a deploy applies, as the chart renders for the cluster.
	Kinds(ctx context.Context, target Target) ([]release.AppliedKind, error)
}

// examination collects the findings.
type examination struct {
	Deps
	target Target
	result Result
	found  survey.Found
	denied bool // the role could not be assumed, so that nothing of AWS, and no registry, can be read
}

// Run looks at everything, and returns all findings; the error is a *release.Failure if one of them fails.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	e := &examination{Deps: deps}
	if deps.Tree != nil {
		var err error
		if e.found, err = survey.Look(deps.Tree); err != nil {
			return e.result, err
		}
	}
	var err error
	if e.target, err = settings.target(e.found.Caller); err != nil {
		return e.result, err
	}
	e.result.Environment = e.target.Environment
	for _, look := range []func(context.Context){e.tools, e.workflow, e.history, e.token, e.role, e.account, e.repository, e.signers, e.chart, e.cluster} {
		look(ctx)
		if ctx.Err() != nil {
			return e.result, fmt.Errorf("looking at %q: %w", e.target.Environment, context.Cause(ctx))
		}
	}
	e.add("smoke", NotChecked, "no request is sent to the service", "")
	r := e.result
	deps.Reporter.Infof("%q: %d ok, %d limited, %d failing, %d not checked", r.Environment, r.count(OK), r.count(Limited), r.count(Fails), r.count(NotChecked))
	if failing := r.count(Fails); failing > 0 {
		var names []string
		for _, finding := range r.Findings {
			if finding.State == Fails && !slices.Contains(names, finding.Check) {
				names = append(names, finding.Check)
			}
		}
		return r, &release.Failure{What: fmt.Sprintf("%q would fail: %s", r.Environment, strings.Join(names, ", "))}
	}
	return r, nil
}

// add adds a finding and reports it.
func (e *examination) add(check string, state State, what, fix string) {
	found := Finding{Check: check, State: state, What: oneLine(what), Fix: strings.TrimSpace(fix)}
	e.result.Findings = append(e.result.Findings, found)
	e.Reporter.Infof("%s", found.Line())
	if found.Fix != "" && state != OK {
		for line := range strings.Lines(found.Fix) {
			e.Reporter.Infof("               %s", strings.TrimRight(line, "\n"))
		}
	}
}

// oneLine joins the lines of a text.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// fails adds what an error says, and what mends it: each problem of bad input is a finding of its own.
func (e *examination) fails(check string, err error) {
	var (
		input   *release.InputError
		refusal *release.Refusal
		fault   *release.Fault
	)
	switch {
	case errors.As(err, &input):
		for _, problem := range input.Problems {
			fix := problem.Do
			problem.Do = ""
			e.add(check, Fails, problem.String(), fix)
		}
	case errors.As(err, &refusal):
		e.add(check, Fails, refusal.Why, refusal.Do)
	case errors.As(err, &fault):
		e.add(check, Fails, fault.Side+": "+fault.Err.Error(), fault.Do)
	default:
		e.add(check, Fails, err.Error(), "")
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
