package release

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one mistake in the input: where it is, what is wrong, and how to fix it.
type Problem struct {
	Setting string // name of the setting, "" if it is about none; internal/app spells the flag and the variable
	Where   string // file:line, or the setting as the user gave it; "" for the setting alone
	What    string
	Do      string // how to fix it; may be empty
}

func (p Problem) String() string {
	text := p.What
	switch {
	case p.Where != "":
		text = p.Where + ": " + text
	case p.Setting != "":
		text = "--" + p.Setting + ": " + text
	}
	if p.Do != "" {
		text += "; " + p.Do
	}
	return text
}

// InputError reports bad input, with all problems. Nothing was changed. Exit code 2.
type InputError struct{ Problems []Problem }

func (e *InputError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, problem := range e.Problems {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// BadInput makes an InputError of one problem.
func BadInput(where, what, do string) error {
	return &InputError{Problems: []Problem{{Where: where, What: what, Do: do}}}
}

// BadSetting makes an InputError of one problem with the named setting.
func BadSetting(setting, what, do string) error {
	return &InputError{Problems: []Problem{{Setting: setting, What: what, Do: do}}}
}

// Refusal is a valid request that a policy does not allow. Exit code 1.
type Refusal struct {
	Why string
	Do  string
}

func (e *Refusal) Error() string {
	if e.Do == "" {
		return "refused: " + e.Why
	}
	return "refused: " + e.Why + "; " + e.Do
}

// Failure is a deploy that did not become ready or a check that did not pass. Exit code 1.
type Failure struct {
	What string
	Do   string
	Err  error // may be nil
}

func (e *Failure) Error() string {
	text := e.What
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Do != "" {
		text += "; " + e.Do
	}
	return text
}

func (e *Failure) Unwrap() error { return e.Err }

// BadRelease says that the release itself is at fault: its rollout or a hook failed, the cluster refused its objects, its pods
// run another image, or its answers are wrong. Only this error leads to a rollback. An unanswered question (no address, no
// cluster, no registry) and a stopped run say nothing about the release and are other errors. Exit code 1.
type BadRelease struct {
	Err error // never nil
}

func (e *BadRelease) Error() string { return e.Err.Error() }

func (e *BadRelease) Unwrap() error { return e.Err }

// IsBadRelease reports whether an error says that the release itself is at fault.
func IsBadRelease(err error) bool {
	var bad *BadRelease
	return errors.As(err, &bad)
}

// Fault is an outside system (network, registry, AWS, cluster) that could not be reached or answered unexpectedly. Exit
// code 3.
type Fault struct {
	Side string // the system that failed: "registry", "cluster", "AWS", "git", "builder", "target registry"
	Err  error  // never nil; worded as a gerund and the quoted subject
	Do   string
	// Unanswered is set if a registry gave no answer to the request, or said that it has none at the moment; false for any other side.
	Unanswered bool
}

func (e *Fault) Error() string {
	text := e.Side + ": " + e.Err.Error()
	if e.Do != "" {
		text += "; " + e.Do
	}
	return text
}

func (e *Fault) Unwrap() error { return e.Err }

// NewFault makes a Fault whose error reads "FORMAT: err"; the format is a gerund and the quoted subject ("fetching %q").
func NewFault(side, do string, err error, format string, subjects ...any) error {
	return &Fault{Side: side, Do: do, Err: fmt.Errorf(format+": %w", append(subjects, err)...)}
}

// JobsError is what jobs of a matrix have failed with after jobs have run. Bad input of one does not say that nothing was changed: the failures and
// faults of others decide about the exit code before it, and bad input alone is a failure if another job has succeeded.
type JobsError struct {
	Err       error // joins those of the jobs; never nil
	Succeeded bool  // at least one job has
}

func (e *JobsError) Error() string { return e.Err.Error() }

func (e *JobsError) Unwrap() error { return e.Err }

// exitCode returns the exit code of the most important error: a failure or refusal, then a fault, then bad input, which counts as a failure if a job succeeded.
func (e *JobsError) exitCode() int {
	found := map[int]bool{}
	var visit func(error)
	visit = func(err error) {
		joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // only what was joined itself
		if !ok {
			found[ExitCode(err)] = true
			return
		}
		for _, one := range joined.Unwrap() {
			visit(one)
		}
	}
	visit(e.Err)
	switch {
	case found[ExitFailed], !found[ExitFault] && e.Succeeded:
		return ExitFailed
	case found[ExitFault]:
		return ExitFault
	}
	return ExitInput
}

// Exit codes of every verb.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitInput  = 2
	ExitFault  = 3
)

// ExitCode returns the exit code for an error. An error of any other type counts as a fault.
func ExitCode(err error) int {
	var (
		input   *InputError
		refusal *Refusal
		failure *Failure
		jobs    *JobsError
	)
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &jobs):
		return jobs.exitCode()
	case errors.As(err, &input):
		return ExitInput
	case errors.As(err, &refusal), errors.As(err, &failure), IsBadRelease(err):
		return ExitFailed
	}
	return ExitFault
}
