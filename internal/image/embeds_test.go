package image

import "testing"

func TestEmbeds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, path string
		takes, enters bool
	}{
		{"page.html", "page.html", true, true},
		{"page.html", "other.html", false, false},
		{"assets", "assets/a/b.css", true, true},
		{"assets", "assets/.hidden", false, true},
		{"assets", "assets/_x/b.css", false, true},
		{"all:assets", "assets/.hidden", true, true},
		{"assets/*", "assets/.hidden", true, true},
		{"assets/*.css", "assets/b.css", true, true},
		{"assets/*.css", "assets/b.js", false, false},
		{"assets/*.css", "assets", false, true},
		{"assets/*.css", "other", false, false},
		{".", "a/b", true, true},
		{".", "a/.b", false, true},
		{"[", "a", false, false},
	} {
		if takes, enters := embeds(test.pattern, test.path); takes != test.takes || enters != test.enters {
			t.Errorf("%q takes %q: %v, enters it: %v; want %v, %v", test.pattern, test.path, takes, enters, test.takes, test.enters)
		}
	}
}
