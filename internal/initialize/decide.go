package initialize

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
	"github.com/onedigest/onedigest/internal/release"
)

// plan is what the files are written from: every question is answered.
type plan struct {
	workflow     string // its path
	pin, branch  string
	repository   release.Repository
	role, region string
	runner       string
	buildRunner  string
	environments []environment
	services     []service // one without a name, or several with names
	policy       bool
	comment      bool
	terraform    *terraform  // nil: not wanted
	previews     *previews   // nil: not wanted
	promotion    bool        // a workflow of promotions by hand
	extra        [][2]string // inputs of pipeline.yaml that somebody added to the workflow, by name
	secrets      []string    // lines of the secrets that it hands on
	notOurs      string      // the file that would be that workflow and that init did not write, "" if there is none
}

// previews is what the workflow of previews is told. What pull requests build and run reaches nothing that an environment uses.
type previews struct {
	file          string
	repository    release.Repository
	role, cluster string
	region        string
}

// previewEnvironment is the environment of previews, as preview.yaml has it.
const previewEnvironment = "preview"

type environment struct {
	name, cluster, role, signKey string
	plan                         bool                     // before its approval
	called                       survey.CalledEnvironment // what the workflow says of it already
}

// service is one service, and what its image is built from.
type service struct {
	name                               string // "" for the only one
	context, builder, main, dockerfile string
	paths                              []string // outside of which nothing changes its image; none if unknown
	chart                              *survey.Chart
	port, ready, alive                 survey.Fact
	build                              survey.Build
	portVariable                       string               // that sets the port, "" if none has to be set
	called                             survey.CalledService // what the workflow says of it already
}

// decider makes a plan, and collects what it cannot decide.
type decider struct {
	settings *Settings
	found    survey.Found
	tree     fs.FS
	version  string // of this program, "" if it is no release
	problems []release.Problem
	of       map[release.Problem]string // the environment or service of a problem whose setting has one before a "="
}

// decide makes a plan of the settings and what was found. What is missing or has two answers is in the problems, each with the setting that decides it.
func (d *decider) decide() (plan, error) {
	made := plan{
		workflow: ".github/workflows/delivery.yaml", pin: d.pin(), branch: d.branch(), policy: d.settings.Policy, comment: d.settings.Comment,
		repository: d.repository(), runner: d.settings.Runner, buildRunner: d.settings.BuildRunner,
	}
	if d.found.Caller != nil {
		made.workflow = d.found.Caller.File
		made.extra, made.secrets = added(*d.found.Caller)
	}
	var err error
	if made.services, err = d.services(); err != nil {
		return made, err
	}
	account, region := awsOf(made.repository)
	made.region = cmp.Or(d.settings.Region, region)
	names := d.terraformNames(made.repository, account, made.region)
	if d.settings.Terraform != "" {
		made.terraform = d.terraform(names, made)
	}
	made.environments = d.environments(made, names)
	made.role = cmp.Or(d.settings.Role, names.role("build"))
	if account != "" && made.role == "" && made.buildRunner == "" {
		d.problem("role", "the build needs an AWS role to push to "+made.repository.Host(), "name it, or --build-runner with a runner that has credentials")
	}
	if s := d.settings; s.Previews || s.PreviewRepo != "" || s.PreviewRole != "" || s.PreviewEKS != "" {
		made.previews = d.previews(made)
	}
	if len(made.environments) > 1 && !d.settings.NoPromotion {
		if made.promotion = d.ownsPromotion(); !made.promotion && d.found.Promotion == "" {
			made.notOurs = promotionFile
		}
	}
	usesAWS := made.role != "" || slices.ContainsFunc(made.environments, func(e environment) bool { return (e.cluster != "" || e.role != "") && e.called.Region == "" })
	d.checkPaths(made)
	if keys := len(d.settings.SignKeys); keys > 0 && keys < len(d.settings.Environments) {
		d.problem("sign-key", "some environments have a key and others have none", "give each one, or none")
	}
	if usesAWS && made.region == "" {
		d.problem("region", "the roles and clusters are in a region that the repository's host does not name", "name it, such as eu-central-1")
	}
	return made, nil
}

// promotionFile is the workflow of promotions by hand.
const promotionFile = ".github/workflows/promote.yaml"

// written is in the first line of each workflow that init writes.
const written = "written by onedigest init"

// ownsPromotion reports whether the workflow of promotions by hand is init's to write: nobody wrote one, nor another file in its place.
func (d *decider) ownsPromotion() bool {
	content, err := fs.ReadFile(d.tree, promotionFile)
	if errors.Is(err, fs.ErrNotExist) {
		return d.found.Promotion == ""
	}
	return err == nil && (d.found.Promotion == "" || d.found.Promotion == promotionFile) && strings.Contains(string(content), written)
}

// previews decides what previews are built to and run with.
func (d *decider) previews(made plan) *previews {
	wanted := &previews{file: cmp.Or(d.found.PreviewFile, ".github/workflows/preview.yaml"), repository: d.settings.PreviewRepo, role: d.settings.PreviewRole, cluster: d.settings.PreviewEKS}
	account, region := awsOf(wanted.repository)
	wanted.region = cmp.Or(region, made.region)
	switch {
	case wanted.repository == "":
		d.problem("preview-repository", "the repository of the images of previews is not known", "give HOST/PATH, one of its own: whoever may push a branch writes to it")
	case wanted.repository == made.repository:
		d.problem("preview-repository", fmt.Sprintf("%q is the repository of the images that are promoted, and whoever may push a branch could write to it", wanted.repository), "give one of its own")
	case wanted.repository.Host() == "ghcr.io":
		d.problem("preview-repository", "preview.yaml cannot push to ghcr.io, since its jobs have no permission for packages", "name another registry")
	}
	if wanted.cluster == "" && made.runner == "" {
		d.problem("preview-cluster", "the EKS cluster of previews is not known", "name it, or give --runner with a runner that has a kubeconfig")
	}
	if (wanted.cluster != "" && made.runner == "" || account != "" && made.buildRunner == "") && wanted.role == "" {
		d.problem("preview-role", "the AWS role of previews is not known", "name it, one of its own: whoever may push a branch can use it; or give --runner and --build-runner with runners that have credentials")
	}
	for role, of := range d.usedRoles(made) {
		if wanted.role != "" && wanted.role == role {
			d.problem("preview-role", fmt.Sprintf("%q is the role of %s, and whoever may push a branch could use it", role, of), "give one of its own")
		}
	}
	if slices.ContainsFunc(made.environments, func(e environment) bool { return e.name == previewEnvironment }) {
		d.problem("environments", fmt.Sprintf("%q is the environment of previews", previewEnvironment), "name it otherwise")
	}
	if (wanted.role != "" || wanted.cluster != "") && wanted.region == "" {
		d.problem("region", "the roles and clusters are in a region that the repository's host does not name", "name it, such as eu-central-1")
	}
	return wanted
}

// usedRoles returns the roles of the build and the environments, each with what it is of.
func (d *decider) usedRoles(made plan) map[string]string {
	used := map[string]string{made.role: "the build"}
	for _, e := range made.environments {
		used[e.role] = fmt.Sprintf("%q", e.name)
	}
	return used
}

// checkPaths refuses paths of the repository that the workflow cannot name without another meaning.
func (d *decider) checkPaths(made plan) {
	for _, s := range made.services {
		paths := map[string][]string{"context": {s.context, s.dockerfile}, "main": {s.main}}
		if s.chart != nil {
			paths["chart"] = []string{s.chart.Dir}
			for _, e := range made.environments {
				paths["chart"] = append(paths["chart"], valuesFile(s, e.name))
			}
			if made.previews != nil {
				paths["chart"] = append(paths["chart"], valuesFile(s, previewEnvironment))
			}
		}
		for setting, all := range paths {
			for _, one := range all {
				if one != "" && !plainPath.MatchString(one) {
					d.problem(setting, fmt.Sprintf("%q has characters that a workflow reads otherwise", one), "rename it")
				}
			}
		}
	}
}

// problem records what a setting decides. It is recorded once.
func (d *decider) problem(setting, what, do string) {
	found := release.Problem{Setting: setting, What: what, Do: do}
	if !slices.Contains(d.problems, found) {
		d.problems = append(d.problems, found)
	}
}

// problemOf records what a setting with a name before a "=" decides.
func (d *decider) problemOf(name, setting, what, do string) {
	d.problem(setting, what, do)
	if name != "" {
		if d.of == nil {
			d.of = map[release.Problem]string{}
		}
		d.of[release.Problem{Setting: setting, What: what, Do: do}] = name
	}
}

func (d *decider) pin() string {
	if d.settings.Pin != "" {
		return d.settings.Pin
	}
	if d.version == "" {
		d.problem("pin", "this program is no release, so it does not know whose pipeline.yaml to call", "give the full commit or the tag of a release")
	}
	return d.version
}

func (d *decider) branch() string {
	branch := cmp.Or(d.settings.Branch, d.found.Branch)
	if !branchName.MatchString(branch) {
		d.problem("branch", "the branch whose pushes are delivered is not known", "name it, such as main")
	}
	return branch
}

func (d *decider) repository() release.Repository {
	repository := d.settings.Repository
	switch {
	case repository == "":
		d.problem("repository", "the repository of the image is not known", "give HOST/PATH, such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop")
	case repository.Host() == "ghcr.io":
		d.problem("repository", "pipeline.yaml cannot push to ghcr.io, since its jobs have no permission for packages", "name another registry, or write the steps yourself (docs/workflow.md, Not on AWS)")
	}
	return repository
}

// environments returns the environments with their clusters and roles.
func (d *decider) environments(made plan, names terraformNames) (all []environment) {
	called := d.calledEnvironments()
	for _, name := range d.settings.Environments {
		one := environment{
			name:    name.String(),
			cluster: cmp.Or(valueOf(d.settings.Clusters, name.String()), names.cluster()),
			role:    cmp.Or(valueOf(d.settings.Roles, name.String()), names.role("deploy-"+name.String())),
			signKey: valueOf(d.settings.SignKeys, name.String()),
			called:  called[name.String()],
		}
		one.plan = one.called.Plan
		if one.called.Via == survey.ViaArgoCD { // which applies the commit, and needs neither
			all = append(all, one)
			continue
		}
		if one.cluster == "" && made.runner == "" && one.called.CodeBuild == "" {
			d.problemOf(one.name, "cluster", fmt.Sprintf("the EKS cluster of %q is not known", one.name), fmt.Sprintf("give %s=NAME, or --runner with a runner that has a kubeconfig", one.name))
		}
		if one.cluster != "" && one.role == "" && made.runner == "" && one.called.CodeBuild == "" {
			d.problemOf(one.name, "environment-role", fmt.Sprintf("the AWS role of %q is not known", one.name), fmt.Sprintf("give %s=ARN, or --runner with a runner that has credentials", one.name))
		}
		all = append(all, one)
	}
	return all
}

// ecrHost matches the address of a private registry of ECR.
var ecrHost = regexp.MustCompile(`^(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.`)

// awsOf returns the AWS account and the region of an ECR repository, "" of any other.
func awsOf(repository release.Repository) (account, region string) {
	found := ecrHost.FindStringSubmatch(repository.Host())
	if found == nil {
		return "", ""
	}
	return found[1], found[2]
}
