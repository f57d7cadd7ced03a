package text

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// index finds many values in a text in one pass. It compares values only at positions where their first bytes are.
type index struct {
	forward, backward side
}

// side holds the values as they are read in one direction, forwards or backwards, sorted.
type side struct {
	values []string
	parent []int             // of each value: the longest other value that it begins with; -1 if none
	ranges map[uint64]bounds // by keyOf
}

// keyMask keeps the last minSecret bytes of a key.
const keyMask = 1<<(8*minSecret) - 1

// nextKey drops the first byte of a key and adds another byte at its end.
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
	position   int
	candidates bounds // the values that have these first bytes
}

// hits returns the positions at which a value may begin, in ascending order.
func (s side) hits(text string) (found []hit) {
	if len(s.values) == 0 {
		return nil
	}
	var key uint64
	for end := range len(text) {
		key = nextKey(key, text[end])
		if candidates, known := s.ranges[key]; known && end >= minSecret-1 {
			found = append(found, hit{end + 1 - minSecret, candidates})
		}
	}
	return found
}

// appendValues appends the place of each value that begins at a hit.
func (s side) appendValues(places []span, text string, found hit) []span {
	rest, first := text[found.position:], found.candidates.from
	last := first + sort.Search(found.candidates.to-first, func(i int) bool { return s.values[first+i] > rest }) - 1
	// A value that rest begins with is the last candidate that is not greater than rest, or a prefix of that candidate.
	for i := last; i >= first; i = s.parent[i] {
		if strings.HasPrefix(rest, s.values[i]) {
			places = append(places, span{found.position, found.position + len(s.values[i])})
		}
	}
	return places
}

// continues reports whether a value begins with the text from a hit to end, and is longer.
func (s side) continues(text string, found hit, end int) bool {
	begun, first := text[found.position:end], found.candidates.from
	next := first + sort.Search(found.candidates.to-first, func(i int) bool { return s.values[first+i] > begun })
	return next < found.candidates.to && strings.HasPrefix(s.values[next], begun)
}

// cut returns the longest part of a text that ends at end and is the beginning of a value that was cut off there. hits are those of the text.
func (s side) cut(text string, hits []hit, end int) (span, bool) {
	first, _ := slices.BinarySearchFunc(hits, end-maxCut, func(h hit, position int) int { return h.position - position })
	for _, each := range hits[first:] {
		if each.position+minSecret > end {
			break
		}
		if s.continues(text, each, end) {
			return span{each.position, end}, true
		}
	}
	return span{}, false
}

// finds returns the places of all values in a text, and those where an ellipsis follows the beginning of a value or precedes its end.
func (x *index) finds(text string, ellipses []span) (found []span) {
	hits := x.forward.hits(text)
	for _, each := range hits {
		found = x.forward.appendValues(found, text, each)
	}
	if len(ellipses) == 0 || len(x.forward.values) == 0 {
		return found
	}
	backward := reverse(text)
	ends := x.backward.hits(backward)
	for _, mark := range ellipses {
		if place, cut := x.forward.cut(text, hits, mark.from); cut {
			found = append(found, place)
		}
		if place, cut := x.backward.cut(backward, ends, len(text)-mark.to); cut {
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

// outside returns the places that no longer place of others contains.
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
