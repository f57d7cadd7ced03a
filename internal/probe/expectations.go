package probe

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ohler55/ojg/jp"
	"go.yaml.in/yaml/v3"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// expectation is one kind of requirement that a check can make of a response.
//
// docs/architecture.md says how to add a kind.
type expectation struct {
	key       string // in the checks file
	needsBody bool   // refused for HEAD, whose response has no body
	grpc      bool   // may be required of a gRPC service too
	// parse reads the key's value into the check and reports what is wrong with it.
	parse func(p *parser, value *yaml.Node, check *release.Check)
	// compare describes each way in which the response differs from the check, as expected and actual. It passes a
	// response if the check does not have the key. nil: compared together with another key.
	compare func(check compiledCheck, got response) []string
}

// expectations are listed in the order in which their differences are reported.
var expectations = []expectation{
	{key: "status", compare: compareStatus,
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Status = p.status(v) }},
	{key: "header", compare: compareHeader,
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Header = p.headers(v, false) }},
	{key: "body-contains", needsBody: true, compare: compareBodyContains,
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.BodyContains = p.texts(v, "body-contains") }},
	{key: "body-not-contains", needsBody: true, compare: compareBodyNotContains,
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.BodyNotContains = p.texts(v, "body-not-contains") }},
	{key: "body-regex", needsBody: true, compare: compareBodyRegex,
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.BodyRegex = p.regex(v) }},
	{key: "json", needsBody: true, compare: compareJSON, // json-type too, so that a body that is not JSON is reported once
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.JSON = p.json(v) }},
	{key: "json-type", needsBody: true,
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.JSONType = p.jsonType(v) }},
	{key: "body-digest", needsBody: true, compare: compareBodyDigest,
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.BodyDigest = p.digest(v) }},
	{key: "location", compare: compareLocation,
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Location = p.location(v) }},
	{key: "tls-min-days", grpc: true, compare: compareCertificate,
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.CertificateDays = p.days(v) }},
	{key: "max-latency", grpc: true, compare: compareLatency,
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.MaxLatency = p.duration(v, "max-latency") }},
	{key: "latency", grpc: true, // compared over all requests, by smoke
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Latency = p.latency(v) }},
	{key: "capture", // taken by the session
		parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Captures = p.capture(v) }},
}

// compiledCheck is a check with its defaults filled in and its expressions compiled.
type compiledCheck struct {
	release.Check
	regex    *regexp.Regexp // nil: none
	paths    map[string]jp.Expr
	captures map[string]*regexp.Regexp // by the name of the capture
}

// compile fills in the check's defaults (GET, 200) and compiles its expressions. It describes each one that does not
// compile.
func compile(check release.Check) (compiledCheck, []string) {
	if check.Method == "" {
		check.Method = http.MethodGet
	}
	if check.Status == 0 {
		check.Status = http.StatusOK
	}
	compiled := compiledCheck{Check: check, paths: map[string]jp.Expr{}, captures: map[string]*regexp.Regexp{}}
	var problems []string
	if check.BodyRegex != "" {
		regex, err := parseRegex(check.BodyRegex)
		if err != nil {
			problems = append(problems, err.Error())
		}
		compiled.regex = regex
	}
	paths := slices.Concat(slices.Sorted(maps.Keys(check.JSON)), slices.Sorted(maps.Keys(check.JSONType)))
	if check.CommitField != "" {
		paths = append(paths, check.CommitField)
	}
	for _, capture := range check.Captures {
		switch capture.From {
		case captureJSON:
			paths = append(paths, capture.Value)
		case captureRegex:
			regex, err := parseRegex(capture.Value)
			if err != nil {
				problems = append(problems, err.Error())
				continue
			}
			compiled.captures[capture.Name] = regex
		}
	}
	for _, path := range paths {
		expr, err := parsePath(path)
		if err != nil {
			problems = append(problems, err.Error())
		}
		compiled.paths[path] = expr
	}
	return compiled, problems
}

// compare describes every expectation that the response does not meet.
func (c compiledCheck) compare(got response) []string {
	var differences []string
	for _, expectation := range expectations {
		if expectation.compare != nil {
			differences = append(differences, expectation.compare(c, got)...)
		}
	}
	return differences
}

// status requires a final status code: RFC 9110, section 15.
func (p *parser) status(node *yaml.Node) int {
	var status int
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int" || node.Decode(&status) != nil || status < 200 || status > 599 {
		p.problem(node, "write a number from 200 to 599", "status %s is not a final HTTP status", quote(node.Value))
	}
	return status
}

func compareStatus(check compiledCheck, got response) []string {
	expected := strconv.Itoa(check.Status)
	if check.StatusBelow > 0 {
		expected = "below " + strconv.Itoa(check.StatusBelow)
	}
	if check.StatusBelow > 0 && got.status < check.StatusBelow || check.StatusBelow == 0 && got.status == check.Status {
		return nil
	}
	difference := fmt.Sprintf("status: expected %s, got %d", expected, got.status)
	if len(got.body) > 0 {
		difference += " with body " + quote(strings.TrimSpace(string(got.body)))
	}
	return []string{difference}
}

func compareHeader(check compiledCheck, got response) (differences []string) {
	for _, name := range slices.Sorted(maps.Keys(check.Header)) {
		values := got.header.Values(name)
		switch {
		case len(values) == 0:
			differences = append(differences, fmt.Sprintf("header %s: expected %s, got none", name, quote(check.Header[name])))
		case !slices.Contains(values, check.Header[name]):
			differences = append(differences, fmt.Sprintf("header %s: expected %s, got %s", name, quote(check.Header[name]), quote(strings.Join(values, ", "))))
		}
	}
	return differences
}

// texts reads one text or a list of texts.
func (p *parser) texts(node *yaml.Node, key string) []string {
	items := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		items = p.sequence(node, key)
	}
	var texts []string
	for _, item := range items {
		text := p.expandable(item, key)
		if text == "" {
			p.problem(item, "", "%s is empty, which every body contains", key)
		}
		texts = append(texts, text)
	}
	return texts
}

func compareBodyContains(check compiledCheck, got response) (differences []string) {
	for _, text := range check.BodyContains {
		if !bytes.Contains(got.body, []byte(text)) {
			differences = append(differences, fmt.Sprintf("body: expected to contain %s, got %s", quote(text), got.excerpt()))
		}
	}
	return differences
}

// compareBodyNotContains does not pass a body that is longer than what was read of it: the rest may contain the text.
func compareBodyNotContains(check compiledCheck, got response) (differences []string) {
	for _, text := range check.BodyNotContains {
		if got.truncated || bytes.Contains(got.body, []byte(text)) {
			differences = append(differences, fmt.Sprintf("body: expected not to contain %s, got %s", quote(text), got.excerpt()))
		}
	}
	return differences
}

func (p *parser) regex(node *yaml.Node) string {
	text := p.text(node, "body-regex")
	if _, err := parseRegex(text); err != nil {
		p.problem(node, "", "%s", err)
	} else if text == "" {
		p.problem(node, "", "body-regex is empty, which every body matches")
	}
	return text
}

// parseRegex accepts RE2 (https://github.com/google/re2/wiki/Syntax), which matches in linear time.
func parseRegex(text string) (*regexp.Regexp, error) {
	regex, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a regular expression of RE2: %s", quote(text), excerpt(err.Error()))
	}
	return regex, nil
}

func compareBodyRegex(check compiledCheck, got response) []string {
	if check.regex == nil || check.regex.Match(got.body) {
		return nil
	}
	return []string{fmt.Sprintf("body: expected to match %s, got %s", quote(check.BodyRegex), got.excerpt())}
}

// duration requires a time above zero.
func (p *parser) duration(node *yaml.Node, key string) time.Duration {
	text := p.scalar(node, key)
	limit, err := time.ParseDuration(text)
	if err != nil || limit <= 0 {
		p.problem(node, "write it with a unit, as 500ms or 2s", "%s %s is not a time above zero", key, quote(text))
	}
	return limit
}

func compareLatency(check compiledCheck, got response) []string {
	if check.MaxLatency == 0 || got.latency <= check.MaxLatency {
		return nil
	}
	return []string{fmt.Sprintf("latency: expected at most %s, took %s", text.Duration(check.MaxLatency), text.Duration(got.latency.Round(time.Millisecond)))}
}
