package initialize

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
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
	terraform    *terraform // nil: not wanted
	previews     *previews  // nil: not wanted
	promotion    bool       // a workflow of promotions by hand
	notOurs      string     // the file that would be that workflow and that init did not write, "" if there is none
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
	plan                         bool // before its approval
}

// service is one service, and what its image is built from.
type service struct {
	name                               string // "" for the only one
	context, builder, main, dockerfile string
	paths                              []string // outside of which nothing changes its image; none if unknown
	chart                              *survey.Chart
	port, ready, alive                 survey.Fact
	build                              survey.Build
}

// decider makes a plan, and collects what it cannot decide.
type decider struct {
	settings *Settings
	found    survey.Found
	tree     fs.FS
	version  string // of this program, "" if it is no release
	problems []release.Problem
}

// decide makes a plan of the settings and what was found. What is missing or has two answers is in the problems, each with the setting that decides it.
func (d *decider) decide() (plan, error) {
	made := plan{
		workflow: ".github/workflows/delivery.yaml", pin: d.pin(), branch: d.branch(), policy: d.settings.Policy, comment: d.settings.Comment,
		repository: d.repository(), runner: d.settings.Runner, buildRunner: d.settings.BuildRunner,
	}
	if d.found.Caller != nil {
		made.workflow = d.found.Caller.File
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
	usesAWS := made.role != "" || slices.ContainsFunc(made.environments, func(e environment) bool { return e.cluster != "" || e.role != "" })
	d.checkPaths(made)
	if keys := len(d.settings.SignKeys); keys > 0 && keys < len(d.settings.Environments) {
		d.problem("sign-key", "some environments have a key and others have none", "give each one, or none")
	}
	if usesAWS && made.region == "" {
		d.problem("region", "the roles and clusters are in a region that the repository's host does not name", "name it")
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
		d.problem("region", "the roles and clusters are in a region that the repository's host does not name", "name it")
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
	for _, name := range d.settings.Environments {
		one := environment{
			name:    name.String(),
			cluster: cmp.Or(valueOf(d.settings.Clusters, name.String()), names.cluster()),
			role:    cmp.Or(valueOf(d.settings.Roles, name.String()), names.role("deploy-"+name.String())),
			signKey: valueOf(d.settings.SignKeys, name.String()),
		}
		if one.cluster == "" && made.runner == "" {
			d.problem("cluster", fmt.Sprintf("the EKS cluster of %q is not known", one.name), fmt.Sprintf("give %s=NAME, or --runner with a runner that has a kubeconfig", one.name))
		}
		if one.cluster != "" && one.role == "" && made.runner == "" {
			d.problem("environment-role", fmt.Sprintf("the AWS role of %q is not known", one.name), fmt.Sprintf("give %s=ARN, or --runner with a runner that has credentials", one.name))
		}
		all = append(all, one)
	}
	return all
}

// services returns what is delivered.
func (d *decider) services() ([]service, error) {
	var chosen []service
	switch {
	case len(d.settings.Services) > 0:
		for _, pair := range d.settings.Services {
			if one, ok := d.build("service", pair.Name, pair.Value); ok {
				chosen = append(chosen, one)
			}
		}
	case d.settings.Context != "":
		if one, ok := d.build("context", "", d.settings.Context); ok {
			chosen = []service{one}
		}
	default:
		chosen = d.onlyServices()
	}
	d.checkOverrides(chosen)
	for i := range chosen {
		d.choose(&chosen[i])
		if err := d.inspect(&chosen[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(chosen, func(a, b service) int { return cmp.Compare(a.name, b.name) })
	return chosen, nil
}

// onlyServices returns the services if the files leave no doubt: one directory with something to build, or several of which none contains another.
func (d *decider) onlyServices() (chosen []service) {
	builds := d.found.Builds
	if len(builds) == 0 {
		d.problem("context", "the repository has no Dockerfile and no Go main package", "run init where the service is, or add what it is built from")
		return nil
	}
	if len(builds) == 1 {
		return []service{{context: builds[0].Dir, build: builds[0]}}
	}
	names := map[string]bool{}
	for _, build := range builds {
		name := nameOf(build.Dir)
		nested := slices.ContainsFunc(builds, func(other survey.Build) bool { return other.Dir != build.Dir && survey.Contains(other.Dir, build.Dir) })
		if nested || names[name] {
			d.problem("service", "there are several things to build, and which of them are services is not clear: "+d.describeBuilds(), "name each as NAME=DIR, or the only one with --context")
			return nil
		}
		names[name] = true
		chosen = append(chosen, service{name: name, context: build.Dir, build: build})
	}
	return chosen
}

// describeBuilds lists the directories with something to build.
func (d *decider) describeBuilds() string {
	var all []string
	for _, build := range d.found.Builds {
		what := build.Dockerfiles
		for _, main := range build.Mains {
			what = append(slices.Clip(what), "Go main package "+path.Join(build.Dir, main))
		}
		all = append(all, fmt.Sprintf("%q (%s)", build.Dir, strings.Join(what, ", ")))
	}
	return strings.Join(all[:min(len(all), maxListed)], ", ")
}

// maxListed is how many directories a message lists.
const maxListed = 12

var notOfNames = regexp.MustCompile(`[^a-z0-9]+`)

// nameOf makes a service's name of a directory.
func nameOf(dir string) string {
	name := strings.Trim(notOfNames.ReplaceAllString(strings.ToLower(path.Base(dir)), "-"), "-")
	return cmp.Or(name, "service")
}

// build returns the service that a directory is built to: of a Dockerfile, a module, or a Go main package of a module.
func (d *decider) build(setting, name, dir string) (service, bool) {
	for _, build := range d.found.Builds {
		if build.Dir == dir {
			return service{name: name, context: dir, build: build}, true
		}
	}
	for _, build := range d.found.Builds {
		for _, main := range build.Mains {
			if path.Join(build.Dir, main) == dir {
				return service{name: name, context: build.Dir, main: main, builder: "go", build: build}, true
			}
		}
	}
	d.problem(setting, fmt.Sprintf("%q has neither a Dockerfile nor a Go main package", dir), "there are "+cmp.Or(d.describeBuilds(), "none"))
	return service{}, false
}

// checkOverrides refuses values for services that there are not.
func (d *decider) checkOverrides(chosen []service) {
	for setting, overrides := range map[string][]Override{"chart": d.settings.Charts, "port": d.settings.Ports, "probe": d.settings.Probes} {
		for _, one := range overrides {
			if one.Service != "" && !slices.ContainsFunc(chosen, func(s service) bool { return s.name == one.Service }) {
				d.problem(setting, fmt.Sprintf("there is no service %q", one.Service), "")
			}
		}
	}
}

// choose decides how a service's image is built.
func (d *decider) choose(s *service) {
	build := s.build
	where := fmt.Sprintf("%q", s.context)
	goes, dockers := len(build.Mains) > 0, len(build.Dockerfiles) > 0
	builder := cmp.Or(s.builder, d.settings.Builder)
	if d.settings.Main != "" && builder == "" {
		builder = "go"
	}
	switch {
	case builder == "" && goes && dockers:
		d.problem("builder", where+" has a Go main package and a Dockerfile, which make different images", "give go or docker")
		return
	case builder == "go" && !goes:
		d.problem("builder", where+" has no Go main package", "give docker")
		return
	case builder == "docker" && !dockers:
		d.problem("builder", where+" has no Dockerfile", "give go")
		return
	case builder == "docker" || !goes:
		s.builder = "docker"
		d.chooseDockerfile(s)
	default:
		s.builder = "go"
		d.chooseMain(s)
	}
}

// chooseDockerfile decides which Dockerfile of its directory a service has, and from which directory that is built.
func (d *decider) chooseDockerfile(s *service) {
	build := s.build
	if len(build.Dockerfiles) > 1 {
		d.problem("context", fmt.Sprintf("%q has %s, which are different files", s.context, strings.Join(build.Dockerfiles, " and ")), "keep one of them")
	}
	s.dockerfile = build.Dockerfiles[0]
	if build.FromRoot {
		s.context, s.dockerfile = ".", path.Join(build.Dir, s.dockerfile)
		return
	}
	if s.context != "." {
		s.paths = []string{s.context + "/**"}
	}
}

// chooseMain decides which Go main package of its directory a service is.
func (d *decider) chooseMain(s *service) {
	build := s.build
	switch main := cmp.Or(d.settings.Main, s.main); {
	case main != "" && !slices.Contains(build.Mains, main):
		d.problem("main", fmt.Sprintf("%q has no Go main package %q", s.context, main), "there are "+strings.Join(build.Mains, ", "))
	case main != "":
		s.main = main
	case len(build.Mains) == 1:
		s.main = build.Mains[0]
	case s.name != "":
		d.problem("service", fmt.Sprintf("%q has several Go main packages: %s", s.context, strings.Join(build.Mains, ", ")), "name the directory of the one that serves as NAME=DIR")
	default:
		d.problem("main", fmt.Sprintf("%q has several Go main packages: %s", s.context, strings.Join(build.Mains, ", ")), "name the one that serves, or each that does with --service NAME=DIR")
	}
	if build.OwnModule && s.context != "." {
		s.paths = []string{s.context + "/**"}
	}
}

// inspect decides the chart, the port and the paths of the probes.
func (d *decider) inspect(s *service) error {
	s.chart = d.chart(*s)
	if s.builder == "" || s.builder == "go" && s.main == "" { // a problem is recorded
		return nil
	}
	dockerfile := ""
	if s.dockerfile != "" {
		dockerfile = path.Base(s.dockerfile)
	}
	said, err := survey.Inspect(d.tree, s.build, s.main, dockerfile)
	if err != nil {
		return err
	}
	if len(said.Ports) == 0 && !said.ReadsPort && len(s.build.Dockerfiles) == 1 { // which the go builder does not build, and which says where the program listens
		exposed, err := survey.Inspect(d.tree, s.build, "", s.build.Dockerfiles[0])
		if err != nil {
			return err
		}
		said.Ports = exposed.Ports
	}
	d.port(s, said)
	d.probe(s, said)
	return nil
}

// chart returns the chart of a service, nil for the common one.
func (d *decider) chart(s service) *survey.Chart {
	charts := d.found.Charts
	list := make([]string, len(charts))
	for i, chart := range charts {
		list[i] = fmt.Sprintf("%q", chart.Dir)
	}
	wanted := overridden(d.settings.Charts, s.name)
	if wanted != "" {
		i := slices.IndexFunc(charts, func(c survey.Chart) bool { return c.Dir == wanted })
		if i < 0 {
			d.problem("chart", fmt.Sprintf("%q is no chart of the repository", wanted), "there are "+cmp.Or(strings.Join(list, ", "), "none"))
			return nil
		}
		return &charts[i]
	}
	if s.name != "" { // its own, by name or place
		for i, chart := range charts {
			if path.Base(chart.Dir) == s.name || chart.Name == s.name || s.context != "." && survey.Contains(s.context, chart.Dir) {
				return &charts[i]
			}
		}
	}
	switch {
	case len(charts) == 0:
		return nil
	case len(charts) == 1:
		return &charts[0]
	}
	d.problem("chart", fmt.Sprintf("the repository has several charts: %s", strings.Join(list, ", ")), "name the one of "+cmp.Or(s.name, "the service")+" as "+strings.TrimPrefix(s.name+"=", "=")+"DIR")
	return nil
}

// port decides the port that a service listens on.
func (d *decider) port(s *service, said survey.Service) {
	prefix := strings.TrimPrefix(s.name+"=", "=")
	switch value := overridden(d.settings.Ports, s.name); {
	case value != "":
		s.port = survey.Fact{Value: value, File: "--port"}
	case d.before(*s).port != "":
		s.port = survey.Fact{Value: d.before(*s).port, File: d.before(*s).file}
	case len(said.Ports) == 1:
		s.port = said.Ports[0]
	case s.chart != nil && s.chart.Port == "": // the chart says it in a way of its own
	case said.ReadsPort && s.builder == "go":
		s.port = survey.Fact{Value: defaultPort, File: "the variable PORT"}
	case len(said.Ports) == 0 && s.chart != nil: // the chart's own value
	case len(said.Ports) == 0:
		d.problem("port", "the port that "+cmp.Or(s.name, "the service")+" listens on was not found: "+d.withoutPort(*s), "give "+prefix+"PORT")
	default:
		d.problem("port", fmt.Sprintf("%s names several ports: %s", cmp.Or(s.name, "the service"), list(said.Ports)), "give "+prefix+"PORT")
	}
	if s.chart == nil && s.port.Value != "" && s.port.Port() < 1024 {
		d.problem("port", fmt.Sprintf("the common chart runs a container that cannot listen on port %s (%s)", s.port.Value, s.port.File), "let the program listen on one from 1024 and give "+prefix+"PORT (if a variable says the port, set it under config in the values that init writes), or add a chart of your own")
	}
}

// withoutPort says where no port was found. The ports of a Dockerfile that is not built are named, but need not be those of the program.
func (d *decider) withoutPort(s service) string {
	if s.builder != "go" {
		return "no Dockerfile exposes one, and no Go source listens on one"
	}
	where := "no Go source listens on one"
	for _, name := range s.build.Dockerfiles {
		if said, err := survey.Inspect(d.tree, s.build, "", name); err == nil && len(said.Ports) > 0 {
			where += fmt.Sprintf(", and %s, which is not built, exposes %s", path.Join(s.build.Dir, name), said.Ports[0].Value)
		}
	}
	return where
}

// defaultPort is the port of a service that listens where PORT says.
const defaultPort = "8080"

// probe decides the paths of the probes.
func (d *decider) probe(s *service, said survey.Service) {
	value := overridden(d.settings.Probes, s.name)
	switch {
	case value != "":
		s.ready, s.alive = survey.Fact{Value: value, File: "--probe"}, survey.Fact{Value: value, File: "--probe"}
	case d.before(*s).ready != "":
		s.ready, s.alive = survey.Fact{Value: d.before(*s).ready, File: d.before(*s).file}, survey.Fact{Value: d.before(*s).alive, File: d.before(*s).file}
	case len(said.Ready) == 1 && len(said.Alive) == 1:
		s.ready, s.alive = said.Ready[0], said.Alive[0]
	case len(said.Ready) == 1:
		s.ready, s.alive = said.Ready[0], said.Ready[0]
	case len(said.Ready) == 0 && s.chart != nil && s.chart.ReadyPath != "": // the chart's own value
	default:
		what := "no path of " + cmp.Or(s.name, "the service") + " that says that it is ready was found"
		if len(said.Ready) > 1 {
			what = fmt.Sprintf("%s has several paths that may say that it is ready: %s", cmp.Or(s.name, "the service"), list(said.Ready))
		}
		d.problem("probe", what, "give "+strings.TrimPrefix(s.name+"=", "=")+"PATH, such as /")
	}
}

// list writes facts with their files.
func list(facts []survey.Fact) string {
	var all []string
	for _, fact := range facts {
		all = append(all, fmt.Sprintf("%s (%s)", fact.Value, fact.File))
	}
	return strings.Join(all[:min(len(all), maxListed)], ", ")
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
