package text_test

import (
	"math"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/text"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0 seconds", time.Second: "1 second", 90 * time.Second: "90 seconds", 119 * time.Second: "119 seconds", time.Minute: "1 minute", 2 * time.Minute: "2 minutes",
		150 * time.Second: "2 minutes 30 seconds", time.Hour: "1 hour", 90 * time.Minute: "1 hour 30 minutes", 3601 * time.Second: "1 hour 1 second", 3 * time.Hour: "3 hours",
		24 * time.Hour: "24 hours", 36 * time.Hour: "36 hours", 48 * time.Hour: "2 days", 720 * time.Hour: "30 days", 200 * time.Hour: "8 days 8 hours",
		1500 * time.Millisecond: "1.5 seconds", 250 * time.Millisecond: "250 ms", 1500 * time.Microsecond: "1.5 ms", 40 * time.Microsecond: "40µs", -time.Hour: "-1 hour",
		math.MinInt64: "-106751 days 23 hours 47 minutes 16.854775807 seconds",
	} {
		if got := text.Duration(d); got != want {
			t.Errorf("%d: got %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		1032*time.Hour + 31*time.Minute: "43 days", 25*time.Hour + 12*time.Minute + 3*time.Second: "25 hours 12 minutes", 61*time.Second + time.Millisecond: "61 seconds", 0: "0 seconds",
	} {
		if got := text.Age(d); got != want {
			t.Errorf("%d: got %q, want %q", d, got, want)
		}
	}
}
