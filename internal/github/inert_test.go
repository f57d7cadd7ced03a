package github

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile are lines that a runner or a terminal would obey, and what remains of them (H3).
var hostile = map[string]string{
	"::set-output name=digest::sha256:forged":     `:\:set-output name=digest::sha256:forged`,
	"  \t\u00a0\u2003::add-mask::a":               "  \t\u00a0\u2003:\\:add-mask::a",
	"::stop-commands::x\n::x::":                   ":\\:stop-commands::x\n:\\:x::",
	"text\r::error::x":                            "text\n:\\:error::x",
	"text\r\n::error::x\r\n":                      "text\n:\\:error::x\n",
	"\u0085::error::x":                            ` :\:error::x`,
	"\u2028::error::x":                            ` :\:error::x`,
	"\v\f::error::x":                              `  :\:error::x`,
	"at the end ##[add-mask]secret":               `at the end ##\[add-mask]secret`,
	"####[group]x":                                `####\[group]x`,
	"\x1b[31m::error::x\x1b[0m":                   `:\:error::x`,
	":\x1b[0m:error::x":                           `:\:error::x`,
	"#\x1b[1m#\x1b[22m[error]x":                   `##\[error]x`,
	"\x1b]0;title\x07::error::x":                  `:\:error::x`,
	"\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\": "link",
	"\x1bP1;2|x\x1b\\::error::x":                  `:\:error::x`,
	"\x1b]never ends\n::error::x":                 "\n:\\:error::x",
	"\x1b[31\n::error::x":                         "\n:\\:error::x",
	"\u009b31m::error::x":                         `:\:error::x`,
	"\x1b(B::error::x":                            `:\:error::x`,
	"\u200b:\u200d:error::x":                      `:\:error::x`,
	"\ufeff::error::x":                            `:\:error::x`,
	"\u00ad:\u034f:error::x":                      `:\:error::x`,
	"#\u200b#\u2060[error]x":                      `##\[error]x`,
	"#\ufe0f#\ufe0f[error]x":                      "#\ufe0f#\ufe0f\\[error]x",
	"\u0301::error::x":                            "\u0301:\\:error::x",
	"\x00:\x07:error::x":                          `:\:error::x`,
	"\u202egnp.exe":                               "gnp.exe",
	"over\b\b\b\bread":                            "overread",
	"\xff::error::x\xc3":                          "\ufffd::error::x\ufffd",
	"plain std::string, ::1 and #[x]":             "plain std::string, ::1 and #[x]",
	"a\n\n  b\tc\n":                               "a\n\n  b\tc\n",
	"":                                            "",
}

func TestInert(t *testing.T) {
	t.Parallel()
	r, _ := runner(nil)
	for text, want := range hostile {
		if got := r.Inert(text); got != want {
			t.Errorf("Inert(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestTheParserOfTheTestFindsCommands(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"::error::x", " \t::x::", "a ##[error]", "\u200b::x::", "#\ufe0f#[x]"} {
		if !commandIn(line) {
			t.Errorf("no command seen in %q", line)
		}
	}
	if commandIn("a::b #[c]") {
		t.Error("a command is seen in plain text")
	}
}

func TestUntrustedSeesThroughPieces(t *testing.T) {
	t.Parallel()
	r, _ := runner(nil)
	for text := range hostile {
		if !utf8.ValidString(text) {
			continue // an unfinished character waits for its rest
		}
		var b bytes.Buffer
		w := r.Raw(&b)
		for i := range len(text) {
			if n, err := w.Write([]byte{text[i]}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if want := Inert(text); b.String() != want {
			t.Errorf("%q in pieces is %q, want %q", text, b.String(), want)
		}
	}
}

func FuzzInert(f *testing.F) {
	for text := range hostile {
		f.Add(text, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		got := Inert(text)
		for _, line := range logLines(got) {
			if commandIn(line) {
				t.Errorf("%q leaves a command in %q", text, line)
			}
		}
		if strings.ContainsAny(got, "\x1b\r\x00\u009b") || !utf8.ValidString(got) {
			t.Errorf("%q leaves control characters in %q", text, got)
		}
		if again := Inert(got); again != got {
			t.Errorf("%q is %q once and %q twice", text, got, again)
		}
		r, _ := runner(nil)
		var b bytes.Buffer
		w := r.Raw(&b)
		for rest := []byte(text); len(rest) > 0; {
			n := min(len(rest), int(size%16)+1)
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if !strings.HasPrefix(got, b.String()) || len(got)-b.Len() > 3*len("\ufffd") {
			t.Errorf("%q in pieces of %d is %q, whole %q", text, size%16+1, b.String(), got)
		}
	})
}
