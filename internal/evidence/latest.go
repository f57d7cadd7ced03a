package evidence

import (
	"cmp"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Entry is a record of one environment in a registry.
type Entry struct {
	Listed   string           // digest of the record's manifest, as the registry lists it
	Record   release.Digest   // the same; zero if what is listed is not a digest
	Evidence release.Evidence // the zero value if the record cannot be read
	Readable bool
	Verdict  release.Verdict // of the evidence or, if that cannot be read, of the annotation; "" if neither declares one
	At       time.Time       // of the evidence or the annotation, by the clock of the machine that wrote the record; zero if undated
	PushedAt time.Time       // by the registry's clock; zero if unknown
	Signer   string          // the trusted key that signed it; "" if none is known
}

// Latest returns the record that says whether an environment proved an image, and false if there is none. It returns a pass if that
// pass is later than every other verdict, otherwise the verdict that contradicts the newest pass; that record may be unreadable. A
// verdict of unknown order counts as later than the pass, because a pass that may be outdated proves nothing. A pass that is dated in
// the future or is about another repository's image is used only if there is no other record.
func Latest(entries []Entry, image release.Image, environment release.Environment, now time.Time) (Entry, bool) {
	var passes, others, against []Entry
	for _, each := range entries {
		switch {
		case each.Readable && each.Evidence.Proves(image, environment, now, 0) == nil:
			passes = append(passes, each)
		case each.Readable && each.Verdict == release.Pass:
			others = append(others, each)
		case each.Verdict != "" && each.Verdict != release.Pass:
			against = append(against, each)
		}
	}
	for _, list := range [][]Entry{passes, others, against} {
		slices.SortStableFunc(list, newestFirst)
	}
	for _, pass := range passes {
		if !slices.ContainsFunc(against, func(other Entry) bool { return !other.isBefore(pass) }) {
			return pass, true
		}
	}
	if len(passes) > 0 {
		blocking := slices.IndexFunc(against, func(other Entry) bool { return !other.isBefore(passes[0]) })
		return against[blocking], true
	}
	readable := func(each Entry) bool { return each.Readable }
	if i := slices.IndexFunc(against, readable); i >= 0 {
		return against[i], true
	}
	if len(others) > 0 {
		return others[0], true
	}
	return Entry{}, false
}

// Settles reports whether e is a valid pass that no older record can contradict, so that the others need not be read. next is the record
// that is listed after e, newest first; only its times are known.
func (e Entry) Settles(next Entry, image release.Image, environment release.Environment, now time.Time) bool {
	if !next.PushedAt.IsZero() && !next.PushedAt.Add(release.ClockSkew).Before(e.At) {
		return false // a record that was pushed before next may be dated after e
	}
	return e.Readable && e.Evidence.Proves(image, environment, now, 0) == nil && next.isBeforeByClocks(e)
}

// isBefore reports whether a record is certainly older than a pass: the pass names it, or else the clocks say so.
func (e Entry) isBefore(pass Entry) bool {
	switch {
	case !e.Record.IsZero() && slices.Contains(pass.Evidence.After, e.Record):
		return true
	case slices.Contains(e.Evidence.After, pass.Record):
		return false
	}
	return e.isBeforeByClocks(pass)
}

// isBeforeByClocks compares the registry's times if they are known and differ. Otherwise the writers' decide, which must be
// further apart than clocks may be. An old pass that somebody pushes again is not a new one: its writer signed its date, so a record that is
// dated no earlier is not before it, and if the pass was pushed later than it is dated, a record is before it only if it was pushed before that date.
func (e Entry) isBeforeByClocks(pass Entry) bool {
	if !e.At.IsZero() && !e.At.Before(pass.At) {
		return false
	}
	clearlyDated := !e.At.IsZero() && e.At.Add(release.ClockSkew).Before(pass.At)
	switch {
	case e.PushedAt.IsZero() || pass.PushedAt.IsZero() || e.PushedAt.Equal(pass.PushedAt):
		return clearlyDated
	case pass.PushedAt.After(pass.At.Add(release.ClockSkew)):
		return clearlyDated && e.PushedAt.Before(pass.At)
	}
	return e.PushedAt.Before(pass.PushedAt)
}

// newestFirst orders by the registry's time and, if that is the same or unknown, by the writers'. Undated records are last.
func newestFirst(a, b Entry) int {
	return cmp.Or(b.PushedAt.Compare(a.PushedAt), b.At.Compare(a.At))
}
