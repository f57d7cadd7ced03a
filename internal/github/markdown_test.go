package github

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/github/markdown"
)

// H10: five megabytes of hostile log come out inert and below the limit, with the code block closed.
func TestHugeHostileLogInASummary(t *testing.T) {
	t.Parallel()
	line := "```</details><img src=x> [a](http://evil) ::set-output name=a::b\n"
	log := strings.Repeat(line, 5<<20/len(line))
	env := environment(t)
	r, _ := runner(env)
	if err := r.Summary("# Failed\n\n" + markdown.Words(line) + "\n" + markdown.Block(log, "text")); err != nil {
		t.Fatal(err)
	}
	got := content(t, env["GITHUB_STEP_SUMMARY"])
	if len(got) > maxSummary || !strings.Contains(got, "\n````text\n") || !strings.Contains(got, "\n````\n"+cutNote) {
		t.Errorf("%d bytes, begins %q, ends %q", len(got), got[:200], got[len(got)-200:])
	}
}
