package app

import (
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

func TestStepLineSaysWhatIsStillWaitedFor(t *testing.T) {
	t.Parallel()
	step := release.RolloutStep{At: 30100 * time.Millisecond, Object: release.Object{Kind: "Deployment", Name: "shop"}, Ready: 0, Desired: 2, Again: true}
	if got, want := stepLine(step), "  30.1s  waiting: Deployment/shop  0/2 ready"; got != want {
		t.Errorf("line: %q, want %q", got, want)
	}
}
