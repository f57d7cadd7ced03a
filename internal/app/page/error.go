package page

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

var codePattern = regexp.MustCompile(`\bOD-[0-9]{3}\b`)

// Explained is a line of an error, in which the codes of causes are links.
func Explained(message string) (line Text) {
	for {
		found := codePattern.FindStringIndex(message)
		if found == nil {
			break
		}
		name := causes.Code(message[found[0]:found[1]])
		if name.Cause().Name == "" {
			break
		}
		if before := strings.TrimSpace(message[:found[0]]); before != "" {
			line = append(line, Words("%s", before))
		}
		line = append(line, Cause(name))
		message = message[found[1]:]
	}
	if message = strings.TrimSpace(message); message != "" {
		line = append(line, Words("%s", message))
	}
	return line
}

// Diagnosis says why a rollout failed and what to try, and shows the last lines of the container and, folded, the events.
func Diagnosis(found release.Diagnosis) (reason []Text, sections []Section) {
	cause := Text{}
	if found.Code != "" {
		cause = Line(Cause(found.Code), found.Code.Cause().Name+":")
	}
	cause = append(cause, Code(found.Object.String()))
	if found.Container != "" {
		cause = append(cause, Line("container", Code(found.Container))...)
	}
	reason = []Text{append(cause, Words("%s", strings.Trim(found.Reason+": "+found.Message, ": ")))}
	if found.Advice != "" {
		reason = append(reason, Line("Try: "+found.Advice+"."))
	}
	container := Code(cmp.Or(found.Container, found.Object.String()))
	if len(found.Logs) > 0 {
		sections = append(sections, Section{Title: Line("Last lines of", container), Above: true, Block: strings.Join(found.Logs, "\n"), Tail: true})
	}
	if len(found.Previous) > 0 {
		sections = append(sections, Section{Title: Line("Last lines of the previous run of", container), Above: true, Folded: len(found.Logs) > 0, Block: strings.Join(found.Previous, "\n"), Tail: true})
	}
	if len(found.Events) > 0 {
		sections = append(sections, Section{Title: Line(Count(len(found.Events), "event")), Folded: true, Block: strings.Join(found.Events, "\n"), Tail: true})
	}
	return reason, sections
}
