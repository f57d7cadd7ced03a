package initialize

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/initialize/survey"
	"github.com/onedigest/onedigest/internal/setting"
	"go.yaml.in/yaml/v3"
)

// byPolicy is the verify-key that leaves it to the file of rules what an environment requires.
const byPolicy = "policy"

// recall gives, as if by flags, what a workflow of the repository gives to pipeline.yaml, unless it is given now. What it gives by an expression, or in a form that
// no flag takes, is not known here.
func (s *Settings) recall(found survey.Found) {
	caller := found.Caller
	if caller == nil {
		return
	}
	inputs := s.set.Inputs()
	given := func(name string) bool { _, is := inputs[name]; return is }
	recalled := setting.Values{}
	put := func(name string, texts ...string) {
		texts = slices.DeleteFunc(texts, func(text string) bool { return text == "" || survey.HasExpression(text) })
		if len(texts) > 0 && !given(name) {
			recalled[name] = setting.Input{Texts: texts, Origin: caller.File}
		}
	}
	if one := found.Preview; one != nil {
		put("previews", "true")
		repository := one["repository"]
		if services, _ := caller.Services(); len(services) > 0 {
			repository = strings.TrimSuffix(repository, "/"+path.Base(repository))
		}
		put("preview-repository", repository)
		put("preview-role", one["role"])
		put("preview-cluster", one["cluster"])
	}
	put("pin", caller.Pin)
	put("branch", caller.Branch)
	for _, name := range []string{"repository", "role", "region", "runner", "build-runner", "comment"} {
		put(name, caller.With[name])
	}
	environments, _ := caller.Environments()
	var names, clusters, roles, keys []string
	for _, one := range environments {
		names = append(names, one.Name)
		clusters, roles, keys = appendPair(clusters, one.Name, one.Cluster), appendPair(roles, one.Name, one.Role), appendPair(keys, one.Name, one.SignKey)
		if one.VerifyKey == byPolicy {
			put("policy", "true")
		}
	}
	put("environments", names...)
	put("cluster", clusters...)
	put("environment-role", roles...)
	put("sign-key", keys...)
	if !given("service") && !given("context") {
		s.recallServices(caller, put)
	}
	maps.Copy(inputs, recalled)
	if s.set.Apply(inputs) != nil { // what somebody wrote by hand is no flag's value, or contradicts one
		for name := range recalled {
			delete(inputs, name)
		}
		_ = s.set.Apply(inputs) // valid before
	}
}

// recallServices recalls what is built.
func (s *Settings) recallServices(caller *survey.Caller, put func(name string, texts ...string)) {
	services, known := caller.Services()
	if !known || len(services) == 0 {
		put("context", caller.With["context"])
		put("builder", strings.Replace(caller.With["builder"], "auto", "", 1))
		put("main", caller.With["main"])
		put("chart", caller.With["chart"])
		return
	}
	var dirs, charts []string
	for _, name := range slices.Sorted(maps.Keys(services)) {
		one := services[name]
		dir := path.Join(one.Context, one.Main)
		if one.Dockerfile != "" {
			dir = path.Join(one.Context, path.Dir(one.Dockerfile))
		}
		dirs, charts = appendPair(dirs, name, dir), appendPair(charts, name, one.Chart)
	}
	put("service", dirs...)
	put("chart", charts...)
}

// appendPair appends NAME=VALUE if there is a value.
func appendPair(pairs []string, name, value string) []string {
	if value == "" {
		return pairs
	}
	return append(pairs, name+"="+value)
}

// calledEnvironments returns what the workflow says of each environment already, by name.
func (d *decider) calledEnvironments() map[string]survey.CalledEnvironment {
	called := map[string]survey.CalledEnvironment{}
	if d.found.Caller != nil {
		all, _ := d.found.Caller.Environments()
		for _, one := range all {
			called[one.Name] = one
		}
	}
	return called
}

// decided are the inputs of pipeline.yaml that init decides.
var decided = []string{"repository", "role", "region", "build-runner", "runner", "comment", "context", "builder", "main", "dockerfile", "chart", "checks", "environments", "services"}

// added returns what somebody added to the workflow: inputs that init does not decide, by name, and the lines of the secrets that the job hands on.
func added(caller survey.Caller) (inputs [][2]string, secrets []string) {
	for _, name := range slices.Sorted(maps.Keys(caller.With)) {
		if !slices.Contains(decided, name) {
			inputs = append(inputs, [2]string{name, scalar(caller.With[name], "        ")})
		}
	}
	if all := caller.Secrets[""]; all != "" {
		return inputs, []string{"    secrets: " + all}
	}
	for _, name := range slices.Sorted(maps.Keys(caller.Secrets)) {
		secrets = append(secrets, "      "+name+": "+scalar(caller.Secrets[name], "        "))
	}
	if len(secrets) > 0 {
		secrets = append([]string{"    secrets:"}, secrets...)
	}
	return inputs, secrets
}

// scalar returns a text as a value of YAML. What looks like a boolean or a number is one.
func scalar(text, indent string) string {
	if strings.Contains(text, "\n") {
		return "|\n" + indent + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+indent)
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil || text == "true" || text == "false" {
		return text
	}
	encoded, err := yaml.Marshal(text)
	if err != nil {
		panic(err) // a text
	}
	return strings.TrimSuffix(string(encoded), "\n")
}

// known is what a values file of an earlier run says.
type known struct{ file, port, ready, alive string }

// before reads the values of a service's first environment, if they are there.
func (d *decider) before(s service) (k known) {
	if len(d.settings.Environments) == 0 {
		return k
	}
	k.file = valuesFile(s, d.settings.Environments[0].String())
	content, err := fs.ReadFile(d.tree, k.file)
	var values map[string]any
	if err != nil || yaml.Unmarshal(content, &values) != nil {
		return k
	}
	at := pathsOf(s.chart)
	k.port, k.ready, k.alive = textAt(values, at.port), textAt(values, at.ready), textAt(values, at.alive)
	if _, err := parseProbe(k.ready); err != nil {
		k.ready, k.alive = "", ""
	}
	if _, err := parsePort(k.port); err != nil {
		k.port = ""
	}
	return k
}

// textAt returns a text or a number at a path of keys with dots between them, "" if there is none.
func textAt(values map[string]any, at string) string {
	keys := strings.Split(at, ".")
	for _, key := range keys[:len(keys)-1] {
		values, _ = values[key].(map[string]any)
	}
	switch found := values[keys[len(keys)-1]].(type) {
	case string:
		return found
	case int:
		return strconv.Itoa(found)
	}
	return ""
}
