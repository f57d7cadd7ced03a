//go:build unix

package app

import (
	"os"
	"syscall"
)

// lockFile locks a file until unlock is called or the process ends; false if another process holds the lock.
func lockFile(path string) (unlock func(), locked bool, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600) // #nosec G304 -- in the program's own directory
	if err != nil {
		return nil, false, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // #nosec G115 -- a descriptor
		_ = file.Close()
		return func() {}, false, nil
	}
	return func() { _ = file.Close() }, true, nil
}
