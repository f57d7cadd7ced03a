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

// reporter writes log lines of a verb. The lines are sanitized: the runner that reads the log finds no command in them.
type reporter struct {
	mu       sync.Mutex
	color    bool
	out      io.Writer
	now      func() time.Time
	progress time.Time      // when progress was last shown
	runner   *github.Runner // nil when not on GitHub
	table    *table         // nil where nothing can be drawn
}

// newReporter returns a reporter that writes to out. Without a runner and on a terminal it shows a rollout as a table.
func newReporter(out io.Writer, now func() time.Time, runner *github.Runner, color bool) *reporter {
	r := &reporter{color: color, out: out, now: now, progress: now(), runner: runner}
	if screen, ok := out.(*os.File); ok && runner == nil && term.IsTerminal(int(screen.Fd())) {
		r.table = &table{out: out, width: func() int { width, _, _ := term.GetSize(int(screen.Fd())); return width }}
	}
	return r
}

// line prints a line above the progress table, which it erases and redraws.
func (r *reporter) line(text string) {
	if r.table == nil {
		fmt.Fprintln(r.out, text)
		return
	}
	r.table.erase()
	fmt.Fprintln(r.out, text)
	r.table.draw()
}

func (r *reporter) Infof(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line(paintLine(r.color, text.Lines(fmt.Sprintf(format, args...), text.NoLimit)))
}

// Progress shows at most one line every two seconds: a log is not a terminal.
func (r *reporter) Progress(what string, progress release.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now().Sub(r.progress) < 2*time.Second {
		return
	}
	r.progress = r.now()
	r.line(fmt.Sprintf("%s: %s of %s", what, humanize.IBytes(uint64(max(0, progress.Complete))), humanize.IBytes(uint64(max(0, progress.Total)))))
}

func (r *reporter) Raw(raw string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(raw) {
		r.line("  " + text.Lines(strings.TrimRight(line, "\r\n"), text.NoLimit))
	}
}

func (r *reporter) Step(step release.RolloutStep) {
	if r.table == nil {
		r.Infof("%s", stepLine(step))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table.update(step)
}

// stepLine formats one change of a rollout as a line.
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

// Warnf logs a warning, and on GitHub also adds an annotation to the run.
func (r *reporter) Warnf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.Infof("warning: %s", text)
	if r.runner != nil {
		r.runner.Warning(github.Annotation{Title: "onedigest", Message: text})
	}
}

func (r *reporter) Group(title string) func() {
	if r.runner != nil {
		r.runner.Group(title)
		return r.runner.EndGroup
	}
	r.Infof("%s", title)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.table != nil {
			r.table.finish()
		}
	}
}
