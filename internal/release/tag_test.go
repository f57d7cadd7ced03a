package release

import (
	"strings"
	"testing"
)

func TestTagsOfOurForms(t *testing.T) {
	t.Parallel()
	commit, longer := strings.Repeat("c", 40), strings.Repeat("d", 64)
	for tag, want := range map[string]struct {
		environment Environment
		commit      string
		referrers   bool
	}{
		commit: {"", commit, false}, longer: {"", longer, false}, commit + DirtyMark + "1": {"", commit, false},
		"production-" + commit: {"production", commit, false}, "production-eu-" + longer: {"production-eu", longer, false},
		"sha256-" + longer: {"", "", true}, "sha256-" + longer + ".sig": {"", "", true}, "sha512-a": {"", "", true},
		"latest": {}, "v1.0-" + commit: {}, "production-" + commit[1:]: {}, "production": {}, "-": {}, "sha256": {},
	} {
		environment, named, is := Tag(tag).Named()
		if environment != want.environment || named.String() != want.commit || is != (want.commit != "") || Tag(tag).IsReferrersTag() != want.referrers {
			t.Errorf("%s: got %q, %q, %t, %t", tag, environment, named, is, Tag(tag).IsReferrersTag())
		}
	}
}
