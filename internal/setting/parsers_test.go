package setting_test

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/setting/settingtest"
)

// TestInvisibleCharacters: no setting takes text that a log would show as something else.
func TestInvisibleCharacters(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"a\nb", "a\x07", "\u202egnp.exe", "a\u2066b", "a\u200bb", "\ufeffa", "a\xff"} {
		if _, err := setting.Text(bad); err == nil || !strings.Contains(err.Error(), "invisible character") {
			t.Errorf("Text(%q): got %v", bad, err)
		}
		if _, err := setting.NameValue("name=" + bad); err == nil {
			t.Errorf("NameValue(%q): accepted", "name="+bad)
		}
	}
	for _, good := range []string{"a b", "naïve/日本.yaml", "::x"} {
		if got, err := setting.Text(good); got != good || err != nil {
			t.Errorf("Text(%q): got %q, %v", good, got, err)
		}
	}
}

func TestRoleARN(t *testing.T) {
	t.Parallel()
	for text, valid := range map[string]bool{"arn:aws:iam::123456789012:role/deploy": true, "arn:aws-cn:iam::123456789012:role/path/deploy@x": true, "deploy": false,
		"arn:aws:iam::12345678901:role/deploy": false, "arn:aws:iam::123456789012:user/deploy": false, "arn:aws:iam::123456789012:role/": false, "arn:aws:iam::123456789012:role/a b": false, "": false} {
		if got, err := setting.RoleARN(text); (err == nil) != valid || valid && got != text {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	for text, valid := range map[string]bool{"registry.example:5000": true, "10.0.0.1:5000": true, "registry.example": true, "http://registry.example": false, "registry.example/shop": false, "*": false, "": false} {
		var hosts []string
		set := new(setting.Set)
		setting.DeclarePlainHTTP(set, &hosts)
		err := settingtest.Apply(set, "--plain-http", text)
		if (err == nil) != valid || valid && (len(hosts) != 1 || hosts[0] != text) {
			t.Errorf("%q: got %v, %v", text, hosts, err)
		}
	}
}

// TestANameIsGivenOnce: a map refuses a name that is given twice, with both values, or with their positions only if they may be secrets.
func TestANameIsGivenOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		secret bool
		args   []string
		want   string
	}{
		"different names":  {false, []string{"--x", "a=1", "--x", "b=1"}, ""},
		"one name":         {false, []string{"--x", "a=1", "--x", "b=1", "--x", "a=2"}, `"a" is given twice, by "a=1" and "a=2"`},
		"the same value":   {false, []string{"--x", "a=1", "--x", "a=1"}, `"a" is given twice`},
		"one secret name":  {true, []string{"--x", "a=hunter2", "--x", "a=hunter3"}, `"a" is given twice, by values 1 and 2 of 2`},
		"and a bad one":    {true, []string{"--x", "a=1", "--x", "nothing", "--x", "a=2"}, `value 2 of 3: is not name=value`},
		"a third and more": {false, []string{"--x", "a=1", "--x", "a=2", "--x", "a=3"}, `by "a=1" and "a=3"`},
	} {
		var pairs []setting.Pair
		set := new(setting.Set)
		setting.Map(set, &pairs, setting.Setting{Name: "x", Secret: test.secret}, setting.NameValue, setting.PairName)
		err := settingtest.Apply(set, test.args...)
		if (err == nil) != (test.want == "") || test.want != "" && !strings.Contains(err.Error(), test.want) || err != nil && strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}
