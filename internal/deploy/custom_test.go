package deploy_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// TestTheControllerOfACustomResourceIsAwaited: neither is a deploy green before its controller has made pods, nor does it wait for ever for one that makes none.
func TestTheControllerOfACustomResourceIsAwaited(t *testing.T) {
	t.Parallel()
	widget := release.Object{APIVersion: "example.com/v1", Kind: "Widget", Name: "shop"}
	for name, test := range map[string]struct {
		pods     time.Duration // when they are made; 0: never
		digest   string
		speaks   time.Duration // when its controller writes a status; 0: never
		flags    []string
		unfound  string
		changed  time.Duration // how long ago it was applied with another spec
		exit     int
		from, to time.Duration // how long the deploy takes
		says     []string
		lacks    string
	}{
		"pods that are late": {pods: 40 * time.Second, digest: "a", exit: release.ExitDone, from: 40 * time.Second, to: 50 * time.Second, says: []string{"waiting up to 1 minute for the controller of Widget/shop", "1 pod runs"}, lacks: "warning: Widget/shop"},
		"late pods of another image": {pods: 40 * time.Second, digest: "b", exit: release.ExitFailed, from: 40 * time.Second, to: 50 * time.Second,
			says: []string{"waiting up to 1 minute for the controller of Widget/shop"}, lacks: "warning: Widget/shop"},
		"no controller":            {exit: release.ExitDone, from: time.Minute, to: 62 * time.Second, says: []string{"warning: Widget/shop: its controller has created no pod in 1 minute", "have no pod yet, so no pod proves it: the revision is not marked as verified"}},
		"one that did not change":  {changed: time.Hour, exit: release.ExitDone, to: 2 * time.Second, says: []string{"have no pod yet, so no pod proves it"}},
		"a controller that speaks": {speaks: 30 * time.Second, exit: release.ExitDone, from: 50 * time.Second, to: 52 * time.Second, says: []string{"warning: Widget/shop: its controller has created no pod in 50 seconds"}},
		"a short timeout":          {flags: []string{"--timeout", "30s"}, exit: release.ExitDone, from: 5 * time.Second, to: 30 * time.Second, says: []string{"warning: Widget/shop: its controller has created no pod in "}},
		"an image outside of a template": {speaks: time.Nanosecond, unfound: "owns no pod of the image", exit: release.ExitDone, from: 20 * time.Second, to: 22 * time.Second,
			says: []string{"warning: Widget/shop owns no pod of the image"}, lacks: "its controller has created no pod"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				fakes := &fakes{}
				fakes.running = func() release.Running {
					workload := release.RunningWorkload{Object: widget, Note: "has no pod that could be compared", Patience: time.Minute, Changed: began.Add(-test.changed), Unfound: test.unfound}
					if test.speaks > 0 && time.Since(began) >= test.speaks-time.Nanosecond {
						workload.Patience = 20 * time.Second
					}
					if test.pods > 0 && time.Since(began) >= test.pods {
						runs := image(t, test.digest).Digest
						workload = release.RunningWorkload{Object: widget, WantsPods: true, ByPods: true,
							Pods: []release.PodImage{{Pod: "shop-1", Ready: true, Digest: runs, ImageID: runs.String()}}}
					}
					return release.Running{Workloads: []release.RunningWorkload{workload}}
				}
				_, log, err := fakes.run(t, test.flags...)
				if took := time.Since(began); release.ExitCode(err) != test.exit || took < test.from || took > test.to {
					t.Errorf("got %v after %s, want exit code %d after %s to %s", err, took, test.exit, test.from, test.to)
				}
				check(t, log, test.says...)
				if test.lacks != "" && strings.Contains(log, test.lacks) {
					t.Errorf("the log has %q:\n%s", test.lacks, log)
				}
			})
		})
	}
}
