package charts

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedTest matches what a row of the list names: a test of Go, or a file of terraform test.
var namedTest = regexp.MustCompile("`(Test[A-Za-z]+|[a-z_]+\\.tftest\\.hcl)`")

// TestTheListOfDocsNamesItsTests holds the last section of docs/aws.md to what exists: each row that says that something is done names a test, and each test that is
// named is there.
func TestTheListOfDocsNamesItsTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(page), "\n### What a platform team asks for, and what shows it\n")
	if !found {
		t.Fatal("docs/aws.md has no list of what a platform team asks for")
	}
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z]+)\(`)
	for _, folder := range []string{".", "../../e2e", "../../internal", "../../terraform"} {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil || entry.IsDir():
				return err
			case strings.HasSuffix(path, ".tftest.hcl"):
				there[filepath.Base(path)] = true
			case strings.HasSuffix(path, "_test.go"):
				text, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				for _, test := range declared.FindAllSubmatch(text, -1) {
					there[string(test[1])] = true
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rows := 0
	for row := range strings.SplitSeq(list, "\n") {
		if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| | |") {
			continue
		}
		rows++
		tests := namedTest.FindAllStringSubmatch(row, -1)
		if len(tests) == 0 {
			t.Errorf("no test is named: %s", row)
		}
		for _, test := range tests {
			if !there[test[1]] {
				t.Errorf("there is no %s: %s", test[1], row)
			}
		}
	}
	if rows < 20 {
		t.Errorf("the list has %d rows", rows)
	}
}
