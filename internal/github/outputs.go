package github

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/sethvargo/go-githubactions"

	"github.com/onedigest/onedigest/internal/release"
)

const maxOutput = 1 << 20 // bytes in UTF-16: Actions limits, "Job outputs"

var outputName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// SetOutput sets an output of the step: workflow commands, "Setting an output parameter" and "Multiline strings".
//
// The value may hold anything, line ends included: it is written between two lines of a random delimiter, so that nothing
// in it can end it and begin another output. Bytes that are not UTF-8 become U+FFFD. A name with other characters than
// letters, digits, - and _, and a value above GitHub's limit, are errors. If GITHUB_OUTPUT is not set, the first call
// returns a *release.InputError and later ones return nil, since one missing file is one problem.
func (r *Runner) SetOutput(name, value string) error {
	if !r.On() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	value = strings.ToValidUTF8(r.redactOutput(value), string(utf8.RuneError))
	switch {
	case !outputName.MatchString(name):
		return fmt.Errorf("setting output %q: the name must be letters, digits, - and _, not starting with a digit or -", name)
	case 2*utf8.RuneCountInString(value) > maxOutput:
		return fmt.Errorf("setting output %q: the value is %d bytes long; GitHub's limit is 1 MB in UTF-16", name, len(value))
	case r.getenv("GITHUB_OUTPUT") == "":
		if r.reportedNoOutputFile {
			return nil
		}
		r.reportedNoOutputFile = true
		return noOutputFile()
	}
	delimiter := "onedigest-" + rand.Text()
	for strings.Contains(value, delimiter) {
		delimiter = "onedigest-" + rand.Text()
	}
	err := r.issueFile(&githubactions.Command{Name: "output",
		Message: name + "<<" + delimiter + "\n" + value + "\n" + delimiter})
	if err != nil {
		return release.NewFault("GitHub runner", "", err, "setting output %q", name)
	}
	return nil
}

// CheckOutputs returns the *release.InputError that SetOutput would, before anything is changed.
func (r *Runner) CheckOutputs() error {
	if !r.On() || r.getenv("GITHUB_OUTPUT") != "" {
		return nil
	}
	return noOutputFile()
}

func noOutputFile() error {
	return release.BadInput("GITHUB_OUTPUT", "is not set, so no output can be set",
		"the runner sets it for each step; pass it on where a step starts another program or container")
}

// redactOutput redacts a value. One that is a JSON document stays one.
func (r *Runner) redactOutput(value string) string {
	if strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[") {
		return r.secrets.RedactJSON(value)
	}
	return r.secrets.Redact(value)
}
