package helm

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

// echoChart is a chart that shows its values: as JSON, and as templates print them.
var echoChart = map[string]string{
	"Chart.yaml":  looseChart,
	"values.yaml": "ownID: 123456789012\n",
	"templates/w.yaml": workload("Pod", "{containers: [{name: app, image: '{{ .Values.image.repository }}@{{ .Values.image.digest }}'}]}") +
		"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: v}\ndata:\n  json: {{ omit .Values \"image\" \"ownID\" | toJson | quote }}\n  printed: \"{{ .Values.ownID }} {{ .Values.id }} {{ .Values.small }}\"\n",
}

// echoed renders the chart with a values file and the assignments, and returns what the chart saw and what was logged.
func echoed(t *testing.T, chart map[string]string, values string, d release.Deployment) (data map[string]any, logged []string) {
	t.Helper()
	d.Chart = files(t, chart)
	dir := files(t, map[string]string{"v.yaml": values})
	d.ValuesFiles = []string{dir + "/v.yaml"}
	client := &Client{log: func(line string) { logged = append(logged, strings.ReplaceAll(line, dir+"/", "")) }}
	if err := client.Check(d); err != nil {
		t.Fatal(err)
	}
	_, objects := rendered(t, d)
	return at(t, objects["ConfigMap"], "data").(map[string]any), logged
}

func TestValuesArriveAsTheyWereGiven(t *testing.T) {
	t.Parallel()
	d := deployment(t, "staging")
	d.Set = []string{`pw=p\ss`, `list=a,b=c`, `x={}`, `spaces= a `, `n=1e5`, `zeros=007`, `braces={a,b}`, `a.example\.com/b=1`, `items[1]=z`}
	d.SetJSON = []string{`big=9007199254740993`, `items=["x","y"]`, `off=false`, `none=null`, `map={"a":{"b":1.5}}`, `pw="overridden"`}
	data, logged := echoed(t, echoChart, "id: 123456789012\nsmall: 3\nm: 1\nr: 0.1\n", d)
	want := map[string]any{"pw": `p\ss`, "list": "a,b=c", "x": "{}", "spaces": " a ", "n": "1e5", "zeros": "007", "braces": "{a,b}", "a": map[string]any{"example.com/b": "1"}, "items": []any{"x", "z"},
		"big": json.Number("9007199254740993"), "off": false, "none": nil, "map": map[string]any{"a": map[string]any{"b": json.Number("1.5")}},
		"id": json.Number("123456789012"), "small": json.Number("3"), "r": json.Number("0.1"), "m": json.Number("1")}
	var got map[string]any
	decoder := json.NewDecoder(strings.NewReader(data["json"].(string)))
	decoder.UseNumber()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if data["printed"] != "123456789012 123456789012 3" {
		t.Errorf("printed %q", data["printed"])
	}
	if len(logged) > 0 {
		t.Errorf("logged %q", logged)
	}
}

// TestValuesFilesHoweverTheyAreWritten: a byte order mark, Windows' line ends, anchors, merge keys and null, which deletes what the chart has.
func TestValuesFilesHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	chart := map[string]string{"Chart.yaml": strings.Replace(looseChart, "v2", "v1", 1), "values.yaml": "ownID: 1\nkept: {a: 1, b: 2}\ngone: {a: 1}\n", "templates/w.yaml": echoChart["templates/w.yaml"]}
	const plain = "base: &base {a: x, b: w}\nwith: {<<: *base, b: z}\nsame: *base\nlist: [*base]\nkept: {a: null}\ngone: null\ntext: |\n  one\n  two\n"
	want := map[string]any{"base": map[string]any{"a": "x", "b": "w"}, "with": map[string]any{"a": "x", "b": "z"}, "same": map[string]any{"a": "x", "b": "w"},
		"list": []any{map[string]any{"a": "x", "b": "w"}}, "kept": map[string]any{"b": 2.0}, "text": "one\ntwo\n"}
	for name, values := range map[string]string{"plain": plain, "a byte order mark": "\ufeff" + plain, "CRLF": strings.ReplaceAll(plain, "\n", "\r\n"), "both": "\ufeff" + strings.ReplaceAll(plain, "\n", "\r\n")} {
		data, logged := echoed(t, chart, values, deployment(t, "staging"))
		var got map[string]any
		if err := json.Unmarshal([]byte(data["json"].(string)), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" || len(logged) > 0 {
			t.Errorf("%s: logged %q, -want +got:\n%s", name, logged, diff)
		}
	}
}

// TestTemplatesThatWantFloats: a chart that works around Helm's numbers keeps working.
func TestTemplatesThatWantFloats(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		`{{ printf "%.0f" .Values.id }}`:          "123456789012",
		`{{ if gt .Values.id 5.0 }}more{{ end }}`: "more",
		`{{ int64 .Values.id }}`:                  "123456789012",
		`{{ kindOf .Values.small }}`:              "float64",
	} {
		chart := map[string]string{"Chart.yaml": looseChart, "templates/w.yaml": echoChart["templates/w.yaml"] + "  it: '" + template + "'\n"}
		data, _ := echoed(t, chart, "id: 123456789012\nsmall: 3\n", deployment(t, "staging"))
		if data["it"] != want {
			t.Errorf("%s: %q, want %q", template, data["it"], want)
		}
	}
}

func TestValuesThatYAMLChangesAreReported(t *testing.T) {
	t.Parallel()
	const values = "y: 1\n'n': 1\nsub:\n  - {on: x, country: NO, quoted: 'no', flag: true}\nversion: 1.10\nmode: 0644\nsecret: 12e3\nsize: 1000000\nf: 1000000.5\nword: nothing\ntime: 12:30\nday: 2001-01-01\n"
	_, logged := echoed(t, echoChart, values, deployment(t, "staging"))
	const number = "YAML reads this value as a number, which is not written as it is here; quote it if its text is meant"
	want := []string{
		`WARNING: v.yaml:1: y: YAML reads this key as "true"; quote it if its text is meant`,
		`WARNING: v.yaml:4: sub.0.on: YAML reads this key as "true"; quote it if its text is meant`,
		`WARNING: v.yaml:4: sub.0.country: YAML reads this value as a boolean; quote it if its text is meant, or write true or false`,
		"WARNING: v.yaml:5: version: " + number,
		"WARNING: v.yaml:6: mode: " + number,
		"WARNING: v.yaml:7: secret: " + number,
		"WARNING: v.yaml:9: f: " + number,
	}
	if diff := cmp.Diff(want, logged); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
