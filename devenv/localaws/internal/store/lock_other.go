//go:build !unix

package store

// lockDir does nothing on systems without flock.
func lockDir(string) (func() error, error) { return func() error { return nil }, nil }
