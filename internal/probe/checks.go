package probe

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// maxFile is the largest checks file, in bytes.
const maxFile = 1 << 20

// LoadChecks parses a checks file (docs/checks.md): YAML with the one key "checks", a list of release.Check. The file's
// name is used in errors only. The default of a method is GET, of a status 200, and of a name the method and path.
//
// It reports every problem at once as a *release.InputError, each with file:line:column: unknown and repeated keys, values
// of another type, expressions that do not compile, checks of one name, values that no earlier check captures, no checks. Only a syntax error of YAML ends it
// early. Anchors, aliases and tags are refused (an alias can multiply a small file into gigabytes), and so is a file above
// 1 MiB.
func LoadChecks(file string, content []byte) ([]release.Check, error) {
	p := &parser{file: file, captured: map[string]int{}}
	checks := p.load(content)
	if len(p.problems) > 0 {
		return nil, &release.InputError{Problems: p.problems}
	}
	return checks, nil
}

const howToWriteChecks = `write "checks:" and below it a list, each with at least a path`

// load parses the document and returns its checks with their defaults.
func (p *parser) load(content []byte) []release.Check {
	if len(content) > maxFile {
		p.problems = []release.Problem{{Where: p.file, What: fmt.Sprintf("is %d bytes long, limit %d", len(content), maxFile)}}
		return nil
	}
	root, ok := p.document(content)
	if !ok {
		return nil
	}
	var checks []release.Check
	found := false
	for _, entry := range p.entries(root, "the file") {
		if entry.name != "checks" {
			p.problem(entry.key, howToWriteChecks, "unknown key %s", quote(entry.name))
			continue
		}
		found = true
		checks = p.checks(entry.value)
	}
	if !found && len(p.problems) == 0 {
		p.problem(root, howToWriteChecks, "has no checks")
	}
	return checks
}

// checks parses the list of checks.
func (p *parser) checks(list *yaml.Node) []release.Check {
	if list.Kind == yaml.SequenceNode && len(list.Content) == 0 || list.ShortTag() == "!!null" {
		p.problem(list, howToWriteChecks, "has no checks; nothing would be proved")
		return nil
	}
	var checks []release.Check
	lines := map[string]int{} // of each name
	for _, node := range p.sequence(list, "checks") {
		check, name := p.check(node)
		if line, taken := lines[check.Name]; taken && check.Name != "" {
			p.problem(name, "give each its own name", "name %s is taken by the check at line %d", quote(check.Name), line)
		}
		lines[check.Name] = node.Line
		checks = append(checks, check)
	}
	return checks
}

// check parses one check, and returns the node at which a problem with its name is reported.
func (p *parser) check(node *yaml.Node) (check release.Check, name *yaml.Node) {
	entries := p.entries(node, "a check")
	is := p.typeOf(entries)
	if is == onHTTP {
		check = release.Check{Method: http.MethodGet, Status: http.StatusOK}
	}
	if is == onCommand {
		check.Command = &release.Command{Timeout: defaultCommandTime, Line: node.Line}
	}
	values := map[string]*yaml.Node{}
	before := len(p.problems)
	for _, entry := range entries {
		key, known := keys[entry.name]
		switch {
		case !known:
			p.problem(entry.key, "known are "+strings.Join(slices.Sorted(maps.Keys(keys)), ", "), "unknown key %s", quote(entry.name))
			continue
		case is != 0 && key.on&is == 0:
			p.problem(entry.key, "", "%s does not belong to a check with %s", entry.name, typeKey(entries))
			continue
		case is == 0 && key.on == onCommand: // the type of the check is not known
			continue
		}
		values[entry.name] = entry.value
		key.parse(p, entry.value, &check)
	}
	if is == 0 && node.Kind == yaml.MappingNode && len(p.problems) == before {
		p.problem(node, "add path, for example path: /healthz", "a check without a path, or one of grpc, command, hurl and k6")
	}
	p.checkHTTP(values, check)
	for _, capture := range check.Captures {
		p.captured[capture.Name] = node.Line
	}
	if values["name"] != nil {
		return check, values["name"]
	}
	check.Name = defaultName(check)
	return check, node
}

// typeOf returns the type of a check, 0 if no key decides it, and reports a second type.
func (p *parser) typeOf(entries []entry) (found checkType) {
	for _, entry := range entries {
		switch makes := keys[entry.name].makes; {
		case makes != 0 && found != 0:
			p.problem(entry.key, "write two checks", "a check has one of %s, and this one has %s already", strings.Join(typeKeys, ", "), typeKey(entries))
		case makes != 0:
			found = makes
		}
	}
	return found
}

// typeKey returns the first key that decides the type of a check.
func typeKey(entries []entry) string {
	i := slices.IndexFunc(entries, func(e entry) bool { return slices.Contains(typeKeys, e.name) })
	return entries[max(i, 0)].name
}

// defaultName is the name of a check that has none; "" if what it is made of is missing.
func defaultName(check release.Check) string {
	name := ""
	switch {
	case check.Command != nil:
		name = strings.Join(check.Command.Args, " ")
		if check.Kind != release.CheckCommand {
			name = string(check.Kind) + " " + check.Command.Script
		}
	case check.Kind == release.CheckGRPC:
		name = "grpc health " + check.GRPCService
	case check.Path != "":
		return check.Method + " " + check.Path
	}
	return text.Line(name, maxName)
}

// checkHTTP reports keys of an HTTP check that contradict each other.
func (p *parser) checkHTTP(values map[string]*yaml.Node, check release.Check) {
	if check.Method == http.MethodHead {
		p.refuseBodyExpectations(values)
	}
	redirect := check.Status >= 300 && check.Status < 400
	if follow := values["follow-redirects"]; follow != nil && !check.NoRedirects && redirect {
		p.problem(follow, "omit it, or give the status after the redirect", "follow-redirects contradicts status %d, which is the redirect itself", check.Status)
	}
}

// refuseBodyExpectations reports what a check of HEAD expects of a body.
func (p *parser) refuseBodyExpectations(values map[string]*yaml.Node) {
	for _, expectation := range expectations {
		if value := values[expectation.key]; value != nil && expectation.needsBody {
			p.problem(value, "use GET", "%s expects a body, but the response to HEAD has none", expectation.key)
		}
	}
	if capture := values["capture"]; capture != nil {
		p.refuseBodyCaptures(capture)
	}
}
