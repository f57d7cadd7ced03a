package gitops

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"go.yaml.in/yaml/v3"
)

// maxValues bounds a values file, in bytes.
const maxValues = 1 << 20

// digestAt returns the digest at a dotted path of a values file; zero if the path has none. The value is a digest, or a whole reference.
func digestAt(content []byte, path string) (release.Digest, error) {
	root, err := parseValues(content)
	if err != nil {
		return release.Digest{}, err
	}
	node := find(root, path)
	if node == nil || node.Kind != yaml.ScalarNode {
		return release.Digest{}, nil
	}
	_, text := splitReference(node.Value)
	digest, err := release.ParseDigest(text)
	if err != nil {
		return release.Digest{}, nil //nolint:nilerr // a tag, or nothing yet
	}
	return digest, nil
}

// splitReference splits repository@digest; repository is "" if the text is a digest alone or nothing.
func splitReference(text string) (repository, digest string) {
	if repository, digest, found := strings.Cut(text, "@"); found {
		return repository, digest
	}
	if strings.HasPrefix(text, "sha256:") || text == "" {
		return "", text
	}
	repository, _ = release.SplitReference(text)
	return repository, ""
}

// setDigest writes an image's digest at a dotted path of a values file and leaves every other byte as it is. The path must have a string on one line: nothing, a digest, or a reference to the image's
// repository.
func setDigest(content []byte, path string, image release.Image) ([]byte, error) {
	root, err := parseValues(content)
	if err != nil {
		return nil, err
	}
	node := find(root, path)
	switch {
	case node == nil:
		return nil, fmt.Errorf("has no value %q; write it once, as an empty string", path)
	case node.Kind != yaml.ScalarNode:
		return nil, fmt.Errorf("line %d: %q is not a string", node.Line, path)
	}
	next := image.Digest.String()
	if repository, _ := splitReference(node.Value); repository != "" {
		if release.FullRepository(repository) != release.FullRepository(image.Repository.String()) {
			return nil, fmt.Errorf("line %d: %q names the repository %q, and the image is of %q", node.Line, path, repository, image.Repository)
		}
		next = repository + "@" + next
	}
	changed, err := replaceScalar(content, node, next)
	if err != nil {
		return nil, fmt.Errorf("line %d: %q %w", node.Line, path, err)
	}
	return changed, checkOnlyChange(content, changed, path, next)
}

// replaceScalar replaces the text of a scalar.
func replaceScalar(content []byte, node *yaml.Node, next string) ([]byte, error) {
	errForm := errors.New(`is not written on one line as a plain or a quoted string; write it as ""`)
	start := offset(content, node.Line, node.Column)
	var before string
	switch node.Style {
	case 0, yaml.TaggedStyle:
		before = node.Value
	case yaml.DoubleQuotedStyle:
		before = `"` + node.Value + `"`
	case yaml.SingleQuotedStyle:
		before = `'` + node.Value + `'`
	}
	if start < 0 || before == "" || !bytes.HasPrefix(content[start:], []byte(before)) {
		return nil, errForm
	}
	if quote := before[:1]; quote == `"` || quote == `'` {
		next = quote + next + quote
	}
	return append(append(append([]byte{}, content[:start]...), next...), content[start+len(before):]...), nil
}

// offset returns the place of a line and column, which count from 1 and characters; -1 if the content has no such place.
func offset(content []byte, line, column int) int {
	at := 0
	for range line - 1 {
		end := bytes.IndexByte(content[at:], '\n')
		if end < 0 {
			return -1
		}
		at += end + 1
	}
	for i := range string(content[at:]) {
		if column--; column == 0 {
			return at + i
		}
	}
	return -1
}

// checkOnlyChange refuses a change of more than the value at the path, such as of an anchor's other uses.
func checkOnlyChange(before, after []byte, path, want string) error {
	var old, changed any
	if err := errors.Join(yaml.Unmarshal(before, &old), yaml.Unmarshal(after, &changed)); err != nil {
		return err
	}
	names := strings.Split(path, ".")
	owner, _ := old.(map[string]any)
	for _, name := range names[:len(names)-1] {
		owner, _ = owner[name].(map[string]any)
	}
	if owner == nil {
		return fmt.Errorf("%q leads through a list; only a path of map keys can be changed", path)
	}
	owner[names[len(names)-1]] = want
	if !reflect.DeepEqual(old, changed) {
		return fmt.Errorf("%q cannot be changed alone: other values use it by a YAML alias", path)
	}
	return nil
}

// parseValues reads a file of one document whose top is a map.
func parseValues(content []byte) (*yaml.Node, error) {
	if len(content) > maxValues {
		return nil, fmt.Errorf("is larger than %d bytes", maxValues)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, another yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("is not YAML: %w", err)
	}
	if err := decoder.Decode(&another); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one document")
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("is not a map")
	}
	return document.Content[0], nil
}

// find returns the node at a dotted path, nil if there is none. It follows no alias.
func find(node *yaml.Node, path string) *yaml.Node {
	for name := range strings.SplitSeq(path, ".") {
		if node.Kind != yaml.MappingNode {
			return nil
		}
		var next *yaml.Node
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				next = node.Content[i+1]
			}
		}
		if next == nil {
			return nil
		}
		node = next
	}
	return node
}
