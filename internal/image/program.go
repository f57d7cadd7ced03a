package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/execx"
	"github.com/onedigest/onedigest/internal/text"
)

// program is an external command with its environment.
type program struct {
	path    string
	environ []string
	log     func(line string)
}

// findProgram finds a command on the PATH of the environment that it will run in.
func findProgram(name string, options Options) (program, error) {
	path, err := execx.Find(name, options.Environ)
	if err != nil {
		return program{}, err
	}
	return program{path: path, environ: options.Environ, log: options.Log}, nil
}

// withEnviron returns the program with environment variables removed and added.
func (p program) withEnviron(drop []string, add ...string) program {
	p.environ = append(slices.DeleteFunc(slices.Clone(p.environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(drop, name)
	}), add...)
	return p
}

// run runs the program in dir, without a shell. It logs the lines of the error output, and returns the end of the output (1 MiB)
// and of the error output (8 KiB). When the context ends, it interrupts the program, so that it can end its own children, and
// kills it after five seconds.
func (p program) run(ctx context.Context, dir string, args ...string) (stdout, stderr string, err error) {
	out := &tailBuffer{limit: 1 << 20}
	stderr, err = p.runTo(ctx, dir, out, args...)
	return out.String(), stderr, err
}

// runTo is like run, but writes the whole output to stdout.
func (p program) runTo(ctx context.Context, dir string, stdout io.Writer, args ...string) (stderr string, err error) {
	cmd := exec.CommandContext(ctx, p.path, args...) // #nosec G204 -- arguments, never a shell
	cmd.Dir, cmd.Env = dir, p.environ
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	lines := &lineLogger{log: p.log, kept: tailBuffer{limit: 8 << 10}}
	cmd.Stdout, cmd.Stderr = stdout, lines
	err = cmd.Run()
	lines.flush()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return strings.TrimSpace(lines.kept.String()), err
}

// tailBuffer keeps the last bytes written to it.
type tailBuffer struct {
	kept  []byte
	limit int
}

func (t *tailBuffer) Write(chunk []byte) (int, error) {
	t.kept = append(t.kept, chunk...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(chunk), nil
}

func (t *tailBuffer) String() string { return string(t.kept) }

// lineLogger logs each complete line, sanitized, and keeps the last lines.
type lineLogger struct {
	log  func(line string)
	kept tailBuffer
	rest []byte
}

// maxLine is the longest line, in bytes; a longer one is logged as several.
const maxLine = 4 << 10

func (l *lineLogger) Write(chunk []byte) (int, error) {
	l.rest = append(l.rest, chunk...)
	for {
		end := bytes.IndexAny(l.rest, "\r\n")
		if end < 0 && len(l.rest) < maxLine {
			return len(chunk), nil
		}
		if end < 0 || end > maxLine {
			l.logLine(l.rest[:maxLine])
			l.rest = l.rest[maxLine:]
			continue
		}
		l.logLine(l.rest[:end])
		l.rest = l.rest[end+1:]
	}
}

// flush logs the last line if it has no line break.
func (l *lineLogger) flush() {
	l.logLine(l.rest)
	l.rest = nil
}

func (l *lineLogger) logLine(raw []byte) {
	line := text.LogLine(string(raw), maxLine)
	if strings.TrimSpace(line) == "" {
		return
	}
	l.log(line)
	fmt.Fprintln(&l.kept, line)
}
