package matrix

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"go.yaml.in/yaml/v3"
)

// clusterKeys are the settings that the entry of a cluster can have, besides its name.
var clusterKeys = []string{"kubeconfig", "kube-context", "context", "cluster", "region", "expect-account", "namespace"}

// services expands services, environments and clusters into the verb's jobs. build and promote have one job for each service; deploy and
// smoke one for each release and cluster of the environment.
func (p *parser[S]) services() []Wave[S] {
	p.checkServices()
	if len(p.problems) > 0 {
		return nil
	}
	switch p.verb.Name {
	case "build", "promote":
		environment := environment{}
		if p.verb.Name == "promote" {
			environment = p.environmentNamed(p.given("to"))
		}
		all := Wave[S]{Name: "all"}
		for _, service := range p.chosen() {
			all.Jobs = append(all.Jobs, p.serviceJobs(service, environment, keys{})...)
		}
		return []Wave[S]{all}
	}
	environment := p.chosenEnvironment()
	if len(p.problems) > 0 {
		return nil
	}
	var waves []Wave[S]
	for i, group := range environment.Waves {
		wave := Wave[S]{Name: waveName(group.Name, i)}
		for _, cluster := range group.Clusters {
			p.checkCluster(cluster)
			for _, service := range p.chosen() {
				wave.Jobs = append(wave.Jobs, p.serviceJobs(service, environment, cluster)...)
			}
		}
		if len(group.Clusters) == 0 {
			p.problem(0, "wave %q of environment %q has no clusters", wave.Name, environment.Name)
		}
		waves = append(waves, wave)
	}
	return waves
}

// checkServices records the problems of the services' own keys, and of the services that --services and --digests name.
func (p *parser[S]) checkServices() {
	repositories, names := map[string]string{}, map[string]service{}
	for i, service := range p.document.Services {
		line := service.Repository.Line
		if _, err := release.ParseLabel(service.Name); err != nil {
			p.problem(line, "the name of service %d: %v", i+1, err)
			continue
		}
		if _, listed := names[service.Name]; listed {
			p.problem(line, "service %q is listed twice", service.Name)
		}
		names[service.Name] = service
		repository := p.repository(service)
		if _, err := release.ParseRepository(repository); err != nil {
			p.problem(line, "the repository of service %q: %v", service.Name, err)
		} else if other, taken := repositories[repository]; taken {
			p.problem(line, "services %q and %q have the same repository, which can hold only one image of a commit: give each its own", other, service.Name)
		}
		repositories[repository] = service.Name
	}
	for _, service := range p.document.Services {
		if owner := service.PartOf.Value; owner != "" {
			if whole, listed := names[owner]; !listed || whole.PartOf.Value != "" {
				p.problem(service.PartOf.Line, "%q is part of %q, which is not a service with its own release", service.Name, owner)
			}
		}
	}
	environments := map[string]bool{}
	for _, environment := range p.document.Environments {
		if environments[environment.Name] {
			p.problem(0, "environment %q is listed twice: list its clusters together", environment.Name)
		}
		environments[environment.Name] = true
	}
	for _, name := range p.options.Services {
		if _, listed := names[name]; !listed {
			p.problem(0, "there is no service %q", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.options.Digests)) {
		if _, listed := names[name]; !listed {
			p.problem(0, "there is no service %q, but --digests names it", name)
		}
	}
}

// repository returns the repository of a service's images: its own, or the common one with the service's name in it.
func (p *parser[S]) repository(service service) string {
	return strings.ReplaceAll(cmp.Or(service.Repository.Value, p.given("repository")), "{service}", service.Name)
}

// chosen returns the services that the verb is run for. A release includes the services that are part of it.
func (p *parser[S]) chosen() (chosen []service) {
	for _, service := range p.document.Services {
		isRelease := p.verb.Name == "deploy" || p.verb.Name == "smoke"
		wanted := len(p.options.Services) == 0 || slices.Contains(p.options.Services, service.Name)
		if isRelease && service.PartOf.Value != "" {
			continue
		}
		if isRelease && !wanted {
			wanted = slices.ContainsFunc(p.parts(service), func(name string) bool { return slices.Contains(p.options.Services, name) })
		}
		if wanted {
			chosen = append(chosen, service)
		}
	}
	return chosen
}

// parts names the services that are part of a service's release.
func (p *parser[S]) parts(of service) (names []string) {
	for _, other := range p.document.Services {
		if other.PartOf.Value == of.Name {
			names = append(names, other.Name)
		}
	}
	return names
}

// given returns the first value of a setting of the command, "" if it was not given.
func (p *parser[S]) given(name string) string {
	if texts := p.options.Inputs[name].Texts; len(texts) > 0 {
		return texts[0]
	}
	return ""
}

// environmentNamed returns an environment of the file; one without keys if the file does not list it.
func (p *parser[S]) environmentNamed(name string) environment {
	for _, environment := range p.document.Environments {
		if environment.Name == name {
			return environment
		}
	}
	return environment{Name: name}
}

// chosenEnvironment returns the environment that --environment names, with its clusters in waves. An environment without clusters has one,
// that of the command line.
func (p *parser[S]) chosenEnvironment() environment {
	name := p.given("environment")
	if name == "" {
		p.problem(0, "has services for several environments: name one with --environment")
		return environment{}
	}
	listed := slices.ContainsFunc(p.document.Environments, func(e environment) bool { return e.Name == name })
	if len(p.document.Environments) > 0 && !listed {
		p.problem(0, "there is no environment %q", name)
	}
	chosen := p.environmentNamed(name)
	switch {
	case len(chosen.Waves) > maxWaves:
		p.problem(0, "environment %q has %d waves, not 1 to %d", name, len(chosen.Waves), maxWaves)
	case len(chosen.Waves) > 0 && len(chosen.Clusters) > 0:
		p.problem(0, "environment %q has both clusters and waves: list the clusters in the waves", name)
	case len(chosen.Waves) == 0 && len(chosen.Clusters) == 0:
		chosen.Waves = []wave{{Name: name, Clusters: []keys{{}}}}
	case len(chosen.Waves) == 0:
		chosen.Waves = []wave{{Name: name, Clusters: chosen.Clusters}}
	}
	return chosen
}

func (p *parser[S]) checkCluster(cluster keys) {
	for name, node := range cluster {
		if !slices.Contains(clusterKeys, name) && name != "name" {
			p.problem(node.Line, "%q is not a setting of a cluster (%s)", name, strings.Join(clusterKeys, ", "))
		}
	}
}

// serviceJobs returns the one job of a service in a cluster, none if it has a problem.
func (p *parser[S]) serviceJobs(service service, environment environment, cluster keys) []Job[S] {
	part := Part{Service: service.Name, Cluster: clusterName(cluster)}
	derived, ok := p.derived(service)
	if !ok {
		return nil
	}
	clusterSettings := maps.Clone(cluster)
	delete(clusterSettings, "name")
	layers := []keys{p.document.Defaults.of(p.verb.Name), service.Verbs.of(p.verb.Name), environment.Verbs.of(p.verb.Name), clusterSettings}
	job, ok := p.job(part, layers, derived, []string{"{service}", service.Name, "{environment}", environment.Name, "{cluster}", part.Cluster})
	if !ok {
		return nil
	}
	job.Title = service.Name
	if part.Cluster != "" {
		job.Title = part.Cluster + "/" + job.Title
	}
	return []Job[S]{job}
}

func clusterName(cluster keys) string {
	for _, key := range []string{"name", "cluster", "kube-context", "context"} {
		if node, found := cluster[key]; found && node.Kind == yaml.ScalarNode && node.Value != "" {
			return node.Value
		}
	}
	return ""
}

// derived returns the settings that the file's structure implies: repository, image and release. It returns false if a digest is missing.
func (p *parser[S]) derived(service service) (setting.Values, bool) {
	values := setting.Values{}
	put := func(name string, texts ...string) { values[name] = setting.Input{Texts: texts, Origin: "--" + name} }
	switch p.verb.Name {
	case "build":
		put("repository", p.repository(service))
	case "promote":
		if digest, given := p.options.Digests[service.Name]; given || p.given("commit") == "" {
			if !given {
				return nil, p.missingDigest(service.Name)
			}
			put("image", p.repository(service)+"@"+digest.String())
			put("repository")
			put("commit")
			break
		}
		put("repository", p.repository(service))
	default:
		images, ok := p.images(service)
		if !ok {
			return nil, false
		}
		put("image", images...)
		put("release", cmp.Or(service.Release.Value, service.Name))
	}
	return values, true
}

// unbuilt is a digest that no image has.
var unbuilt = "sha256:" + strings.Repeat("0", 64)

// images returns the images of a service's release, its own first.
func (p *parser[S]) images(service service) (images []string, ok bool) {
	ok = true
	repositories := map[string]string{}
	for _, other := range p.document.Services {
		repositories[other.Name] = p.repository(other)
	}
	names := append([]string{service.Name}, p.parts(service)...)
	if declared := p.verb.Declare(new(S)).Lookup("image"); declared == nil || !declared.Many {
		names = names[:1]
	}
	for i, name := range names {
		digest, given := p.options.Digests[name]
		text := digest.String()
		if !given && p.options.Unbuilt {
			text, given = unbuilt, true
		}
		if !given {
			ok = p.missingDigest(name)
			continue
		}
		image := repositories[name] + "@" + text
		if i > 0 {
			image = name + "=" + image
		}
		images = append(images, image)
	}
	return images, ok
}

// missingDigest records that a service has no digest, and returns false.
func (p *parser[S]) missingDigest(service string) bool {
	p.problem(0, "no digest is given for service %q: give --digests, an output of build --matrix, or, for pipeline, take that service too (--services)", service)
	return false
}
