package manifest

import (
	"encoding/base64"
	"strings"

	"github.com/onedigest/onedigest/internal/text"
)

// Secrets returns the values in objects that nothing may show: what Secrets contain, decoded, and what variables, keys and headers
// are set to whose names say that they are secret. The values that only may be secret are those of other environment variables, and
// the arguments and commands of containers.
func Secrets(objects []map[string]any) (secret, possible []string) {
	var search secretSearch
	for _, object := range objects {
		search.addData(object)
		search.visit(object)
	}
	return search.secret, search.possible
}

type secretSearch struct{ secret, possible []string }

// addData adds the values of a Secret, and those of a ConfigMap whose keys name secrets.
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

// addVariable adds the value of a name that it is set to. If it is no environment variable, the name decides whether it is added.
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

// addArgument adds an argument, and the value of --name=value.
func (s *secretSearch) addArgument(argument string) {
	s.possible = append(s.possible, argument)
	name, value, found := strings.Cut(argument, "=")
	switch {
	case found && text.NamesSecret(name):
		s.secret = append(s.secret, value)
	case found:
		s.possible = append(s.possible, value)
	}
}
