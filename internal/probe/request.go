package probe

import (
	"maps"
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

// checkType is a type of checks, each with keys of its own: HTTP, gRPC or a command.
type checkType int

const (
	onHTTP checkType = 1 << iota
	onGRPC
	onCommand
)

// key is a key of a check.
type key struct {
	on    checkType // the types of checks that may have the key
	makes checkType // the type of a check that has the key; 0: the key does not decide it
	parse func(p *parser, value *yaml.Node, check *release.Check)
}

// keys are the keys of a check: those of its request here, those of the response from expectations, and those of a command.
var keys = func() map[string]key {
	keys := map[string]key{
		"name":             {on: onHTTP | onGRPC | onCommand, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Name = p.name(v) }},
		"path":             {on: onHTTP, makes: onHTTP, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Path = p.path(v) }},
		"method":           {on: onHTTP, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Method = p.method(v) }},
		"headers":          {on: onHTTP, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Headers = p.headers(v, true) }},
		"body":             {on: onHTTP, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Body = p.expandable(v, "body") }},
		"http2":            {on: onHTTP, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.HTTP2 = p.boolean(v, "http2") }},
		"cookies":          {on: onHTTP, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Cookies = p.boolean(v, "cookies") }},
		"follow-redirects": {on: onHTTP, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.NoRedirects = !p.boolean(v, "follow-redirects") }},
		"grpc": {on: onGRPC, makes: onGRPC, parse: func(p *parser, v *yaml.Node, c *release.Check) {
			c.Kind, c.GRPCService = release.CheckGRPC, p.grpcService(v)
		}},
	}
	for _, expectation := range expectations {
		on := onHTTP
		if expectation.grpc {
			on |= onGRPC
		}
		keys[expectation.key] = key{on: on, parse: expectation.parse}
	}
	maps.Copy(keys, commandKeys)
	return keys
}()

// typeKeys are the keys that decide the type of a check.
var typeKeys = []string{"path", "grpc", "command", "hurl", "k6"}

// boolean requires true or false.
func (p *parser) boolean(node *yaml.Node, what string) (value bool) {
	if !p.checkPlain(node) {
		return false
	}
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!bool" || node.Decode(&value) != nil {
		p.problem(node, "write true or false", "%s must be true or false, not %s", what, describe(node))
	}
	return value
}

// grpcName is the name of a gRPC service: a package and a service of Protocol Buffers.
var grpcName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

// grpcService requires the name of a service, or "" for the whole server.
func (p *parser) grpcService(node *yaml.Node) string {
	name := p.text(node, "grpc")
	if name != "" && !grpcName.MatchString(name) {
		p.problem(node, `write it as shop.v1.Orders, or "" for the whole server`, "%s is not the name of a gRPC service", quote(name))
	}
	return name
}

// expandable requires a text, which may have references to captured values.
func (p *parser) expandable(node *yaml.Node, what string) string {
	text := p.text(node, what)
	p.checkReferences(node)
	return text
}

const maxName = 100 // characters

func (p *parser) name(node *yaml.Node) string {
	name := p.text(node, "name")
	if name == "" || utf8.RuneCountInString(name) > maxName || text.LogLine(name, text.NoLimit) != name {
		p.problem(node, "", "name %s must be 1 to %d printable characters on one line", quote(name), maxName)
	}
	return name
}

func (p *parser) path(node *yaml.Node) string {
	path := p.expandable(node, "path")
	if why := pathProblem(path); why != "" && !strings.HasPrefix(path, "${") {
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

// breaksHeader reports whether a value of a header has a control character: RFC 9110, section 5.5.
func breaksHeader(value string) bool {
	return strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

// connectionHeaders are set by net/http itself.
var connectionHeaders = []string{"Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Upgrade"}

// headers parses names and values of headers, of a request or of a response.
func (p *parser) headers(node *yaml.Node, request bool) map[string]string {
	headers, lines := map[string]string{}, map[string]int{}
	for _, entry := range p.entries(node, "headers") {
		name := textproto.CanonicalMIMEHeaderKey(entry.name)
		value := p.expandable(entry.value, "header "+quote(entry.name))
		switch {
		case !headerName.MatchString(entry.name):
			p.problem(entry.key, "", "%s is not the name of a header", quote(entry.name))
		case lines[name] != 0:
			p.problem(entry.key, "", "header %s is set already at line %d", quote(entry.name), lines[name])
		case breaksHeader(value):
			p.problem(entry.value, "", "header %s has a control character in its value", quote(entry.name))
		case request && slices.Contains(connectionHeaders, name):
			p.problem(entry.key, "leave it out", "header %s belongs to the connection, not to a check", quote(entry.name))
		}
		headers[name], lines[name] = value, entry.key.Line
	}
	return headers
}
