package app

import (
	"errors"
	"testing"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	same := func(s string) string { return s }
	for name, test := range map[string]struct {
		rows   []Row
		failed error
		want   string
	}{
		"rows":      {[]Row{{"outcome", "created"}, {"url", ""}, {"tag", "a|b"}}, nil, "### deploy: done\n\n| | |\n|---|---|\n| outcome | created |\n| tag | a\\|b |\n\n"},
		"a failure": {[]Row{{"outcome", ""}}, errors.New("one\ntwo"), "### deploy: failed\n\n> one\n> two\n\n\n"},
		"neither":   {nil, nil, "### deploy: done\n\n\n"},
	} {
		if got := summaryOf("deploy", test.rows, test.failed, same); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
