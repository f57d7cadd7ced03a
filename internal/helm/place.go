package helm

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place says which layer gave the value at a path, the last one that names it: file:line or the option. "" if none did:
// then it is the chart's own.
func place(layers []layer, path []string) string {
	for i := len(layers) - 1; i >= 0; i-- {
		if !names(layers[i].values, path) {
			continue
		}
		if line := line(layers[i].tree, path); line > 0 {
			return fmt.Sprintf("%s:%d", layers[i].where, line)
		}
		return layers[i].where
	}
	return ""
}

// names tells whether there is something at a path, which must not be empty.
func names(value any, path []string) bool {
	for _, step := range path {
		switch held := value.(type) {
		case map[string]any:
			next, found := held[step]
			if !found {
				return false
			}
			value = next
		case []any:
			index, err := strconv.Atoi(step)
			if err != nil || index < 0 || index >= len(held) {
				return false
			}
			value = held[index]
		default:
			return false
		}
	}
	return len(path) > 0
}

// line is where a path stands in a file, as deep as it can be followed; 0 if not even its first step is there.
func line(node *yaml.Node, path []string) int {
	if node == nil {
		return 0
	}
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	found := 0
	for _, step := range path {
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		at, next := child(node, step)
		if next == nil {
			break
		}
		found, node = at, next
	}
	return found
}

// child is the value of one key or index, and the line on which it begins.
func child(node *yaml.Node, step string) (int, *yaml.Node) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i].Line, node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if index, err := strconv.Atoi(step); err == nil && index >= 0 && index < len(node.Content) {
			return node.Content[index].Line, node.Content[index]
		}
	}
	return 0, nil
}

var plainStep = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// dotted is a path as people write it: service.annotations."a.b/c".
func dotted(path []string) string {
	steps := make([]string, len(path))
	for i, step := range path {
		steps[i] = step
		if !plainStep.MatchString(step) {
			steps[i] = strconv.Quote(step)
		}
	}
	return strings.Join(steps, ".")
}
