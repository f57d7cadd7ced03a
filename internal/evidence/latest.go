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
	Evidence release.Evidence // without all but the target, as the annotation has it, if the record cannot be read
	Readable bool
	Verdict  release.Verdict // of the evidence or, if that cannot be read, of the annotation; "" if neither declares one
	At       time.Time       // of the evidence or the annotation, by the clock of the machine that wrote the record; zero if undated
	PushedAt time.Time       // by the registry's clock; zero if unknown
	Signer   string          // the trusted key that signed it; "" if none is known
}

// Latest returns the record that says whether an environment proved an image, and false if there is none. It returns a pass if every other
// verdict is superseded, otherwise the newest verdict that is not; that record may be unreadable. A verdict is superseded by a later pass of the same target,
// or of any if it names no target. A verdict of unknown order counts as later than the pass, because a pass that may be outdated proves nothing. A pass that
// is dated in the future or is about another repository's image is used only if there is no other record.
func Latest(entries []Entry, image release.Image, environment release.Environment, now time.Time) (Entry, bool) {
	passes, others, against := classify(entries, image, environment, now)
	blocking := blockingOf(against, passes)
	switch {
	case len(passes) > 0 && len(blocking) > 0:
		return blocking[0], true
	case len(passes) > 0:
		return newestPass(passes, against), true
	}
	if i := slices.IndexFunc(against, Entry.isReadable); i >= 0 {
		return against[i], true
	}
	if len(others) > 0 {
		return others[0], true
	}
	return Entry{}, false
}

// LatestAt returns the record that says whether one target of an environment proved an image, and false if there is none. Of the verdicts that are about no
// target it takes the others than passes too, and all if none is about this target. For the zero target it takes the others than passes that are about none, and all passes. Where
// several records say the same, it is the newest of the target's own.
func LatestAt(entries []Entry, image release.Image, environment release.Environment, target release.Target, now time.Time) (Entry, bool) {
	isOwn := func(each Entry) bool { return each.Evidence.Target.Is(target) }
	hasOwn := slices.ContainsFunc(entries, isOwn)
	var relevant []Entry
	for _, each := range entries {
		isPass := each.Verdict == release.Pass
		if isOwn(each) || each.Evidence.Target.IsZero() && (!isPass || !hasOwn) || target.IsZero() && isPass {
			relevant = append(relevant, each)
		}
	}
	latest, found := Latest(relevant, image, environment, now)
	if !found || isOwn(latest) {
		return latest, found
	}
	passes, _, against := classify(relevant, image, environment, now)
	same := against
	if latest.Readable && latest.Verdict == release.Pass {
		same = slices.DeleteFunc(passes, func(pass Entry) bool { return !pass.dominates(against) })
	} else if len(passes) > 0 {
		same = blockingOf(against, passes)
	}
	if i := slices.IndexFunc(same, func(each Entry) bool { return isOwn(each) && each.Readable }); i >= 0 {
		return same[i], true
	}
	return latest, true
}

// classify returns the valid passes, the other passes, and the other verdicts; each the newest first.
func classify(entries []Entry, image release.Image, environment release.Environment, now time.Time) (passes, others, against []Entry) {
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
	return passes, others, against
}

// blockingOf returns the verdicts that no pass supersedes.
func blockingOf(against, passes []Entry) (blocking []Entry) {
	for _, each := range against {
		if !slices.ContainsFunc(passes, func(pass Entry) bool { return pass.Evidence.Supersedes(each.Evidence) && each.isBefore(pass) }) {
			blocking = append(blocking, each)
		}
	}
	return blocking
}

// newestPass returns the newest pass before which all verdicts are that it may supersede; if there is none, the newest.
func newestPass(passes, against []Entry) Entry {
	for _, pass := range passes {
		if pass.dominates(against) {
			return pass
		}
	}
	return passes[0]
}

// dominates reports whether a pass is later than all other verdicts that it may supersede.
func (e Entry) dominates(against []Entry) bool {
	return !slices.ContainsFunc(against, func(other Entry) bool { return e.Evidence.Supersedes(other.Evidence) && !other.isBefore(e) })
}

func (e Entry) isReadable() bool { return e.Readable }

// Settles reports whether e is a valid pass which makes it unnecessary to read a record that is listed after it, newest first; only its times and its
// annotations are known of that. It is certainly older, and a pass, or a verdict that e supersedes.
func (e Entry) Settles(next Entry, image release.Image, environment release.Environment, now time.Time) bool {
	if !next.PushedAt.IsZero() && !next.PushedAt.Add(release.ClockSkew).Before(e.At) {
		return false // a record that was pushed before next may be dated after e
	}
	return e.Readable && e.Evidence.Supersedes(next.Evidence) && e.Evidence.Proves(image, environment, now, 0) == nil && next.isBeforeByClocks(e)
}

// MayFollow reports whether a record is not certainly older than a pass.
func (e Entry) MayFollow(pass Entry) bool { return !e.isBefore(pass) }

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
