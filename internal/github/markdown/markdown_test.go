package markdown_test

import (
	"html"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/github/markdown"
	"github.com/onedigest/onedigest/internal/text"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	gmtext "github.com/yuin/goldmark/text"
)

func TestCode(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"http://evil.test":       "`http://evil.test`",
		"a `b` c":                "``a `b` c``",
		"`b`":                    "`` `b` ``",
		"a|b":                    "<code>a&#124;b</code>",
		`a\|*b*`:                 "<code>a&#92;&#124;&#42;b&#42;</code>",
		"one\ntwo\x1b[31m\u202e": "`one two`",
		"":                       "",
		" \n":                    "",
	} {
		if got := markdown.Code(given); got != want {
			t.Errorf("Code(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestBlock(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"one\n  two\n":             "\n```text\none\n  two\n```\n",
		"```\n</details>\n````":    "\n`````text\n```\n</details>\n````\n`````\n",
		"::error::x ##[command]\r": "\n```text\n:\\:error::x ##\\[command]\n```\n",
		"\n \n":                    "",
	} {
		if got := markdown.Block(given, "text"); got != want {
			t.Errorf("Block(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		`Deployment/shop in namespace "staging" cannot become ready: OD-103`: "`Deployment/shop` in namespace \"staging\" cannot become ready: `OD-103`",
		"see http://evil.test/a(b), me@evil.test; www.evil.test.":            "see `http://evil.test/a(b`), `me@evil.test`; `www.evil.test`.",
		"@octocat fixes #12 and GH-13 in 1234567 or deadbeef":                "`@octocat` fixes `#12` and `GH-13` in `1234567` or `deadbeef`",
		"**bold** _it_ ~~no~~ $x$ <b>":                                       "`**bold** _it_ ~~no~~ $x$ <b>`",
		"1. item, 2 of 3 took 1.5 s (30%)":                                   "`1`. item, 2 of 3 took 1.5 s (30%)",
		"# head":                                                             "`#` head",
		"- item":                                                             "`-` item",
		"a | b":                                                              "a <code>&#124;</code> b",
		"a , b : c ; d . -":                                                  "a , b : c ; d . `-`",
		"it isn't well-formed, überall":                                      "it isn't well-formed, überall",
		":smile: (x:y)":                                                      "`:smile`: (`x:y`)",
		"":                                                                   "",
	} {
		if got := markdown.Words(given); got != want {
			t.Errorf("Words(%q)\n got %q\nwant %q", given, got, want)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://shop.example.com/a?b=c#d": "<https://shop.example.com/a?b=c#d>",
		"http://127.0.0.1:8080":            "<http://127.0.0.1:8080>",
		"javascript:alert(1)":              "`javascript:alert(1)`",
		"https://user:pass@evil.test":      "`https://user:pass@evil.test`",
		"https://evil.test/)[x](y":         "`https://evil.test/)[x](y`",
		"https://evil.test/|x":             "<code>https&#58;&#47;&#47;evil&#46;test&#47;&#124;x</code>",
		"":                                 "",
	} {
		if got := markdown.Address(given); got != want {
			t.Errorf("Address(%q) = %q, want %q", given, got, want)
		}
	}
	if got := markdown.Link("run", "https://github.com/a/b/actions/runs/1") + markdown.Link("run", "file:///etc/passwd"); got != "[run](https://github.com/a/b/actions/runs/1)run" {
		t.Errorf("got %q", got)
	}
}

var gfm = goldmark.New(goldmark.WithExtensions(extension.GFM))

// FuzzInert: what is written stays text wherever a page has it, and the text can be read there unchanged.
func FuzzInert(f *testing.F) {
	for _, seed := range []string{"<a>", "a|b\n", "[x](y)", "`c` ``", "https://x", "1. a", "\\", "&amp;", "@octocat #1", "</details><script>", "a\\|b", "```", "~~~", "::error::x", "==="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		line := text.Line(given, text.NoLimit)
		if line == "" {
			return
		}
		for _, written := range []string{markdown.Code(given), markdown.Words(given), markdown.HTMLCode(given), markdown.HTMLWords(given)} {
			checkInert(t, "before\n\n"+written+"\n\nafter\n", "before "+line+" after")
			checkInert(t, "## x "+written+"\n", "x "+line)
			checkInert(t, "> "+written+"\n", line)
			checkInert(t, "| a | b |\n|---|---|\n| "+written+" | end |\n", "a b "+line+" end")
			checkInert(t, "- "+written+"\n", line)
		}
		if lines := strings.Trim(text.Lines(given, text.NoLimit), "\n"); strings.TrimSpace(lines) != "" {
			checkInert(t, "before\n"+markdown.Block(given, "text")+"\nafter\n", "before "+lines+" after")
		}
	})
}

// checkInert fails the test if a page has more than text, code and what the page itself is made of, or shows another text.
func checkInert(t *testing.T, page, want string) {
	t.Helper()
	source := []byte(page)
	var shown strings.Builder
	err := ast.Walk(gfm.Parser().Parse(gmtext.NewReader(source)), func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		if node.Type() == ast.TypeBlock {
			shown.WriteString(" ")
		}
		switch node := node.(type) {
		case *ast.Document, *ast.Paragraph, *ast.TextBlock, *ast.Heading, *ast.Blockquote, *ast.List, *ast.ListItem, *ast.CodeSpan, *east.Table, *east.TableHeader, *east.TableRow, *east.TableCell:
		case *ast.Text:
			value := string(node.Segment.Value(source))
			if _, code := node.Parent().(*ast.CodeSpan); !code {
				value = html.UnescapeString(value)
			}
			shown.WriteString(value)
		case *ast.String:
			shown.Write(node.Value)
		case *ast.RawHTML:
			if tag := string(node.Segments.Value(source)); tag != "<code>" && tag != "</code>" {
				t.Errorf("%q has the tag %q", page, tag)
			}
		case *ast.FencedCodeBlock:
			shown.Write(node.Lines().Value(source))
		default:
			t.Errorf("%q has a %s", page, node.Kind())
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(strings.Fields(shown.String()), " "), strings.Join(strings.Fields(want), " "); got != want {
		t.Errorf("%q shows %q, want %q", page, got, want)
	}
}
