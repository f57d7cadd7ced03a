package git

import (
	"context"
	"errors"
	"io"
)

// Directory runs git in a directory, for a subpackage that writes to a repository of its own.
type Directory struct{ repository }

// OpenDirectory returns what runs git in a directory. environ is the environment of git, as in Inspect.
func OpenDirectory(environ []string, dir string) (Directory, error) {
	repo, err := open(environ, dir)
	return Directory{repo}, err
}

// Run runs one git command with an input, which may be nil, and returns at most the first MiB of its output. An error of git itself has what it has printed, as
// one printable line.
func (d Directory) Run(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	stdout := &headBuffer{limit: maxOutput}
	err := d.pipe(ctx, stdin, stdout, args...)
	return stdout.String(), err
}

// ExitStatus returns the status with which git ended; false if the error says something else.
func ExitStatus(err error) (status int, ended bool) {
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.status, true
	}
	return 0, false
}
