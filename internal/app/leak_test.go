package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/apptest"
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

const hostile = apptest.Hostile

// markdown is a secret that a summary escapes, so that it is not found afterwards.
const markdown = "canary_*in*_<Markdown>"

// canaryResult is the result of a verb that reports everything that it is given.
type canaryResult struct {
	Text string            `json:"text"`
	More map[string]string `json:"more"`
}

// talkative is a verb that adds a secret and says it by every way out.
func talkative(fails error, panics bool) app.Command {
	return app.NewCommand(app.Wiring[struct{}, canaryResult](wiring[struct{}, canaryResult]{
		setting.Verb{Name: "talk", Outputs: []setting.Output{{Name: "text"}, {Name: "json"}}},
		func(*struct{}) *setting.Set { return new(setting.Set) },
		nil,
		false,
		func(_ context.Context, _ *struct{}, run *app.RunContext) (canaryResult, error) {
			run.Secrets.Add("canary-secret", "canary-line-one\ncanary-line-two", markdown)
			run.Mask("canary-token-1")
			const all = "canary-secret canary-line-two canary-token-1 canary-environment " + markdown + hostile
			end := run.Reporter.Group(all)
			run.Reporter.Infof("%s", all)
			run.Reporter.Warnf("%s", all)
			run.Reporter.Raw(all)
			run.Reporter.Raw("canary-line-one\ncanary-line-two\n")
			run.Reporter.Progress(all, release.Progress{Complete: 1, Total: 2})
			run.Reporter.Step(release.RolloutStep{Object: release.Object{Kind: "Pod", Name: all}, Message: all})
			end()
			_, _ = io.WriteString(run.Process.Stdout, all+"\n")
			_, _ = io.WriteString(run.Process.Stderr, all+"\n")
			if panics {
				panic(all)
			}
			return canaryResult{all, map[string]string{all: all}}, fails
		},
		func(r canaryResult) map[string]string {
			return map[string]string{"text": strings.ReplaceAll(r.Text, hostile, ""), "json": `{"a":"canary-secret"}`}
		},
		func(_ *struct{}, r canaryResult, _ error) page.Page {
			line := page.Line(page.Words("%s", r.Text), page.Code(r.Text), page.Link("https://a.test/"+r.Text), page.Link("https://a.test/canary-secret"), page.Commit(release.Commit(r.Text)), page.Run("https://a.test/canary-secret"))
			title := page.Line(page.Words("%s", r.Text), page.Code(r.Text))
			return page.Page{Headline: line, Reason: []page.Text{line}, URL: "https://a.test/canary-secret", Facts: []page.Fact{{Name: r.Text, Value: line}}, Sections: []page.Section{
				{Title: line, Lines: []page.Text{line}, Block: r.Text + "\ncanary-line-one\ncanary-line-two\n", Table: page.Table{Head: []string{"a"}, Rows: [][]page.Text{{line}}}},
				{Title: title, Folded: true, Lines: []page.Text{line}, Diagram: []page.Stage{{Name: r.Text, Lines: []string{r.Text}}}},
			}}
		},
		func(*struct{}, canaryResult) app.Comment {
			return app.Comment{Wanted: true, Token: "canary-token-2", Of: []string{"canary-secret"}}
		},
	}))
}

// TestCanariesLeaveByNoWay: no way out shows a secret or a live command, in text and in JSON, on success, failure, bad input, fault
// and panic.
func TestCanariesLeaveByNoWay(t *testing.T) {
	t.Parallel()
	const all = "canary-secret canary-line-one canary-environment " + markdown + hostile
	for name, test := range map[string]struct {
		fails  error
		panics bool
		code   int
	}{
		"success": {nil, false, release.ExitDone}, "failure": {&release.Failure{What: all, Err: errors.New(all), Do: all}, false, release.ExitFailed},
		"bad input": {release.BadInput(all, all, all), false, release.ExitInput}, "fault": {release.NewFault(all, all, errors.New(all), "%s", all), false, release.ExitFault},
		"panic": {nil, true, release.ExitFault}, "cancellation": {context.Canceled, false, -1},
	} {
		for _, output := range []string{"text", "json"} {
			t.Run(name+"/"+output, func(t *testing.T) {
				t.Parallel()
				code, ways := runInJob(t.Context(), t, talkative(test.fails, test.panics), t.TempDir(), []string{"DB_PASSWORD=canary-environment"}, []string{"--output", output}, nil)
				ways.Search(t)
				if test.code >= 0 && code != test.code || !strings.Contains(ways.Stdout, "***") {
					t.Errorf("ended with %d:\n%+v", code, ways)
				}
			})
		}
	}
}

// TestSecurityPage holds docs/security.md to the tests that it names, each of which is one test, and to its list of faults and hostile inputs.
func TestSecurityPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string][]string{} // the packages that have a test, relative to the repository, by its name
	for _, root := range []string{"../../internal", "../../actions", "../../e2e", "../../devenv/localaws"} {
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path)
			for _, match := range testDeclared.FindAllStringSubmatch(string(content), -1) {
				declared[match[1]] = append(declared[match[1]], strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../../"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := testNamed.FindAllStringSubmatch(string(page), -1)
	if len(named) < 40 {
		t.Errorf("the page names %d tests", len(named))
	}
	for _, match := range named {
		switch in, name := declared[match[2]], match[2]; {
		case match[1] != "" && !slices.Contains(in, strings.TrimSuffix(match[1], ".")):
			t.Errorf("package %s has no test %s", match[1], name)
		case len(in) == 0:
			t.Errorf("there is no test %s", name)
		case match[1] == "" && len(in) > 1:
			t.Errorf("%s is a test of %q: name the package, as in %s.%s", name, in, in[0], name)
		}
	}
	for label, count := range map[string]int{"R": 10, "H": 12} {
		for i := range count {
			if !strings.Contains(string(page), fmt.Sprintf("|\n| %s%d |", label, i+1)) { // a row after another
				t.Errorf("the page's tables lack %s%d", label, i+1)
			}
		}
	}
}

var (
	testDeclared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	testNamed    = regexp.MustCompile("`([\\w/]+\\.)?((?:Test|Fuzz)\\w+)`")
)
