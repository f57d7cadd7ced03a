package chart

import (
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// sourceLocation returns where the effective value at a path was set, as file:line or as the setting: in the last layer that has
// the path. It returns "" if no layer has it, because the value is then the chart's own.
func sourceLocation(layers []layer, path []string) string {
	for i := len(layers) - 1; i >= 0; i-- {
		if !layers[i].sets(path) {
			continue
		}
		if line := lineOf(layers[i].tree, path); line > 0 {
			return fmt.Sprintf("%s:%d", layers[i].source, line)
		}
		return layers[i].source
	}
	return ""
}

// sets reports whether a layer sets the value at a non-empty path, or something in it.
func (l layer) sets(path []string) bool {
	if l.path == nil {
		return hasPath(l.values, path)
	}
	common := min(len(path), len(l.path))
	if common == 0 || !slices.Equal(path[:common], l.path[:common]) {
		return false
	}
	return common == len(path) || hasPath(l.value, path[common:])
}

// hasPath reports whether a non-empty path exists in a value.
func hasPath(value any, path []string) bool {
	for _, step := range path {
		switch parent := value.(type) {
		case map[string]any:
			child, found := parent[step]
			if !found {
				return false
			}
			value = child
		case []any:
			index, err := strconv.Atoi(step)
			if err != nil || index < 0 || index >= len(parent) {
				return false
			}
			value = parent[index]
		default:
			return false
		}
	}
	return len(path) > 0
}

// lineOf returns the line of the deepest step of a path that exists in a file; 0 if the first step does not exist.
func lineOf(node *yaml.Node, path []string) int {
	if node == nil {
		return 0
	}
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	line := 0
	for _, step := range path {
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		at, child := childNode(node, step)
		if child == nil {
			break
		}
		line, node = at, child
	}
	return line
}

// childNode returns the value of a key or index, and the line where the key or the item begins.
func childNode(node *yaml.Node, step string) (int, *yaml.Node) {
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
