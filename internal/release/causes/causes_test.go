package causes

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the generated files again")

const troubleshooting = "../../../docs/troubleshooting.md"

// TestTroubleshooting checks that the documentation is generated from the table.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	want := page()
	if *update {
		if err := os.WriteFile(troubleshooting, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the table says (make reference); -table +file:\n%s", troubleshooting, diff)
	}
}

func page() string {
	var text strings.Builder
	text.WriteString("# Troubleshooting\n\nGenerated from the table of codes (`internal/release/causes`) by `make reference`; do not edit.\n\n" +
		"A deploy that fails names its cause with a code. Codes are stable: scripts and alerts may rely on them (the output `code` of `deploy`). " +
		"With the code it reports the object, the container, the reason in the cluster's words, the last events and the last lines of the log. " +
		"[Decision 9](decisions/0009-when-a-rollout-has-failed.md) says when each cause counts as a failure, and how long it is tolerated.\n\n" +
		"Production is broken, and you want the last good commit back: [workflow.md](workflow.md#production-is-broken).\n\n" +
		"In commands, replace NAMESPACE, POD, CONTAINER and NAME with what the message names.\n\n| code | |\n|---|---|\n")
	for _, cause := range All {
		fmt.Fprintf(&text, "| [%s](#%s) | %s |\n", cause.Code, cause.Anchor(), cause.Name)
	}
	for _, cause := range All {
		fmt.Fprintf(&text, "\n## %s\n\n%s\n\n```text\n%s\n```\n\n**Try:** %s.\n\n", cause.Heading(), cause.Meaning, cause.Example, cause.Advice)
		for i, step := range cause.Steps {
			fmt.Fprintf(&text, "%d. %s\n", i+1, step)
		}
	}
	return text.String()
}

// TestAllIsComplete wants every declared code in the table once, in order, with all of its texts.
func TestAllIsComplete(t *testing.T) {
	t.Parallel()
	var declared, listed []Code
	for _, file := range []string{"rollout.go", "release.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`Code += "(OD-\d+)"`).FindAllStringSubmatch(string(source), -1) {
			declared = append(declared, Code(found[1]))
		}
	}
	for _, cause := range All {
		listed = append(listed, cause.Code)
		if cause.Name == "" || cause.Meaning == "" || cause.Advice == "" || cause.Example == "" || len(cause.Steps) < 2 {
			t.Errorf("%s is incomplete: %+v", cause.Code, cause)
		}
		if !strings.Contains(cause.Example, string(cause.Code)+" ") || !strings.HasSuffix(cause.Example, cause.Advice) && cause.Code != RollbackBlocked {
			t.Errorf("%s: the message %q does not name the code and end with what to try", cause.Code, cause.Example)
		}
		for _, line := range slices.Concat(cause.Steps, []string{cause.Example, cause.Advice, cause.Name}) {
			if strings.ContainsAny(line, "\n\r") || strings.Count(line, "`")%2 != 0 {
				t.Errorf("%s: %q is not one line of complete Markdown", cause.Code, line)
			}
		}
	}
	if diff := cmp.Diff(declared, listed); diff != "" || len(declared) == 0 {
		t.Errorf("codes (-declared +listed):\n%s", diff)
	}
	if got := Code("OD-999").Cause(); got.Code != "OD-999" || got.Name != "" {
		t.Errorf("an unknown code is %+v", got)
	}
}
