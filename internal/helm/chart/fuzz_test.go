package chart

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

func FuzzStamp(f *testing.F) {
	f.Add("apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n---\nkind: B\n")
	f.Add("spec: {template: {spec: 1, metadata: []}}")
	f.Add("metadata: [1]\nspec:\n  template: {spec: {containers: [{image: '@'}, 1]}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = PostRenderer{release.Deployment{Actor: "octocat"}}.Run(bytes.NewBufferString(text))
	})
}

func FuzzAssign(f *testing.F) {
	for _, seed := range []string{"a=b", "a.b=c", "a[0].b=1", `a=1\,2`, "a={1,2}", "a=1,b=2", "=", "a[65535]=x", "a[1]=x", "a..b=c", `a\.b=c`, "a=null", "image=hunter2", "a.b[0]=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		m := mergeLayers(release.Deployment{Set: []string{"a.c=kept", given}, SetJSON: []string{"a.d=[1]"}})
		if len(m.problems) > 0 || len(m.layers) != 3 {
			return
		}
		assignment, err := release.ParseAssignment(given)
		if err != nil || assignment.Path[0] == "image" {
			return
		}
		var value any = m.values
		for i, step := range assignment.Path {
			if !assignment.Index[i] {
				value = value.(map[string]any)[step]
				continue
			}
			index, _ := strconv.Atoi(step)
			value = value.([]any)[index]
		}
		if value != assignment.Text {
			t.Errorf("%q sets %q", given, value)
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{"1", "null", `{"a":[1,1.5,true,"x"]}`, `{"a":1,"a":2}`, "[", "123456789012345678901234567890", "1e400", "1e-400000000", "-0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value, err := parseJSON(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(value)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		third, err := parseJSON(string(again))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		// The same document: a number with an exponent is a float, which JSON may write as an integer.
		if last, err := json.Marshal(third); err != nil || !bytes.Equal(last, again) {
			t.Errorf("%q: %s, then %s, %v", text, again, last, err)
		}
	})
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
		parsed, problems := readValuesFile(file)
		for _, problem := range problems {
			if !strings.HasPrefix(problem.Where, file) || strings.ContainsAny(problem.String(), "\n\x1b") {
				t.Errorf("%q: %q", content, problem)
			}
		}
		if len(problems) > 0 {
			return
		}
		for name := range parsed.values {
			sourceLocation([]layer{parsed}, []string{name, "0", "x"})
		}
	})
}

// FuzzPin pins whatever is written: what is pinned once stays as it is.
func FuzzPin(f *testing.F) {
	for _, seed := range []string{"registry.example.com/team/shop:1", "x registry.example.com/team/shop@sha256:" + strings.Repeat("c", 64) + " y", "team/shop:1,team/shop:2", "shop", "shop:", "@", ":", "docker.io/team/shop:1@sha256:", "\x00team/shop:1"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, reference string, pinText bool) {
		d := release.Deployment{Images: []release.BuiltImage{built(t, "", shop, "alias=team/shop", "alias=shop")}, PinText: pinText}
		object := map[string]any{"kind": "Pod", "spec": map[string]any{"containers": []any{map[string]any{"image": reference, "args": []any{reference}}}}}
		first := newPinner(d)
		first.pin(object)
		second := newPinner(d)
		if second.pin(object) {
			t.Errorf("%q is pinned to %v, and again", reference, object)
		}
		if pinText && len(second.unpinned) > 0 {
			t.Errorf("%q leaves %q", reference, second.unpinned)
		}
	})
}
