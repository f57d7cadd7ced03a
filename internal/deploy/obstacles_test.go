package deploy_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// TestWhatForbidsARollback: old code on a migrated database, or without its image, is worse than what failed. What may work is tried.
func TestWhatForbidsARollback(t *testing.T) {
	t.Parallel()
	withObstacle := func(obstacles ...release.Obstacle) release.RollbackTarget {
		return release.RollbackTarget{Revision: 5, Mark: release.MarkProved, Commit: another, Obstacles: obstacles}
	}
	migrated := release.Obstacle{What: "Job/migrate: the hook is forward-only", Forbids: true, Do: "deploy a commit that works with it"}
	maybe := release.Obstacle{What: "spec.selector cannot be changed"}
	withImage := withObstacle()
	withImage.Images = []release.Image{image(t, "b")}
	possible := withObstacle()
	for name, test := range map[string]struct {
		fakes  *fakes
		rolled bool
		says   []string // in the error, or in the log of one that is tried
	}{
		"a migration that has run":      {&fakes{target: withObstacle(migrated)}, false, []string{"nothing was rolled back: Job/migrate", "deploy a commit that works with it"}},
		"a migration beside a maybe":    {&fakes{target: withObstacle(maybe, migrated)}, false, []string{"spec.selector", "Job/migrate", "deploy a commit that works with it"}},
		"an image that is gone":         {&fakes{target: withImage, gone: image(t, "b").Digest}, false, []string{"is no longer in the registry", "build its commit again"}},
		"what may work":                 {&fakes{target: withObstacle(maybe)}, true, []string{"OD-205", "spec.selector"}},
		"a migration that has not run":  {&fakes{target: withObstacle(migrated), targetAfter: &possible}, true, nil},
		"what cannot be found out then": {&fakes{target: withObstacle(migrated), targetAfterErr: errors.New("no answer")}, false, []string{"Job/migrate"}},
	} {
		for way, flags := range map[string][]string{"a deploy": nil, "the step after smoke": {"--rollback-failed-smoke", "--release", "shop"}} {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				fakes := &fakes{watchErr: broken("CrashLoopBackOff"), history: live(another), target: test.fakes.target, gone: test.fakes.gone,
					targetAfter: test.fakes.targetAfter, targetAfterErr: test.fakes.targetAfterErr}
				if flags != nil {
					fakes.watchErr, fakes.history = nil, []release.Revision{{Number: 6, Status: "deployed", Mark: release.MarkFailed}, {Number: 5, Status: "superseded", Mark: release.MarkProved}}
				}
				result, log, err := fakes.run(t, flags...)
				if want := flags != nil && test.rolled; (err == nil) != want || err != nil && release.ExitCode(err) != release.ExitFailed {
					t.Errorf("got %v", err)
				}
				if rolled := slices.Contains(fakes.done, "rollback to 5"); rolled != test.rolled || rolled != (result.Outcome == release.RolledBack) {
					t.Errorf("did %v, outcome %q", fakes.done, result.Outcome)
				}
				if test.rolled {
					check(t, log, test.says...)
					return
				}
				check(t, fmt.Sprint(err), append(test.says, "OD-205")...)
				check(t, result.State, "stays as it is")
			})
		}
	}
}
