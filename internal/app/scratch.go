package app

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	scratchPrefix = "onedigest-"
	scratchLock   = "lock" // a file in the scratch directory, locked by its process
	// scratchAge is how old the scratch directory of an ended process must be to be removed. It covers the moment between
	// creating a directory and locking it.
	scratchAge = time.Hour
)

// Scratch makes an empty directory outside the work tree; remove deletes it. It also deletes directories of earlier processes
// that were killed.
func (w Workspace) Scratch() (string, func(), error) {
	removeAbandoned(os.TempDir(), time.Now())
	parent, err := os.MkdirTemp("", scratchPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("making a scratch directory: %w", err)
	}
	dir := filepath.Join(parent, "scratch")
	unlock, _, err := lockFile(filepath.Join(parent, scratchLock))
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		os.RemoveAll(parent)
		return "", nil, fmt.Errorf("making a scratch directory: %w", err)
	}
	return dir, func() {
		os.RemoveAll(parent)
		unlock()
	}, nil
}

// removeAbandoned deletes scratch directories whose process has ended, so that their lock is free. It ignores what it cannot read
// or delete, such as another user's.
func removeAbandoned(temporary string, now time.Time) {
	found, _ := filepath.Glob(filepath.Join(temporary, scratchPrefix+"*", scratchLock))
	for _, lock := range found {
		info, err := os.Lstat(lock)
		if err != nil || !info.Mode().IsRegular() || now.Sub(info.ModTime()) < scratchAge {
			continue
		}
		if unlock, locked, err := lockFile(lock); err == nil && locked {
			os.RemoveAll(filepath.Dir(lock))
			unlock()
		}
	}
}
