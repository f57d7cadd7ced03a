package strictjson_test

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/evidence/strictjson"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, good := range []string{`{}`, `{"a":1,"b":{"a":[{"a":1},{"a":2}]}}`, `"a"`, ` [1] `} {
		if err := strictjson.Check([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		``:                            "unexpected EOF",
		`{"a":1`:                      "unexpected EOF",
		`{"a":1,"A":2}`:               "twice",
		`{"s":1,"ſ":2}`:               "twice",
		`[{"b":{"a":1,"a":1}}]`:       "twice",
		`{} {}`:                       "follows",
		strings.Repeat("[", 40) + `1`: "levels deep",
		`{"` + strings.Repeat("x", 50000) + `":1,"` + strings.Repeat("x", 50000) + `":1}`: "twice",
	} {
		if err := strictjson.Check([]byte(bad)); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%.50s: got %.300v, want %q", bad, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a":1,"A":2}`))
	f.Fuzz(func(_ *testing.T, content []byte) {
		var into map[string]any
		_ = strictjson.Decode(content, &into)
	})
}
