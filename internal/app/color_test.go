package app

import (
	"os"
	"strings"
	"testing"
)

func TestPaint(t *testing.T) {
	t.Parallel()
	for _, line := range []printable{"verdict: pass after 3 rounds", "warning: a pod restarted", "building"} {
		if got := paintLine(false, line); got != line {
			t.Errorf("without colours %q becomes %q", line, got)
		}
	}
	if got := paintLine(true, "verdict: pass after 3 rounds"); !strings.Contains(string(got), "\x1b[32;1mpass\x1b[") || !strings.HasSuffix(string(got), " after 3 rounds") {
		t.Errorf("got %q", got)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if useColor(newStream(file, nil), func(string) string { return "" }) {
		t.Error("a file is coloured")
	}
}
