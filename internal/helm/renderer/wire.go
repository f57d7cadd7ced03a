package renderer

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"unicode/utf8"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

// request is what the child has to render.
type request struct {
	Chart        wireChart
	Values       value
	Release      value
	Capabilities *chartutil.Capabilities
	Memory       uint64 // limit of the heap, in bytes
	Lookups      bool   // whether lookups are asked for; else they find nothing
	Parent       int    // process that asks; the child ends when it is another's
}

// answer is a message of the child: a lookup, or the result.
type answer struct {
	Lookup   *query            `json:",omitempty"`
	Files    map[string]string `json:",omitempty"`
	Failure  string            `json:",omitempty"` // of a template
	TooLarge bool              `json:",omitempty"` // more than maxRendered
}

// query is the arguments of the template function lookup.
type query struct{ APIVersion, Kind, Namespace, Name string }

// found is the answer to a query.
type found struct {
	Content json.RawMessage `json:",omitempty"` // an object, or a list; absent if there is none
	Failure string          `json:",omitempty"`
}

// wireChart is the part of a chart that templates can read.
type wireChart struct {
	Metadata     *helmchart.Metadata
	Templates    []*helmchart.File
	Files        []*helmchart.File
	Dependencies []wireChart
}

// newRequest returns the request that makes the child render a chart with the values.
func newRequest(chart *helmchart.Chart, values chartutil.Values) (request, error) {
	asked := request{Chart: toWire(chart), Parent: os.Getpid()}
	asked.Capabilities, _ = values["Capabilities"].(*chartutil.Capabilities)
	var err error
	if asked.Release, err = encode(values["Release"]); err != nil {
		return request{}, err
	}
	asked.Values, err = encode(values["Values"])
	return asked, err
}

// toWire returns a chart in the form that is sent to the child.
func toWire(chart *helmchart.Chart) wireChart {
	wired := wireChart{Metadata: chart.Metadata, Templates: chart.Templates, Files: chart.Files}
	for _, dependency := range chart.Dependencies() {
		wired.Dependencies = append(wired.Dependencies, toWire(dependency))
	}
	return wired
}

// chart returns the chart that toWire converted.
func (w wireChart) chart() *helmchart.Chart {
	chart := &helmchart.Chart{Metadata: w.Metadata, Templates: w.Templates, Files: w.Files}
	for _, dependency := range w.Dependencies {
		chart.AddDependency(dependency.chart())
	}
	return chart
}

// renderValues returns the values for the engine.
func (r request) renderValues(chart *helmchart.Chart) chartutil.Values {
	top := chartutil.Values{"Chart": chart.Metadata, "Capabilities": r.Capabilities, "Release": r.Release.decode()}
	top["Values"] = chartutil.Values{}
	if values, ok := r.Values.decode().(map[string]any); ok {
		top["Values"] = chartutil.Values(values)
	}
	return top
}

// value is a value in JSON that keeps its Go type, which templates distinguish. The zero value is nil.
type value struct {
	Map    map[string]value `json:"m,omitempty"`
	List   []value          `json:"l,omitempty"`
	Text   *string          `json:"s,omitempty"`
	Bool   *bool            `json:"b,omitempty"`
	Float  *float64         `json:"f,omitempty"`
	Int    *int             `json:"i,omitempty"`
	Int64  *int64           `json:"j,omitempty"`
	Uint64 *uint64          `json:"u,omitempty"`
	Empty  string           `json:"e,omitempty"` // "m" for a map and "l" for a list without items
}

// encode converts a value to the form that keeps its Go type in JSON: templates see a difference between int, int64 and float64.
func encode(from any) (value, error) {
	switch from := from.(type) {
	case nil:
		return value{}, nil
	case string:
		return value{Text: &from}, nil
	case bool:
		return value{Bool: &from}, nil
	case float64:
		return value{Float: &from}, nil
	case int:
		return value{Int: &from}, nil
	case int64:
		return value{Int64: &from}, nil
	case uint64:
		return value{Uint64: &from}, nil
	case chartutil.Values:
		return encodeMap(from)
	case map[string]any:
		return encodeMap(from)
	case []any:
		if len(from) == 0 {
			return value{Empty: "l"}, nil
		}
		list := value{List: make([]value, len(from))}
		for i, item := range from {
			var err error
			if list.List[i], err = encode(item); err != nil {
				return value{}, err
			}
		}
		return list, nil
	}
	return value{}, fmt.Errorf("a value of type %T cannot be given to templates", from)
}

func encodeMap(from map[string]any) (value, error) {
	if len(from) == 0 {
		return value{Empty: "m"}, nil
	}
	fields := value{Map: make(map[string]value, len(from))}
	for name, inner := range from {
		encoded, err := encode(inner)
		if err != nil {
			return value{}, err
		}
		fields.Map[name] = encoded
	}
	return fields, nil
}

// decode returns the value that encode converted.
func (v value) decode() any {
	switch {
	case v.Text != nil:
		return *v.Text
	case v.Bool != nil:
		return *v.Bool
	case v.Float != nil:
		return *v.Float
	case v.Int != nil:
		return *v.Int
	case v.Int64 != nil:
		return *v.Int64
	case v.Uint64 != nil:
		return *v.Uint64
	case v.List != nil || v.Empty == "l":
		list := make([]any, len(v.List))
		for i, item := range v.List {
			list[i] = item.decode()
		}
		return list
	case v.Map != nil || v.Empty == "m":
		fields := make(map[string]any, len(v.Map))
		for name, inner := range v.Map {
			fields[name] = inner.decode()
		}
		return fields
	}
	return nil
}

// firstInvalidUTF8 returns the first of the files that is not UTF-8; "" if all are.
func firstInvalidUTF8(files map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !utf8.ValidString(files[name]) {
			return name
		}
	}
	return ""
}

// garbledFile is the failure of a file that is not UTF-8. An object of Kubernetes is JSON, which would have other bytes.
func garbledFile(name string) string {
	return name + " renders text that is not UTF-8: a file or a template has another encoding, such as Latin-1; convert it, or put a file into binaryData by b64enc"
}

// garbledValue returns the path of the first text or key in a value that is not UTF-8; "" if all are. JSON would replace its bytes on the way to the child.
func garbledValue(path string, from any) string {
	switch from := from.(type) {
	case string:
		if !utf8.ValidString(from) {
			return path
		}
	case chartutil.Values:
		return garbledValue(path, map[string]any(from))
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(from)) {
			inner := name
			if path != "" {
				inner = path + "." + name
			}
			if !utf8.ValidString(name) {
				return inner
			}
			if found := garbledValue(inner, from[name]); found != "" {
				return found
			}
		}
	case []any:
		for i, item := range from {
			if found := garbledValue(path+"["+strconv.Itoa(i)+"]", item); found != "" {
				return found
			}
		}
	}
	return ""
}
