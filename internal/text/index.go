package text

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// index finds many values in a text in one pass. A position is looked at only if the next bytes are the first ones of a value.
type index struct {
	forward, backward side
}

// side is the values in one direction of reading, sorted.
type side struct {
	values []string
	parent []int             // of each value: the longest other value that it begins with; -1 if none
	ranges map[uint64]bounds // by keyOf
}

// keyMask keeps the last minSecret bytes of a key.
const keyMask = 1<<(8*minSecret) - 1

// nextKey returns the key of the bytes after the first one of a key's, with another byte at the end.
func nextKey(key uint64, b byte) uint64 { return (key<<8 | uint64(b)) & keyMask }

// keyOf returns the first minSecret bytes of a value as a number.
func keyOf(value string) (key uint64) {
	for i := range minSecret {
		key = nextKey(key, value[i])
	}
	return key
}

// bounds are the positions in values of those that begin with the same bytes.
type bounds struct{ from, to int }

// newIndex makes an index of values of at least minSecret bytes.
func newIndex(values []string) *index {
	reversed := make([]string, len(values))
	for i, value := range values {
		reversed[i] = reverse(value)
	}
	return &index{newSide(slices.Clone(values)), newSide(reversed)}
}

// newSide sorts the values, which it keeps.
func newSide(values []string) side {
	slices.Sort(values)
	values = slices.Compact(values)
	made := side{values: values, parent: make([]int, len(values)), ranges: map[uint64]bounds{}}
	for i, value := range values {
		made.parent[i] = i - 1
		for p := i - 1; p >= 0 && !strings.HasPrefix(value, values[p]); p = made.parent[i] {
			made.parent[i] = made.parent[p]
		}
		key := keyOf(value)
		known, found := made.ranges[key]
		if !found {
			known.from = i
		}
		known.to = i + 1
		made.ranges[key] = known
	}
	return made
}

// hit is a position of a text at which the first bytes of some values are.
type hit struct {
	at   int
	able bounds
}

// hits returns the positions at which a value may begin.
func (s side) hits(text string) (found []hit) {
	if len(s.values) == 0 {
		return nil
	}
	var key uint64
	for end := range len(text) {
		key = nextKey(key, text[end])
		if able, is := s.ranges[key]; is && end >= minSecret-1 {
			found = append(found, hit{end + 1 - minSecret, able})
		}
	}
	return found
}

// prefixes appends the places of all values that the text has at a hit.
func (s side) prefixes(places []span, text string, at hit) []span {
	rest := text[at.at:]
	last := at.able.from + sort.Search(at.able.to-at.able.from, func(i int) bool { return s.values[at.able.from+i] > rest }) - 1
	// Every value that rest begins with is the last one that is not greater than rest, or one that this value begins with.
	for i := last; i >= at.able.from; i = s.parent[i] {
		if strings.HasPrefix(rest, s.values[i]) {
			places = append(places, span{at.at, at.at + len(s.values[i])})
		}
	}
	return places
}

// continues reports whether a value begins with the text from a hit to end, and is longer.
func (s side) continues(text string, at hit, end int) bool {
	begun := text[at.at:end]
	next := at.able.from + sort.Search(at.able.to-at.able.from, func(i int) bool { return s.values[at.able.from+i] > begun })
	return next < at.able.to && strings.HasPrefix(s.values[next], begun)
}

// cut returns the longest part of a text that ends at end and with which a value begins. hits are those of the text.
func (s side) cut(text string, hits []hit, end int) (span, bool) {
	first, _ := slices.BinarySearchFunc(hits, end-maxCut, func(h hit, at int) int { return h.at - at })
	for _, each := range hits[first:] {
		if each.at+minSecret > end {
			break
		}
		if s.continues(text, each, end) {
			return span{each.at, end}, true
		}
	}
	return span{}, false
}

// finds returns the places of all values in a text, and those where an ellipsis follows the beginning of a value or precedes its end.
func (x *index) finds(text string, ellipses []span) (found []span) {
	hits := x.forward.hits(text)
	for _, each := range hits {
		found = x.forward.prefixes(found, text, each)
	}
	if len(ellipses) == 0 || len(x.forward.values) == 0 {
		return found
	}
	backward := reverse(text)
	ends := x.backward.hits(backward)
	for _, mark := range ellipses {
		if place, is := x.forward.cut(text, hits, mark.from); is {
			found = append(found, place)
		}
		if place, is := x.backward.cut(backward, ends, len(text)-mark.to); is {
			found = append(found, span{len(text) - place.to, len(text) - place.from})
		}
	}
	return found
}

// ellipsesOf returns the places of "…" and "..." in a text. Several in a row, and further dots, are one.
func ellipsesOf(text string) (found []span) {
	for at := 0; at < len(text); {
		end := at
		for marked := true; marked; {
			switch rest := text[end:]; {
			case strings.HasPrefix(rest, ellipsis):
				end += len(ellipsis)
			case strings.HasPrefix(rest, "..."), end > at && strings.HasPrefix(rest, "."):
				end++
			default:
				marked = false
			}
		}
		if end > at {
			found = append(found, span{at, end})
		}
		at = max(end, at+1)
	}
	return found
}

// reverse returns the bytes of a text from its end to its beginning.
func reverse(text string) string {
	bytes := []byte(text)
	slices.Reverse(bytes)
	return string(bytes)
}

// appendPlaces adds the places of a value in a text.
func appendPlaces(found []span, text, value string) []span {
	for from := 0; ; {
		at := strings.Index(text[from:], value)
		if at < 0 {
			return found
		}
		found = append(found, span{from + at, from + at + len(value)})
		from += at + len(value)
	}
}

// outside returns the places that are not inside of a longer one of others.
func outside(places, others []span) []span {
	if len(others) == 0 {
		return places
	}
	others = slices.Clone(others)
	slices.SortFunc(others, func(a, b span) int { return cmp.Or(a.from-b.from, a.to-b.to) })
	furthest := make([]int, len(others)+1) // the greatest end of the first ones
	for i, other := range others {
		furthest[i+1] = max(furthest[i], other.to)
	}
	return slices.DeleteFunc(places, func(one span) bool {
		before := sort.Search(len(others), func(i int) bool { return others[i].from >= one.from })
		until := sort.Search(len(others), func(i int) bool { return others[i].from > one.from })
		return furthest[before] >= one.to || furthest[until] > one.to
	})
}
