package smoke_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// TestTheControllerOfACustomResourceIsAwaited: one that has changed a moment ago may still make pods; one that has made none for long is not waited for.
func TestTheControllerOfACustomResourceIsAwaited(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		changed time.Duration // before smoke
		after   int           // requests until there are pods
		exit    int
		waits   bool
	}{
		"pods that are late":           {time.Minute, 4, release.ExitDone, true},
		"a clock that is ahead":        {-2 * time.Minute, 4, release.ExitDone, true},
		"no controller":                {time.Minute, 1000, release.ExitFault, true},
		"none for long":                {time.Hour, 1000, release.ExitFault, false},
		"none for long, and then some": {time.Hour, 4, release.ExitFault, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeDeps{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), revision: commit.String(), answers: []release.Answer{answerFrom(commit)}}
			began := fake.now
			requests := 0
			fake.running = func() release.Running {
				if requests++; requests > test.after {
					return releasetest.Running(release.PodImage{Pod: "shop-1", Digest: image(t).Digest, Ready: true})
				}
				return release.Running{Workloads: []release.RunningWorkload{{Object: release.Object{Kind: "Widget", Name: "shop"}, Unfound: "owns no pod of the image", Patience: 20 * time.Second, Changed: began.Add(-test.changed)}}}
			}
			_, err := fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "5m")
			if release.ExitCode(err) != test.exit {
				t.Errorf("got %v, want exit code %d", err, test.exit)
			}
			if waited := strings.Contains(strings.Join(fake.lines, "\n"), "waiting up to 20 seconds for the controller of Widget/shop to create pods"); waited != test.waits {
				t.Errorf("waited: %t, want %t\n%s", waited, test.waits, strings.Join(fake.lines, "\n"))
			}
			if told := strings.Count(strings.Join(fake.lines, "\n"), "owns no pod of the image"); told > 1 {
				t.Errorf("told %d times:\n%s", told, strings.Join(fake.lines, "\n"))
			}
			if took := fake.now.Sub(began); test.after > 100 && took > 25*time.Second {
				t.Errorf("waited %s", took)
			}
		})
	}
}

// TestAFailureNamesItsChecks: the record says which of the checks failed, and a pass none.
func TestAFailureNamesItsChecks(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[release.Verdict][]string{release.Pass: nil, release.Fail: {"/orders"}} {
		fake := &fakeDeps{revision: commit.String(), checks: []release.Check{{Name: "/", Path: "/"}, {Name: "/orders", Path: "/orders"}}, pods: [][]release.PodImage{{{Pod: "shop-1", Digest: image(t).Digest, Ready: true}}}}
		fake.wrong = func(check release.Check) bool { return verdict == release.Fail && check.Name == "/orders" }
		_, _ = fake.run(t, "--release", "shop", "--environment", "staging", "--image", image(t).String(), "--timeout", "1m")
		if len(fake.recorded) != 1 || fake.recorded[0].Verdict != verdict || !slices.Equal(fake.recorded[0].Failed, want) {
			t.Errorf("recorded %+v, want a %s of %q", fake.recorded, verdict, want)
		}
	}
}

// TestTheCommitIsReadInHTTP2, if every check is sent in it: the server may speak nothing else.
func TestTheCommitIsReadInHTTP2(t *testing.T) {
	t.Parallel()
	for want, checks := range map[bool][]release.Check{
		true:  {{Name: "a", Path: "/", HTTP2: true}, {Name: "b", Kind: release.CheckGRPC}},
		false: {{Name: "a", Path: "/", HTTP2: true}, {Name: "b", Path: "/b"}},
	} {
		asked := false
		fake := &fakeDeps{checks: checks}
		fake.wrong = func(check release.Check) bool {
			if check.CommitField != "" {
				asked = true
				return check.HTTP2 != want
			}
			return false
		}
		if _, err := fake.run(t, "--url", "http://shop.example", "--commit-from", "json:/version#commit", "--timeout", "1m"); err != nil || !asked {
			t.Errorf("in HTTP/2: %t: got %v, asked: %t", want, err, asked)
		}
	}
}
