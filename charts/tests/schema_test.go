package charts

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func schema(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile(chartDir + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]any
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// TestTheSchemaIsClosed checks that every object of the schema restricts additional properties: none, or strings.
func TestTheSchemaIsClosed(t *testing.T) {
	t.Parallel()
	closed := 0
	var walk func(at string, node any)
	walk = func(at string, node any) {
		switch node := node.(type) {
		case map[string]any:
			if node["type"] == "object" && at != "/properties/global" {
				others, said := node["additionalProperties"]
				limits, isSchema := others.(map[string]any)
				if !said || others != false && (!isSchema || limits["type"] != "string") {
					t.Errorf("%s: additionalProperties is %v", at, others)
				}
				closed++
			}
			for name, below := range node {
				walk(at+"/"+name, below)
			}
		case []any:
			for _, below := range node {
				walk(at, below)
			}
		}
	}
	walk("", schema(t))
	if closed < 80 {
		t.Errorf("only %d objects were looked at", closed)
	}
}

// TestEveryDefaultIsInTheSchema checks that values.yaml and the top of the schema have the same keys.
func TestEveryDefaultIsInTheSchema(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(chartDir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var defaults map[string]any
	if err := yaml.UnmarshalStrict(text, &defaults); err != nil {
		t.Fatal(err)
	}
	definitions := schema(t)["definitions"].(map[string]any)
	var compare func(at string, defaults, schema map[string]any)
	compare = func(at string, defaults, schema map[string]any) {
		if reference, is := schema["$ref"].(string); is {
			schema = definitions[strings.TrimPrefix(reference, "#/definitions/")].(map[string]any)
		}
		known, has := schema["properties"].(map[string]any)
		if !has || schema["additionalProperties"] != false {
			return
		}
		for name, value := range defaults {
			below, isKnown := known[name].(map[string]any)
			if !isKnown {
				t.Errorf("%s%s: is a default that the schema does not know", at, name)
			} else if inner, isMap := value.(map[string]any); isMap && len(inner) > 0 {
				compare(at+name+".", inner, below)
			}
		}
		// Below these keys are a user's own objects, which have no defaults.
		if slices.Contains([]string{"resources.requests.", "resources.limits.", "probes.startup.", "probes.readiness.", "probes.liveness."}, at) {
			return
		}
		for name := range known {
			if _, has := defaults[name]; !has && name != "global" {
				t.Errorf("%s%s: is in the schema, but not in values.yaml", at, name)
			}
		}
	}
	compare("", defaults, schema(t))
}
