package fact_test

import (
	"slices"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func image(t *testing.T) release.Image {
	t.Helper()
	return release.Repository("registry.example/shop").At(releasetest.Digest(t, "a"))
}

func TestRepeats(t *testing.T) {
	t.Parallel()
	base := map[fact.Kind]fact.Fact{
		fact.Built:    {Build: &fact.Build{Type: "t", Builder: "b", Platforms: []string{"linux/amd64"}}},
		fact.Deployed: {Environment: "staging", Deployment: &fact.Deployment{Cluster: "c", Revision: 3, Pods: 2}},
		fact.Promoted: {Environment: "production", Promotion: &fact.Promotion{From: "staging", Tag: "a", ProvedAt: noon}},
		fact.Rejected: {Environment: "production", Rejection: &fact.Rejection{Reason: "r", Cause: fact.ByPerson}},
	}
	for kind, earlier := range base {
		earlier.Kind, earlier.Image, earlier.At, earlier.By, earlier.Run = kind, image(t), noon, "alice", "https://run/1"
		again := earlier
		again.At, again.By, again.Run, again.After = noon.Add(time.Hour), "bob", "https://run/2", []release.Digest{releasetest.Digest(t, "b")}
		if !again.Repeats(earlier) {
			t.Errorf("%s: the same by another run is not a repetition", kind)
		}
		for name, change := range map[string]func(*fact.Fact){
			"environment": func(f *fact.Fact) { f.Environment = "other" },
			"image":       func(f *fact.Fact) { f.Image.Digest = releasetest.Digest(t, "c") },
			"commit":      func(f *fact.Fact) { f.Commit = releasetest.Commit },
			"kind":        func(f *fact.Fact) { f.Kind = "other" },
			"details":     func(f *fact.Fact) { f.Build, f.Deployment, f.Promotion, f.Rejection = nil, nil, nil, nil },
		} {
			changed := again
			change(&changed)
			if changed.Repeats(earlier) {
				t.Errorf("%s: another %s is a repetition", kind, name)
			}
		}
	}
	deployed := base[fact.Deployed]
	set := *deployed.Deployment
	set.Set = []string{"replicas"}
	deployed.Deployment = &set
	scaled, upgraded := *deployed.Deployment, *deployed.Deployment
	scaled.Pods, upgraded.ValuesDigest = 5, releasetest.Digest(t, "d")
	for want, detail := range map[bool]fact.Deployment{true: scaled, false: upgraded} {
		other := deployed
		other.Deployment = &detail
		if got := other.Repeats(deployed); got != want {
			t.Errorf("%+v: got %t", detail, got)
		}
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	first, second, third := releasetest.Digest(t, "1"), releasetest.Digest(t, "2"), releasetest.Digest(t, "3")
	record := func(digest release.Digest, environment release.Environment, at time.Time, after ...release.Digest) fact.Record {
		return fact.Record{Record: digest, Signer: "key", Fact: fact.Fact{Kind: fact.Deployed, Environment: environment, At: at, After: after}}
	}
	unreadable := record(third, "staging", noon.Add(time.Hour))
	unreadable.Problem = "garbage"
	records := []fact.Record{record(first, "staging", noon), record(second, "staging", noon.Add(time.Minute)), record(third, "production", noon.Add(time.Hour)), unreadable}
	if newest, found := fact.Newest(records, fact.Deployed, "staging", nil); !found || newest.Record != second {
		t.Errorf("got %v, %t", newest.Record, found)
	}
	if newest, found := fact.Newest(records, fact.Deployed, "staging", func(r fact.Record) bool { return r.Record == first }); !found || newest.Record != first {
		t.Errorf("got %v, %t", newest.Record, found)
	}
	if _, found := fact.Newest(records, fact.Built, "staging", nil); found {
		t.Error("found another kind")
	}
	records[0].After = []release.Digest{second} // a clock that lags
	for range 2 {
		if newest, _ := fact.Newest(records, fact.Deployed, "staging", nil); newest.Record != first {
			t.Errorf("got %v, want the one that names the other", newest.Record)
		}
		slices.Reverse(records)
	}
}
