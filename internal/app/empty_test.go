package app_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/onedigest"
	"github.com/onedigest/onedigest/internal/release"
)

// TestEmptyFlags: every setting of every verb refuses an empty flag by its name, and an empty input is one left out.
func TestEmptyFlags(t *testing.T) {
	t.Parallel()
	for _, verb := range onedigest.Verbs() {
		for _, s := range verb.Settings().All() {
			for _, value := range []string{"", " "} {
				err := app.ReadSettings(verb.Settings(), app.Process{Args: []string{"--" + s.Name + "=" + value}})
				var input *release.InputError
				if !errors.As(err, &input) || !strings.Contains(err.Error(), "--"+s.Name+": is given empty") {
					t.Errorf("%s --%s=%q: got %v", verb.Verb.Name, s.Name, value, err)
				}
			}
			err := app.ReadSettings(verb.Settings(), app.Process{Environ: []string{app.Variable(s.Name) + "="}})
			if err != nil && strings.Contains(err.Error(), "is given empty") {
				t.Errorf("%s with an empty %s: got %v", verb.Verb.Name, app.Variable(s.Name), err)
			}
		}
	}
}
