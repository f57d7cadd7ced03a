package app

import (
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// table shows a rollout on a terminal: one row per object, redrawn in place at every change.
type table struct {
	out   *stream
	width func() int            // of the terminal, in columns
	rows  []release.RolloutStep // the last step of each object
	drawn int                   // number of rows on the screen
}

// update replaces the row of the step's object, or adds one.
func (t *table) update(step release.RolloutStep) {
	t.erase()
	defer t.draw()
	for i := range t.rows {
		if t.rows[i].Object == step.Object {
			t.rows[i] = step
			return
		}
	}
	t.rows = append(t.rows, step)
}

// erase removes the rows from the screen, so that a log line can be printed above them.
// Source: ECMA-48, CUU (cursor up) and ED (erase in page).
func (t *table) erase() {
	if t.drawn > 0 {
		t.out.print(printable(fmt.Sprintf("\x1b[%dA\x1b[J", t.drawn)))
	}
	t.drawn = 0
}

func (t *table) draw() {
	width, names := t.width(), 0
	for _, row := range t.rows {
		names = max(names, len(row.Object.String()))
	}
	for _, row := range t.rows {
		t.out.println(printable(clipRow(string(t.out.clean(formatRow(row, names))), width)))
	}
	t.drawn = len(t.rows)
}

// finish keeps the rows on the screen and starts an empty table below them.
func (t *table) finish() { t.rows, t.drawn = nil, 0 }

// formatRow formats an object's step as a row of the table; names is the width of the column with the objects' names.
func formatRow(step release.RolloutStep, names int) string {
	mark := "…"
	if step.Done {
		mark = "✓"
	}
	count := ""
	if step.Desired >= 0 && step.Ready >= 0 {
		count = fmt.Sprintf("%d/%d", step.Ready, step.Desired)
	}
	return strings.TrimRight(fmt.Sprintf("  %s %-*s  %7s  %6.1fs  %s", mark, names, step.Object, count, step.At.Seconds(), text.Line(step.Message, text.NoLimit)), " ")
}

// clipRow shortens a row to one line of the terminal, because erase cannot remove a row that wraps.
func clipRow(row string, width int) string {
	if runes := []rune(row); width > 1 && len(runes) >= width {
		return string(runes[:width-1])
	}
	return row
}
