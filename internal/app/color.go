package app

import (
	"io"
	"os"
	"strings"

	"github.com/fatih/color"
	"github.com/onedigest/onedigest/internal/github"
	"golang.org/x/term"
)

// words are coloured where they follow a label ("verdict: pass") or start an error.
var words = map[string]color.Attribute{
	"pass": color.FgGreen, "fail": color.FgRed, "inconclusive": color.FgYellow,
	"failed": color.FgRed, "bad input": color.FgRed, "fault": color.FgRed, "warning": color.FgYellow,
}

// useColor reports whether output may be coloured: on a terminal, unless NO_COLOR is set or the output is a workflow log.
// Source: no-color.org.
func useColor(out io.Writer, getenv func(string) string) bool {
	screen, ok := out.(*os.File)
	return ok && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" && !github.On(getenv) && term.IsTerminal(int(screen.Fd()))
}

// paint colours a word, if output is coloured and the word has a colour.
func paint(on bool, word string) string {
	attribute, found := words[word]
	if !on || !found {
		return word
	}
	c := color.New(attribute, color.Bold)
	c.EnableColor()
	return c.Sprint(word)
}

// paintLine colours the first word of lines such as "warning: …", and the verdict in "verdict: pass …".
func paintLine(on bool, line string) string {
	if rest, found := strings.CutPrefix(line, "verdict: "); found {
		word, rest, _ := strings.Cut(rest, " ")
		return strings.TrimRight("verdict: "+paint(on, word)+" "+rest, " ")
	}
	if rest, found := strings.CutPrefix(line, "warning: "); found {
		return paint(on, "warning") + ": " + rest
	}
	return line
}
