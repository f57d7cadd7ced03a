package entry

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/onedigest/onedigest/internal/github"
	"github.com/onedigest/onedigest/internal/release"
)

// account writes what a verb does, line by line; every line is inert for the runner that reads the log.
type account struct {
	mu       sync.Mutex
	out      io.Writer
	now      func() time.Time
	progress time.Time // when progress was last shown
}

func newAccount(out io.Writer, now func() time.Time) *account {
	return &account{out: out, now: now, progress: now()}
}

func (a *account) Say(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintln(a.out, github.Inert(fmt.Sprintf(format, args...)))
}

// Progress shows at most one line every two seconds: a log is not a terminal.
func (a *account) Progress(what string, progress release.Progress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now().Sub(a.progress) < 2*time.Second {
		return
	}
	a.progress = a.now()
	fmt.Fprintf(a.out, "%s: %s of %s\n", what, humanize.IBytes(uint64(max(0, progress.Complete))), humanize.IBytes(uint64(max(0, progress.Total))))
}

func (a *account) Untrusted(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for line := range strings.Lines(text) {
		fmt.Fprintf(a.out, "  %s\n", github.Inert(strings.TrimRight(line, "\r\n")))
	}
}
