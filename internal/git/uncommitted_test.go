package git_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/git"
)

func TestUncommittedFiles(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(".gitignore", "ignored.go\ngen/\n")
	write("app/main.go", "1")
	write("lib/lib.go", "1")
	write("*.go", "a name that is also a pattern")
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all"}, {"-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", "x"}} {
		command := exec.CommandContext(t.Context(), "git", args...)
		command.Dir = dir
		if text, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, text)
		}
	}
	write("app/ignored.go", "1")
	write("gen/made.go", "1")
	write("lib/lib.go", "2")
	write("new.go", "1")
	var files []string
	for _, name := range []string{"app/main.go", "app/ignored.go", "gen/made.go", "lib/lib.go", "new.go", "*.go", "../outside.go"} {
		files = append(files, filepath.Join(dir, name))
	}
	got, err := git.UncommittedFiles(t.Context(), os.Environ(), filepath.Join(dir, "app"), files)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(filepath.Dir(dir), "outside.go"), "app/ignored.go", "gen/made.go", "lib/lib.go", "new.go"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
