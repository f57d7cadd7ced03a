package app

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
	"golang.org/x/term"
)

// account writes what a verb does, line by line; every line is inert for the runner that reads the log.
type account struct {
	mu       sync.Mutex
	out      io.Writer
	now      func() time.Time
	progress time.Time      // when progress was last shown
	runner   *github.Runner // nil when not on GitHub
	table    *table         // nil where nothing can be drawn
}

func newAccount(out io.Writer, now func() time.Time, runner *github.Runner) *account {
	a := &account{out: out, now: now, progress: now(), runner: runner}
	if screen, ok := out.(*os.File); ok && runner == nil && term.IsTerminal(int(screen.Fd())) {
		a.table = &table{out: out, width: func() int { width, _, _ := term.GetSize(int(screen.Fd())); return width }}
	}
	return a
}

// line writes above what is drawn.
func (a *account) line(text string) {
	if a.table == nil {
		fmt.Fprintln(a.out, text)
		return
	}
	a.table.erase()
	fmt.Fprintln(a.out, text)
	a.table.draw()
}

func (a *account) Infof(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line(text.Lines(fmt.Sprintf(format, args...), text.NoLimit))
}

// Progress shows at most one line every two seconds: a log is not a terminal.
func (a *account) Progress(what string, progress release.Progress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now().Sub(a.progress) < 2*time.Second {
		return
	}
	a.progress = a.now()
	a.line(fmt.Sprintf("%s: %s of %s", what, humanize.IBytes(uint64(max(0, progress.Complete))), humanize.IBytes(uint64(max(0, progress.Total)))))
}

func (a *account) Raw(raw string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for line := range strings.Lines(raw) {
		a.line("  " + text.Lines(strings.TrimRight(line, "\r\n"), text.NoLimit))
	}
}

func (a *account) Step(step release.RolloutStep) {
	if a.table == nil {
		a.Infof("%s", stepLine(step))
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.table.step(step)
}

// stepLine is one change of a rollout in one line.
func stepLine(step release.RolloutStep) string {
	line := fmt.Sprintf("%6.1fs  %s", step.At.Seconds(), step.Object)
	if step.Desired >= 0 && step.Ready >= 0 {
		line += fmt.Sprintf("  %d/%d ready", step.Ready, step.Desired)
	}
	if step.Message != "" {
		line += "  " + step.Message
	}
	return line
}

// Warn is a line of the log, and on GitHub an annotation of the run as well.
func (a *account) Warnf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	a.Infof("warning: %s", text)
	if a.runner != nil {
		a.runner.Warning(github.Annotation{Title: "onedigest", Message: text})
	}
}

func (a *account) Group(title string) func() {
	if a.runner != nil {
		a.runner.Group(title)
		return a.runner.EndGroup
	}
	a.Infof("%s", title)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.table != nil {
			a.table.keep()
		}
	}
}
