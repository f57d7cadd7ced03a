package app

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/pipeline"
	"github.com/onedigest/onedigest/internal/release"
)

// TestEmptyFlags: every setting of every verb refuses an empty flag by its name, and an empty input is one left out.
func TestEmptyFlags(t *testing.T) {
	t.Parallel()
	for _, d := range append(actions(), declared{pipeline.Verb, new(pipeline.Settings).Declare()}) {
		for _, s := range d.set.All() {
			for _, value := range []string{"", " "} {
				err := readSettings(context.Background(), d.set, Process{Args: []string{"--" + s.Name + "=" + value}}, noCommits, false)
				var input *release.InputError
				if !errors.As(err, &input) || !strings.Contains(err.Error(), "--"+s.Name+": is given empty") {
					t.Errorf("%s --%s=%q: got %v", d.verb.Name, s.Name, value, err)
				}
			}
			err := readSettings(context.Background(), d.set, Process{Environ: []string{variable(s.Name) + "="}}, noCommits, false)
			if err != nil && strings.Contains(err.Error(), "is given empty") {
				t.Errorf("%s with an empty %s: got %v", d.verb.Name, variable(s.Name), err)
			}
		}
	}
}
