package app

import (
	"bytes"
	"log"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onedigest/onedigest/internal/text"
)

// TestALineIsHeldBack: a secret that is known only after a line was printed is redacted in it.
func TestALineIsHeldBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		secrets := new(text.Secrets)
		held := &heldLines{to: newStream(&out, secrets)}
		copyLines(held, strings.NewReader("one canary-token-1\r\ntwo\n"))
		time.Sleep(captureHold / 2)
		synctest.Wait()
		if out.Len() > 0 {
			t.Errorf("shows %q at once", &out)
		}
		secrets.Add("canary-token-1")
		time.Sleep(captureHold)
		synctest.Wait()
		if got := out.String(); got != "one ***\ntwo\n" {
			t.Errorf("shows %q", got)
		}
		copyLines(held, strings.NewReader("three"))
		held.flush(0)
		if got := out.String(); !strings.HasSuffix(got, "three\n") {
			t.Errorf("shows %q in the end", got)
		}
	})
}

// TestALineOfALibraryIsShownOnce: Helm says the same of a value each time that it merges the values.
func TestALineOfALibraryIsShownOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := log.New(&differentLines{to: newStream(&out, new(text.Secrets))}, "", 0)
	for range 3 {
		logger.Print("warning: skipped value for a: Not a table.")
	}
	logger.Print("another")
	if got := out.String(); got != "warning: skipped value for a: Not a table.\nanother\n" {
		t.Errorf("shows %q", got)
	}
}

// TestASecretAtTheEndOfACutLine: the beginning of a secret that the limit of a line cuts is redacted.
func TestASecretAtTheEndOfACutLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	secrets := new(text.Secrets)
	secrets.Add("canary-token-1")
	copyLines(newStream(&out, secrets), strings.NewReader(strings.Repeat("x", maxCaptured-10)+"canary-token-1\nnext\n"))
	if got := out.String(); strings.Contains(got, "canary") || !strings.HasSuffix(got, "***…\nnext\n") {
		t.Errorf("shows …%q", got[len(got)-40:])
	}
}
