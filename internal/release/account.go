package release

// Account is how a verb tells a person what it does while it does it.
type Account interface {
	// Say tells one thing, in one line.
	Say(format string, args ...any)
	// Progress tells how far something of a known size has come; it may be called often.
	Progress(what string, progress Progress)
	// Untrusted shows text that came from outside (a pod's log, a response): it cannot command the runner.
	Untrusted(text string)
}
