package github

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/onedigest/onedigest/internal/release"
)

func TestContext(t *testing.T) {
	t.Parallel()
	env := map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "octo/shop",
		"GITHUB_RUN_ID": "42", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_ACTOR": "first"}
	r, _ := runner(env)
	got := []string{r.RunURL(), r.Actor()}
	want := []string{"https://github.com/octo/shop/actions/runs/42", "first"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("context (-want +got):\n%s", diff)
	}
	env["GITHUB_RUN_ATTEMPT"], env["GITHUB_TRIGGERING_ACTOR"] = "3", "second"
	if r.RunURL() != want[0]+"/attempts/3" || r.Actor() != "second" {
		t.Errorf("a re-run is %s by %s", r.RunURL(), r.Actor())
	}
	delete(env, "GITHUB_RUN_ID")
	if r.RunURL() != "" {
		t.Errorf("run URL %q without a run", r.RunURL())
	}
}

func TestOn(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"true": true, "": false, "1": false, "false": false} {
		if got := On(func(string) string { return value }); got != want {
			t.Errorf("GITHUB_ACTIONS=%q is %t", value, got)
		}
	}
	if On(nil) {
		t.Error("on GitHub without an environment")
	}
}

func TestOffGitHubNothingIsWritten(t *testing.T) {
	t.Parallel()
	env := environment(t)
	env["GITHUB_ACTIONS"] = ""
	r, stdout := runner(env)
	if err := errors.Join(r.SetOutput("a", "b"), r.Summary("# x")); err != nil {
		t.Error(err)
	}
	r.Mask("hush")
	r.Error(Annotation{Message: "no"})
	r.Group("Deploy\n::x::")
	r.EndGroup()
	if got := stdout.String(); got != "Deploy :\\:x::\n" {
		t.Errorf("printed %q", got)
	}
	if content(t, env["GITHUB_OUTPUT"])+content(t, env["GITHUB_STEP_SUMMARY"]) != "" {
		t.Error("a file was written")
	}
	zero := New(Options{})
	zero.Group("x")
	if err := zero.SetOutput("a", "b"); err != nil {
		t.Error(err)
	}
}

// H2: a value that holds the library's delimiter, or looks like the end of ours, stays one output.
func TestSetOutputKeepsHostileValuesInOneOutput(t *testing.T) {
	t.Parallel()
	env := environment(t)
	r, _ := runner(env)
	var want []pair
	for i, value := range []string{"", "sha256:abc", "two\nlines", "end\n", "\n", "\r\n", "a=b", "a<<b\nc\nb",
		"x\n_GitHubActionsFileCommandDelimeter_\ndigest<<E\nforged\nE\n_GitHubActionsFileCommandDelimeter_\n",
		"onedigest-\nforged=1\n", "$(id) `id` ${{ github.token }}", "::set-output name=a::b"} {
		name := "out-" + string(rune('a'+i))
		if err := r.SetOutput(name, value); err != nil {
			t.Fatal(err)
		}
		want = append(want, pair{name, value})
	}
	got, err := parseFile(content(t, env["GITHUB_OUTPUT"]))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
}

// The reason for a delimiter of our own: with the library's, a value can begin further outputs.
func TestTheLibrarysDelimiterCanBeForged(t *testing.T) {
	t.Parallel()
	env := environment(t)
	r, _ := runner(env)
	r.action.SetOutput("a", "x\n_GitHubActionsFileCommandDelimeter_\ndigest=forged\nb<<_GitHubActionsFileCommandDelimeter_\ny")
	got, err := parseFile(content(t, env["GITHUB_OUTPUT"]))
	if err != nil || len(got) != 3 || got[1] != (pair{"digest", "forged"}) {
		t.Errorf("outputs %v, %v: if the library closed this, its own SetOutput may serve", got, err)
	}
}

func TestSetOutputRefuses(t *testing.T) {
	t.Parallel()
	env := environment(t)
	r, _ := runner(env)
	for _, name := range []string{"", "a b", "a=b", "a<<b", "a\nb", "1a", "-a", "ä"} {
		if err := r.SetOutput(name, "x"); err == nil {
			t.Errorf("name %q is taken", name)
		}
	}
	if err := r.SetOutput("big", strings.Repeat("x", maxOutput/2+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("a value above the limit: %v", err)
	}
	if got := content(t, env["GITHUB_OUTPUT"]); got != "" {
		t.Errorf("written %q", got)
	}
	if err := r.SetOutput("big", strings.Repeat("x", maxOutput/2)); err != nil {
		t.Errorf("a value at the limit: %v", err)
	}
}

func TestSetOutputWithoutItsFile(t *testing.T) {
	t.Parallel()
	env := map[string]string{"GITHUB_ACTIONS": "true"}
	r, _ := runner(env)
	var input *release.InputError
	if err := r.SetOutput("a", "b"); !errors.As(err, &input) || !strings.Contains(err.Error(), "GITHUB_OUTPUT") {
		t.Errorf("error %v", err)
	}
	if err := r.SetOutput("b", "c"); err != nil {
		t.Errorf("reported twice: %v", err)
	}
	env["GITHUB_OUTPUT"] = filepath.Join(t.TempDir(), "missing", "file")
	var fault *release.Fault
	if err := r.SetOutput("a", "b"); !errors.As(err, &fault) || !strings.Contains(err.Error(), `setting output "a"`) {
		t.Errorf("a file that cannot be opened: %v", err)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	env := environment(t)
	r, _ := runner(env)
	if err := errors.Join(r.Summary("# One"), r.Summary("two\xff")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, env["GITHUB_STEP_SUMMARY"]); got != "# One\ntwo\ufffd\n" {
		t.Errorf("summary %q", got)
	}
	env["GITHUB_STEP_SUMMARY"] = t.TempDir()
	var fault *release.Fault
	if err := r.Summary("x"); !errors.As(err, &fault) {
		t.Errorf("a directory as file: %v", err)
	}
}

func TestSummaryStaysBelowItsLimit(t *testing.T) {
	t.Parallel()
	const line = "a line of a log, with ümlauts\n"
	for name, test := range map[string]struct {
		before   int
		markdown string
		want     string // how the file ends
	}{
		"long":           {0, strings.Repeat(line, 50_000), "ümlauts\n" + cutNote},
		"in a block":     {0, "````text\n" + strings.Repeat("```\n"+line, 50_000), "\n````\n" + cutNote},
		"in details":     {0, "<details><summary>log</summary>\n\n```\n" + strings.Repeat(line, 50_000), "```\n\n</details>\n" + cutNote},
		"a single line":  {0, strings.Repeat("x", 5<<20), cutNote},
		"after others":   {1 << 19, strings.Repeat(line, 50_000), cutNote},
		"nothing fits":   {maxSummary - 100, strings.Repeat(line, 50_000), "."},
		"small and last": {maxSummary - 2*summaryReserve, "# end", "# end\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := environment(t)
			file := env["GITHUB_STEP_SUMMARY"]
			if err := os.WriteFile(file, []byte(strings.Repeat(".", test.before)), 0o600); err != nil {
				t.Fatal(err)
			}
			r, _ := runner(env)
			for range 3 {
				if err := r.Summary(test.markdown); err != nil {
					t.Fatal(err)
				}
			}
			got := content(t, file)
			if len(got) > maxSummary || !utf8.ValidString(got) {
				t.Errorf("%d bytes, limit %d; UTF-8 %t", len(got), maxSummary, utf8.ValidString(got))
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("the end is %q, want %q", got[max(0, len(got)-200):], test.want)
			}
			if test.before == 0 && test.want != cutNote && len(got) < maxSummary*9/10 {
				t.Errorf("only %d bytes are used", len(got))
			}
		})
	}
}

func TestAnnotations(t *testing.T) {
	t.Parallel()
	r, stdout := runner(environment(t))
	r.Error(Annotation{Title: "bad, or: worse\n::x::", File: "a,b:c.yaml", Line: 3, Column: 7, Message: "100%\r\nnext\n::set-output name=a::b"})
	r.Warning(Annotation{Message: "##[add-mask]x \x1b[31mred"})
	r.Warning(Annotation{Message: strings.Repeat("ä", 5000)})
	want := "::error col=7,file=a%2Cb%3Ac.yaml,line=3,title=bad%2C or%3A worse %3A\\%3Ax%3A%3A::100%25%0Anext%0A:\\:set-output name=a::b\n" +
		"::warning::##\\[add-mask]x red\n" +
		"::warning::" + strings.Repeat("ä", 4095) + "…\n"
	if diff := cmp.Diff(want, stdout.String()); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestAnnotationsBeyondTenAreLines(t *testing.T) {
	t.Parallel()
	r, stdout := runner(environment(t))
	for range 12 {
		r.Error(Annotation{Title: "deploy", Message: "no"})
	}
	r.Warning(Annotation{Message: "counted apart"})
	got := stdout.String()
	if strings.Count(got, "::error title=deploy::no\n") != 10 || strings.Count(got, "\nerror: deploy: no") != 2 ||
		strings.Count(got, "::warning::") != 1 {
		t.Errorf("printed\n%s", got)
	}
}

func TestGroupsAndMasks(t *testing.T) {
	t.Parallel()
	r, stdout := runner(environment(t))
	r.Group("Deploy to staging\n::error::x")
	r.Mask("two\nlines%")
	r.Mask("  \n")
	r.EndGroup()
	want := "::group::Deploy to staging :\\:error::x\n::add-mask::two%0Alines%25\n::endgroup::\n"
	if diff := cmp.Diff(want, stdout.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestAClosedLogCausesNoPanic(t *testing.T) {
	t.Parallel()
	r := New(Options{Getenv: func(string) string { return "true" }, Stdout: brokenPipe{}})
	r.Group("x")
	r.Error(Annotation{Message: "x"})
	r.Mask("x")
	r.EndGroup()
}

func FuzzSetOutput(f *testing.F) {
	for _, seed := range []string{"", "a", "a\nb\n", "x\n_GitHubActionsFileCommandDelimeter_\ny=z", "onedigest-\n", "a<<b\r\nc", "\xff=\x00", "\n\n"} {
		f.Add("name", seed)
	}
	f.Add("a<<b", "c")
	f.Add("a\nforged", "c")
	f.Fuzz(func(t *testing.T, name, value string) {
		env := environment(t)
		r, _ := runner(env)
		err := r.SetOutput(name, value)
		if after := r.SetOutput("after", "unchanged"); after != nil {
			t.Fatal(after)
		}
		got, parseErr := parseFile(content(t, env["GITHUB_OUTPUT"]))
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		want := []pair{{"after", "unchanged"}}
		if err == nil {
			want = append([]pair{{name, strings.ToValidUTF8(value, "\ufffd")}}, want...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("outputs (-want +got):\n%s", diff)
		}
	})
}
