package evidence

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// TestLatestOfTargets: a pass of one target leaves the failure of another one; only a pass of that, or of any target if the failure names none, supersedes it.
func TestLatestOfTargets(t *testing.T) {
	t.Parallel()
	now := proof(t).At.Add(24 * time.Hour)
	image := proof(t).Image
	eu := release.Target{Cluster: "eu", Namespace: "staging", Release: "shop"}
	targets := map[string]release.Target{
		"eu": eu, "us": {Cluster: "us", Namespace: "staging", Release: "shop"}, "": {},
		"eu-b": {Cluster: "eu", Namespace: "b", Release: "shop"}, "eu-worker": {Cluster: "eu", Namespace: "staging", Release: "worker"}, "eu-west": {Cluster: "eu", Server: "west", Namespace: "staging", Release: "shop"}, "west": {Cluster: "west", Namespace: "staging", Release: "shop"},
	}
	entry := func(at int, said string) Entry { // such as "fail eu"; in parentheses, it cannot be read
		verdict, target, _ := strings.Cut(strings.Trim(said, "()"), " ")
		of := proof(t)
		of.Verdict, of.Target, of.At, of.After = release.Verdict(verdict), targets[target], proof(t).At.Add(time.Duration(at)*time.Hour), nil
		record := release.DigestOf([]byte{byte(at)})
		made := Entry{Listed: record.String(), Record: record, Evidence: of, Readable: true, Verdict: of.Verdict, At: of.At}
		if strings.HasPrefix(said, "(") {
			made.Readable, made.Evidence = false, release.Evidence{Target: of.Target}
		}
		return made
	}
	for name, test := range map[string]struct {
		said []string // the oldest first
		want int      // of what is said; -1: nothing
		at   map[string]int
	}{
		"nothing": {nil, -1, map[string]int{"eu": -1, "": -1}},
		"a failure of one, then a pass of another": {[]string{"fail eu", "pass us"}, 0, map[string]int{"eu": 0, "us": 1}},
		"a pass of one, then a failure of another": {[]string{"pass us", "fail eu"}, 1, map[string]int{"eu": 1, "us": 0}},
		"both pass in the end":                     {[]string{"fail eu", "pass us", "pass eu"}, 2, map[string]int{"eu": 2, "us": 1}},
		"each fails and passes":                    {[]string{"fail eu", "fail us", "pass us", "pass eu", "fail us"}, 4, map[string]int{"eu": 3, "us": 4}},
		"two fail, one passes":                     {[]string{"fail eu", "fail us", "pass us"}, 0, map[string]int{"eu": 0, "us": 2}},
		"another namespace":                        {[]string{"fail eu", "pass eu-b"}, 0, nil},
		"another release":                          {[]string{"fail eu", "pass eu-worker"}, 0, nil},
		"a cluster of the same name elsewhere":     {[]string{"fail eu", "pass eu-west"}, 0, nil},
		"the same cluster by its address":          {[]string{"fail eu-west", "pass west"}, 1, map[string]int{"west": 1, "eu-west": 1, "eu": -1}},
		"a pass that names no target":              {[]string{"fail eu", "pass"}, 0, map[string]int{"eu": 0, "": 1, "us": 1}},
		"a failure that names no target":           {[]string{"fail", "pass eu"}, 1, map[string]int{"eu": 1, "us": 0, "": 1}},
		"a failure that names no target, later":    {[]string{"pass eu", "fail"}, 1, map[string]int{"eu": 1, "us": 1, "": 1}},
		"records of older versions":                {[]string{"pass", "fail", "pass"}, 2, map[string]int{"": 2, "eu": 2}},
		"an older version's pass, then a failure":  {[]string{"pass", "fail eu"}, 1, map[string]int{"eu": 1, "us": 0, "": 0}},
		"passes of one and of none":                {[]string{"pass eu", "pass"}, 1, map[string]int{"eu": 0, "": 1}},
		"an unreadable failure of one":             {[]string{"(fail eu)", "pass us"}, 0, map[string]int{"us": 1}},
		"an unreadable failure that it passed":     {[]string{"(fail eu)", "pass eu"}, 1, map[string]int{"eu": 1}},
	} {
		var entries []Entry
		for i, said := range test.said {
			entries = append(entries, entry(i, said))
		}
		slices.Reverse(entries)
		check := func(who string, got Entry, found bool, want int) {
			if found != (want >= 0) || found && got.At != proof(t).At.Add(time.Duration(want)*time.Hour) {
				t.Errorf("%s: %s: got %t, %q of %v at %s, want number %d", name, who, found, got.Verdict, got.Evidence.Target, got.At, want)
			}
		}
		got, found := Latest(entries, image, "staging", now)
		check("all", got, found, test.want)
		for target, want := range test.at {
			got, found := LatestAt(entries, image, "staging", targets[target], now)
			check("target "+target, got, found, want)
		}
	}
}

// TestSettlesByTarget: a pass makes it unnecessary to read what it supersedes, and nothing else.
func TestSettlesByTarget(t *testing.T) {
	t.Parallel()
	of := proof(t)
	of.Target = release.Target{Cluster: "eu", Namespace: "staging", Release: "shop"}
	pass := Entry{Readable: true, Verdict: release.Pass, Evidence: of, At: of.At}
	other := of.Target
	other.Cluster = "us"
	for target, want := range map[release.Target]bool{{}: true, of.Target: true, other: false} {
		next := Entry{At: of.At.Add(-time.Hour), Evidence: release.Evidence{Target: DecodeTarget(EncodeTarget(target))}}
		if got := pass.Settles(next, of.Image, "staging", of.At.Add(time.Minute)); got != want {
			t.Errorf("%v: got %t", target, got)
		}
	}
}

// TestTargetsInAnnotations: what is not a target names none.
func TestTargetsInAnnotations(t *testing.T) {
	t.Parallel()
	for _, target := range []release.Target{{}, {Cluster: "eu", Namespace: "staging", Release: "shop"}, {Cluster: "eu", Server: "a.eks.example:443", Namespace: "staging", Release: "shop"}} {
		if got := DecodeTarget(EncodeTarget(target)); got != target {
			t.Errorf("got %+v, want %+v", got, target)
		}
	}
	for _, annotation := range []string{"eu", "eu|||", "|s|a|b", "eu|s|a|b|c", "e\nu|s|a|b", strings.Repeat("e", maxTarget+1) + "|s|a|b"} {
		if got := DecodeTarget(annotation); !got.IsZero() {
			t.Errorf("%q: got %+v", annotation, got)
		}
	}
}

func TestEncodeRefusesATarget(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]release.Target{"no cluster": {Namespace: "a", Release: "b"}, "no namespace": {Cluster: "eu", Release: "b"}, "no release": {Cluster: "eu", Namespace: "a"},
		"control character": {Cluster: "e\nu", Namespace: "a", Release: "b"}, "separator": {Cluster: "e|u", Namespace: "a", Release: "b"}, "too long": {Cluster: strings.Repeat("e", maxTarget+1), Namespace: "a", Release: "b"}} {
		of := proof(t)
		of.Target = target
		if _, err := Encode(of); err == nil || !strings.Contains(err.Error(), "target") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
