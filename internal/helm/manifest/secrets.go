package manifest

import (
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/text"
)

// Secrets returns the values in objects that must be redacted. secret are the values of Secrets, also decoded, and those of variables,
// keys and headers whose names say that they hold a secret. possible are the values of all other environment variables, and the
// arguments and commands of containers, without the names of flags: they may hold a secret.
func Secrets(objects []map[string]any) (secret, possible []string) {
	var search secretSearch
	for _, object := range objects {
		search.addData(object)
		search.visit(object)
	}
	return search.secret, search.possible
}

// secretSearch collects the results of Secrets.
type secretSearch struct{ secret, possible []string }

// addData adds the values of a Secret, and of a ConfigMap those whose keys say that they hold a secret.
func (s *secretSearch) addData(object map[string]any) {
	kind, _ := object["kind"].(string)
	for _, field := range []string{"data", "stringData", "binaryData"} {
		values, _ := object[field].(map[string]any)
		for name, value := range values {
			value, _ := value.(string)
			switch {
			case strings.HasSuffix(kind, "Secret"):
				s.secret = append(s.secret, value)
				if decoded, err := base64.StdEncoding.DecodeString(value); err == nil && field == "data" {
					s.secret = append(s.secret, string(decoded))
				}
			case kind == "ConfigMap" && text.NamesSecret(name):
				s.secret = append(s.secret, value)
			}
		}
	}
}

// visit adds the variables, arguments and commands below a value: those of a pod's containers, wherever a kind has them.
func (s *secretSearch) visit(value any) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			s.visit(item)
		}
	case map[string]any:
		s.addVariable(value, false)
		for name, inner := range value {
			list, _ := inner.([]any)
			switch name {
			case "env":
				for _, item := range list {
					if variable, ok := item.(map[string]any); ok {
						s.addVariable(variable, true)
					}
				}
			case "args", "command":
				if first, ok := first(list).(string); ok && name == "command" && isProgram(first) {
					list = list[1:]
				}
				for _, item := range list {
					if argument, ok := item.(string); ok {
						s.addArgument(argument)
					}
				}
			}
			s.visit(inner)
		}
	}
}

// first returns the first item of a list, nil if it is empty.
func first(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// program matches the path or the name of a program.
var program = regexp.MustCompile(`^[a-z./][\w./-]*$`)

// maxProgram is the length of the longest path of a program that is not taken for a secret, in bytes.
const maxProgram = 64

// isProgram reports whether a command's first word only names what is run: a failure to start it has to say so.
func isProgram(word string) bool { return program.MatchString(word) && len(word) <= maxProgram }

// addVariable adds the value of a map with name and value: as a secret if the name says so, else as a possible one if the map is an
// environment variable.
func (s *secretSearch) addVariable(variable map[string]any, isEnv bool) {
	name, _ := variable["name"].(string)
	value, _ := variable["value"].(string)
	switch {
	case text.NamesSecret(name):
		s.secret = append(s.secret, value)
	case isEnv:
		s.possible = append(s.possible, value)
	}
}

// flag matches the name of a flag. One with a single dash may have its value behind it, as mysql's -p.
var flag = regexp.MustCompile(`^--[a-z][a-z0-9]{0,30}(?:[-.][a-z0-9]{1,30}){0,8}$`)

// secretFlag matches the name of a flag whose value may be a secret.
var secretFlag = regexp.MustCompile(`(?i)pass|pw|pin|key|auth|cred|token|secret`)

// minSearched is the length of the shortest possible secret that is redacted by itself, in bytes (text.Secrets.AddPossible).
const minSearched = 8

// addArgument adds an argument, and the value of --name=value, as a secret if the name says so. Of a flag whose name does not say so, only the value is added: a program that does
// not start has to be seen with what it was started with. If the value is too short to be redacted by itself and the flag may have a secret, the whole argument is added.
func (s *secretSearch) addArgument(argument string) {
	name, value, found := strings.Cut(argument, "=")
	isFlag := flag.MatchString(name)
	switch {
	case found && text.NamesSecret(name):
		s.secret, s.possible = append(s.secret, value), append(s.possible, argument)
	case found && isFlag:
		s.possible = append(s.possible, value)
		if len(value) < minSearched && secretFlag.MatchString(name) {
			s.possible = append(s.possible, argument)
		}
	case found:
		s.possible = append(s.possible, argument, value)
	case !isFlag:
		s.possible = append(s.possible, argument)
	}
}
