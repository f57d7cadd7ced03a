package release

import "testing"

func TestCountsHaveTheRightNumber(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{"1 check": Count(1, "check"), "0 checks": Count(0, "check"), "2 checks": Count(2, "check"), "1 pod runs": PodsRun(1), "3 pods run": PodsRun(3)} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
