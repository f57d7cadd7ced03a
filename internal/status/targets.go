package status

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Target is one release that is read.
type Target struct {
	Environment release.Environment
	Service     string // of a matrix, "" if there is none
	Cluster     string // as the matrix names it, "" if it does not
	Namespace   string
	Release     string
	Ref         setting.ClusterRef
}

// title names the target in messages.
func (t Target) title() string {
	parts := []string{t.Environment.String()}
	for _, part := range []string{t.Cluster, t.Service} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

// targets returns the releases that the settings name. content is that of the matrix, nil without one. The error is a *release.InputError.
func (s Settings) targets(rules policy.Policy, content []byte) ([]Target, error) {
	if s.Matrix != "" {
		return s.matrixTargets(content)
	}
	environments := s.Environments
	if len(environments) == 0 {
		environments = rules.Order()
	}
	if len(environments) == 0 {
		environments = release.DefaultPromotionOrder
	}
	name := s.Release
	if name == "" {
		var err error
		if name, err = deploy.ParseReleaseName(path.Base(s.Repository.Path())); err != nil {
			return nil, release.BadSetting("release", "cannot be derived from the repository: "+err.Error(), "give a release name")
		}
	}
	if s.Namespace != "" && len(environments) != 1 {
		return nil, release.BadSetting("namespace", fmt.Sprintf("is given for %d environments", len(environments)), "name one with --environments")
	}
	var targets []Target
	for _, environment := range environments {
		namespace := s.Namespace
		if namespace == "" {
			namespace = environment.String()
		}
		targets = append(targets, Target{Environment: environment, Namespace: namespace, Release: name, Ref: s.ClusterRef})
	}
	return targets, nil
}

// inherited are the settings that the jobs of a matrix take from the command line.
var inherited = []string{"kubeconfig", "context", "cluster", "region", "expect-account", "allow-work-tree-kubeconfig", "repository", "plain-http"}

// matrixTargets returns the releases of a matrix, in its order.
func (s Settings) matrixTargets(content []byte) (targets []Target, err error) {
	environments, ofDeploys, err := matrix.Environments(s.Matrix, content)
	if err != nil {
		return nil, err
	}
	for _, environment := range s.Environments {
		if len(environments) > 0 && !slices.Contains(environments, environment) {
			return nil, release.BadSetting("environments", fmt.Sprintf("%q is not an environment of %s", environment, s.Matrix), "name its environments, or leave it out for all of them")
		}
	}
	if len(s.Environments) > 0 {
		environments = s.Environments
	}
	if len(environments) == 0 {
		return nil, release.BadSetting("environments", s.Matrix+" lists none", "name them")
	}
	if ofDeploys {
		return s.deployTargets(content, environments)
	}
	var problems []release.Problem
	for _, environment := range environments {
		found, err := s.parse(content, setting.Values{"environment": {Texts: []string{environment.String()}, Origin: "--environment"}})
		if input := new(release.InputError); errors.As(err, &input) {
			for _, problem := range input.Problems {
				if !slices.Contains(problems, problem) { // a problem of all environments is told once
					problems = append(problems, problem)
				}
			}
			continue
		} else if err != nil {
			return nil, err
		}
		targets = append(targets, found...)
	}
	if len(problems) > 0 {
		return nil, &release.InputError{Problems: problems}
	}
	return targets, nil
}

// deployTargets returns the releases of a matrix that lists deploys: those of the environments.
func (s Settings) deployTargets(content []byte, environments []release.Environment) ([]Target, error) {
	if s.Repository == "" {
		return nil, release.BadSetting("repository", s.Matrix+" lists deploys, whose image is given beside it", "name the image's repository")
	}
	if len(s.Services) > 0 {
		return nil, release.BadSetting("services", s.Matrix+" lists deploys and no services", "leave it out")
	}
	found, err := s.parse(content, setting.Values{"image": {Texts: []string{s.Repository.String() + "@" + noDigest}, Origin: "--repository"}})
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(t Target) bool { return !slices.Contains(environments, t.Environment) })
	slices.SortStableFunc(found, func(a, b Target) int {
		return slices.Index(environments, a.Environment) - slices.Index(environments, b.Environment)
	})
	return found, nil
}

// noDigest is a digest that no image has: the images of a matrix's deploys are not known here.
var noDigest = "sha256:" + strings.Repeat("0", 64)

// parse expands the matrix as deploy does.
func (s Settings) parse(content []byte, values setting.Values) (targets []Target, err error) {
	inputs := maps.Clone(values)
	for _, name := range inherited {
		if input, given := s.inputs[name]; given {
			inputs[name] = input
		}
	}
	waves, err := deploy.ParseMatrix(s.Matrix, content, matrix.Options{Matrix: s.Matrix, Services: s.Services, Inputs: inputs, Unbuilt: true})
	if err != nil {
		return nil, err
	}
	for _, wave := range waves {
		for _, job := range wave.Jobs {
			found := Target{Environment: job.Settings.Environment, Service: job.Part.Service, Cluster: job.Part.Cluster,
				Namespace: job.Settings.Namespace, Release: job.Settings.Release, Ref: job.Settings.ClusterRef}
			if found.Service == "" {
				found.Service, found.Cluster = found.Release, clusterOf(found.Ref)
			}
			targets = append(targets, found)
		}
	}
	return targets, nil
}

// clusterOf names a cluster by its reference.
func clusterOf(ref setting.ClusterRef) string {
	if ref.Cluster != "" {
		return ref.Cluster
	}
	return ref.Context
}
