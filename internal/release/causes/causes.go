// Package causes is the table of the known causes of a failed deploy: a stable code, what the cause means, and what to do
// about it. Error messages quote it, and docs/troubleshooting.md is generated from it.
package causes

import (
	"regexp"
	"slices"
	"strings"
)

// Code identifies a known cause of a failed deploy. Codes never change their meaning: scripts and alerts refer to them.
// OD-1xx are causes that keep a rollout from becoming ready (rollout.go), OD-2xx those that keep a release from being
// changed or rolled back (release.go).
type Code string

// Cause documents one code, for messages and for docs/troubleshooting.md.
type Cause struct {
	Code    Code
	Name    string   // "the image cannot be pulled"
	Meaning string   // what happened and when it counts as a failure, one paragraph
	Advice  string   // what to try first, one line; it ends the message
	Example string   // a whole message, one line
	Steps   []string // what to look at, in order; Markdown
}

// All lists the causes in the order of their codes.
var All = slices.Concat(rolloutCauses, releaseCauses)

// Cause looks a code up. For an unknown code it returns a Cause with only the code.
func (c Code) Cause() Cause {
	for _, known := range All {
		if known.Code == c {
			return known
		}
	}
	return Cause{Code: c}
}

// Heading is the heading of the cause in docs/troubleshooting.md.
func (c Cause) Heading() string { return strings.TrimSpace(string(c.Code) + " " + c.Name) }

// Anchor is the fragment that GitHub gives the heading in the page's address.
func (c Cause) Anchor() string {
	return strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(c.Heading()), ""), " ", "-")
}

var noAnchor = regexp.MustCompile(`[^\p{L}\p{N} -]`)
