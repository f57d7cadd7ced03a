package chart

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

func FuzzStamp(f *testing.F) {
	f.Add("apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n---\nkind: B\n")
	f.Add("spec: {template: {spec: 1, metadata: []}}")
	f.Add("metadata: [1]\nspec:\n  template: {spec: {containers: [{image: '@'}, 1]}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = Stamp{release.Deployment{Actor: "octocat"}}.Run(bytes.NewBufferString(text))
	})
}

func FuzzParseAssignment(f *testing.F) {
	for _, seed := range []string{"a=b", "a.b=c", "a[0].b=1", `a=1\,2`, "a={1,2}", "a=1,b=2", "=", "a[65535]=x", "a[-1]=x", "a..b=c", `a\.b=c`, "a=null", "image=hunter2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, assignment string) {
		parsed, problem := parseAssignment(assignment)
		name, value, _ := strings.Cut(assignment, "=")
		if problem != nil {
			if len(value) > 3 && !strings.Contains(name, value) && strings.Contains(problem.What, value) {
				t.Errorf("%q: the value is shown: %s", assignment, problem)
			}
			return
		}
		for _, value := range leaves(parsed.values) {
			switch value.(type) {
			case string, nil:
			default:
				t.Errorf("%q makes %#v, which is not a string", assignment, value)
			}
		}
		d := release.Deployment{Set: []string{assignment}}
		mergeLayers(d)
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

func FuzzReadValuesFile(f *testing.F) {
	for _, seed := range []string{"", "a: 1\n", "a: &x {b: 1}\nc: *x\n", "a: 1\na: 2\n", "---\na: 1\n---\nb: 2\n", "? [a]\n: b\n", "<<: {a: 1}\n", "a: !!binary x\n", "on: off\n", "- a\n", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		file := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		parsed, problem := readValuesFile(file)
		if problem != nil {
			if !strings.HasPrefix(problem.Where, file) || strings.ContainsAny(problem.String(), "\n\x1b") {
				t.Errorf("%q: %q", content, problem)
			}
			return
		}
		for name := range parsed.values {
			sourceLocation([]layer{parsed}, []string{name, "0", "x"})
		}
	})
}
