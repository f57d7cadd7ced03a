package probe

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// A body is whatever a server sends: no path over any body may panic, and no difference may break a log line.
func FuzzCompare(f *testing.F) {
	for _, seed := range [][2]string{{"$", "{}"}, {"$.a[0].b", `{"a":[{"b":1}]}`}, {"$..a", `[{"a":{"a":1e999}}]`},
		{"$.a[?(@.b > 1 && @.c == 'x')].d", `{"a":[{"b":2,"c":"x","d":null},{"b":"2"},3]}`}, {"$['a','b'][-1:]", `{"a":"::error::x"}`},
		{"$[?(@.x ~= /a+/)]", `[{"x":1}]`}, {"$[?length(@.x) > 1]", `[{"x":"ab"},{"x":18446744073709551615}]`}, {"$.*", `"a\n##[error]"`}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		if strings.Count(path, "..")+strings.Count(path, "*") > 3 || len(body) > 1000 {
			return // each may multiply the work; a checks file is the repository's own
		}
		compiled, wrong := compile(release.Check{BodyContains: []string{"\x00never"}, JSON: map[string]any{path: "nowhere"}})
		if len(wrong) == 0 {
			wrong = compiled.compare(response{status: 200, body: []byte(body)})
		}
		for _, text := range wrong {
			if strings.Contains(text, "##[") || strings.ContainsAny(text, "\n\r\x1b") {
				t.Errorf("path %q over %q gives %q", path, body, text)
			}
		}
	})
}

func TestEqualNeedsTypeAndValue(t *testing.T) {
	t.Parallel()
	huge, err := parseJSON([]byte("1e999999999"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		want, got any
		same      bool
	}{
		{1, int64(1), true}, {1, 1.0, true}, {1, "1", false}, {true, "true", false}, {nil, false, false}, {0, nil, false},
		{uint64(1 << 63), uint64(1 << 63), true}, {9007199254740993, 9007199254740992.0, false},
		{[]any{1}, []any{1.0}, true}, {[]any{1, 2}, []any{2, 1}, false}, {[]any{}, nil, false},
		{map[string]any{"a": nil}, map[string]any{}, false}, {1, huge, false}, {huge, huge, true},
		{json.Number("123456789012345678901234"), json.Number("123456789012345678901235"), false}, {json.Number("123456789012345678901234"), json.Number("123456789012345678901234"), true},
		{json.Number("100000000000000000000000"), 1e23, true}, {1e23, json.Number("100000000000000000000000"), true}, {1e23, json.Number("200000000000000000000000"), false},
	} {
		if equalJSON(test.want, test.got) != test.same {
			t.Errorf("%#v and %#v are the same: %t, want %t", test.want, test.got, !test.same, test.same)
		}
	}
}
