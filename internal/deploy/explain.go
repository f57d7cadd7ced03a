package deploy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
)

// explain reports why a rollout failed. It prints the events and log lines now, because a rollback would delete them, and adds
// the diagnosis to the result unless there is one. Events and log lines are untrusted text.
func (r request) explain(result Result, err error) Result {
	var diagnosed release.Diagnosed
	if !errors.As(err, &diagnosed) {
		return result
	}
	diagnosis := diagnosed.Diagnosis()
	if result.Diagnosis == nil {
		result.Diagnosis, result.Code = &diagnosis, diagnosis.Code
	}
	subject := strings.Fields(fmt.Sprintf("%s %s %s", diagnosis.Code, diagnosis.Object, diagnosis.Container)) // of some causes there is no container, or no object
	r.Reporter.Infof("%s: %s %s", strings.Join(subject, " "), diagnosis.Reason, diagnosis.Message)
	r.showLines("last events", diagnosis.Events)
	r.showLines(fmt.Sprintf("last lines of %q", diagnosis.Container), diagnosis.Logs)
	r.showLines(fmt.Sprintf("last lines of the previous run of %q", diagnosis.Container), diagnosis.Previous)
	if diagnosis.Advice != "" {
		r.Reporter.Infof("try: %s", diagnosis.Advice)
	}
	return result
}

// showLines shows untrusted lines below a title; nothing if there are none.
func (r request) showLines(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	r.Reporter.Infof("%s:", title)
	for _, line := range lines {
		r.Reporter.Raw(line)
	}
}
