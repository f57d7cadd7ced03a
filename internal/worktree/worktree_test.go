package worktree

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTree(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	inside, outside := filepath.Join(root, "tree"), filepath.Join(root, "outside")
	for _, file := range []string{inside + "/bin/program", outside + "/program", root + "/tree-2/program"} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{outside + "/link": inside + "/bin/program", inside + "/link": outside + "/program", outside + "/dir": inside + "/bin"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	tree := Tree{Root: inside, Dir: inside}
	for path, want := range map[string][2]bool{ // contained, and there
		"": {}, "bin/program": {true, true}, "./bin/../bin/program": {true, true}, "later": {true, false}, inside: {true, true}, outside + "/program": {}, "../outside/program": {},
		root + "/tree-2/program": {}, outside + "/link": {true, true}, "link": {true, true}, outside + "/dir/program": {true, true}, outside + "/dir/later": {true, false}, "..": {},
	} {
		if got := [2]bool{tree.Contains(path), tree.Has(path)}; got != want {
			t.Errorf("%q: got %v, want %v", path, got, want)
		}
		if (Tree{}).Contains(path) {
			t.Errorf("%q is in no work tree", path)
		}
	}
	for text, want := range map[string]string{
		"sh -c './bin/program --x'": "./bin/program", "--file=bin/program": "bin/program", "!./bin/program": "./bin/program", "bin": "", "program": "", "arn:aws:iam::1:bin/program": "", outside + "/program": "", "later/x": "",
	} {
		if got := tree.Mentioned(text); got != want {
			t.Errorf("%q mentions %q, want %q", text, got, want)
		}
	}
}
