package survey

import (
	"cmp"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
)

// Service is what the files of a build say about the service.
type Service struct {
	Ports     []Fact     // that it may listen on
	ReadsPort bool       // it listens on the port that the variable PORT names
	Variables []Variable // of a Go main package, by which a port can be set
	Ready     []Fact     // paths that may say that it can serve, those that are best for it
	Alive     []Fact     // paths that may say that it runs, those that are best for it
}

// Variable is a variable of the environment that sets a port, and the port without it.
type Variable struct{ Name, Default string }

// VariableOf returns the only variable whose default is a port that was found; the zero value if there is none or there are several.
func (s Service) VariableOf() (found Variable) {
	for _, variable := range s.Variables {
		if !slices.ContainsFunc(s.Ports, func(port Fact) bool { return port.Value == variable.Default }) || variable == found {
			continue
		}
		if found.Name != "" {
			return Variable{}
		}
		found = variable
	}
	return found
}

// Fact is a value and the file that has it.
type Fact struct{ Value, File string }

// Port returns a port that was found, as a number.
func (f Fact) Port() int {
	port, _ := strconv.Atoi(f.Value) // the expression that found it takes digits only
	return port
}

// sources are the endings of files that may name a port or a path.
var sources = []string{".go", ".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".java", ".kt", ".rs", ".php", ".cs", ".ex", ".scala", ".conf", ".properties"}

// probePath matches a path whose last part is one that services use for their health.
var probePath = regexp.MustCompile("[\"'` ](/(?:[a-z0-9_.-]+/)*(readyz|ready|readiness|healthz|health|healthcheck|livez|live|liveness|ping|up))/?[\"'` ){;]")

// The last parts of paths, from the best to the worst.
var (
	readyNames = []string{"readyz", "ready", "readiness", "healthz", "health", "healthcheck", "livez", "live", "liveness", "ping", "up"}
	aliveNames = []string{"livez", "live", "liveness", "healthz", "health", "healthcheck", "ping", "up", "readyz", "ready", "readiness"}
)

// Inspect reads the sources of a build. main is a Go main package of it, dockerfile a Dockerfile of it; one of them is "".
func Inspect(tree fs.FS, build Build, main, dockerfile string) (Service, error) {
	all, err := list(tree)
	if err != nil {
		return Service{}, err
	}
	var service Service
	var paths []probe
	if dockerfile != "" {
		file := path.Join(build.Dir, dockerfile)
		ports, checked := exposed(read(tree, file))
		for _, port := range ports {
			service.Ports = addFact(service.Ports, Fact{port, file})
		}
		for _, each := range checked {
			service.Ready, service.Alive = addFact(service.Ready, Fact{each, file}), addFact(service.Alive, Fact{each, file})
		}
	}
	read := 0
	for _, name := range filesOf(all, build, main) {
		if read++; read > maxSources {
			break
		}
		content := readSource(tree, name)
		if main != "" {
			for _, found := range goPort.FindAllStringSubmatch(content, -1) {
				service.Ports = addFact(service.Ports, Fact{found[1], name})
			}
			for _, found := range goPortVariable.FindAllStringSubmatch(content, -1) {
				service.Variables = append(service.Variables, Variable{found[1], found[2]})
			}
			service.ReadsPort = service.ReadsPort || goPortName.MatchString(content)
		}
		for _, found := range probePath.FindAllStringSubmatch(content, -1) {
			paths = append(paths, probe{Fact{found[1], name}, found[2]})
		}
	}
	if service.Ready == nil {
		service.Ready, service.Alive = best(paths, readyNames), best(paths, aliveNames)
	}
	return service, nil
}

func readSource(tree fs.FS, name string) string { return " " + read(tree, name) }

// filesOf returns the sources that make a build: of one of several main packages its own directory and what no other main package has.
func filesOf(all []string, build Build, main string) (files []string) {
	for _, name := range all {
		dir := path.Dir(name)
		if !slices.Contains(sources, path.Ext(name)) || isTest(name) || !build.FromRoot && !Contains(build.Dir, dir) {
			continue
		}
		if main != "" && path.Ext(name) != ".go" {
			continue
		}
		anothers := slices.ContainsFunc(build.Mains, func(other string) bool {
			return main != "" && other != main && other != "." && Contains(path.Join(build.Dir, other), dir)
		})
		if !anothers {
			files = append(files, name)
		}
	}
	return files
}

type probe struct {
	Fact
	last string // part of the path
}

// best returns the paths whose last part is the best of those that were found, each once.
func best(paths []probe, names []string) (facts []Fact) {
	for _, name := range names {
		for _, each := range paths {
			if each.last == name {
				facts = addFact(facts, each.Fact)
			}
		}
		if facts != nil {
			return facts
		}
	}
	return nil
}

// addFact adds a fact unless its value is known.
func addFact(facts []Fact, fact Fact) []Fact {
	if slices.ContainsFunc(facts, func(other Fact) bool { return other.Value == fact.Value }) {
		return facts
	}
	facts = append(facts, fact)
	slices.SortFunc(facts, func(a, b Fact) int { return cmp.Compare(a.Value, b.Value) })
	return facts
}
