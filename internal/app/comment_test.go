package app_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/apptest"
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/github/githubtest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// canary is a secret, and divided is how a log line shows it: with parts between that no reader sees.
const (
	canary  = "canary-4711-comment"
	divided = "ca\x1b[0mnary-47\u200d11-comment"
)

// commenting is a verb whose page is about an environment.
func commenting(verdict string, wanted bool, fails error) app.Command {
	return app.NewCommand(app.Wiring[struct{}, string]{
		Verb: setting.Verb{Name: "deploy"}, Declare: func(*struct{}) *setting.Set { return new(setting.Set) }, Outputs: func(string) map[string]string { return nil },
		Run: func(context.Context, *struct{}, *app.RunContext) (string, error) { return verdict, fails },
		Page: func(_ *struct{}, verdict string, _ error) page.Page {
			return page.Page{Status: page.Planned, Headline: page.Line(verdict), Sections: []page.Section{{Block: strings.Repeat("a log\n", 100_000)}, {Title: page.Line("more", divided), Block: divided}}}
		},
		Comment: func(*struct{}, string) app.Comment {
			return app.Comment{Wanted: wanted, Token: githubtest.Token, Of: []string{"shop"}, Part: []string{"staging", "", "shop"}}
		},
	})
}

// TestCommentOfAPullRequest: one comment that each run edits, none of another event or if none is wanted, and a warning that names the permission.
func TestCommentOfAPullRequest(t *testing.T) {
	t.Parallel()
	server := githubtest.Start(t)
	event := func(payload string) string {
		file := filepath.Join(t.TempDir(), "event.json")
		if err := os.WriteFile(file, []byte(payload), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	pull := event(`{"number":7,"pull_request":{}}`)
	run := func(command app.Command, event string) (int, string) {
		environ, _ := apptest.InJob(t, append(server.Environ(), "GITHUB_EVENT_PATH="+event, "APP_PASSWORD="+canary))
		environ = slices.DeleteFunc(environ, func(pair string) bool { return strings.HasPrefix(pair, "GITHUB_OUTPUT=") })
		var stdout bytes.Buffer
		code := command.Run(t.Context(), app.Process{Environ: environ, Dir: t.TempDir(), Stdout: &stdout, Stderr: &stdout, Now: time.Now})
		shown, token := strings.ReplaceAll(stdout.String(), "::add-mask::"+githubtest.Token, ""), githubtest.Token
		if strings.Contains(shown, token) {
			t.Errorf("the token is in %s", shown)
		}
		return code, shown
	}
	for i, test := range []struct {
		command app.Command
		event   string
		want    string
		code    int
	}{
		{commenting("the first plan", true, nil), pull, "wrote a comment of pull request #7", release.ExitDone},
		{commenting("the second plan", true, &release.Failure{What: "it would fail"}), pull, "edited the comment of pull request #7", release.ExitFailed},
		{commenting("the third plan", true, nil), event(`{"after":"x"}`), "this run belongs to no pull request", release.ExitDone},
		{commenting("the fourth plan", false, nil), pull, "", release.ExitDone},
	} {
		if code, shown := run(test.command, test.event); code != test.code || !strings.Contains(shown, test.want) {
			t.Errorf("run %d: ended with %d: %s", i+1, code, shown)
		}
	}
	comments := server.Comments()
	if len(comments) != 1 || !strings.HasPrefix(comments[0].Body, "<!-- onedigest: shop -->\n<!-- onedigest part: deploy staging shop -->\n## ❌ The second plan\n") || !strings.Contains(comments[0].Body, "> it would fail\n") {
		t.Errorf("got %d comments: %.2000s", len(comments), fmt.Sprint(comments))
	}
	if strings.Contains(comments[0].Body, "4711") || !strings.Contains(comments[0].Body, "more `***`") {
		t.Errorf("a divided secret is in %s", comments[0].Body[max(0, len(comments[0].Body)-400):])
	}
	merged := "3333333333333333333333333333333333333333"
	server.Merge(merged, 7)
	t.Run("a push", func(t *testing.T) {
		environ, _ := apptest.InJob(t, append(server.Environ(), "GITHUB_EVENT_PATH="+event(`{"after":"x"}`), "GITHUB_SHA="+merged))
		var stdout bytes.Buffer
		code := commenting("the merged one", true, nil).Run(t.Context(), app.Process{Environ: environ, Dir: t.TempDir(), Stdout: &stdout, Stderr: &stdout, Now: time.Now})
		if comments := server.Comments(); code != release.ExitDone || len(comments) != 1 || !strings.Contains(comments[0].Body, "The merged one") {
			t.Errorf("ended with %d and %d comments: %s", code, len(comments), stdout.String())
		}
	})
	server.Deny(http.MethodPost, http.MethodPatch)
	if code, shown := run(commenting("the fifth plan", true, nil), pull); code != release.ExitDone || !strings.Contains(shown, "::warning") || !strings.Contains(shown, "pull-requests: write") {
		t.Errorf("ended with %d: %s", code, shown)
	}
}

// TestCommentOfAnotherRepository: the comment goes to the repository of its pull request, and neither of its marks, in which a redaction is ___, shows a secret.
func TestCommentOfAnotherRepository(t *testing.T) {
	t.Parallel()
	server := githubtest.Start(t)
	command := app.NewCommand(app.Wiring[struct{}, string]{
		Verb: setting.Verb{Name: "deploy"}, Declare: func(*struct{}) *setting.Set { return new(setting.Set) }, Outputs: func(string) map[string]string { return nil },
		Run:  func(context.Context, *struct{}, *app.RunContext) (string, error) { return "", nil },
		Page: func(*struct{}, string, error) page.Page { return page.Page{Headline: page.Line("done")} },
		Comment: func(*struct{}, string) app.Comment {
			return app.Comment{Wanted: true, Token: githubtest.Token, Repository: githubtest.Repository, Pull: 7, Of: []string{"shop", divided}, Part: []string{divided, canary}}
		},
	})
	environ, _ := apptest.InJob(t, append(server.Environ(), "GITHUB_REPOSITORY=octo/another", "APP_PASSWORD="+canary))
	var stdout bytes.Buffer
	code := command.Run(t.Context(), app.Process{Environ: environ, Dir: t.TempDir(), Stdout: &stdout, Stderr: &stdout, Now: time.Now})
	comments := server.Comments()
	if code != release.ExitDone || len(comments) != 1 || !strings.HasPrefix(comments[0].Body, "<!-- onedigest: shop ___ -->\n<!-- onedigest part: deploy ___ ___ -->\n") {
		t.Errorf("ended with %d and %d comments %v: %s", code, len(comments), comments, stdout.String())
	}
}

// TestARunWithoutOutputsFileChangesNothing: a verb with outputs does not begin where the runner's file for them is not passed on.
func TestARunWithoutOutputsFileChangesNothing(t *testing.T) {
	t.Parallel()
	environ, _ := apptest.InJob(t, nil)
	environ = slices.DeleteFunc(environ, func(pair string) bool { return strings.HasPrefix(pair, "GITHUB_OUTPUT=") })
	for name, test := range map[string]struct {
		outputs []setting.Output
		ran     bool
	}{"with outputs": {[]setting.Output{{Name: "digest"}}, false}, "without": {nil, true}} {
		ran := false
		command := app.NewCommand(app.Wiring[struct{}, string]{
			Verb: setting.Verb{Name: "deploy", Outputs: test.outputs}, Declare: func(*struct{}) *setting.Set { return new(setting.Set) }, Outputs: func(string) map[string]string { return nil },
			Run:  func(context.Context, *struct{}, *app.RunContext) (string, error) { ran = true; return "", nil },
			Page: func(*struct{}, string, error) page.Page { return page.Page{Hidden: true} },
		})
		var out bytes.Buffer
		code := command.Run(t.Context(), app.Process{Environ: environ, Dir: t.TempDir(), Stdout: &out, Stderr: &out, Now: time.Now})
		if ran != test.ran || !ran && (code != release.ExitInput || !strings.Contains(out.String(), "GITHUB_OUTPUT")) {
			t.Errorf("%s: ran %t, exit %d, %s", name, ran, code, out.String())
		}
	}
}
