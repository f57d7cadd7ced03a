package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A killed process leaves its directory and no lock: the next run deletes it, and leaves those of running processes.
func TestScratchOfKilledRunsIsRemoved(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	var workspace Workspace
	running, remove, err := workspace.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(temporary, scratchPrefix+"killed")
	foreign := filepath.Join(temporary, scratchPrefix+"notes")
	for _, dir := range []string{filepath.Join(killed, "scratch"), foreign} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(killed, scratchLock), filepath.Join(foreign, "mine")} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exists := func(dir string) bool {
		_, err := os.Stat(dir)
		return err == nil
	}
	removeAbandoned(temporary, time.Now())
	if !exists(killed) {
		t.Error("a directory that was just made is gone")
	}
	removeAbandoned(temporary, time.Now().Add(2*scratchAge))
	if exists(killed) || !exists(running) || !exists(foreign) {
		t.Errorf("after an hour: the killed run's is there: %t, the running one's: %t, another program's: %t", exists(killed), exists(running), exists(foreign))
	}
	remove()
	if left, err := filepath.Glob(filepath.Join(temporary, "*")); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v, want another program's alone", left, err)
	}
}
