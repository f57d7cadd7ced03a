package release

// Reporter shows people what a verb does while it runs. It may be used concurrently.
type Reporter interface {
	// Infof reports one line.
	Infof(format string, args ...any)
	// Progress reports a transfer. Verbs call it often; not every call is shown.
	Progress(what string, progress Progress)
	// Step reports one change of a rollout: a row of a table on a terminal, a line elsewhere.
	Step(step RolloutStep)
	// Group puts the following lines under a title, until end is called. GitHub can fold them.
	Group(title string) (end func())
	// Warnf reports a problem that somebody should fix, although the run continues.
	Warnf(format string, args ...any)
	// Raw shows untrusted text (a pod's log, a response), sanitized so that it cannot control the terminal or the runner.
	Raw(text string)
}
