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

// TestIsAt: a release that is deployed by EKS's name of its cluster and smoked by a kubeconfig is one release, and two clusters of one name are two.
func TestIsAt(t *testing.T) {
	t.Parallel()
	at := func(cluster, server string) release.Target {
		return release.Target{Cluster: cluster, Server: server, Namespace: "staging", Release: "shop"}
	}
	deployed := func(target release.Target) fact.Fact {
		return fact.Fact{Kind: fact.Deployed, Image: image(t), Deployment: &fact.Deployment{Cluster: target.Cluster, Server: target.Server, Namespace: target.Namespace, Release: target.Release, Revision: 3}}
	}
	eks, older := at("shop", "1234.eks.example"), at("shop", "")
	for name, test := range map[string]struct {
		deployed, smoked   release.Target
		isOne, isRepeating bool // isRepeating: the record of the first target adds nothing to that of the second
	}{
		"by name and by name":                  {eks, eks, true, true},
		"by name and by kubeconfig":            {eks, at("1234.eks.example", ""), true, true},
		"by kubeconfig and by name":            {at("1234.eks.example", ""), eks, true, true},
		"in other spellings":                   {at("shop", "1234.EKS.example"), at("1234.eks.example.:443/", ""), true, true},
		"with a port and a path":               {at("kube.example.:6443/a/", ""), at("KUBE.example:6443/a", ""), true, true},
		"by an older version, and by name":     {older, eks, true, true},
		"by name, and by an older version":     {eks, older, true, false},
		"by an older version, by kubeconfig":   {older, at("1234.eks.example", ""), false, false},
		"another cluster of that name":         {eks, at("shop", "5678.eks.example"), false, false},
		"another port":                         {at("kube.example:6443", ""), at("kube.example", ""), false, false},
		"another path, which has capitals":     {at("kube.example/a", ""), at("kube.example/A", ""), false, false},
		"an address of version 6":              {at("[FD00::1]:443", ""), at("[fd00::1]", ""), true, true},
		"a name of EKS that differs in a case": {older, at("Shop", ""), false, false},
		"another namespace":                    {eks, release.Target{Cluster: "shop", Server: "1234.eks.example", Namespace: "other", Release: "shop"}, false, false},
	} {
		one, other := deployed(test.deployed), deployed(test.smoked)
		if one.Deployment.IsAt(test.smoked) != test.isOne || one.IsOfSameRelease(other) != test.isOne || one.Repeats(other) != test.isRepeating {
			t.Errorf("%s: at the target %t, of one release %t, repeats %t", name, one.Deployment.IsAt(test.smoked), one.IsOfSameRelease(other), one.Repeats(other))
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
