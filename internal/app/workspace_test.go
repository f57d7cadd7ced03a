package app

import (
	"os"
	"path/filepath"
	"testing"
)

// TestOnlyTheWorkTreeIsNamed: a path that leaves the work tree, by itself or by a link, is refused.
func TestOnlyTheWorkTreeIsNamed(t *testing.T) {
	t.Parallel()
	tree, home := treeAndHome(t)
	for link, target := range map[string]string{"out": home, "up": "..", "in": "a", "file": filepath.Join(home, "a/program")} {
		if err := os.Symlink(target, filepath.Join(tree, link)); err != nil {
			t.Fatal(err)
		}
	}
	workspace := newWorkspace(Process{Dir: filepath.Join(tree, "a")})
	for path, inside := range map[string]bool{
		".": true, "..": true, "program": true, "../in/program": true, tree: true, tree + "/a/program": true,
		"../..": false, "../../home": false, home: false, "/": false, "/etc/passwd": false, "../out": false, "../out/a/program": false, "../up": false, "../file": false, "../absent": false,
		tree + "/../home": false, tree + "/..": false,
	} {
		if got, err := workspace.Inside(path); (err == nil) != inside {
			t.Errorf("%q: got %q, %v", path, got, err)
		}
	}
}
