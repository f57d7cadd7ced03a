package release_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

func TestParseAssignment(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]release.Assignment{
		`a=b`:                     {Path: []string{"a"}, Index: []bool{false}, Text: "b"},
		`a=`:                      {Path: []string{"a"}, Index: []bool{false}},
		`pw=p\ss`:                 {Path: []string{"pw"}, Index: []bool{false}, Text: `p\ss`},
		`pw=a,b=c`:                {Path: []string{"pw"}, Index: []bool{false}, Text: "a,b=c"},
		`x={}`:                    {Path: []string{"x"}, Index: []bool{false}, Text: "{}"},
		"pw=" + ` a `:             {Path: []string{"pw"}, Index: []bool{false}, Text: " a "},
		`a.b-c.d=1`:               {Path: []string{"a", "b-c", "d"}, Index: []bool{false, false, false}, Text: "1"},
		`a.example\.com/b\=c=1`:   {Path: []string{"a", "example.com/b=c"}, Index: []bool{false, false}, Text: "1"},
		`a[0].b[12][1]=x`:         {Path: []string{"a", "0", "b", "12", "1"}, Index: []bool{false, true, false, true, true}, Text: "x"},
		`a\[0\]=x`:                {Path: []string{"a[0]"}, Index: []bool{false}, Text: "x"},
		"key=-----BEGIN\nMIIE=\n": {Path: []string{"key"}, Index: []bool{false}, Text: "-----BEGIN\nMIIE=\n"},
	} {
		got, err := release.ParseAssignment(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v -want +got:\n%s", text, err, diff)
		}
	}
	for _, text := range []string{"", "hunter2", "=hunter2", ".=hunter2", "a.=hunter2", "a..b=hunter2", ".a=hunter2", "[0]=hunter2", "a[hunter2", "a[hunter2]=x", "a[-1]=x",
		"a[1024]=x", "a[0]hunter2=x", "a.[0]=hunter2", "aHVudGVyMmh1bnRlcjI=", "aHVudGVyMmh1bnRlcg=="} {
		got, err := release.ParseAssignment(text)
		if err == nil || strings.Contains(err.Error(), "hunter2") || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
}

func FuzzParseAssignment(f *testing.F) {
	for _, seed := range []string{"a=b", "a.b=c", "a[0].b=1", `a=1\,2`, "a={1,2}", "a=1,b=2", "=", "a[65535]=x", "a[-1]=x", "a..b=c", `a\.b=c`, `\`, "a[0]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := release.ParseAssignment(text)
		switch {
		case err != nil:
		case len(parsed.Path) == 0 || len(parsed.Path) != len(parsed.Index) || parsed.Index[0]:
			t.Errorf("%q: %+v", text, parsed)
		case !strings.HasSuffix(text, "="+parsed.Text):
			t.Errorf("%q: the value is %q", text, parsed.Text)
		}
	})
}
