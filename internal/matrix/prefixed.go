package matrix

import (
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
)

// prefixed is the reporter of one of several jobs: it puts the job's title before every line. It opens no groups, because a folded group
// would hide the lines of other jobs.
type prefixed struct {
	release.Reporter
	prefix string
}

func (p *prefixed) Infof(format string, args ...any) {
	p.Reporter.Infof("[%s] %s", p.prefix, fmt.Sprintf(format, args...))
}

func (p *prefixed) Warnf(format string, args ...any) {
	p.Reporter.Warnf("[%s] %s", p.prefix, fmt.Sprintf(format, args...))
}

func (p *prefixed) Progress(what string, progress release.Progress) {
	p.Reporter.Progress("["+p.prefix+"] "+what, progress)
}

func (p *prefixed) Step(step release.RolloutStep) {
	step.Object.Name = step.Object.Name + " of " + p.prefix
	p.Reporter.Step(step)
}

func (p *prefixed) Raw(text string) { p.Reporter.Raw("[" + p.prefix + "] " + text) }

func (p *prefixed) Group(title string) func() {
	p.Infof("%s", title)
	return func() {}
}
