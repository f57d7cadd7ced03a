package text

import (
	"strings"
	"testing"
)

func TestIsPrintable(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"":                         true,
		"plain text, ::x and ##[y": true,
		"naïve 日本 👍 a\u0301":       true,
		"no-break\u00a0space":      true,
		"a\tb":                     false,
		"a\nb":                     false,
		"a\rb":                     false,
		"a\x1b[31mb":               false,
		"a\u0085b":                 false, // next line
		"a\u2028b":                 false, // line separator
		"a\u202eb":                 false, // right-to-left override
		"a\u2066b":                 false, // left-to-right isolate
		"a\u200bb":                 false, // zero-width space
		"a\u200db":                 false, // zero-width joiner
		"a\ufeffb":                 false, // byte order mark
		"a\u3164b":                 false, // Hangul filler
		"a\ue000b":                 false, // private use
		"a\xffb":                   false,
	} {
		if got := IsPrintable(s); got != want {
			t.Errorf("IsPrintable(%q) = %t, want %t", s, got, want)
		}
	}
}

// TestPrintableTextIsShownAsItIs: what IsPrintable accepts, the functions that sanitize change only to disarm a command.
func TestPrintableTextIsShownAsItIs(t *testing.T) {
	t.Parallel()
	for s := range hostile {
		if shown := strings.ReplaceAll(sanitize(s, false, NoLimit), `\`, ""); IsPrintable(s) && shown != strings.ReplaceAll(s, `\`, "") {
			t.Errorf("%q is printable, and shown as %q", s, shown)
		}
	}
}
