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
