package smoke

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// CommitFrom says where an answer names its commit. The zero value means the header X-Commit, if the service sends it.
type CommitFrom struct {
	Header string // of every response; "" for none
	Path   string // of a response of its own, "" for none
	Field  string // JSONPath of the commit in that response
}

// parseCommitFrom accepts header:NAME, and json:PATH#FIELD with a JSON pointer (RFC 6901) or names separated by dots.
func parseCommitFrom(text string) (CommitFrom, error) {
	kind, rest, _ := strings.Cut(text, ":")
	switch kind {
	case "header":
		name, err := parseHeaderName(rest)
		return CommitFrom{Header: name}, err
	case "json":
		path, field, found := strings.Cut(rest, "#")
		jsonPath, err := parseField(field)
		if !found || err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, " \\\t\r\n") {
			return CommitFrom{}, fmt.Errorf("%q is not json:PATH#FIELD, such as json:/version#commit", text)
		}
		return CommitFrom{Path: path, Field: jsonPath}, nil
	}
	return CommitFrom{}, fmt.Errorf("%q is not header:NAME or json:PATH#FIELD", text)
}

// parseField converts a JSON pointer, or names separated by dots, to a JSONPath.
func parseField(field string) (string, error) {
	names := strings.Split(field, ".")
	if pointer, isPointer := strings.CutPrefix(field, "/"); isPointer {
		names = strings.Split(pointer, "/")
		for i, name := range names {
			names[i] = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
		}
	}
	path := "$"
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, "'\\") || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
			return "", fmt.Errorf("%q is not a field", field)
		}
		path += "['" + name + "']"
	}
	return path, nil
}

// addCheck adds the check that reads the commit, where a response of its own names it. An endpoint that no check asks in HTTP gets it only
// if nothing else proves the commit.
func (c CommitFrom) addCheck(checks []release.Check, mustProve bool) []release.Check {
	isHTTP := slices.ContainsFunc(checks, func(check release.Check) bool { return check.Kind == release.CheckHTTP })
	if c.Path == "" || !isHTTP && !mustProve {
		return checks
	}
	http2 := isHTTP && !slices.ContainsFunc(checks, func(check release.Check) bool { return check.Kind == release.CheckHTTP && !check.HTTP2 })
	return append(slices.Clone(checks), release.Check{Name: c.checkName(), Path: c.Path, Method: "GET", Status: 200, CommitField: c.Field, HTTP2: http2})
}

// checkName returns the name of the check that reads the commit.
func (c CommitFrom) checkName() string { return "commit in " + c.Path }

// mustName reports whether an answer to the check has to name its commit: if the settings say that it does, or if nothing else proves
// the commit.
func (c CommitFrom) mustName(check string, proved bool) bool {
	if c.Path != "" {
		return check == c.checkName()
	}
	return c.Header != "" || !proved
}

// where names the header or field that has the commit, for a message.
func (c CommitFrom) where() string {
	if c.Path != "" {
		return "field " + c.Field
	}
	return c.CommitHeader() + " header"
}

// CommitHeader returns the header that is compared.
func (c CommitFrom) CommitHeader() string {
	if c.Header != "" {
		return c.Header
	}
	return DefaultCommitHeader
}
