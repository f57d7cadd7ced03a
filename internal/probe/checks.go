package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/onedigest/onedigest/internal/release"
)

// Limits of a checks file.
const (
	maxFile     = 1 << 20 // bytes
	maxProblems = 100     // listed
	maxDepth    = 100     // of a value to compare
)

// DefaultChecks are asked where no checks file is given: / answers 200 with a body, /configs answers 200 with a JSON
// object.
func DefaultChecks() []release.Check {
	return []release.Check{
		{Name: "home", Path: "/", Method: http.MethodGet, Status: http.StatusOK, BodyRegex: `\S`},
		{Name: "configuration", Path: "/configs", Method: http.MethodGet, Status: http.StatusOK,
			JSONType: map[string]string{"$": "object"}},
	}
}

// LoadChecks reads a checks file: YAML with the one key "checks", a list of release.Check. The file's name is for the
// errors only. A method that is not given is GET, a status 200, and a name the method and path.
//
// Every problem is told at once as *release.InputError, each with file:line:column: unknown and repeated keys, values of
// another type, expressions that do not compile, checks of one name, no checks. Only a syntax error of YAML ends the
// reading at itself. Anchors, aliases and tags are refused (an alias can multiply a small file into gigabytes), and so is
// a file above 1 MiB.
func LoadChecks(file string, content []byte) ([]release.Check, error) {
	r := &reader{file: file}
	checks := r.load(content)
	if len(r.problems) > 0 {
		return nil, &release.InputError{Problems: r.problems}
	}
	return checks, nil
}

// reader walks the nodes of a checks file and collects what is wrong.
type reader struct {
	file     string
	problems []release.Problem
}

const seeExample = `write "checks:" and below it a list, each with at least a path`

func (r *reader) load(content []byte) []release.Check {
	if len(content) > maxFile {
		r.problems = []release.Problem{{Where: r.file, What: fmt.Sprintf("is %d bytes long, limit %d", len(content), maxFile)}}
		return nil
	}
	root, ok := r.parse(content)
	if !ok {
		return nil
	}
	var checks []release.Check
	seen := false
	for _, entry := range r.entries(root, "the file") {
		if entry.name != "checks" {
			r.bad(entry.key, seeExample, "unknown key %s", quote(entry.name))
			continue
		}
		seen = true
		checks = r.checks(entry.value)
	}
	if !seen && len(r.problems) == 0 {
		r.bad(root, seeExample, "has no checks")
	}
	return checks
}

// yamlLine finds where a syntax error is; yaml.v3 tells it in its text alone.
var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (?s:(.*))$`)

func (r *reader) parse(content []byte) (*yaml.Node, bool) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, next yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0 {
		r.problems = append(r.problems, release.Problem{Where: r.file, What: "has no checks", Do: seeExample})
		return nil, false
	}
	if err == nil {
		if err = decoder.Decode(&next); errors.Is(err, io.EOF) {
			return document.Content[0], true
		}
		if err == nil {
			r.bad(&next, "put all checks into one document", "a second YAML document begins here")
			return nil, false
		}
	}
	where, what := r.file, strings.TrimPrefix(err.Error(), "yaml: ")
	if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
		where, what = r.file+":"+match[1], match[2]
	}
	r.problems = append(r.problems, release.Problem{Where: where, What: "is not YAML: " + clean(what, maxExcerpt)})
	return nil, false
}

// bad notes a problem at a node.
func (r *reader) bad(at *yaml.Node, do, format string, args ...any) {
	if len(r.problems) > maxProblems {
		return
	}
	problem := release.Problem{What: fmt.Sprintf(format, args...), Do: do,
		Where: r.file + ":" + strconv.Itoa(at.Line) + ":" + strconv.Itoa(at.Column)}
	if len(r.problems) == maxProblems {
		problem = release.Problem{Where: problem.Where, What: "more problems follow; these are the first " + strconv.Itoa(maxProblems)}
	}
	r.problems = append(r.problems, problem)
}

func (r *reader) checks(list *yaml.Node) []release.Check {
	if list.Kind == yaml.SequenceNode && len(list.Content) == 0 || list.ShortTag() == "!!null" {
		r.bad(list, seeExample, "has no checks; nothing would be proved")
		return nil
	}
	var checks []release.Check
	lines := map[string]int{}
	for _, node := range r.sequence(list, "checks") {
		check, name := r.check(node)
		if line, taken := lines[check.Name]; taken && check.Name != "" {
			r.bad(name, "give each its own name", "name %s is taken by the check at line %d", quote(check.Name), line)
		}
		lines[check.Name] = node.Line
		checks = append(checks, check)
	}
	return checks
}

// field reads one key of a check.
type field func(r *reader, value *yaml.Node, check *release.Check)

var fields = map[string]field{
	"name":    func(r *reader, v *yaml.Node, c *release.Check) { c.Name = r.name(v) },
	"path":    func(r *reader, v *yaml.Node, c *release.Check) { c.Path = r.path(v) },
	"method":  func(r *reader, v *yaml.Node, c *release.Check) { c.Method = r.method(v) },
	"headers": func(r *reader, v *yaml.Node, c *release.Check) { c.Headers = r.headers(v, true) },
	"body":    func(r *reader, v *yaml.Node, c *release.Check) { c.Body = r.text(v, "body") },
	"status":  func(r *reader, v *yaml.Node, c *release.Check) { c.Status = r.status(v) },
	"header":  func(r *reader, v *yaml.Node, c *release.Check) { c.Header = r.headers(v, false) },

	"body-contains": func(r *reader, v *yaml.Node, c *release.Check) { c.BodyContains = r.contains(v) },
	"body-regex":    func(r *reader, v *yaml.Node, c *release.Check) { c.BodyRegex = r.regex(v) },
	"json":          func(r *reader, v *yaml.Node, c *release.Check) { c.JSON = r.json(v) },
	"json-type":     func(r *reader, v *yaml.Node, c *release.Check) { c.JSONType = r.jsonType(v) },
	"max-latency":   func(r *reader, v *yaml.Node, c *release.Check) { c.MaxLatency = r.latency(v) },
}

// check reads one check, and gives the node that a problem of its name is told at.
func (r *reader) check(node *yaml.Node) (release.Check, *yaml.Node) {
	check := release.Check{Method: http.MethodGet, Status: http.StatusOK}
	given, at := map[string]*yaml.Node{}, node
	before := len(r.problems)
	for _, entry := range r.entries(node, "a check") {
		read, known := fields[entry.name]
		if !known {
			r.bad(entry.key, "known are "+strings.Join(slices.Sorted(maps.Keys(fields)), ", "), "unknown key %s", quote(entry.name))
			continue
		}
		given[entry.name] = entry.value
		read(r, entry.value, &check)
	}
	if given["path"] == nil && len(r.problems) == before {
		r.bad(node, "add path, for example path: /healthz", "a check without a path")
	}
	if given["name"] != nil {
		at = given["name"]
	} else if check.Path != "" {
		check.Name = check.Method + " " + check.Path
	}
	if check.Method == http.MethodHead {
		for _, key := range []string{"body-contains", "body-regex", "json", "json-type"} {
			if given[key] != nil {
				r.bad(given[key], "use GET", "%s expects a body, but the answer to HEAD has none", key)
			}
		}
	}
	return check, at
}
