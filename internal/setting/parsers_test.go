package setting_test

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/setting"
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
