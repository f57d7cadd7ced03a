package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// maxOutput limits the output kept of one command, in bytes.
const maxOutput = 1 << 20

// maxErrorText limits the error output kept of one command, in bytes.
const maxErrorText = 4096

// repository runs git in a directory.
type repository struct {
	program string
	environ []string
	dir     string
}

// exitError is the error of a git command that ended with a status other than 0.
type exitError struct {
	status int
	stderr string
}

func (e *exitError) Error() string {
	if e.stderr == "" {
		return fmt.Sprintf("git exited with status %d", e.status)
	}
	return e.stderr
}

// git runs one git command and returns the first maxOutput bytes of its output. Its errors are those of stream.
func (r repository) git(ctx context.Context, args ...string) (string, error) {
	stdout := &headBuffer{limit: maxOutput}
	err := r.stream(ctx, stdout, args...)
	return stdout.String(), err
}

// stream runs one git command and writes its output to stdout. The error is an *exitError if git ran and failed.
func (r repository) stream(ctx context.Context, stdout io.Writer, args ...string) error {
	return r.pipe(ctx, nil, stdout, args...)
}

// pipe runs one git command with an input, and writes its output to stdout. The error is an *exitError if git ran and failed.
func (r repository) pipe(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	// core.fsmonitor is turned off, because it is a program named by the repository's configuration. The user's attributes are
	// turned off, because the commit does not have them.
	settings := []string{"--no-pager", "-c", "core.fsmonitor=false", "-c", "core.attributesFile=" + os.DevNull}
	if !insideGitDirectory(r.dir) {
		// A directory that a commit made look like a repository is none: its configuration could name programs (git 2.38 or newer).
		settings = append(settings, "-c", "safe.bareRepository=explicit")
	}
	cmd := exec.CommandContext(ctx, r.program, append(settings, args...)...) // #nosec G204 -- arguments, never a shell
	cmd.Dir, cmd.Env, cmd.WaitDelay = r.dir, r.environ, time.Second
	killGroup(cmd)
	stderr := &headBuffer{limit: maxErrorText}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return &exitError{status: exit.ExitCode(), stderr: oneLine(stderr.String())}
	}
	return err
}

// insideGitDirectory reports whether a directory is git's own: no commit has a ".git" (git-read-tree, verify_path).
func insideGitDirectory(dir string) bool {
	absolute, err := filepath.Abs(dir)
	return err == nil && slices.Contains(strings.Split(absolute, string(filepath.Separator)), ".git")
}

// fault makes a *release.Fault about the repository.
func (r repository) fault(err error, format string, subjects ...any) error {
	return release.NewFault("git", "", err, format+" %q", append(subjects, r.dir)...)
}

// keptVariables are the GIT_ variables that say how to read or reach any repository. All others may say which repository (git(1),
// "Environment Variables").
var keptVariables = []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT", "GIT_CEILING_DIRECTORIES",
	"GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH",
	// How to reach a remote.
	"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "GIT_ALLOW_PROTOCOL", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY",
	"GIT_SSL_NO_VERIFY", "GIT_PROXY_COMMAND"}

// cleanEnviron removes the variables that would point git at another repository, index or object store. It sets the language of
// git's messages, because this package searches them.
func cleanEnviron(environ []string) []string {
	cleaned := slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "GIT_CONFIG_KEY_") || strings.HasPrefix(name, "GIT_CONFIG_VALUE_") || slices.Contains(keptVariables, name) {
			return false
		}
		return strings.HasPrefix(name, "GIT_") || name == "LANGUAGE" || strings.HasPrefix(name, "LC_")
	})
	return append(cleaned, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_ATTR_NOSYSTEM=1")
}

// headBuffer keeps the first bytes written to it.
type headBuffer struct {
	bytes.Buffer
	limit int
}

// Write keeps what fits below the limit, discards the rest and reports all of it as written.
func (h *headBuffer) Write(chunk []byte) (int, error) {
	if room := h.limit - h.Len(); room > 0 {
		h.Buffer.Write(chunk[:min(room, len(chunk))])
	}
	return len(chunk), nil
}

// oneLine joins the lines of git's error output to one printable line.
func oneLine(stderr string) string {
	var lines []string
	for _, line := range strings.FieldsFunc(stderr, func(c rune) bool { return c == '\n' || c == '\r' }) {
		// Each by itself: an unfinished escape sequence ends with its line.
		if line = text.Line(line, text.NoLimit); line != "" {
			lines = append(lines, line)
		}
	}
	return text.Truncate(strings.Join(lines, "; "), maxErrorText)
}
