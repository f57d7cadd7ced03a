package github

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	const secret = "p@ss w\"rd/+1"
	pem := "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
	b64 := base64.StdEncoding.EncodeToString
	for name, test := range map[string]struct{ text, want string }{
		"as it stands":  {"password: " + secret + ".", "password: ***."},
		"several times": {secret + " " + secret + secret, "*** ***"},
		"in a Secret":   {"data: {p: " + b64([]byte(secret)) + "}", "data: {p: ***}"},
		"in a URL":      {"?p=" + url.QueryEscape(secret) + "&q=1", "?p=***&q=1"},
		"in JSON":       {`{"p":"p@ss w\"rd/+1"}`, `{"p":"***"}`},
		"one line":      {"log: MIIEvQIBADANBg failed", "log: *** failed"},
		"overlapping":   {"xabcdefghix", "x***x"},
		"nothing":       {"all is well", "all is well"},
		"nothing here":  {"", ""},
	} {
		got := Redact(test.text, []string{secret, pem, "abcdef", "defghi", "", "\n"})
		if got != test.want {
			t.Errorf("%s: %q is %q, want %q", name, test.text, got, test.want)
		}
	}
	for shift := range 3 { // as a docker config holds "user:password"
		got := Redact(b64([]byte(strings.Repeat("u", shift)+":"+secret+"tail")), []string{secret})
		if decoded, _ := base64.RawStdEncoding.DecodeString(got); strings.Contains(string(decoded), secret) || !strings.Contains(got, "***") {
			t.Errorf("shifted by %d: %q", shift, got)
		}
	}
	if got := Redact("pin 1234, 12", []string{"12"}); got != "pin ***34, ***" {
		t.Errorf("a short secret: %q", got)
	}
	if got := Redact("text", nil); got != "text" {
		t.Errorf("without secrets: %q", got)
	}
}

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

func TestCodeBlock(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\nb\n":                  "\n```text\na\nb\n```\n",
		"```\n</details><script>": "\n````text\n```\n</details><script>\n````\n",
		"a ````` b":               "\n``````text\na ````` b\n``````\n",
	} {
		if got := CodeBlock(text); got != want {
			t.Errorf("CodeBlock(%q) = %q, want %q", text, got, want)
		}
	}
}

// H10: five megabytes of hostile log come out redacted, escaped, and below the limit, block and all.
func TestHugeHostileLogInASummary(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse-battery"
	line := "```</details><img src=x> [a](http://evil) ::set-output name=a::" + secret + "\n"
	log := strings.Repeat(line, 5<<20/len(line))
	env := environment(t)
	r, _ := runner(env)
	if err := r.Summary("# Failed\n\n" + EscapeMarkdown(Redact(line, []string{secret})) + "\n" +
		CodeBlock(Redact(log, []string{secret}))); err != nil {
		t.Fatal(err)
	}
	got := content(t, env["GITHUB_STEP_SUMMARY"])
	if len(got) > maxSummary || strings.Contains(got, secret) || !strings.Contains(got, "\n````\n"+cutNote) {
		t.Errorf("%d bytes, with the secret %t, ends %q", len(got), strings.Contains(got, secret), got[len(got)-200:])
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
