package git_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/onedigest/onedigest/internal/git"
)

// A work tree that differs from its commit must not be built as that commit.
func ExampleInspect() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--allow-empty", "--message=first"},
		{"remote", "add", "origin", "git@github.com:owner/shop.git"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			fmt.Printf("%v: %s\n", err, out)
			return
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	source, err := git.Inspect(context.Background(), os.Environ(), dir, "HEAD")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(source.URL, source.Changed)
	// Output: https://github.com/owner/shop [main.go]
}
