package configrepo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// maxChanges is how many changes of a file are read, the newest first.
const maxChanges = 50

// Change is a commit of the branch that has changed a file.
type Change struct {
	Number   int // of the changes of the file, from 1
	Commit   release.Commit
	At       time.Time
	Author   string
	Subject  string
	Trailers map[string]string // of the message, the last of each name
	Content  []byte            // of the file in the commit; nil if the commit deleted it
	Note     string            // of the file in the commit's note
}

// Changes lists the commits that have changed a file along the branch, newest first. What a merge brought is one change.
func (r *Repository) Changes(ctx context.Context, file string) (changes []Change, err error) {
	count, err := r.git(ctx, "rev-list", "--first-parent", "--count", tracking, "--", file)
	if err != nil {
		return nil, r.fault(err, "reading the history of")
	}
	number, err := strconv.Atoi(strings.TrimSpace(count))
	if err != nil {
		return nil, r.fault(err, "reading the history of")
	}
	out, err := r.git(ctx, "log", "--first-parent", "--no-show-signature", "-z", fmt.Sprintf("--max-count=%d", maxChanges),
		"--format=%H%x1f%ct%x1f%an%x1f%s%x1f%(trailers:unfold,separator=%x1e)", tracking, "--", file)
	if err != nil {
		return nil, r.fault(err, "reading the history of")
	}
	for record := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		fields := strings.Split(record, "\x1f")
		if len(fields) != 5 {
			continue
		}
		change, err := r.change(ctx, file, fields)
		if err != nil {
			return nil, err
		}
		change.Number = number
		number--
		changes = append(changes, change)
	}
	return changes, nil
}

// change reads one change.
func (r *Repository) change(ctx context.Context, file string, fields []string) (Change, error) {
	commit, err := release.ParseCommit(fields[0])
	if err != nil {
		return Change{}, r.fault(err, "reading the history of")
	}
	seconds, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return Change{}, r.fault(err, "reading the history of")
	}
	change := Change{Commit: commit, At: time.Unix(seconds, 0).UTC(), Author: text.Line(fields[2], 100), Subject: text.Line(fields[3], 200), Trailers: map[string]string{}}
	for trailer := range strings.SplitSeq(fields[4], "\x1e") {
		if name, value, found := strings.Cut(trailer, ": "); found {
			change.Trailers[strings.TrimSpace(name)] = text.Line(strings.TrimSpace(value), 500)
		}
	}
	if change.Content, err = r.Read(ctx, commit, file); err != nil {
		return change, err
	}
	change.Note = r.note(ctx, commit)[file]
	return change, nil
}

// note reads what is known of a commit, by file; nothing if it has no note.
func (r *Repository) note(ctx context.Context, commit release.Commit) map[string]string {
	known := map[string]string{}
	out, err := r.git(ctx, "notes", "--ref", notes, "show", commit.String())
	if err != nil {
		return known
	}
	for line := range strings.Lines(out) {
		if at := strings.LastIndex(line, ": "); at > 0 {
			known[line[:at]] = strings.TrimSpace(line[at+2:])
		}
	}
	return known
}

// formatNote writes a note, one line for each file.
func formatNote(known map[string]string) string {
	var lines strings.Builder
	for _, file := range slices.Sorted(maps.Keys(known)) {
		fmt.Fprintf(&lines, "%s: %s\n", file, known[file])
	}
	return lines.String()
}
