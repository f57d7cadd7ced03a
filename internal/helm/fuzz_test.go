package helm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

func FuzzObjectsOf(f *testing.F) {
	f.Add("apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n---\nkind: B\n")
	f.Add("spec: {template: {spec: 1, metadata: []}}")
	f.Add("metadata: [1]\nspec:\n  template: x\n")
	f.Add("kind: List\nitems: [{kind: XList, items: [1, {a: 10000000000000001}]}]")
	f.Fuzz(func(t *testing.T, manifest string) {
		objects, err := objectsOf(manifest)
		if err != nil {
			return
		}
		_ = pinned(objects, release.Image{})
		once, err := neutral(manifest)
		if err != nil {
			return
		}
		if twice, err := neutral(once); err != nil || once != twice {
			t.Errorf("neutral is not stable: %v\n%s\n%s", err, once, twice)
		}
	})
}

func FuzzAssign(f *testing.F) {
	for _, seed := range []string{"a=b", "a.b=c", "a[0].b=1", `a=1\,2`, "a={1,2}", "a=1,b=2", "=", "a[65535]=x", "a[-1]=x", "a..b=c", `a\.b=c`, "a=null", "image=hunter2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, assignment string) {
		made, problem := assign(assignment)
		name, value, _ := strings.Cut(assignment, "=")
		if problem != nil {
			if len(value) > 3 && !strings.Contains(name, value) && strings.Contains(problem.What, value) {
				t.Errorf("%q: the value is told: %s", assignment, problem)
			}
			return
		}
		for _, value := range leaves(made.values) {
			switch value.(type) {
			case string, nil:
			default:
				t.Errorf("%q makes %#v, which is no string", assignment, value)
			}
		}
		d := release.Deployment{Set: []string{assignment}}
		merge(d)
	})
}

func leaves(value any) (list []any) {
	switch value := value.(type) {
	case map[string]any:
		for _, inner := range value {
			list = append(list, leaves(inner)...)
		}
	case []any:
		for _, inner := range value {
			list = append(list, leaves(inner)...)
		}
	default:
		list = append(list, value)
	}
	return list
}

func FuzzReadLayer(f *testing.F) {
	for _, seed := range []string{"", "a: 1\n", "a: &x {b: 1}\nc: *x\n", "a: 1\na: 2\n", "---\na: 1\n---\nb: 2\n", "? [a]\n: b\n", "<<: {a: 1}\n", "a: !!binary x\n", "on: off\n", "- a\n", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		file := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		made, problem := readLayer(file)
		if problem != nil {
			if !strings.HasPrefix(problem.Where, file) || strings.ContainsAny(problem.String(), "\n\x1b") {
				t.Errorf("%q: %q", content, problem)
			}
			return
		}
		for name := range made.values {
			place([]layer{made}, []string{name, "0", "x"})
		}
	})
}
