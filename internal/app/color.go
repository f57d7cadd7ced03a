package app

import (
	"strings"

	"github.com/fatih/color"
	"github.com/onedigest/onedigest/internal/github"
)

// words are coloured where they follow a label ("verdict: pass") or start an error.
var words = map[string]color.Attribute{
	"pass": color.FgGreen, "fail": color.FgRed, "inconclusive": color.FgYellow,
	"failed": color.FgRed, "bad input": color.FgRed, "fault": color.FgRed, "warning": color.FgYellow,
}

// useColor reports whether output may be coloured: on a terminal, unless NO_COLOR is set or the output is a workflow log.
// Source: no-color.org.
func useColor(out *stream, getenv func(string) string) bool {
	return out.terminal() != nil && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" && !github.On(getenv)
}

// paint colours a word, if output is coloured and the word has a colour.
func paint(on bool, word printable) printable {
	attribute, found := words[string(word)]
	if !on || !found {
		return word
	}
	c := color.New(attribute, color.Bold)
	c.EnableColor()
	return printable(c.Sprint(word))
}

// paintLine colours the first word of lines such as "warning: …", and the verdict in "verdict: pass …".
func paintLine(on bool, line printable) printable {
	if rest, found := strings.CutPrefix(string(line), "verdict: "); found {
		word, rest, _ := strings.Cut(rest, " ")
		return printable(strings.TrimRight("verdict: "+string(paint(on, printable(word)))+" "+rest, " "))
	}
	if rest, found := strings.CutPrefix(string(line), "warning: "); found {
		return paint(on, "warning") + ": " + printable(rest)
	}
	return line
}
