package release

// Reporter is how a verb tells a person what it does while it does it.
type Reporter interface {
	// Infof tells one thing, in one line.
	Infof(format string, args ...any)
	// Progress tells how far something of a known size has come; it may be called often.
	Progress(what string, progress Progress)
	// Step tells of one change in a rollout; on a terminal, of all of them in one table.
	Step(step RolloutStep)
	// Group puts what is told until end is called under a title that can be folded.
	Group(title string) (end func())
	// Warn tells something that the person should act on though the run goes on.
	Warnf(format string, args ...any)
	// Untrusted shows text that came from outside (a pod's log, a response): it cannot command the runner.
	Raw(text string)
}
