package initialize

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Verb declares init: its help text is generated from it.
var Verb = setting.Verb{
	Name:    "init",
	Summary: "write the workflows, values and smoke checks that deliver a repository's services",
	About: "Looks at what the repository has (Dockerfiles, Go main packages, charts, ports, paths of probes) and writes the workflow that calls pipeline.yaml, the one that promotes by hand and goes back, the values of each environment and the smoke checks; " +
		"with --previews the workflow that gives each pull request a preview, with --policy the rules of promotion, with --terraform the variables of terraform/aws_infra. " +
		"What it cannot find out, or what has two answers, is asked on a terminal, and elsewhere refused with the name of the flag that decides it. " +
		"What a workflow of the repository gives to pipeline.yaml already need not be given again. A workflow that exists is replaced only with --overwrite, and values and smoke checks only with --overwrite-own; a second run changes nothing.",
	Examples: []setting.Example{
		{Does: "one of several services of a repository, on EKS", Line: `--repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --region eu-central-1 --role arn:aws:iam::123456789012:role/shop-build --cluster staging=shop-staging --cluster production=shop --environment-role staging=arn:aws:iam::123456789012:role/shop-staging --environment-role production=arn:aws:iam::123456789012:role/shop-production --context app --builder go --chart charts/service --pin "$FULL_COMMIT_SHA"`},
		{Does: "with the names that terraform/aws_infra makes, and the variables for it", Line: `--repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop --terraform account.tfvars --cluster-admin arn:aws:iam::123456789012:role/platform --github-repository octo/shop --context app --builder go --chart charts/service --pin "$FULL_COMMIT_SHA"`},
		{Does: "with a preview of each pull request, on runners of your own", Line: `--repository registry.example.com/shop --runner self-hosted --build-runner self-hosted --previews --preview-repository registry.example.com/shop-preview --context app --builder go --chart charts/service --pin "$FULL_COMMIT_SHA"`},
		{Does: "a runner of your own with a kubeconfig and credentials", Line: `--repository registry.example.com/shop --runner self-hosted --build-runner self-hosted --context app --builder go --chart charts/service --pin "$FULL_COMMIT_SHA"`},
	},
	Outputs: []setting.Output{{Name: "files", Help: "JSON: the files, and whether each was created, replaced or is unchanged"}},
}

// Settings are the inputs of init.
type Settings struct {
	Repository   release.Repository
	Role         string
	Region       string
	Pin          string
	Branch       string
	Environments []release.Environment
	Clusters     []setting.Pair // environment and EKS cluster
	Roles        []setting.Pair // environment and role
	SignKeys     []setting.Pair // environment and key
	Runner       string
	BuildRunner  string
	Context      string
	Services     []setting.Pair // name and directory
	Builder      string
	Main         string
	Charts       []Override
	Ports        []Override
	Probes       []Override
	Policy       bool
	Comment      bool
	Previews     bool
	PreviewRepo  release.Repository
	PreviewRole  string
	PreviewEKS   string
	Terraform    string
	Admins       []string
	GitHub       string
	NoPromotion  bool
	Overwrite    bool
	OverwriteOwn bool

	set *setting.Set
}

// Override is a value for one service, or for all.
type Override struct {
	Service string // "" for all
	Value   string
}

// Declare declares every setting and binds it to its field.
func (s *Settings) Declare() *setting.Set {
	set := new(setting.Set)
	s.set = set
	setting.Var(set, &s.Repository, setting.Setting{Name: "repository", Value: "HOST/PATH",
		Help: "Repository of the images; with several services, what each service's name is appended to"}, release.ParseRepository)
	setting.Var(set, &s.Role, setting.Setting{Name: "role", Value: "ARN",
		Help: "AWS role that the workflow's build assumes"}, setting.RoleARN)
	setting.Var(set, &s.Region, setting.Setting{Name: "region", Value: "REGION",
		Help: "AWS region of the registry and the clusters; default: that of an ECR repository's host"}, parseRegion)
	setting.Var(set, &s.Pin, setting.Setting{Name: "pin", Value: "COMMIT|TAG",
		Help: "Release of onedigest whose pipeline.yaml is called: its full commit, or its tag; default: this program's release"}, parsePin)
	setting.Var(set, &s.Branch, setting.Setting{Name: "branch", Value: "NAME",
		Help: "Branch whose pushes are delivered; default: the remote's default branch"}, parseBranch)
	setting.List(set, &s.Environments, setting.Setting{Name: "environments", Commas: true, Default: "staging,production", Value: "NAME",
		Help: "Environments in the order in which images are promoted, at most three"}, release.ParseOwnEnvironment)
	setting.Map(set, &s.Clusters, setting.Setting{Name: "cluster", Value: "ENVIRONMENT=NAME",
		Help: "EKS cluster of an environment"}, named(setting.EKSName), setting.PairName)
	setting.Map(set, &s.Roles, setting.Setting{Name: "environment-role", Value: "ENVIRONMENT=ARN",
		Help: "AWS role that an environment's jobs assume"}, named(setting.RoleARN), setting.PairName)
	setting.Map(set, &s.SignKeys, setting.Setting{Name: "sign-key", Value: "ENVIRONMENT=awskms:///KEY",
		Help: "Key that signs the evidence of an environment"}, named(parseSignKey), setting.PairName)
	setting.Var(set, &s.Runner, setting.Setting{Name: "runner", Value: "LABEL",
		Help: "Runner of the jobs that deploy, from which the clusters can be reached; default: GitHub's own"}, parseLabel)
	setting.Var(set, &s.BuildRunner, setting.Setting{Name: "build-runner", Value: "LABEL",
		Help: "Runner of the build; default: GitHub's own"}, parseLabel)
	setting.Var(set, &s.Context, setting.Setting{Name: "context", Value: "DIR",
		Help: "Directory of the only service"}, parsePath)
	setting.Map(set, &s.Services, setting.Setting{Name: "service", Value: "NAME=DIR",
		Help: "A service and the directory that it is built from: of its Dockerfile, its module or its Go main package"}, parseService, setting.PairName)
	setting.Var(set, &s.Builder, setting.Setting{Name: "builder", Value: "go|docker",
		Help: "Builder where a Go main package and a Dockerfile are there"}, setting.OneOf("go", "docker"))
	setting.Var(set, &s.Main, setting.Setting{Name: "main", Value: "DIR",
		Help: "Go main package of the only service, relative to its directory"}, parsePath)
	setting.Map(set, &s.Charts, setting.Setting{Name: "chart", Value: "[SERVICE=]DIR",
		Help: "Chart of the repository for a service; default: the only one, or the common chart if there is none"}, override(parsePath), overrideName)
	setting.Map(set, &s.Ports, setting.Setting{Name: "port", Value: "[SERVICE=]PORT",
		Help: "Port that a service listens on"}, override(parsePort), overrideName)
	setting.Map(set, &s.Probes, setting.Setting{Name: "probe", Value: "[SERVICE=]PATH",
		Help: "Path that answers 200 once a service is ready, for its probes and the smoke check"}, override(parseProbe), overrideName)
	setting.Bool(set, &s.Comment, setting.Setting{Name: "comment",
		Help: "Let the workflow show each deploy in a comment of the pull request that the push merged, for which its jobs may write pull requests"})
	setting.Bool(set, &s.Previews, setting.Setting{Name: "previews",
		Help: "Also write the workflow that gives each pull request a preview, and the values of previews"})
	setting.Var(set, &s.PreviewRepo, setting.Setting{Name: "preview-repository", Value: "HOST/PATH",
		Help: "Repository of the images of previews, from which nothing is promoted; with several services, what each service's name is appended to"}, release.ParseRepository)
	setting.Var(set, &s.PreviewRole, setting.Setting{Name: "preview-role", Value: "ARN",
		Help: "AWS role that the jobs of previews assume, which every branch of the repository can use"}, setting.RoleARN)
	setting.Var(set, &s.PreviewEKS, setting.Setting{Name: "preview-cluster", Value: "NAME",
		Help: "EKS cluster of previews"}, setting.EKSName)
	setting.Bool(set, &s.Policy, setting.Setting{Name: "policy",
		Help: "Also write .onedigest.yaml, the rules of promotion"})
	setting.Var(set, &s.Terraform, setting.Setting{Name: "terraform", Value: "FILE",
		Help: "Also write the variables of terraform/aws_infra into FILE; clusters and roles that are not given are those that it makes"}, parsePath)
	setting.List(set, &s.Admins, setting.Setting{Name: "cluster-admin", Value: "ARN",
		Help: "Role that administers the clusters, for --terraform"}, setting.RoleARN)
	setting.Var(set, &s.GitHub, setting.Setting{Name: "github-repository", Fallback: "GITHUB_REPOSITORY", Value: "OWNER/NAME",
		Help: "This repository on GitHub, for --terraform; default: that of the remote"}, parseGitHub)
	setting.Bool(set, &s.NoPromotion, setting.Setting{Name: "no-promotion",
		Help: "Do not write the workflow for promotions by hand and rollbacks; without that workflow, a rollback needs a terminal with the deploy's rights"})
	setting.Bool(set, &s.Overwrite, setting.Setting{Name: "overwrite",
		Help: "Replace files that differ, except values and smoke checks, which are the repository's own once they are there"})
	setting.Bool(set, &s.OverwriteOwn, setting.Setting{Name: "overwrite-own",
		Help: "Replace values and smoke checks that differ, too"})
	set.Check(s.checkCombination)
	return set
}

// maxEnvironments is how many pipeline.yaml takes.
const maxEnvironments = 3

// checkCombination refuses settings that contradict each other.
func (s *Settings) checkCombination() error {
	var problems []release.Problem
	problem := func(setting, what, do string) {
		problems = append(problems, release.Problem{Setting: setting, What: what, Do: do})
	}
	if len(s.Environments) > maxEnvironments {
		problem("environments", fmt.Sprintf("%d environments are given, and pipeline.yaml takes at most %d", len(s.Environments), maxEnvironments), "")
	}
	seen := map[release.Environment]bool{}
	for _, environment := range s.Environments {
		if seen[environment] {
			problem("environments", fmt.Sprintf("%q is given twice", environment), "")
		}
		seen[environment] = true
	}
	for name, pairs := range map[string][]setting.Pair{"cluster": s.Clusters, "environment-role": s.Roles, "sign-key": s.SignKeys} {
		for _, pair := range pairs {
			if !seen[release.Environment(pair.Name)] {
				problem(name, fmt.Sprintf("%q is no environment of --environments", pair.Name), "")
			}
		}
	}
	if s.Context != "" && len(s.Services) > 0 {
		problem("context", "is the directory of the only service, and --service names services", "give one of them")
	}
	if s.Main != "" && len(s.Services) > 0 {
		problem("main", "belongs to the only service", "give the directory of the main package as NAME=DIR of --service")
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// answer takes the text for a setting that was asked for, as if it had been given, too or else instead of what was. The error is a *release.InputError, and changes
// nothing.
func (s *Settings) answer(name, text string) error {
	before := s.set.Inputs()
	apply := func(texts ...string) error {
		values := maps.Clone(before)
		values[name] = setting.Input{Texts: texts, Origin: "--" + name}
		return s.set.Apply(values)
	}
	given := before[name].Texts
	err := apply(append(slices.Clip(given), text)...)
	if err != nil && len(given) > 0 {
		err = apply(text)
	}
	if err != nil {
		_ = s.set.Apply(before) // valid before
	}
	return err
}

// valueOf returns the value of a name, "" if there is none.
func valueOf(pairs []setting.Pair, name string) string {
	for _, pair := range pairs {
		if pair.Name == name {
			return pair.Value
		}
	}
	return ""
}

// overridden returns what is given for a service, else for all; "" if nothing is.
func overridden(overrides []Override, service string) (value string) {
	for _, one := range overrides {
		if one.Service == service {
			return one.Value
		}
		if one.Service == "" {
			value = one.Value
		}
	}
	return value
}

// named makes a parser of NAME=VALUE of one of the value.
func named(parse func(string) (string, error)) func(string) (setting.Pair, error) {
	return func(given string) (setting.Pair, error) {
		pair, err := setting.NameValue(given)
		if err == nil {
			pair.Value, err = parse(pair.Value)
		}
		return pair, err
	}
}

// override makes a parser of [SERVICE=]VALUE of one of the value.
func override(parse func(string) (string, error)) func(string) (Override, error) {
	return func(given string) (Override, error) {
		service, value, found := strings.Cut(given, "=")
		if !found {
			service, value = "", given
		} else if _, err := release.ParseLabel(service); err != nil {
			return Override{}, err
		}
		value, err := parse(value)
		return Override{service, value}, err
	}
}

func overrideName(o Override) string { return o.Service }

func parseService(given string) (setting.Pair, error) {
	pair, err := named(parsePath)(given)
	if err == nil {
		_, err = release.ParseLabel(pair.Name)
	}
	return pair, err
}

var (
	// plainPath has no character that YAML, a shell, a glob of git or an expression of a workflow reads otherwise.
	plainPath   = regexp.MustCompile(`^[A-Za-z0-9._][A-Za-z0-9._/+@-]*$`)
	regionCode  = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[1-9]$`)
	pinPattern  = regexp.MustCompile(`^([0-9a-f]{40}|v[0-9]+(\.[0-9]+\.[0-9]+)?)$`)
	branchName  = regexp.MustCompile(`^[A-Za-z0-9._][A-Za-z0-9._/-]*$`)
	runnerLabel = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	gitHubName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$`)
	probePath   = regexp.MustCompile(`^/[A-Za-z0-9._~/?=&%-]*$`)
)

// matching makes a parser of texts that match a pattern.
func matching(pattern *regexp.Regexp, what string) func(string) (string, error) {
	return func(given string) (string, error) {
		if !pattern.MatchString(given) {
			return "", fmt.Errorf("%q is not %s", given, what)
		}
		return given, nil
	}
}

var (
	parseRegion = matching(regionCode, "an AWS region, such as eu-central-1")
	parsePin    = matching(pinPattern, "the full commit or the tag of a release, such as v1.2.3")
	parseBranch = matching(branchName, "a branch's name of letters, digits and . _ / -")
	parseLabel  = matching(runnerLabel, "a runner's label")
	parseGitHub = matching(gitHubName, "OWNER/NAME")
	parseProbe  = matching(probePath, "a path, such as /readyz")
)

// parsePath accepts a path inside of the repository.
func parsePath(given string) (string, error) {
	clean := strings.TrimSuffix(strings.TrimPrefix(given, "./"), "/")
	if clean == "" {
		clean = "."
	}
	if !plainPath.MatchString(clean) || strings.Contains("/"+clean+"/", "/../") || strings.Contains(clean, "//") {
		return "", fmt.Errorf("%q is not a path inside of the repository, relative to its root, of letters, digits and . _ - + @ /", given)
	}
	return clean, nil
}

func parsePort(given string) (string, error) {
	port, err := strconv.Atoi(given)
	if err != nil || port < 1 || port > 65535 {
		return "", fmt.Errorf("%q is not a port", given)
	}
	return strconv.Itoa(port), nil
}

func parseSignKey(given string) (string, error) {
	key, err := setting.ParseKeyRef(given)
	if err == nil && key.Source != setting.KeyKMS {
		err = fmt.Errorf("%q is not a key of AWS KMS (awskms:///…), the only kind of key that pipeline.yaml can use", given)
	}
	return given, err
}
