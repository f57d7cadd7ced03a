package release_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

var settings = release.RecipeSettings{"builder": "go", "context": "app", "main": ".", "platforms": "linux/amd64", "labels team": "payments"}

// changed returns the settings with some set to other values, or removed if the value is "-".
func changed(pairs ...string) release.RecipeSettings {
	other := maps.Clone(settings)
	for i := 0; i < len(pairs); i += 2 {
		other[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "-" {
			delete(other, pairs[i])
		}
	}
	return other
}

func TestRecipeSettingsNameEachDifference(t *testing.T) {
	t.Parallel()
	many := release.RecipeSettings{}
	for _, name := range strings.Split("abcdefghijklm", "") {
		many[name] = name
	}
	for name, test := range map[string]struct {
		held, wanted release.RecipeSettings
		want         string
	}{
		"none":         {settings, changed(), ""},
		"one":          {settings, changed("platforms", "linux/arm64"), `platforms is "linux/amd64" there and "linux/arm64" here`},
		"two":          {settings, changed("main", "cmd/worker", "context", "api"), `context is "app" there and "api" here; main is "." there and "cmd/worker" here`},
		"not set here": {settings, changed("labels team", "-"), `labels team is "payments" there and not set here`},
		"empty there":  {changed("base", ""), settings, `base is "" there and not set here`},
		"hostile":      {changed("main", "\x1b[2J\n::set-output", "\u202e", "x"), settings, `main is "\x1b[2J\n::set-output" there and "." here; "\u202e" is "x" there and not set here`},
		"long":         {changed("main", strings.Repeat("x", 1<<20)), settings, `main is "` + strings.Repeat("x", 120) + `" there and "." here`},
		"many":         {many, nil, "and 3 more settings differ"},
	} {
		if got := test.held.Differences(test.wanted); got != test.want && (name != "many" || !strings.HasSuffix(got, test.want)) {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestRecipeSettingsAreStoredInOneForm(t *testing.T) {
	t.Parallel()
	text := settings.Encode()
	if want := `{"builder":"go","context":"app","labels team":"payments","main":".","platforms":"linux/amd64"}`; text != want {
		t.Errorf("got %s, want %s", text, want)
	}
	read, err := release.ParseRecipeSettings(text)
	if err != nil || !maps.Equal(read, settings) {
		t.Errorf("read %v (%v), want %v", read, err, settings)
	}
	accepts(t, release.ParseRecipeSettings, map[string]string{
		"":                `reading the recipe: unexpected end`,
		"{}":              "it is empty",
		"null":            "it is empty",
		`{"builder": 1}`:  "reading the recipe",
		`["builder"]`:     "reading the recipe",
		`{"builder":"x"}`: "",
	})
}

func FuzzParseRecipeSettings(f *testing.F) {
	f.Add(settings.Encode())
	f.Add(`{"a": {}}`)
	f.Fuzz(func(t *testing.T, text string) {
		read, err := release.ParseRecipeSettings(text)
		if err != nil {
			return
		}
		again, err := release.ParseRecipeSettings(read.Encode())
		if err != nil || !maps.Equal(read, again) {
			t.Errorf("read %v, after encoding %v (%v)", read, again, err)
		}
		if said := read.Differences(settings); strings.ContainsAny(said, "\n\r\x1b") {
			t.Errorf("%q has control characters", said)
		}
	})
}
