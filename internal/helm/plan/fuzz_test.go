package plan

import (
	"testing"

	"github.com/onedigest/onedigest/internal/helm/manifest"
)

func FuzzWithoutRun(f *testing.F) {
	f.Add("apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n---\nkind: B\n")
	f.Add("spec: {template: {spec: 1, metadata: []}}")
	f.Add("metadata: [1]\nspec:\n  template: x\n")
	f.Add("kind: List\nitems: [{kind: XList, items: [1, {a: 10000000000000001}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		objects, err := manifest.Parse(text)
		if err != nil {
			return
		}
		_ = manifest.Images(objects...)
		once, err := withoutRun(text)
		if err != nil {
			return
		}
		if twice, err := withoutRun(once); err != nil || once != twice {
			t.Errorf("withoutRun is not stable: %v\n%s\n%s", err, once, twice)
		}
	})
}
