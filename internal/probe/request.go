package probe

import (
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// keys are the keys of a check, with the function that reads each one's value into the check: those of its request here,
// and those of the response from expectations.
var keys = func() map[string]func(*parser, *yaml.Node, *release.Check) {
	keys := map[string]func(*parser, *yaml.Node, *release.Check){
		"name":    func(p *parser, v *yaml.Node, c *release.Check) { c.Name = p.name(v) },
		"path":    func(p *parser, v *yaml.Node, c *release.Check) { c.Path = p.path(v) },
		"method":  func(p *parser, v *yaml.Node, c *release.Check) { c.Method = p.method(v) },
		"headers": func(p *parser, v *yaml.Node, c *release.Check) { c.Headers = p.headers(v, true) },
		"body":    func(p *parser, v *yaml.Node, c *release.Check) { c.Body = p.text(v, "body") },
	}
	for _, expectation := range expectations {
		keys[expectation.key] = expectation.parse
	}
	return keys
}()

const maxName = 100 // characters

func (p *parser) name(node *yaml.Node) string {
	name := p.text(node, "name")
	if name == "" || utf8.RuneCountInString(name) > maxName || text.LogLine(name, text.NoLimit) != name {
		p.problem(node, "", "name %s must be 1 to %d printable characters on one line", quote(name), maxName)
	}
	return name
}

func (p *parser) path(node *yaml.Node) string {
	path := p.text(node, "path")
	if why := pathProblem(path); why != "" {
		p.problem(node, "write it as /healthz or /search?q=1", "path %s %s", quote(path), why)
	}
	return path
}

// methods are those of RFC 9110, section 9, and PATCH (RFC 5789), without CONNECT and TRACE, which request no resource of
// a service.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions}

func (p *parser) method(node *yaml.Node) string {
	method := p.text(node, "method")
	if !slices.Contains(methods, method) {
		p.problem(node, "use one of "+strings.Join(methods, ", "), "method %s is not one that a check may use", quote(method))
	}
	return method
}

// headerName is RFC 9110's token, section 5.6.2.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// connectionHeaders are set by net/http itself.
var connectionHeaders = []string{"Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Upgrade"}

// headers parses names and values of headers, of a request or of a response.
func (p *parser) headers(node *yaml.Node, request bool) map[string]string {
	headers, lines := map[string]string{}, map[string]int{}
	for _, entry := range p.entries(node, "headers") {
		name := textproto.CanonicalMIMEHeaderKey(entry.name)
		value := p.text(entry.value, "header "+quote(entry.name))
		switch {
		case !headerName.MatchString(entry.name):
			p.problem(entry.key, "", "%s is not the name of a header", quote(entry.name))
		case lines[name] != 0:
			p.problem(entry.key, "", "header %s is set already at line %d", quote(entry.name), lines[name])
		case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
			p.problem(entry.value, "", "header %s has a control character in its value", quote(entry.name))
		case request && slices.Contains(connectionHeaders, name):
			p.problem(entry.key, "leave it out", "header %s belongs to the connection, not to a check", quote(entry.name))
		}
		headers[name], lines[name] = value, entry.key.Line
	}
	return headers
}
