package initialize

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
)

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
	if d.found.Caller != nil {
		called, _ := d.found.Caller.Services()
		for i := range chosen {
			chosen[i].called = called[chosen[i].name]
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
	d.problemOf(s.name, "chart", fmt.Sprintf("the repository has several charts: %s", strings.Join(list, ", ")), "name the one of "+cmp.Or(s.name, "the service")+" as "+strings.TrimPrefix(s.name+"=", "=")+"DIR")
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
		d.problemOf(s.name, "port", "the port that "+cmp.Or(s.name, "the service")+" listens on was not found: "+d.withoutPort(*s), "give "+prefix+"PORT")
	default:
		d.problemOf(s.name, "port", fmt.Sprintf("%s names several ports: %s", cmp.Or(s.name, "the service"), list(said.Ports)), "give "+prefix+"PORT")
	}
	if variable := said.VariableOf(); s.chart == nil && variable.Name != "" {
		if s.port.Value == variable.Default && s.port.Port() < minPort {
			s.port = survey.Fact{Value: defaultPort, File: "the variable " + variable.Name}
		}
		if s.port.Value != variable.Default {
			s.portVariable = variable.Name
		}
	}
	if s.chart == nil && s.port.Value != "" && s.port.Port() < minPort {
		d.problemOf(s.name, "port", fmt.Sprintf("the common chart runs a container that cannot listen on port %s (%s)", s.port.Value, s.port.File), "let the program listen on one from 1024 and give "+prefix+"PORT (if a variable says the port, set it under config in the values that init writes), or add a chart of your own")
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

// minPort is the first port on which a container of the common chart can listen.
const minPort = 1024

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
		d.problemOf(s.name, "probe", what, "give "+strings.TrimPrefix(s.name+"=", "=")+"PATH, such as /")
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
