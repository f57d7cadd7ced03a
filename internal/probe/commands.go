package probe

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// defaultCommandTime is the timeout of a command whose check sets none.
const defaultCommandTime = time.Minute

// commandKeys are the keys of a check that is a program.
var commandKeys = map[string]key{
	"command": {on: onCommand, makes: onCommand, parse: func(p *parser, v *yaml.Node, c *release.Check) {
		c.Kind, c.Command.Args = release.CheckCommand, p.arguments(v)
	}},
	"hurl": {on: onCommand, makes: onCommand, parse: func(p *parser, v *yaml.Node, c *release.Check) {
		c.Kind, c.Command.Script = release.CheckHurl, p.relative(v, "hurl")
	}},
	"k6": {on: onCommand, makes: onCommand, parse: func(p *parser, v *yaml.Node, c *release.Check) {
		c.Kind, c.Command.Script = release.CheckK6, p.relative(v, "k6")
	}},
	"timeout":  {on: onCommand, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Command.Timeout = p.duration(v, "timeout") }},
	"env":      {on: onCommand, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Command.Env = p.environment(v) }},
	"pass-env": {on: onCommand, parse: func(p *parser, v *yaml.Node, c *release.Check) { c.Command.PassEnv = p.variables(v) }},
	"files": {on: onCommand, parse: func(p *parser, v *yaml.Node, c *release.Check) {
		for _, item := range p.sequence(v, "files") {
			c.Command.Files = append(c.Command.Files, release.CheckFile{Path: p.relative(item, "files")})
		}
	}},
}

// arguments reads a program and its arguments.
func (p *parser) arguments(node *yaml.Node) (args []string) {
	const do = "write it as [go, test, ./smoke]; no shell interprets it"
	if node.Kind == yaml.ScalarNode {
		p.problem(node, do, "command must be a list of the program and its arguments, not %s", describe(node))
		return nil
	}
	for _, item := range p.sequence(node, "command") {
		arg := p.text(item, "an argument")
		if strings.ContainsRune(arg, 0) {
			p.problem(item, "", "an argument has a NUL character")
		}
		args = append(args, arg)
	}
	if node.Kind == yaml.SequenceNode && (len(args) == 0 || args[0] == "") {
		p.problem(node, do, "command names no program")
	}
	return args
}

// relative reads a path that is relative to the checks file.
func (p *parser) relative(node *yaml.Node, key string) string {
	name := p.text(node, key)
	if name == "" || path.IsAbs(name) || name == ".." || strings.HasPrefix(path.Clean(name), "../") || !text.IsPrintable(name) {
		p.problem(node, "write it relative to the directory of this file", "%s %s is not the path of a file below the directory of this file", key, quote(name))
	}
	return name
}

// variableName is the name of an environment variable: POSIX, Base Definitions, section 8.1, and small letters.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reserved are the variables that every command gets from smoke.
var reserved = []string{"BASE_URL", "EXPECTED_DIGEST", "EXPECTED_COMMIT"}

func (p *parser) variable(node *yaml.Node, name string) {
	switch {
	case !variableName.MatchString(name):
		p.problem(node, "", "%s is not the name of an environment variable", quote(name))
	case slices.Contains(reserved, name):
		p.problem(node, "omit it", "%s is set by smoke", name)
	}
}

// environment reads variables and their values.
func (p *parser) environment(node *yaml.Node) map[string]string {
	values := map[string]string{}
	for _, entry := range p.entries(node, "env") {
		p.variable(entry.key, entry.name)
		values[entry.name] = p.text(entry.value, "variable "+quote(entry.name))
		if strings.ContainsRune(values[entry.name], 0) {
			p.problem(entry.value, "", "variable %s has a NUL character", quote(entry.name))
		}
	}
	return values
}

// variables reads names of the job's variables.
func (p *parser) variables(node *yaml.Node) (names []string) {
	for _, item := range p.sequence(node, "pass-env") {
		name := p.text(item, "pass-env")
		p.variable(item, name)
		names = append(names, name)
	}
	return names
}
