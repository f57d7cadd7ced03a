package evidence

import (
	"bytes"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestStatementsFollowTheSchema: what is written follows docs/schemas/evidence.json, and what is malformed does not.
func TestStatementsFollowTheSchema(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("../../docs/schemas/evidence.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(content string) error {
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(content)))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(instance)
	}
	good := map[string]string{}
	for name, f := range facts(t) {
		encoded, err := EncodeFact(f)
		if err != nil {
			t.Fatal(err)
		}
		good[name] = string(encoded)
		if err := validate(good[name]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	failed := proof(t)
	failed.Verdict = "fail"
	if encoded, err := EncodeFact(fact.FromEvidence(failed)); err != nil || validate(string(encoded)) != nil {
		t.Errorf("a failure: %v, %v", err, validate(string(encoded)))
	}
	for _, bad := range []struct{ of, old, with string }{
		{"deployed", `"subject":[`, `"subject":[{"name":"a/b","digest":{"sha256":"` + strings.Repeat("ab", 32) + `"}},`},
		{"deployed", `"revision":7`, `"revision":0`}, {"deployed", `"at":"2026`, `"at":"in 2026`}, {"deployed", "deployed/v1", "deployed/v2"},
		{"deployed", `"values":{`, `"other":{`}, {"deployed-rolled-back", `"rolledBackTo":7`, `"rolledBackTo":0`}, {"deployed-rolled-back", `"rolledBackTo":7`, `"other":7`},
		{"built", `"recipe":{`, `"other":{`}, {"built", `"builder":{`, `"other":{`}, {"built", "onedigest.dev/build/v1", "example.com/build"},
		{"promoted", `"proof":{`, `"other":{`}, {"promoted", `"tag":"`, `"tag":" `},
		{"rejected", `"reason":"orders are lost"`, `"reason":""`}, {"rejected", `"cause":"smoke"`, `"cause":"x"`},
		{"lifted", `"rejections":[`, `"others":[`}, {"overridden", `"by":"octocat"`, `"from":"octocat"`}, {"overridden", `"missing":["soak: 24h"]`, `"missing":[]`},
		{"smoked", `"verdict":"pass"`, `"verdict":"passed"`}, {"scanned", `"counts":{"critical":1`, `"counts":{"critical":-1`}, {"scanned", `"severity":"critical"`, `"severity":"bad"`},
		{"scanned", `"scanner":{`, `"by-scanner":{`}, {"scanned", `"scannedAt":"`, `"scannedAt":"in `}, {"listed", `"bomFormat":"CycloneDX"`, `"bomFormat":"SPDX"`}, {"listed", `"specVersion":"1.6"`, `"specVersion":"2.3"`},
	} {
		changed := strings.Replace(good[bad.of], bad.old, bad.with, 1)
		if changed == good[bad.of] {
			t.Errorf("%q is not in %s", bad.old, good[bad.of])
		}
		if validate(changed) == nil {
			t.Errorf("%s with %s follows the schema", bad.of, bad.with)
		}
	}
}
