package text

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile are texts that a runner or a terminal would obey, and what Lines makes of them.
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
	"\u009d0;title\u009c::error::x":               `:\:error::x`,
	"\x1b(B::error::x":                            `:\:error::x`,
	"\u200b:\u200d:error::x":                      `:\:error::x`,
	"\ufeff::error::x":                            `:\:error::x`,
	"\u00ad:\u034f:error::x":                      `:\:error::x`,
	":\u3164:error::x":                            `:\:error::x`,
	"#\u200b#\u2060[error]x":                      `##\[error]x`,
	"#\ufe0f#\ufe0f[error]x":                      "#\ufe0f#\ufe0f\\[error]x",
	"\u0301::error::x":                            "\u0301:\\:error::x",
	"\x00:\x07:error::x":                          `:\:error::x`,
	"\u202egnp.exe":                               "gnp.exe",
	"\u2066\u2067\u2068\u2069\u061c\u200e\u200fx": "x",
	"over\b\b\b\bread":                            "overread",
	"\xff::error::x\xc3":                          "\ufffd::error::x\ufffd",
	"private \ue000, unassigned \u0378":           "private \ufffd, unassigned \ufffd",
	"\r\u200b\n":                                  "\n",
	"plain std::string, ::1 and #[x]":             "plain std::string, ::1 and #[x]",
	"a\n\n  b\tc\n":                               "a\n\n  b\tc\n",
	"naïve 日本 👍":                                  "naïve 日本 👍",
	"":                                            "",
}

func TestLines(t *testing.T) {
	t.Parallel()
	for text, want := range hostile {
		if got := Lines(text, NoLimit); got != want {
			t.Errorf("Lines(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestLineAndLogLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, line, logLine string }{
		{"plain: text", "plain: text", "plain: text"},
		{"  two\n\tlines \r\n", "two lines", "  two  lines  "},
		{"a\r\n::stop-commands::x", `a :\:stop-commands::x`, `a :\:stop-commands::x`},
		{"\n::stop-commands::x", `:\:stop-commands::x`, ` :\:stop-commands::x`},
		{"\x1b[31\nred\x1b[0m", "red", " red"},
		{"tab\there\u2028next\u0085end", "tab here next end", "tab here next end"},
		{"em\u2003space", "em space", "em space"},
		{"10%\r20%", "10% 20%", "10% 20%"},
		{"\u202e\x00\x07", "", ""},
	} {
		if got := Line(test.text, NoLimit); got != test.line {
			t.Errorf("Line(%q) = %q, want %q", test.text, got, test.line)
		}
		if got := LogLine(test.text, NoLimit); got != test.logLine {
			t.Errorf("LogLine(%q) = %q, want %q", test.text, got, test.logLine)
		}
	}
}

func TestTruncate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text  string
		limit int
		want  string
	}{
		{"123456", 6, "123456"}, {"1234567", 6, "123…"}, {"ääää", 8, "ääää"}, {"ääää", 7, "ää…"}, {"ääää", 6, "ä…"}, {"ääää", 4, "…"},
		{"ääää", 3, "…"}, {"ääää", 2, "ä"}, {"ääää", 1, ""}, {"ä", 0, ""}, {"ä", -1, ""}, {"", 0, ""}, {"a\nb", NoLimit, "a\nb"},
	} {
		if got := Truncate(test.text, test.limit); got != test.want {
			t.Errorf("Truncate(%q, %d) = %q, want %q", test.text, test.limit, got, test.want)
		}
	}
	if got, want := Line(strings.Repeat("ä", 300), 101), strings.Repeat("ä", 49)+"…"; got != want {
		t.Errorf("Line cuts to %q, want %q", got, want)
	}
}

func TestTheCommandParserOfTheTestFindsCommands(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"::error::x", " \t::x::", "a ##[error]", "\u200b::x::", "#\ufe0f#[x]"} {
		if !commandIn(line) {
			t.Errorf("no command found in %q", line)
		}
	}
	if commandIn("a::b #[c]") {
		t.Error("a command is found in plain text")
	}
}

// commandIn finds a command in a line in the runner's two ways: TryParseV2 and TryParse of ActionCommand.cs. Marks and
// characters without a width are taken out first, since the runner compares by culture.
func commandIn(line string) bool {
	compared := strings.Map(func(r rune) rune {
		if unicode.IsMark(r) || isInvisible(r) && !unicode.IsSpace(r) {
			return -1
		}
		return r
	}, line)
	return strings.HasPrefix(strings.TrimLeftFunc(compared, unicode.IsSpace), "::") || strings.Contains(compared, "##[")
}

func FuzzSanitize(f *testing.F) {
	for text := range hostile {
		f.Add(text, uint8(20))
	}
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		for name, sanitizer := range map[string]func(string, int) string{"Line": Line, "LogLine": LogLine, "Lines": Lines} {
			for _, limit := range []int{NoLimit, int(size)} {
				got := sanitizer(text, limit)
				if len(got) > limit {
					t.Errorf("%s(%q, %d) has %d bytes", name, text, limit, len(got))
				}
				if !utf8.ValidString(got) {
					t.Errorf("%s(%q, %d) = %q is not UTF-8", name, text, limit, got)
				}
				for _, line := range strings.FieldsFunc(got, func(r rune) bool { return r == '\n' || r == '\r' }) {
					if commandIn(line) {
						t.Errorf("%s(%q, %d) leaves a command in %q", name, text, limit, line)
					}
				}
				allowed := "\n\t"
				if name != "Lines" {
					allowed = ""
				}
				for _, r := range got {
					if isInvisible(r) && !strings.ContainsRune(allowed, r) {
						t.Errorf("%s(%q, %d) leaves %U", name, text, limit, r)
					}
				}
				if again := sanitizer(got, limit); again != got {
					t.Errorf("%s(%q, %d) is %q once and %q twice", name, text, limit, got, again)
				}
			}
		}
	})
}

// TestALongTextCostsOnlyWhatIsShown: the result is the start of the whole text's, and the rest is not read.
func TestALongTextCostsOnlyWhatIsShown(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("  ab \x1b[31m::\u202e\n", 1<<12)
	for name, cut := range map[string]func(string, int) string{"Line": Line, "LogLine": LogLine, "Lines": Lines} {
		for _, limit := range []int{0, 1, 3, 7, 64, 1000} {
			if got, want := cut(long, limit), Truncate(cut(long, NoLimit), limit); strings.TrimRight(got, " ") != strings.TrimRight(want, " ") {
				t.Errorf("%s at most %d bytes: got %q, want %q", name, limit, got, want)
			}
		}
	}
	if got := sanitize(strings.Repeat("x", 1<<20), false, 16); len(got) > 32 {
		t.Errorf("%d bytes were sanitized for 16", len(got))
	}
}
