package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/term"
)

// reporter writes log lines of a verb. Its stream redacts and sanitizes them.
type reporter struct {
	mu       sync.Mutex
	color    bool
	out      *stream
	now      func() time.Time
	progress time.Time      // when progress was last shown
	runner   *github.Runner // nil when not on GitHub
	table    *table         // nil where nothing can be drawn
	warned   *warned
}

func newReporter(out *stream, now func() time.Time, runner *github.Runner, color bool, known *warned) *reporter {
	r := &reporter{color: color, out: out, now: now, progress: now(), runner: runner, warned: known}
	if screen := out.terminal(); screen != nil && runner == nil {
		r.table = &table{out: out, width: func() int { width, _, _ := term.GetSize(int(screen.Fd())); return width }}
	}
	return r
}

// line prints a line above the progress table, which it erases and redraws.
func (r *reporter) line(line printable) {
	if r.table == nil {
		r.out.println(line)
		return
	}
	r.table.erase()
	r.out.println(line)
	r.table.draw()
}

func (r *reporter) Infof(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line(paintLine(r.color, r.out.clean(fmt.Sprintf(format, args...))))
}

// Progress shows at most one line every two seconds: a log is not a terminal.
func (r *reporter) Progress(what string, progress release.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now().Sub(r.progress) < 2*time.Second {
		return
	}
	r.progress = r.now()
	r.line(r.out.clean(fmt.Sprintf("%s: %s of %s", what, humanize.IBytes(uint64(max(0, progress.Complete))), humanize.IBytes(uint64(max(0, progress.Total))))))
}

func (r *reporter) Raw(raw string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(string(r.out.clean(raw))) { // as a whole, since a secret may have several lines
		r.line("  " + printable(strings.TrimRight(line, "\n")))
	}
}

func (r *reporter) Step(step release.RolloutStep) {
	if r.table == nil {
		r.Infof("%s", stepLine(step))
		return
	}
	if step.Again {
		return // the table still shows it
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table.update(step)
}

// stepLine formats one change of a rollout as a line, or what has not changed.
func stepLine(step release.RolloutStep) string {
	waiting := ""
	if step.Again {
		waiting = "waiting: "
	}
	line := fmt.Sprintf("%6.1fs  %s%s", step.At.Seconds(), waiting, step.Object)
	if step.Desired >= 0 && step.Ready >= 0 {
		line += fmt.Sprintf("  %d/%d ready", step.Ready, step.Desired)
	}
	if step.Message != "" {
		line += "  " + step.Message
	}
	return line
}

// Warnf logs a warning, and on GitHub also adds an annotation to the run. What was said already is not said again.
func (r *reporter) Warnf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	r.mu.Lock()
	first := r.warned.first(string(r.out.clean(message)))
	r.mu.Unlock()
	if !first {
		return
	}
	r.Infof("warning: %s", message)
	if r.runner != nil {
		r.runner.Warning(github.Annotation{Title: "onedigest", Message: message})
	}
}

// Group starts a collapsible group in the runner's log, or prints its title elsewhere. The returned function ends the group.
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

// warned knows the warnings that were given: by this process, and on GitHub by the earlier steps of the job, which a file names by their hashes.
type warned struct {
	file string // "" for none
	told map[string]bool
}

// newWarned returns what knows the warnings of a job, whose RUNNER_TEMP the runner empties before it.
// Source: GitHub Docs, "Variables reference", RUNNER_TEMP.
func newWarned(runnerTemp string) *warned {
	w := &warned{told: map[string]bool{}}
	if runnerTemp == "" {
		return w
	}
	w.file = filepath.Join(runnerTemp, "onedigest-warnings")
	content, err := os.ReadFile(w.file)
	if err != nil { // the first step
		return w
	}
	for _, hash := range strings.Fields(string(content)) {
		w.told[hash] = true
	}
	return w
}

// first reports whether a warning is given for the first time. A file that cannot be written lets a later step repeat it.
func (w *warned) first(message string) bool {
	sum := sha256.Sum256([]byte(message))
	hash := hex.EncodeToString(sum[:])
	if w.told[hash] {
		return false
	}
	w.told[hash] = true
	if w.file == "" {
		return true
	}
	if file, err := os.OpenFile(w.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err == nil {
		_, _ = file.WriteString(hash + "\n")
		_ = file.Close()
	}
	return true
}
