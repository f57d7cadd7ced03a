package probe

import (
	"os"
	"strings"
	"testing"
)

// TestDocsDescribeEveryKey keeps docs/checks.md complete: its example file is the one that the tests load, and each key of a
// check has a row. The sentence about HEAD names every key that needs a body.
func TestDocsDescribeEveryKey(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("testdata/checks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```yaml\n"+string(example)+"```\n") {
		t.Error("the example in docs/checks.md is not testdata/checks.yaml")
	}
	commands, err := os.ReadFile("../../docs/checks/smoke.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```yaml\n"+string(commands)+"```\n") {
		t.Error("the example of commands in docs/checks.md is not docs/checks/smoke.yaml")
	}
	shown := string(example) + string(commands)
	for key := range keys {
		if !strings.Contains(string(page), "\n| `"+key+"` |") {
			t.Errorf("docs/checks.md has no row for %q", key)
		}
		if !strings.Contains(shown, " "+key+":") && key != "hurl" { // hurl is shown in words: no test here has the program
			t.Errorf("no example uses %q", key)
		}
	}
	for _, expectation := range expectations {
		before, _, _ := strings.Cut(string(page), " cannot be used with `HEAD`")
		sentence := before[strings.LastIndex(before, "\n\n")+1:]
		if got := strings.Contains(sentence, "`"+expectation.key+"`"); got != expectation.needsBody {
			t.Errorf("docs/checks.md says that %s needs a body: %t, want %t", expectation.key, got, expectation.needsBody)
		}
	}
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		content, _, _ := strings.Cut(block, "```")
		if _, err := LoadChecks("docs/checks.md", []byte(content)); err != nil {
			t.Error(err)
		}
	}
}
