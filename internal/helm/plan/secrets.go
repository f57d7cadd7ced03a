package plan

import (
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/text"
)

// secrets are the values that must not be shown: those of Secrets, and those that the chart's schema marks.
type secrets struct{ values *text.Secrets }

// collectSecrets returns the values of all Secrets among the objects, and the chart's values that its schema marks.
func collectSecrets(c *chart.Chart, lists ...[]map[string]any) *secrets {
	s := &secrets{values: new(text.Secrets)}
	for _, list := range lists {
		secret, _ := manifest.Secrets(list)
		s.values.Add(secret...)
	}
	if c != nil {
		s.values.Add(c.SecretValues()...)
		s.values.AddPossible(chart.NamedSecrets(c.Values)...)
	}
	return s
}

// isSecret reports whether an object is a Secret, or of a kind that makes one: SealedSecret, ExternalSecret.
func isSecret(object map[string]any) bool {
	kind, _ := object["kind"].(string)
	return strings.HasSuffix(kind, "Secret")
}

// redact replaces every secret in a text.
func (s *secrets) redact(shown string) string { return s.values.Redact(shown) }

// isIn reports whether a value contains a secret.
func (s *secrets) isIn(value any) bool {
	switch value := value.(type) {
	case string:
		return s.redact(value) != value
	case []any:
		return slices.ContainsFunc(value, s.isIn)
	case map[string]any:
		for _, inner := range value {
			if s.isIn(inner) {
				return true
			}
		}
	}
	return false
}

// hides reports whether the values at a path of an object must not be shown. Checksum annotations are hidden too: the checksum
// of something short could be guessed.
func (s *secrets) hides(object map[string]any, path []step, before, after any) bool {
	if len(path) == 0 {
		return isSecret(object)
	}
	top, last := path[0].field, path[len(path)-1].field
	if isSecret(object) && top != "metadata" && top != "type" && top != "immutable" {
		return true
	}
	if (top == "metadata" || inAnnotations(path)) && strings.Contains(strings.ToLower(last), "checksum") {
		return true
	}
	if top == "data" && text.NamesSecret(last) {
		return true
	}
	return ofContainer(path) || s.isIn(before) || s.isIn(after) || configures(before) || configures(after)
}

func inAnnotations(path []step) bool {
	return len(path) > 1 && path[len(path)-2].field == "annotations"
}

// ofContainer reports whether a path leads to the value of an environment variable, or to an argument or command of a container. Each
// may be a secret, whatever it is named.
func ofContainer(path []step) bool {
	last := path[len(path)-1].field
	for i, step := range path {
		switch {
		case step.field == "args" || step.field == "command":
			return true
		case step.item != nil && i > 0 && path[i-1].field == "env":
			return last == "value" || i == len(path)-1
		}
	}
	return false
}

// configures reports whether a value contains, at any depth, an environment variable with a literal value, or the arguments or the
// command of a container; or a header or another name whose value is secret.
func configures(value any) bool {
	switch value := value.(type) {
	case []any:
		return slices.ContainsFunc(value, configures)
	case map[string]any:
		name, isNamed := value["name"].(string)
		if isNamed && value["value"] != nil && text.NamesSecret(name) || value["args"] != nil || value["command"] != nil {
			return true
		}
		for field, inner := range value {
			if field == "env" && setsVariable(inner) || configures(inner) {
				return true
			}
		}
	}
	return false
}

// setsVariable reports whether a list of environment variables has one with a literal value.
func setsVariable(env any) bool {
	list, _ := env.([]any)
	return slices.ContainsFunc(list, func(item any) bool {
		variable, _ := item.(map[string]any)
		return variable["value"] != nil
	})
}
