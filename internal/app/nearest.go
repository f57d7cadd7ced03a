package app

import (
	"maps"
	"slices"

	"github.com/agext/levenshtein"
	"github.com/onedigest/onedigest/internal/setting"
)

// nearest returns the eligible setting whose name is most similar to an unknown name, or "" if none is similar.
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
