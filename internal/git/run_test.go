package git

import "testing"

func TestErrorLinesAreSanitizedOneByOne(t *testing.T) {
	t.Parallel()
	if got, want := oneLine("hint: \x1b]unfinished\nfatal: the reason\r\n\n"), "hint:; fatal: the reason"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
