package release

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Assignment sets one chart value: a path, and the text after its "=".
type Assignment struct {
	Path  []string // keys, and indexes of list items counted from 0
	Index []bool   // whether the step of Path at the same position is an index
	Text  string   // the text as it was given; nothing in it is escaped or separated
}

// maxIndex limits the index of a list item.
const maxIndex = 1023

// continuation matches a line that is probably not an assignment but a later line of a multi-line value, such as the last line of
// a PEM.
var continuation = regexp.MustCompile(`^[A-Za-z0-9+/_-]{12,}={1,2}$`)

var (
	errNotAssignment = errors.New("is not path=value")
	errContinuation  = errors.New("is not path=value, but looks like a part of a value of several lines")
)

// ParseAssignment parses path=value. Dots separate the path's steps; name[0] is an item of a list; a backslash makes the next
// character part of the key: a\.b is one key. The first "=" without a backslash ends the path. All text after it is the value.
// The error does not contain the text, which may be a secret.
func ParseAssignment(text string) (Assignment, error) {
	var parsed Assignment
	if continuation.MatchString(text) {
		return parsed, errContinuation
	}
	var key strings.Builder
	begun, afterIndex := false, false // whether a key has begun; whether an index has just ended
	endKey := func() bool {
		if !begun {
			return afterIndex
		}
		parsed.Path, parsed.Index = append(parsed.Path, key.String()), append(parsed.Index, false)
		key.Reset()
		begun = false
		return true
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '=':
			if !endKey() {
				return parsed, errors.New("has an empty step in its path, or none")
			}
			parsed.Text = text[i+1:]
			return parsed, nil
		case c == '.':
			if !endKey() {
				return parsed, errors.New("has an empty step in its path")
			}
			afterIndex = false
			if i+1 < len(text) && (text[i+1] == '=' || text[i+1] == '[') {
				return parsed, errors.New("has an empty step in its path")
			}
		case c == '[':
			if !endKey() {
				return parsed, errors.New("begins with an index")
			}
			index, rest, closed := strings.Cut(text[i+1:], "]")
			number, err := strconv.Atoi(index)
			if !closed || err != nil || number < 0 || number > maxIndex {
				return parsed, fmt.Errorf("has an index that is not a number from 0 to %d", maxIndex)
			}
			parsed.Path, parsed.Index = append(parsed.Path, strconv.Itoa(number)), append(parsed.Index, true)
			i, afterIndex = len(text)-len(rest)-1, true
		case afterIndex:
			return parsed, errors.New("has something other than a dot, an index or = behind an index")
		case c == '\\' && i+1 < len(text):
			i++
			key.WriteByte(text[i])
			begun = true
		default:
			key.WriteByte(c)
			begun = true
		}
	}
	return parsed, errNotAssignment
}

// SecretValue is a value of a chart that is kept in a store of secrets.
type SecretValue struct {
	Path      string    // as in an Assignment
	Reference SecretRef // where it is kept
	Value     string    `json:"-"` // what the store has, "" until it was read
}

// SecretRef says where a secret is kept.
type SecretRef struct {
	Store string // one of the SecretStore constants
	Name  string // of the secret or parameter, or path of the file
	Key   string // of a field of its JSON, with dots between the steps; "" for the whole
}

// The stores of secrets.
const (
	SecretsManager = "awssm" // AWS Secrets Manager
	ParameterStore = "ssm"   // parameter store of AWS Systems Manager
	SOPSFile       = "sops"  // file that SOPS has encrypted, in the work tree
)

func (r SecretRef) String() string {
	text := r.Store + "://" + r.Name
	if r.Key != "" {
		text += "#" + r.Key
	}
	return text
}

// ParseSecretValue parses path=STORE://NAME[#KEY].
func ParseSecretValue(text string) (SecretValue, error) {
	assignment, err := ParseAssignment(text)
	if err != nil {
		return SecretValue{}, fmt.Errorf("%w; write it as path=STORE://NAME#KEY", err)
	}
	path := strings.TrimSuffix(strings.TrimSuffix(text, assignment.Text), "=")
	store, rest, found := strings.Cut(assignment.Text, "://")
	name, key, _ := strings.Cut(rest, "#")
	switch {
	case !found || store != SecretsManager && store != ParameterStore && store != SOPSFile:
		return SecretValue{}, fmt.Errorf("%q is given no reference: write awssm://NAME#KEY, ssm://NAME or sops://FILE#KEY, not the value itself", path)
	case name == "":
		return SecretValue{}, fmt.Errorf("the reference of %q names nothing", path)
	case store == SOPSFile && key == "":
		return SecretValue{}, fmt.Errorf("the reference of %q names no key of the file: write sops://FILE#KEY", path)
	}
	return SecretValue{Path: path, Reference: SecretRef{Store: store, Name: name, Key: key}}, nil
}
