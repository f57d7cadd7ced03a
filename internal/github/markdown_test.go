package github

import (
	"regexp"
	"strings"
	"testing"
)

func TestEscapeMarkdown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain sha256:abc 1.5 (ok) a-b #1": "plain sha256:abc 1.5 (ok) a-b #1",
		"<img src=x onerror=alert(1)>":     "&lt;img src=x onerror=alert(1)&gt;",
		"[click](javascript:x) ![i](u)":    `\[click\](javascript:x) \!\[i\](u)`,
		"**bold** _it_ ~~no~~ `code` $x$":  "\\*\\*bold\\*\\* \\_it\\_ \\~\\~no\\~\\~ \\`code\\` \\$x\\$",
		"a | b\n| c":                       `a \| b<br>\| c`,
		"# head":                           `\# head`,
		"- item":                           `\- item`,
		"  + item":                         `  \+ item`,
		"1. item":                          `1\. item`,
		" 12) item":                        ` 12\) item`,
		"===":                              `\===`,
		"https://evil.test":                "https&#58;//evil.test",
		"WWW.evil.test":                    `WWW\.evil.test`,
		"me@evil.test":                     "me&#64;evil.test",
		"&lt; \\":                          `&amp;lt; \\`,
		"\x1b[31m\u202e::x::":              `:\\:x::`,
		"":                                 "",
	} {
		if got := EscapeMarkdown(text); got != want {
			t.Errorf("EscapeMarkdown(%q) = %q, want %q", text, got, want)
		}
	}
}

// H10: five megabytes of hostile log come out escaped and below the limit, with the code block closed.
func TestHugeHostileLogInASummary(t *testing.T) {
	t.Parallel()
	line := "```</details><img src=x> [a](http://evil) ::set-output name=a::b\n"
	log := strings.Repeat(line, 5<<20/len(line))
	env := environment(t)
	r, _ := runner(env)
	if err := r.Summary("# Failed\n\n" + EscapeMarkdown(line) + "\n````text\n" + log + "````\n"); err != nil {
		t.Fatal(err)
	}
	got := content(t, env["GITHUB_STEP_SUMMARY"])
	before, _, _ := strings.Cut(got, "````text")
	if len(got) > maxSummary || strings.Contains(before, "<img") || !strings.Contains(got, "\n````\n"+cutNote) {
		t.Errorf("%d bytes, begins %q, ends %q", len(got), before, got[len(got)-200:])
	}
}

func FuzzEscapeMarkdown(f *testing.F) {
	for _, seed := range []string{"<a>", "a|b\n", "[x](y)", "`c`", "https://x", "1. a", "\\", "&amp;"} {
		f.Add(seed)
	}
	special := regexp.MustCompile("(^|[^\\\\])(\\\\\\\\)*[`*\\[\\]|~$]")
	f.Fuzz(func(t *testing.T, text string) {
		got := EscapeMarkdown(text)
		if strings.Contains(strings.ReplaceAll(got, "<br>", ""), "<") || strings.ContainsAny(got, "\n\r\x1b") ||
			strings.Contains(got, "://") || special.MatchString(got) {
			t.Errorf("%q is %q", text, got)
		}
	})
}
