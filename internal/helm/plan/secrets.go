package plan

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/chart"
	"github.com/onedigest/onedigest/internal/text"
)

// secrets are values that must not be shown: those of Secrets, and those that the chart's schema marks as secret.
type secrets struct{ values []string }

// minSecret is how long a value must be to be redacted elsewhere, in bytes. Shorter ones, as "true", are everywhere.
const minSecret = 6

// collectSecrets returns the values of all Secrets among the objects, and the chart's values that its schema marks.
func collectSecrets(c *chart.Chart, lists ...[]map[string]any) *secrets {
	s := new(secrets)
	for _, list := range lists {
		for _, object := range list {
			s.addSecret(object)
		}
	}
	if c != nil {
		for _, value := range c.SecretValues() {
			s.add(value)
		}
	}
	s.sort()
	return s
}

// sort puts longer values first, so that a secret inside a longer one is redacted with it.
func (s *secrets) sort() {
	slices.SortFunc(s.values, func(a, b string) int { return len(b) - len(a) })
	s.values = slices.Compact(s.values)
}

// addSecret adds the values of a Secret.
func (s *secrets) addSecret(object map[string]any) {
	if !isSecret(object) {
		return
	}
	for _, field := range []string{"data", "stringData"} {
		values, _ := object[field].(map[string]any)
		for _, value := range values {
			value, _ := value.(string)
			s.add(value)
			if decoded, err := base64.StdEncoding.DecodeString(value); err == nil && field == "data" {
				s.add(string(decoded))
			}
		}
	}
}

// add adds a value and each of its lines, as they are and as a sanitized message quotes them.
func (s *secrets) add(value string) {
	for _, line := range append([]string{value}, strings.Split(value, "\n")...) {
		for _, form := range []string{strings.TrimSpace(line), text.Line(line, text.NoLimit), text.Line("x"+line, text.NoLimit)[1:]} {
			if len(form) >= minSecret && !slices.Contains(s.values, form) {
				s.values = append(s.values, form)
			}
		}
	}
}

// isSecret reports whether an object is a Secret, or of a kind that creates one: SealedSecret, ExternalSecret.
func isSecret(object map[string]any) bool {
	kind, _ := object["kind"].(string)
	return strings.HasSuffix(kind, "Secret")
}

// redact replaces every secret in a text.
func (s *secrets) redact(shown string) string {
	for _, value := range s.values {
		shown = strings.ReplaceAll(shown, value, "***")
	}
	return shown
}

// isIn reports whether a value contains a secret.
func (s *secrets) isIn(value any) bool {
	switch value := value.(type) {
	case string:
		return slices.ContainsFunc(s.values, func(secret string) bool { return strings.Contains(value, secret) })
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

// secretName matches the usual names of variables that hold a secret.
var secretName = regexp.MustCompile(`(?i)passw(or)?d|passphrase|secret|token|credential|api[_-]?key|private[_-]?key|access[_-]?key|dsn$|connection[_-]?string`)

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
	if top == "data" && secretName.MatchString(last) {
		return true
	}
	if name := envVariable(path); name != "" && secretName.MatchString(name) && last == "value" {
		return true
	}
	return s.isIn(before) || s.isIn(after) || setsSecretVariable(before) || setsSecretVariable(after)
}

func inAnnotations(path []step) bool {
	return len(path) > 1 && path[len(path)-2].field == "annotations"
}

// envVariable returns the name of the environment variable to which a path belongs, "" if there is none.
func envVariable(path []step) string {
	for i, step := range path {
		if step.item != nil && i > 0 && path[i-1].field == "env" {
			name, _ := step.item["name"].(string)
			return name
		}
	}
	return ""
}

// setsSecretVariable reports whether a value contains, at any depth, an environment variable whose name suggests a secret, such
// as DB_PASSWORD (secretName), and which has a literal value instead of valueFrom.
func setsSecretVariable(value any) bool {
	switch value := value.(type) {
	case []any:
		return slices.ContainsFunc(value, setsSecretVariable)
	case map[string]any:
		if name, is := value["name"].(string); is && value["value"] != nil && secretName.MatchString(name) {
			return true
		}
		for _, inner := range value {
			if setsSecretVariable(inner) {
				return true
			}
		}
	}
	return false
}
