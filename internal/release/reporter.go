package release

// Reporter shows people what a verb does while it runs. It may be used concurrently.
type Reporter interface {
	// Infof reports one line.
	Infof(format string, args ...any)
	// Progress reports a transfer. It may be called often; not every call is shown.
	Progress(what string, progress Progress)
	// Step reports one change of a rollout: a row of a table on a terminal, a line elsewhere.
	Step(step RolloutStep)
	// Group puts the lines until end is called under a title, which GitHub can fold.
	Group(title string) (end func())
	// Warnf reports a line that somebody should act on, although the run continues.
	Warnf(format string, args ...any)
	// Raw shows untrusted text (a pod's log, a response), sanitized so that it cannot control the terminal or the runner.
	Raw(text string)
}
