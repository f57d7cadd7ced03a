package app

import (
	"maps"
	"slices"

	"github.com/agext/levenshtein"
	"github.com/onedigest/onedigest/internal/setting"
)

// nearest is the eligible setting whose name is closest to an unknown one, or "" if none is close.
func nearest(set *setting.Set, unknown string, eligible func(*setting.Setting) bool) string {
	best, bestDistance := "", max(2, len(unknown)/3)+1
	for _, declared := range set.All() {
		if distance := levenshtein.Distance(unknown, declared.Name, nil); distance < bestDistance && eligible(declared) {
			best, bestDistance = declared.Name, distance
		}
	}
	return best
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
