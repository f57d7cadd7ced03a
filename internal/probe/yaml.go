package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"go.yaml.in/yaml/v3"
)

// parser reads the YAML nodes of a checks file and collects every problem, with its position.
type parser struct {
	file     string
	problems []release.Problem
	captured map[string]int // line of each value that the checks so far capture
}

// yamlLine finds the line of a syntax error, which yaml.v3 has in its text only.
var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (?s:(.*))$`)

// document returns the root node of the one YAML document in the content.
func (p *parser) document(content []byte) (*yaml.Node, bool) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, next yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0 {
		p.problems = append(p.problems, release.Problem{Where: p.file, What: "has no checks", Do: howToWriteChecks})
		return nil, false
	}
	if err == nil {
		if err = decoder.Decode(&next); errors.Is(err, io.EOF) {
			return document.Content[0], true
		}
		if err == nil {
			p.problem(&next, "put all checks into one document", "a second YAML document starts here")
			return nil, false
		}
	}
	where, what := p.file, strings.TrimPrefix(err.Error(), "yaml: ")
	if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
		where, what = p.file+":"+match[1], match[2]
	}
	p.problems = append(p.problems, release.Problem{Where: where, What: "is not YAML: " + excerpt(what)})
	return nil, false
}

// maxProblems is how many problems are reported.
const maxProblems = 100

// problem reports a problem at a node. do says how to fix it, if that is not obvious.
func (p *parser) problem(at *yaml.Node, do, format string, args ...any) {
	if len(p.problems) > maxProblems {
		return
	}
	problem := release.Problem{What: fmt.Sprintf(format, args...), Do: do,
		Where: p.file + ":" + strconv.Itoa(at.Line) + ":" + strconv.Itoa(at.Column)}
	if len(p.problems) == maxProblems {
		problem = release.Problem{Where: problem.Where, What: "more problems follow; these are the first " + strconv.Itoa(maxProblems)}
	}
	p.problems = append(p.problems, problem)
}

// entry is one key of a mapping, with its value.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries lists a mapping in its order, and reports a key that is repeated.
func (p *parser) entries(node *yaml.Node, what string) []entry {
	if !p.checkPlain(node) {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		p.problem(node, "write it as key: value", "%s must be a mapping, not %s", what, describe(node))
		return nil
	}
	lines := map[string]int{}
	var all []entry
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		name := p.scalar(key, "a key")
		if line, taken := lines[name]; taken {
			p.problem(key, "", "key %s is repeated; its first value is at line %d", quote(name), line)
			continue
		}
		lines[name] = key.Line
		all = append(all, entry{name: name, key: key, value: node.Content[i+1]})
	}
	return all
}

// sequence lists the items of a list.
func (p *parser) sequence(node *yaml.Node, what string) []*yaml.Node {
	if !p.checkPlain(node) {
		return nil
	}
	if node.Kind != yaml.SequenceNode {
		p.problem(node, "begin each with a dash", "%s must be a list, not %s", what, describe(node))
		return nil
	}
	return node.Content
}

// text requires a string. A number or a boolean has to be put in quotes, because parsers of YAML differ in what they take
// for text.
func (p *parser) text(node *yaml.Node, what string) string {
	text := p.scalar(node, what)
	if tag := node.ShortTag(); node.Kind == yaml.ScalarNode && tag != "!!str" && tag != "!!timestamp" && !tagged(node) {
		p.problem(node, "put it in quotes", "%s must be text, not %s", what, describe(node))
	}
	return text
}

// scalar is the text of a single value of any type.
func (p *parser) scalar(node *yaml.Node, what string) string {
	if p.checkPlain(node) && node.Kind != yaml.ScalarNode {
		p.problem(node, "", "%s must be one value, not %s", what, describe(node))
	}
	return node.Value
}

// maxDepth is how deep a value to compare may be nested.
const maxDepth = 100

// jsonValue converts a node into what encoding/json would decode.
func (p *parser) jsonValue(node *yaml.Node, depth int) any {
	if depth > maxDepth {
		p.problem(node, "", "is nested more than %d levels deep", maxDepth)
		return nil
	}
	switch node.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		for _, entry := range p.entries(node, "an object") {
			object[entry.name] = p.jsonValue(entry.value, depth+1)
		}
		return object
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range p.sequence(node, "a list") {
			list = append(list, p.jsonValue(item, depth+1))
		}
		return list
	}
	text := p.scalar(node, "a value")
	var value any = text
	switch node.ShortTag() {
	case "!!bool", "!!int", "!!float", "!!null":
		if err := node.Decode(&value); err != nil {
			p.problem(node, "", "%s cannot be read: %s", quote(text), excerpt(err.Error()))
		}
	}
	if _, inexact := value.(float64); inexact && isWhole(text) {
		return json.Number(strings.TrimPrefix(text, "+"))
	}
	if number, ok := value.(float64); ok && (math.IsNaN(number) || math.IsInf(number, 0)) {
		p.problem(node, "", "%s is not a number in JSON", quote(text))
	}
	return value
}

// checkPlain reports whether a node has no anchor, alias or tag; otherwise it records the problem.
func (p *parser) checkPlain(node *yaml.Node) bool {
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		p.problem(node, "write the value out", "anchors and aliases are not supported here")
	case tagged(node):
		p.problem(node, "leave the tag out", "tag %s is not supported here", quote(node.Tag))
	default:
		return true
	}
	return false
}

// tagged says whether a node has an explicit tag (!!binary).
func tagged(node *yaml.Node) bool { return node.Style&yaml.TaggedStyle != 0 }

// describe names a node's kind, and the value of a scalar.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if node.ShortTag() == "!!null" {
		return "empty"
	}
	return fmt.Sprintf("the %s %s", strings.TrimPrefix(node.ShortTag(), "!!"), quote(node.Value))
}
