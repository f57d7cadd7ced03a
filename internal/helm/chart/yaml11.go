package chart

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// maxNotes bounds how many notes one file yields.
const maxNotes = 20

// changedByYAML collects values that the chart reads differently from how they are written in a file, because YAML 1.1 reads them
// as booleans or numbers. Neither a note nor a problem contains a value, which may be a secret.
type changedByYAML struct {
	file     string
	notes    []string
	omitted  int
	problems []release.Problem
}

// checkYAML compares the scalars of a file as they are written with what the chart reads.
func checkYAML(file string, tree *yaml.Node) (notes []string, problems []release.Problem) {
	c := changedByYAML{file: file}
	c.visit(tree, nil)
	if c.omitted > 0 {
		c.notes = append(c.notes, fmt.Sprintf("%s: %d more values are read otherwise than they are written", file, c.omitted))
	}
	return c.notes, c.problems
}

// visit checks a node of the file and all nodes below it; path is its place in the values.
func (c *changedByYAML) visit(node *yaml.Node, path []string) {
	switch node.Kind {
	case yaml.DocumentNode:
		for _, inner := range node.Content {
			c.visit(inner, path)
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			c.visit(item, append(slices.Clone(path), strconv.Itoa(i)))
		}
	case yaml.MappingNode:
		c.visitMap(node, path)
	case yaml.ScalarNode:
		c.checkScalar(node, path)
	case yaml.AliasNode: // what it refers to is visited where it is written
	}
}

// visitMap checks the keys of a map: the chart reads them as text, and two keys may become the same text.
func (c *changedByYAML) visitMap(node *yaml.Node, path []string) {
	lines := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			continue
		}
		inner, seen := append(slices.Clone(path), key.Value), keyAsRead(key)
		if before := lines[seen]; before > 0 {
			c.problems = append(c.problems, release.Problem{Where: fmt.Sprintf("%s:%d", c.file, key.Line),
				What: fmt.Sprintf("%s: YAML reads this key as %q, as it does the key in line %d, so that one of them would be lost", manifest.DottedPath(inner), seen, before),
				Do:   "quote the keys"})
		}
		lines[seen] = key.Line
		if seen != key.Value {
			c.note(key, inner, fmt.Sprintf("YAML reads this key as %q; quote it if its text is meant", seen))
		}
		c.visit(value, inner)
	}
}

// resolvable matches the plain scalars that YAML 1.1 reads as something other than text.
// Source: yaml.org/type, bool and the numbers of YAML 1.1; go.yaml.in/yaml/v2, resolve.go.
var resolvable = regexp.MustCompile(`^(?:[yYnN]|[yY]es|YES|[nN]o|NO|[oO]n|ON|[oO]ff|OFF|[tT]rue|TRUE|[fF]alse|FALSE|[-+]?\.?[0-9][0-9a-fA-FoxX_.+-]*)$`) //nolint:misspell // alse

func isPlain(node *yaml.Node) bool {
	const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle | yaml.TaggedStyle
	return node.Style&quoted == 0 && resolvable.MatchString(node.Value)
}

// keyAsRead returns a key as the chart reads it.
func keyAsRead(key *yaml.Node) string {
	var read map[string]any
	if isPlain(key) && sigsyaml.Unmarshal([]byte(key.Value+": 0"), &read) == nil {
		for name := range read {
			return name
		}
	}
	return key.Value
}

var digits = regexp.MustCompile(`^[-+]?[0-9]+$`)

// checkScalar notes a value that the chart reads as a boolean or number, unless it is written like one.
func (c *changedByYAML) checkScalar(node *yaml.Node, path []string) {
	if !isPlain(node) {
		return
	}
	var read any
	if sigsyaml.Unmarshal([]byte(node.Value), &read, func(d *json.Decoder) *json.Decoder { d.UseNumber(); return d }) != nil {
		return
	}
	switch read := read.(type) {
	case bool:
		if node.Value != strconv.FormatBool(read) {
			c.note(node, path, "YAML reads this value as a boolean; quote it if its text is meant, or write true or false")
		}
	case json.Number:
		value, _ := parseNumber(read.String())
		switch {
		case fmt.Sprint(value) == node.Value:
		case digits.MatchString(node.Value) && !digits.MatchString(read.String()):
			c.problems = append(c.problems, release.Problem{Where: fmt.Sprintf("%s:%d", c.file, node.Line),
				What: manifest.DottedPath(path) + ": the number has more digits than are kept", Do: "quote it"})
		default:
			c.note(node, path, "YAML reads this value as a number, which is not written as it is here; quote it if its text is meant")
		}
	}
}

func (c *changedByYAML) note(node *yaml.Node, path []string, what string) {
	if len(c.notes) == maxNotes {
		c.omitted++
		return
	}
	c.notes = append(c.notes, text.Line(fmt.Sprintf("%s:%d: %s: %s", c.file, node.Line, manifest.DottedPath(path), what), text.NoLimit))
}
