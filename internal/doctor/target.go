package doctor

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Target is what is looked at: the settings, completed by what the workflow gives to pipeline.yaml.
type Target struct {
	setting.ClusterRef

	Environment release.Environment
	Repository  release.Repository // "" if it is not known
	Namespace   string
	Release     string
	Chart       string // "" for the default of deploy
	Values      []string
	Checks      string
	PlainHTTP   []string

	context, builder string // of the build; "" if they are not known
	several          bool   // services, of which the target is one
	viaArgoCD        bool   // Argo CD applies what a run commits
	kubeconfigGiven  bool   // by the setting itself, not by KUBECONFIG

	unknown map[string]bool // the settings that the workflow gives by an expression, whose value only a run knows, and nothing else gives
}

// target completes the settings. What decides which environment and service are meant, and is missing, is a *release.InputError.
func (s Settings) target(caller *survey.Caller) (Target, error) {
	t := Target{ClusterRef: s.ClusterRef, Environment: s.Environment, Repository: s.Repository, Namespace: s.Namespace, Release: s.Release, Chart: s.Chart, Values: s.Values, Checks: s.Checks, PlainHTTP: s.PlainHTTP, context: ".", kubeconfigGiven: s.kubeconfigGiven, unknown: map[string]bool{}}
	if caller != nil {
		if err := t.complete(*caller, s.Service); err != nil {
			return t, err
		}
	} else if s.Service != "" {
		return t, release.BadSetting("service", "no workflow of this repository calls pipeline.yaml with services", "leave it out, and name the rest")
	}
	if t.Environment == "" {
		why := "no workflow of this repository calls pipeline.yaml"
		if caller != nil {
			why = caller.File + " gives its environments by an expression"
		}
		return t, release.BadSetting("environment", "which environment is looked at is not known: "+why, "name it")
	}
	t.Namespace = cmp.Or(t.Namespace, t.Environment.String())
	if t.Release == "" && t.Repository != "" {
		t.Release = path.Base(t.Repository.Path())
	}
	return t, nil
}

// complete completes the target by what a workflow gives.
func (t *Target) complete(caller survey.Caller, name string) error {
	services, _ := caller.Services()
	service, found := services[name]
	if (len(services) > 0 || name != "") && !found {
		names := make([]string, 0, len(services))
		for each := range services {
			names = append(names, each)
		}
		return release.BadSetting("service", "the workflow has the services "+cmp.Or(strings.Join(sorted(names), ", "), "of one repository only"), "name one of them")
	}
	t.several = len(services) > 0
	var entry survey.CalledEnvironment
	environments, _ := caller.Environments()
	for i, each := range environments {
		if each.Name == t.Environment.String() || t.Environment == "" && i == 0 {
			entry = each
		}
	}
	if t.Environment == "" {
		t.Environment, _ = release.ParseEnvironment(entry.Name) // "" if it is none
	}
	if t.Repository == "" {
		given := cmp.Or(service.Repository, strings.TrimSuffix(caller.Given("repository")+"/"+name, "/"))
		t.Repository, _ = release.ParseRepository(given) // "" if it is an expression
	}
	known := func(name string, texts ...string) string { // the first that is given, "" if it is an expression
		text := cmp.Or(texts...)
		if survey.HasExpression(text) {
			t.unknown[name] = true
			return ""
		}
		return text
	}
	t.viaArgoCD = entry.Via == survey.ViaArgoCD
	if t.Cluster == "" && t.Context == "" {
		t.Cluster = known("cluster", entry.Cluster)
	}
	t.Region = known("region", t.Region, entry.Region, caller.With["region"])
	t.Namespace = known("namespace", t.Namespace, entry.Namespace)
	t.Release = known("release", t.Release, service.Release, caller.With["release"], name)
	t.Chart = known("chart", t.Chart, service.Chart, caller.With["chart"])
	t.Checks = known("checks", t.Checks, entry.Checks, service.Checks, caller.With["checks"])
	t.context, t.builder = cmp.Or(service.Context, caller.Given("context"), "."), cmp.Or(service.Builder, caller.Given("builder"))
	if len(t.Values) == 0 {
		for _, given := range []string{caller.With["values"], service.Values, entry.Values} {
			files, all := filesOf(given, name)
			t.Values = append(t.Values, files...)
			t.unknown["values"] = t.unknown["values"] || !all
		}
	}
	return nil
}

// filesOf returns the files that an input names for a service, as pipeline.yaml reads it: one a line, {0} for the service's name. A line with an expression, whose
// value only a run knows, is left out, and known is false.
func filesOf(given, service string) (files []string, known bool) {
	known = true
	for _, line := range survey.Lines(given) {
		if survey.HasExpression(line) {
			known = false
			continue
		}
		files = append(files, strings.ReplaceAll(line, "{0}", service))
	}
	return files, known
}

// givenByExpression says that the workflow gives a setting by an expression, "" if it does not: what depends on it is not known, and what gives it.
func (t Target) givenByExpression(names ...string) (why, fix string) {
	var given, flags []string
	for _, name := range names {
		if t.unknown[name] {
			given, flags = append(given, name), append(flags, "--"+name)
		}
	}
	if given == nil {
		return "", ""
	}
	return fmt.Sprintf("the workflow gives %s by an expression, whose value only a run knows", strings.Join(given, " and ")), "give " + strings.Join(flags, " and ")
}
