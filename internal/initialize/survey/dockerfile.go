package survey

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// instruction is one line of a Dockerfile: its word in upper case, and the rest with variables replaced where their values are known.
type instruction struct{ word, rest string }

var (
	heredoc       = regexp.MustCompile(`<<-?["']?([A-Za-z_]+)["']?`)
	variableUse   = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?`)
	dockerPort    = regexp.MustCompile(`^([0-9]{1,5})(/tcp)?$`)
	checkedURL    = regexp.MustCompile(`https?://[^/\s"']+(/[A-Za-z0-9._~/?=&%-]*)`)
	escapeToken   = "\\\n"
	commentOfLine = regexp.MustCompile(`(?m)^\s*#.*\n`)
)

// maxVariable is the longest value of a variable that is replaced, in bytes.
const maxVariable = 256

// instructions reads a Dockerfile. What is inside of a here-document is left out.
func instructions(content string) (all []instruction) {
	content = strings.ReplaceAll(commentOfLine.ReplaceAllString(strings.ReplaceAll(content, "\r\n", "\n")+"\n", ""), escapeToken, " ")
	variables, end := map[string]string{}, ""
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		if end != "" {
			if line == end {
				end = ""
			}
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if found := heredoc.FindStringSubmatch(rest); found != nil {
			end = found[1]
		}
		word = strings.ToUpper(word)
		rest = variableUse.ReplaceAllStringFunc(rest, func(use string) string {
			if value := variables[variableUse.FindStringSubmatch(use)[1]]; value != "" {
				return value
			}
			return use
		})
		if word == "ARG" || word == "ENV" {
			separator := "="
			if !strings.Contains(rest, separator) {
				separator = " "
			}
			name, value, _ := strings.Cut(rest, separator)
			value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
			if variables[name] = strings.Trim(value, `"'`); len(value) > maxVariable { // a value that doubles on every line
				delete(variables, name)
			}
		}
		all = append(all, instruction{word, rest})
	}
	return all
}

// lastStage returns the instructions of the stage that becomes the image.
func lastStage(all []instruction) []instruction {
	for i, one := range slices.Backward(all) {
		if one.word == "FROM" {
			return all[i:]
		}
	}
	return all
}

// exposed returns the TCP ports that the image of a Dockerfile exposes, and the path that its HEALTHCHECK asks for.
func exposed(content string) (ports, paths []string) {
	all := instructions(content)
	for _, one := range lastStage(all) {
		switch one.word {
		case "EXPOSE":
			for field := range strings.FieldsSeq(one.rest) {
				if found := dockerPort.FindStringSubmatch(strings.ToLower(field)); found != nil {
					ports = append(ports, found[1])
				}
			}
		case "HEALTHCHECK":
			if found := checkedURL.FindStringSubmatch(one.rest); found != nil {
				paths = append(paths, found[1])
			}
		}
	}
	return ports, paths
}

// copiesFromRoot reports whether a Dockerfile copies something that is not beside it, but in the repository's root: it is built from there.
func copiesFromRoot(tree fs.FS, file string) bool {
	dir := path.Dir(file)
	if dir == "." {
		return false
	}
	for _, one := range instructions(read(tree, file)) {
		if one.word != "COPY" && one.word != "ADD" || strings.Contains(one.rest, "--from=") || strings.HasPrefix(one.rest, "[") {
			continue
		}
		sources := slices.DeleteFunc(strings.Fields(one.rest), func(field string) bool { return strings.HasPrefix(field, "--") })
		for _, source := range sources[:max(0, len(sources)-1)] {
			source = strings.TrimPrefix(path.Clean("/"+source), "/")
			if source == "" || strings.ContainsAny(source, "*?[$<:") {
				continue
			}
			if !exists(tree, path.Join(dir, source)) && exists(tree, source) {
				return true
			}
		}
	}
	return false
}
