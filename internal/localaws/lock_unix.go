//go:build unix

package localaws

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir holds a directory for this server until the returned function is called or the machine ends the program.
func lockDir(dir string) (func() error, error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: the server's own directory
	if err != nil {
		return nil, fmt.Errorf("locking %q: %w", dir, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // G115: a descriptor
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another server is using it")
		}
		return nil, errors.Join(fmt.Errorf("locking %q: %w", dir, err), file.Close())
	}
	return file.Close, nil
}
