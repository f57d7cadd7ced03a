package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// maxOutput bounds what is kept of one command's output, in bytes.
const maxOutput = 1 << 20

// repository is a directory that git is run in.
type repository struct {
	program string
	environ []string
	dir     string
}

// failed is git saying no.
type failed struct {
	code   int
	stderr string
}

func (e *failed) Error() string {
	if e.stderr == "" {
		return fmt.Sprintf("git ended with status %d", e.code)
	}
	return e.stderr
}

// git runs one command and returns the beginning of what it prints. The error is a *failed if git ran and said no.
func (r repository) git(ctx context.Context, args ...string) (string, error) {
	stdout := &head{limit: maxOutput}
	err := r.stream(ctx, stdout, args...)
	return stdout.String(), err
}

func (r repository) stream(ctx context.Context, stdout io.Writer, args ...string) error {
	// A file system monitor is a program that the repository's configuration names: not ours to start.
	cmd := exec.CommandContext(ctx, r.program, append([]string{"--no-pager", "-c", "core.fsmonitor=false"}, args...)...) // #nosec G204 -- arguments, never a shell
	cmd.Dir, cmd.Env, cmd.WaitDelay = r.dir, r.environ, time.Second
	stderr := &head{limit: 4096}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return &failed{code: exit.ExitCode(), stderr: printable(stderr.String())}
	}
	return err
}

func (r repository) fault(err error, format string, subjects ...any) error {
	return release.NewFault("git", "", err, format+" %q", append(subjects, r.dir)...)
}

// look finds git on the PATH of the environment it is going to run in.
func look(environ []string) (string, error) {
	for _, dir := range filepath.SplitList(value(environ, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue // a relative entry would run a program of the work tree
		}
		if program, err := exec.LookPath(filepath.Join(dir, "git")); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("no %q on PATH", "git")
}

func value(environ []string, name string) (found string) {
	for _, pair := range environ {
		if key, value, _ := strings.Cut(pair, "="); key == name {
			found = value
		}
	}
	return found
}

// kept are the variables of git's own that say how to read any repository, not which one (git(1), "Environment Variables").
var kept = []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT", "GIT_CEILING_DIRECTORIES",
	"GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH"}

// scrub takes away what would point git at another repository, index or object store, and makes its words the ones that
// are looked for here.
func scrub(environ []string) []string {
	scrubbed := slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "GIT_CONFIG_KEY_") || strings.HasPrefix(name, "GIT_CONFIG_VALUE_") || slices.Contains(kept, name) {
			return false
		}
		return strings.HasPrefix(name, "GIT_") || name == "LANGUAGE" || strings.HasPrefix(name, "LC_")
	})
	return append(scrubbed, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_NO_REPLACE_OBJECTS=1")
}

// head keeps the first bytes written to it.
type head struct {
	bytes.Buffer
	limit int
}

func (h *head) Write(chunk []byte) (int, error) {
	if room := h.limit - h.Len(); room > 0 {
		h.Buffer.Write(chunk[:min(room, len(chunk))])
	}
	return len(chunk), nil
}

// printable makes git's own words one line without control characters.
func printable(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(c rune) bool { return c == '\n' || c == '\r' }), "; ")
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, text)
}
