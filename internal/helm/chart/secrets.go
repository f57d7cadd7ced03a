package chart

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	helmchart "helm.sh/helm/v3/pkg/chart"
)

// SecretValues returns the strings among the values that the schemas of the chart and its subcharts mark as secret: with
// "writeOnly": true, or "format": "password".
// Source: JSON Schema validation draft 7, 9.4 (writeOnly); OpenAPI 3.0, Data Types (password).
func (c *Chart) SecretValues() []string {
	return secretValues(c.Chart, c.Values)
}

// secretValues collects the values that the schemas of a chart and its subcharts mark as secret.
func secretValues(c *helmchart.Chart, values map[string]any) (secrets []string) {
	var schema any
	if len(c.Schema) > 0 && json.Unmarshal(c.Schema, &schema) == nil {
		search := secretSearch{root: schema}
		search.visit(schema, manifest.Merge(c.Values, values), 0)
		secrets = search.found
	}
	for _, subchart := range c.Dependencies() {
		if subvalues, ok := values[subchart.Name()].(map[string]any); ok {
			secrets = append(secrets, secretValues(subchart, subvalues)...)
		}
	}
	return secrets
}

// minExposed is the shortest secret value that is searched for, in bytes: a shorter one, such as the name of a database's user, cannot be distinguished from other text.
const minExposed = 12

// checkExposed refuses a rendering that has a secret value in another object than a Secret: more people and programs may read those, and
// what is recorded of them. The message does not contain the value.
func checkExposed(deployment release.Deployment, texts ...string) error {
	searched := make([]*text.Secrets, len(deployment.SecretValues))
	for i, secret := range deployment.SecretValues {
		searched[i] = exposedForms(secret.Value)
	}
	var problems []release.Problem
	for _, one := range texts {
		objects, err := manifest.Parse(one)
		if err != nil {
			return err
		}
		for _, object := range objects {
			for _, item := range release.ListItems(object) {
				if manifest.GroupKind(item) == "/Secret" {
					continue
				}
				for i, secret := range deployment.SecretValues {
					if containsSecret(item, searched[i]) {
						problems = append(problems, release.Problem{Setting: settingSecretValues,
							What: fmt.Sprintf("the chart writes %s into %s, which is no Secret", secret.Path, manifest.ObjectID(item, deployment.Namespace)),
							Do:   "refer to a Secret there (secretKeyRef), or give the chart the name of one that the cluster has"})
					}
				}
			}
		}
	}
	if len(problems) > 0 {
		return &release.InputError{Problems: problems}
	}
	return nil
}

// exposedForms returns what is searched for of a secret value: the value and its password, if it is a URL, also in base64, JSON and a URL; of a value
// of several lines each line, because a template may indent them. Fields of JSON are not searched for: a name of a host among them is no secret.
func exposedForms(value string) *text.Secrets {
	forms := new(text.Secrets)
	value = strings.TrimSpace(value)
	parts := []string{value, text.PasswordOf(value)}
	if !strings.HasPrefix(value, "{") && !strings.HasPrefix(value, "[") {
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") { // the same in every key
				parts = append(parts, line)
			}
		}
	}
	for _, part := range parts {
		if len(part) >= minExposed {
			forms.AddWhole(part)
		}
	}
	return forms
}

// containsSecret reports whether a text in a value, or the name of a field, has a secret.
func containsSecret(value any, secrets *text.Secrets) bool {
	has := func(one string) bool { return secrets.Redact(one) != one }
	switch value := value.(type) {
	case string:
		return has(value)
	case []any:
		return slices.ContainsFunc(value, func(item any) bool { return containsSecret(item, secrets) })
	case map[string]any:
		for name, inner := range value {
			if has(name) || containsSecret(inner, secrets) {
				return true
			}
		}
	}
	return false
}

// maxSchemaDepth bounds how far a schema that refers to itself is followed.
const maxSchemaDepth = 32

// secretSearch collects the values that a schema marks.
type secretSearch struct {
	root  any
	found []string
}

// visit collects the values below value that schema marks as secret. The schema is a part of the root schema, in which its
// references are resolved.
func (s *secretSearch) visit(schema, value any, depth int) {
	rules, ok := schema.(map[string]any)
	if !ok || value == nil || depth > maxSchemaDepth {
		return
	}
	if reference, ok := rules["$ref"].(string); ok {
		s.visit(resolve(s.root, reference), value, depth+1)
	}
	if rules["writeOnly"] == true || rules["format"] == "password" {
		s.addStrings(value)
	}
	for _, combination := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := rules[combination].([]any)
		for _, one := range list {
			s.visit(one, value, depth+1)
		}
	}
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			s.visit(rules["items"], item, depth+1)
		}
	case map[string]any:
		properties, _ := rules["properties"].(map[string]any)
		patterns, _ := rules["patternProperties"].(map[string]any)
		for name, inner := range value {
			s.visit(properties[name], inner, depth+1)
			s.visit(rules["additionalProperties"], inner, depth+1)
			for pattern, rule := range patterns {
				if matches, err := regexp.MatchString(pattern, name); err == nil && matches {
					s.visit(rule, inner, depth+1)
				}
			}
		}
	}
}

// addStrings adds all strings in a value.
func (s *secretSearch) addStrings(value any) {
	switch value := value.(type) {
	case string:
		s.found = append(s.found, value)
	case []any:
		for _, inner := range value {
			s.addStrings(inner)
		}
	case map[string]any:
		for _, inner := range value {
			s.addStrings(inner)
		}
	}
}

// resolve returns the part of a schema that a reference names; nil for references to other documents. Source: RFC 6901.
func resolve(root any, reference string) any {
	path, local := strings.CutPrefix(reference, "#/")
	if !local {
		return nil
	}
	for _, step := range strings.Split(path, "/") {
		parent, _ := root.(map[string]any)
		root = parent[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
	}
	return root
}

// NamedSecrets returns the strings below those keys of a value whose names say that they hold a secret.
func NamedSecrets(value any) (found []string) {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if text.NamesSecret(name) {
				found = append(found, stringsIn(inner)...)
			} else {
				found = append(found, NamedSecrets(inner)...)
			}
		}
	case []any:
		for _, item := range value {
			found = append(found, NamedSecrets(item)...)
		}
	}
	return found
}

// Defaults returns the strings in the values that a chart and its subcharts have themselves. Those below keys whose names say that they hold a secret, or that look
// like one, are left out, as is what the schema marks or a name calls a secret anywhere: it may be a password that nobody has changed.
func (c *Chart) Defaults() []string {
	marked := map[string]bool{}
	for _, value := range slices.Concat(c.SecretValues(), NamedSecrets(c.Values), namedDefaults(c.Chart)) {
		marked[value] = true
	}
	return slices.DeleteFunc(defaultsOf(c.Chart), func(value string) bool {
		return marked[value] || mayBeSecret.MatchString(value) || text.IsSecret(value) || text.PasswordOf(value) != "" || isTellingURL(value)
	})
}

// namedDefaults returns the strings that the names of keys call secrets in the values of a chart and its subcharts.
func namedDefaults(c *helmchart.Chart) []string {
	found := NamedSecrets(c.Values)
	for _, subchart := range c.Dependencies() {
		found = append(found, namedDefaults(subchart)...)
	}
	return found
}

// maxPlainPath is the length of the longest path of a URL that is no secret, in bytes: that of a webhook is longer.
const maxPlainPath = 24

// isTellingURL reports whether a value is a URL with a query, a fragment, user information or a long path, each of which may be a secret.
func isTellingURL(value string) bool {
	_, address, found := strings.Cut(value, "://")
	_, path, _ := strings.Cut(address, "/")
	return found && (strings.ContainsAny(address, "?#@") || len(path) >= maxPlainPath)
}

// mayHoldSecret matches the name of a key below which a default may be a secret, in the words that charts use.
var mayHoldSecret = regexp.MustCompile(`(?i)pass|pwd|pw$|key$|auth|salt|hmac|webhook|license|conn|token|secret|cred`)

// holdsSecret reports whether a key or a variable of this name may hold a secret.
func holdsSecret(name string) bool { return text.NamesSecret(name) || mayHoldSecret.MatchString(name) }

// mayBeSecret matches a default that names a secret itself.
var mayBeSecret = regexp.MustCompile(`(?i)passw|passphrase|secret|token|credential|api-?_?key|private`)

func defaultsOf(c *helmchart.Chart) []string {
	found := plainStrings(c.Values)
	for _, subchart := range c.Dependencies() {
		found = append(found, defaultsOf(subchart)...)
	}
	return found
}

// plainStrings returns the strings in a value, without those below keys whose names say that they may hold a secret, and without variables that are called so.
func plainStrings(value any) (found []string) {
	switch value := value.(type) {
	case string:
		return []string{value}
	case map[string]any:
		if name, _ := value["name"].(string); holdsSecret(name) {
			return nil
		}
		for name, inner := range value {
			if !holdsSecret(name) {
				found = append(found, plainStrings(inner)...)
			}
		}
	case []any:
		for _, item := range value {
			found = append(found, plainStrings(item)...)
		}
	}
	return found
}

// stringsIn returns every string in a value, except those whose keys say that they only name the place of a secret.
func stringsIn(value any) (found []string) {
	switch value := value.(type) {
	case string:
		return []string{value}
	case map[string]any:
		for name, inner := range value {
			if !text.NamesPlace(name) {
				found = append(found, stringsIn(inner)...)
			}
		}
	case []any:
		for _, item := range value {
			found = append(found, stringsIn(item)...)
		}
	}
	return found
}
