package text

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration writes a duration as people do: "30 days", "36 hours", "90 seconds", "1 hour 30 minutes". It is exact; less than a millisecond is written as Go does.
// Days begin at two of them, and a text that has only seconds ends below two minutes.
func Duration(d time.Duration) string {
	if d < 0 {
		return "-" + Duration(-max(d, math.MinInt64+1)) // the least has no opposite
	}
	if d > 0 && d < time.Millisecond {
		return d.String()
	}
	var parts []string
	add := func(unit time.Duration, name string) {
		if count := int64(d / unit); count > 0 {
			parts = append(parts, counted(strconv.FormatInt(count, 10), name))
			d %= unit
		}
	}
	if d >= 2*day {
		add(day, "day")
	}
	add(time.Hour, "hour")
	if len(parts) > 0 || d == time.Minute || d >= 2*time.Minute {
		add(time.Minute, "minute")
	}
	switch {
	case len(parts) == 0 && d > 0 && d < time.Second:
		parts = append(parts, strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', -1, 64)+" ms")
	case len(parts) == 0 || d > 0:
		parts = append(parts, counted(strconv.FormatFloat(d.Seconds(), 'f', -1, 64), "second"))
	}
	return strings.Join(parts, " ")
}

// Age writes how long ago something was, with the units that matter at that age: whole hours from two days, whole minutes from two hours, else whole seconds.
func Age(d time.Duration) string {
	switch {
	case d >= 2*day:
		return Duration(d.Truncate(time.Hour))
	case d >= 2*time.Hour:
		return Duration(d.Truncate(time.Minute))
	}
	return Duration(d.Round(time.Second))
}

const day = 24 * time.Hour

// counted writes a count of a unit.
func counted(count, unit string) string {
	if count != "1" {
		unit += "s"
	}
	return count + " " + unit
}
