package gates

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

func TestFind(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file string // in the work tree, whose verbs run in a/b
		want string
		bad  bool
	}{
		"none":                    {},
		"in the directory":        {file: "a/b/.onedigest.yaml", want: ".onedigest.yaml"},
		"above it":                {file: "a/.onedigest.yaml", want: "../.onedigest.yaml"},
		"at the root":             {file: ".onedigest.yaml", want: "../../.onedigest.yaml"},
		"above the root":          {file: "../.onedigest.yaml"},
		"with the other ending":   {file: "a/.onedigest.yml", bad: true},
		"in another directory":    {file: "a/c/.onedigest.yaml"},
		"another ending, outside": {file: "../.onedigest.yml"},
	} {
		root := filepath.Join(t.TempDir(), "tree")
		dir := filepath.Join(root, "a/b")
		for _, each := range []string{dir, filepath.Join(root, "a/c")} {
			if err := os.MkdirAll(each, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if test.file != "" {
			if err := os.WriteFile(filepath.Join(root, test.file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := find(dir, root)
		if input := new(release.InputError); got != test.want || errors.As(err, &input) != test.bad {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, test.want)
		}
	}
}
