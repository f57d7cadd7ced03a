package policyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"go.yaml.in/yaml/v3"
)

const (
	maxProblems = 50
	maxQuoted   = 100 // bytes of a value in a message
)

// parser reads the nodes of a file and collects every problem, with its line.
type parser struct {
	file     string
	problems []release.Problem
}

// yamlLine finds the line of a syntax error, which yaml.v3 has in its text only.
var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (?s:(.*))$`)

// document returns the root of the only document; nil if there is a problem.
func (p *parser) document(content []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, next yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0 {
		p.problems = append(p.problems, release.Problem{Where: p.file, What: "is empty", Do: "write version: 1 and environments: (docs/policy.md), or delete the file"})
		return nil
	}
	if err == nil {
		if err = decoder.Decode(&next); errors.Is(err, io.EOF) {
			return document.Content[0]
		}
		if err == nil {
			p.problem(&next, "write one document", "a second YAML document starts here")
			return nil
		}
	}
	where, what := p.file, strings.TrimPrefix(err.Error(), "yaml: ")
	if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
		where, what = p.file+":"+match[1], match[2]
	}
	p.problems = append(p.problems, release.Problem{Where: where, What: "is not YAML: " + text.Line(what, maxQuoted)})
	return nil
}

func (p *parser) problem(at *yaml.Node, do, format string, args ...any) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, release.Problem{Where: p.file + ":" + strconv.Itoa(at.Line), What: fmt.Sprintf(format, args...), Do: do})
	}
}

// isPlain reports whether a node has no anchor, alias or tag; otherwise it records the problem.
func (p *parser) isPlain(node *yaml.Node) bool {
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		p.problem(node, "write the value out", "anchors and aliases are not supported here")
	case node.Style&yaml.TaggedStyle != 0:
		p.problem(node, "leave the tag out", "tag %s is not supported here", quote(node.Tag))
	default:
		return true
	}
	return false
}

// mapping calls the reader of each key. A key that has no reader, and one that is repeated, is a problem.
func (p *parser) mapping(node *yaml.Node, what string, readers map[string]func(*yaml.Node)) {
	if !p.isPlain(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		p.problem(node, "write it as key: value", "%s must be a mapping, not %s", what, describe(node))
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if !p.isPlain(key) || key.Kind != yaml.ScalarNode {
			p.problem(key, "", "a key of %s must be a word", what)
			continue
		}
		read, known := readers[key.Value]
		line, repeated := lines[key.Value]
		switch {
		case repeated:
			p.problem(key, "", "key %s is repeated; its first value is at line %d", quote(key.Value), line)
		case !known:
			p.problem(key, "", "%s has no key %s; it has %s", what, quote(key.Value), strings.Join(slices.Sorted(keysOf(readers)), ", "))
		default:
			read(value)
		}
		lines[key.Value] = key.Line
	}
}

// keysOf yields the names of the readers.
func keysOf(readers map[string]func(*yaml.Node)) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for key := range readers {
			if !yield(key) {
				return
			}
		}
	}
}

// list returns the entries of a list of at most limit entries.
func (p *parser) list(node *yaml.Node, what string, limit int) []*yaml.Node {
	switch {
	case !p.isPlain(node):
		return nil
	case node.Kind != yaml.SequenceNode:
		p.problem(node, "begin each entry with a dash", "%s must be a list, not %s", what, describe(node))
		return nil
	case len(node.Content) == 0 || len(node.Content) > limit:
		p.problem(node, "", "%s has %d entries, not 1 to %d", what, len(node.Content), limit)
		return nil
	}
	return node.Content
}

// text returns a string. A number or a boolean has to be put in quotes, because parsers of YAML differ in what they take for text.
func (p *parser) text(node *yaml.Node, what string) (string, bool) {
	switch {
	case !p.isPlain(node):
	case node.Kind != yaml.ScalarNode:
		p.problem(node, "", "%s must be one value, not %s", what, describe(node))
	case node.ShortTag() != "!!str":
		p.problem(node, "put it in quotes", "%s must be text, not %s", what, describe(node))
	case len(node.Value) > maxText || !text.IsPrintable(node.Value):
		p.problem(node, "", "%s is longer than %d bytes or not printable", what, maxText)
	default:
		return node.Value, true
	}
	return "", false
}

// parsed reads a text and parses it.
func parsed[T any](p *parser, node *yaml.Node, what string, parse func(string) (T, error)) (value T, ok bool) {
	given, ok := p.text(node, what)
	if !ok {
		return value, false
	}
	value, err := parse(given)
	if err != nil {
		p.problem(node, "", "%s: %s", what, text.Line(err.Error(), 4*maxQuoted))
		return value, false
	}
	return value, true
}

// texts reads a list of texts, none of them twice.
func texts[T comparable](p *parser, node *yaml.Node, what string, limit int, parse func(string) (T, error)) (values []T) {
	for _, entry := range p.list(node, what, limit) {
		value, ok := parsed(p, entry, what, parse)
		switch {
		case !ok:
		case slices.Contains(values, value):
			p.problem(entry, "", "%s has %s twice", what, quote(entry.Value))
		default:
			values = append(values, value)
		}
	}
	return values
}

func (p *parser) boolean(node *yaml.Node, what string) (value bool) {
	if !p.isPlain(node) {
		return false
	}
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!bool" || node.Decode(&value) != nil {
		p.problem(node, "", "%s must be true or false, not %s", what, describe(node))
	}
	return value
}

func (p *parser) number(node *yaml.Node, what string, least, most int) (value int) {
	if !p.isPlain(node) {
		return 0
	}
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int" || node.Decode(&value) != nil || value < least || value > most {
		p.problem(node, "", "%s must be a number from %d to %d, not %s", what, least, most, describe(node))
		return 0
	}
	return value
}

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
	return quote(node.Value)
}

func quote(s string) string { return strconv.Quote(text.Truncate(s, maxQuoted)) }
