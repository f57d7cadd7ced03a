package plan

import (
	"testing"
	"time"
)

// TestExpiryOfAJob: only a Job that has ended and has a time to live is deleted by itself.
func TestExpiryOfAJob(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 7, 7, 0, time.UTC)
	for name, test := range map[string]struct {
		text string
		want time.Time
	}{
		"complete":            {"apiVersion: batch/v1\nkind: Job\nspec: {ttlSecondsAfterFinished: 60}\nstatus: {conditions: [{type: Complete, status: \"True\", lastTransitionTime: \"2026-03-04T05:06:07Z\"}]}\n", at},
		"failed":              {"apiVersion: batch/v1\nkind: Job\nspec: {ttlSecondsAfterFinished: 60}\nstatus: {conditions: [{type: Failed, status: \"True\", lastTransitionTime: \"2026-03-04T05:06:07Z\"}]}\n", at},
		"running":             {"apiVersion: batch/v1\nkind: Job\nspec: {ttlSecondsAfterFinished: 60}\n", time.Time{}},
		"it stays":            {"apiVersion: batch/v1\nkind: Job\nstatus: {conditions: [{type: Complete, status: \"True\", lastTransitionTime: \"2026-03-04T05:06:07Z\"}]}\n", time.Time{}},
		"of another API":      {"apiVersion: batch.example.org/v1\nkind: Job\nspec: {ttlSecondsAfterFinished: 60}\nstatus: {conditions: [{type: Complete, status: \"True\", lastTransitionTime: \"2026-03-04T05:06:07Z\"}]}\n", time.Time{}},
		"without a time":      {"apiVersion: batch/v1\nkind: Job\nspec: {ttlSecondsAfterFinished: 60}\nstatus: {conditions: [{type: Complete, status: \"True\"}]}\n", time.Time{}},
		"its success was met": {"apiVersion: batch/v1\nkind: Job\nspec: {ttlSecondsAfterFinished: 60}\nstatus: {conditions: [{type: SuccessCriteriaMet, status: \"True\", lastTransitionTime: \"2026-03-04T05:06:07Z\"}]}\n", time.Time{}},
	} {
		if got := expiryOf(object(t, "\n"+test.text)); !got.Equal(test.want) {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}
