package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

func TestWhatIsWaitedForIsRepeatedWhileNothingChanges(t *testing.T) {
	t.Parallel()
	play(t, false, []release.Object{ofDeployment}, func(s *stage) {
		var steps []release.RolloutStep
		s.r.reporter.send = func(step release.RolloutStep) { steps = append(steps, step) }
		for time.Since(s.r.began) < 40*time.Second {
			s.evaluate()
			s.r.reporter.remind(s.last.pending)
			if err := s.r.wait(s.t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if len(steps) == 0 || steps[0].Again {
			t.Fatalf("steps: %+v, want the first to be new", steps)
		}
		var again []time.Duration
		for _, step := range steps {
			if step.Again {
				again = append(again, step.At)
			}
			if step.Object != ofDeployment || step.Done || step.Message != steps[0].Message {
				t.Errorf("step: %+v, want a repetition of %+v", step, steps[0])
			}
		}
		if diff := cmp.Diff([]time.Duration{15 * time.Second, 30 * time.Second}, again); diff != "" {
			t.Errorf("times of the reminders (-want +got):\n%s", diff)
		}
	})
}
