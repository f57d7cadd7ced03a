package setting

import (
	"maps"
	"slices"

	"github.com/agext/levenshtein"
)

// nearest is the eligible setting whose name is most like an unknown one, or "" if none is alike.
func (s *Set) nearest(unknown string, eligible func(*Setting) bool) string {
	best, bestDistance := "", max(2, len(unknown)/3)+1
	for _, setting := range s.settings {
		if distance := levenshtein.Distance(unknown, setting.Name, nil); distance < bestDistance && eligible(setting) {
			best, bestDistance = setting.Name, distance
		}
	}
	return best
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
