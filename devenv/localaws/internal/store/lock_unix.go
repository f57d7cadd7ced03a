//go:build unix

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockTimeout is how long lockDir retries: a killed server's lock is freed when the system has ended its last thread, a moment
// after the process has disappeared.
const lockTimeout = time.Second

// lockDir locks a directory for this server until the returned function is called or the program ends.
func lockDir(dir string) (func() error, error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the server's own directory
	if err != nil {
		return nil, fmt.Errorf("locking %q: %w", dir, err)
	}
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) // #nosec G115 -- a descriptor
		if err == nil {
			return file.Close, nil
		}
		locked := errors.Is(err, syscall.EWOULDBLOCK)
		if (locked || errors.Is(err, syscall.EINTR)) && time.Now().Before(deadline) {
			continue
		}
		if locked {
			err = errors.New("another server is using it")
		}
		return nil, errors.Join(fmt.Errorf("locking %q: %w", dir, err), file.Close())
	}
}
