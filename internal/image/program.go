package image

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

// program is an external command, found on the PATH of the environment it is going to run in.
type program struct {
	path    string
	environ []string
	log     func(line string)
}

func find(name string, options Options) (program, error) {
	for _, dir := range filepath.SplitList(value(options.Environ, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue // a relative entry would run a program of the work tree
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return program{path: path, environ: options.Environ, log: options.Log}, nil
		}
	}
	return program{}, fmt.Errorf("no %q on PATH", name)
}

// with is the program with more variables; those that are dropped do not reach it.
func (p program) with(drop []string, add ...string) program {
	p.environ = append(slices.DeleteFunc(slices.Clone(p.environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(drop, name)
	}), add...)
	return p
}

// run starts the program in dir, without a shell. It returns what it printed to its output, and the last of what it
// printed to its error stream, which is told line by line meanwhile. When the context ends the program is interrupted, so
// that it can end its own children, and killed five seconds later.
func (p program) run(ctx context.Context, dir string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, p.path, args...) // #nosec G204 -- arguments, never a shell
	cmd.Dir, cmd.Env = dir, p.environ
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	out, lines := &tail{limit: 1 << 20}, &teller{tell: p.log, kept: tail{limit: 8 << 10}}
	cmd.Stdout, cmd.Stderr = out, lines
	err = cmd.Run()
	lines.flush()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return out.String(), strings.TrimSpace(lines.kept.String()), err
}

func value(environ []string, name string) (found string) {
	for _, pair := range environ {
		if key, value, _ := strings.Cut(pair, "="); key == name {
			found = value
		}
	}
	return found
}

// tail keeps the last bytes written to it.
type tail struct {
	kept  []byte
	limit int
}

func (t *tail) Write(chunk []byte) (int, error) {
	t.kept = append(t.kept, chunk...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(chunk), nil
}

func (t *tail) String() string { return string(t.kept) }

// teller tells lines as they become whole, and keeps the last of them.
type teller struct {
	tell func(line string)
	kept tail
	rest []byte
}

const maxLine = 4 << 10

func (t *teller) Write(chunk []byte) (int, error) {
	t.rest = append(t.rest, chunk...)
	for {
		end := bytes.IndexAny(t.rest, "\r\n")
		if end < 0 && len(t.rest) < maxLine {
			return len(chunk), nil
		}
		if end < 0 || end > maxLine {
			t.line(t.rest[:maxLine])
			t.rest = t.rest[maxLine:]
			continue
		}
		t.line(t.rest[:end])
		t.rest = t.rest[end+1:]
	}
}

func (t *teller) flush() {
	t.line(t.rest)
	t.rest = nil
}

func (t *teller) line(raw []byte) {
	line := printable(string(raw))
	if strings.TrimSpace(line) == "" {
		return
	}
	t.tell(line)
	fmt.Fprintln(&t.kept, line)
}

// printable takes away control characters, so that what a builder prints can command no terminal; a tab stays.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (unicode.IsControl(r) || r == unicode.ReplacementChar) {
			return -1
		}
		return r
	}, text)
}
