package survey

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Chart is a Helm chart of the repository.
type Chart struct {
	Dir, Name string
	Port      string // path of the value that is the container's port, "" if the chart does not say
	PortValue string // the container's port by default, "" as above
	Ready     string // path of the value that is the readiness probe's path, "" as above
	Alive     string
	Replicas  string            // path of the value that is the number of pods
	ReadyPath string            // the readiness probe's path by default
	Commands  []string          // that the templates run in containers, for probes included
	Values    map[string]string // values files by environment
}

// portUse matches the container's port in a template.
var portUse = regexp.MustCompile(`containerPort:\s*\{\{-?\s*\.Values\.([A-Za-z0-9_.]+)\s*(\|[^}]*)?-?\}\}`)

// literalPort matches the container's port in a template that takes none from the values.
var literalPort = regexp.MustCompile(`containerPort:\s*["']?([0-9]{1,5})["']?\s`)

// commandUse matches the program of a container's or a probe's command in a template that takes it from no value.
var commandUse = regexp.MustCompile(`(?m)^\s*(?:- )?command:\s*(?:\n\s*- |\[\s*)["']?([A-Za-z0-9_./-]+)["']?(?:\s|,|\]|$)`)

// plainPath matches the path of a request that is no template.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9._~/?=&%-]*$`)

// charts returns the application charts. Those in a chart's own charts/ are its dependencies.
func charts(tree fs.FS, files []string) (all []Chart) {
	for _, name := range files {
		if path.Base(name) != "Chart.yaml" {
			continue
		}
		dir := path.Dir(name)
		var declared struct{ Name, Type string }
		if err := yaml.Unmarshal([]byte(read(tree, name)), &declared); err != nil || declared.Type == "library" || isDependency(tree, dir) {
			continue
		}
		chart := Chart{Dir: dir, Name: declared.Name, Values: map[string]string{}}
		chart.read(tree, files)
		all = append(all, chart)
	}
	return all
}

// isDependency reports whether a chart is in the charts directory of another one.
func isDependency(tree fs.FS, dir string) bool {
	parent := path.Dir(dir)
	return path.Base(parent) == "charts" && exists(tree, path.Join(path.Dir(parent), "Chart.yaml"))
}

// read finds out which of the chart's values are the port, the probes and the number of pods.
func (c *Chart) read(tree fs.FS, files []string) {
	var values map[string]any
	_ = yaml.Unmarshal([]byte(read(tree, path.Join(c.Dir, "values.yaml"))), &values) // helm reports what is wrong with it
	value := func(at string) any {
		var here any = values
		for key := range strings.SplitSeq(at, ".") {
			inner, isMap := here.(map[string]any)
			if !isMap {
				return nil
			}
			here = inner[key]
		}
		return here
	}
	first := func(paths ...string) string {
		for _, at := range paths {
			if value(at) != nil {
				return at
			}
		}
		return ""
	}
	c.Ready, c.Alive = first("readinessProbe.httpGet.path", "probes.readiness.path"), first("livenessProbe.httpGet.path", "probes.liveness.path")
	c.Replicas = first("replicaCount", "replicas")
	if given, _ := value(c.Ready).(string); plainPath.MatchString(given) {
		c.ReadyPath = given
	}
	for _, name := range files {
		if !Contains(path.Join(c.Dir, "templates"), path.Dir(name)) {
			continue
		}
		if !Contains(path.Join(c.Dir, "templates", "tests"), path.Dir(name)) {
			for _, found := range commandUse.FindAllStringSubmatch(read(tree, name), -1) {
				if !slices.Contains(c.Commands, found[1]) {
					c.Commands = append(c.Commands, found[1])
				}
			}
		}
	}
	for _, name := range files {
		if !Contains(path.Join(c.Dir, "templates"), path.Dir(name)) {
			continue
		}
		if found := portUse.FindStringSubmatch(read(tree, name)); found != nil && value(found[1]) != nil {
			c.Port, c.PortValue = found[1], ""
			if given, isPort := value(found[1]).(int); isPort {
				c.PortValue = strconv.Itoa(given)
			}
			break
		}
		if found := literalPort.FindAllStringSubmatch(read(tree, name)+"\n", -1); len(found) == 1 && c.PortValue == "" {
			c.PortValue = found[0][1] // of several, one may be of metrics
		}
	}
	for _, name := range files {
		if !Contains(c.Dir, path.Dir(name)) || !slices.Contains([]string{".yaml", ".yml"}, path.Ext(name)) || Contains(path.Join(c.Dir, "templates"), path.Dir(name)) {
			continue
		}
		base := strings.TrimSuffix(path.Base(name), path.Ext(name))
		environment, isValues := strings.CutPrefix(base, "values-")
		if !isValues {
			environment, isValues = strings.CutPrefix(base, "values.")
		}
		if path.Base(path.Dir(name)) == "values" {
			environment, isValues = base, true
		}
		if isValues {
			c.Values[environment] = name
		}
	}
}
