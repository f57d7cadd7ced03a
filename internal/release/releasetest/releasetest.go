// Package releasetest holds values of package release for tests.
package releasetest

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// Two commits.
const (
	Commit  = release.Commit("0123456789abcdef0123456789abcdef01234567")
	Another = release.Commit("89abcdef0123456789abcdef0123456789abcdef")
)

// Digest returns a digest that repeats one hex digit 64 times.
func Digest(t testing.TB, hex string) release.Digest {
	t.Helper()
	digest, err := release.ParseDigest("sha256:" + strings.Repeat(hex, 64))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// DiscardReporter is a Reporter that shows nothing.
type DiscardReporter struct{}

// Infof does nothing.
func (DiscardReporter) Infof(string, ...any) {}

// Progress does nothing.
func (DiscardReporter) Progress(string, release.Progress) {}

// Raw does nothing.
func (DiscardReporter) Raw(string) {}

// Step does nothing.
func (DiscardReporter) Step(release.RolloutStep) {}

// Group does nothing.
func (DiscardReporter) Group(string) func() { return func() {} }

// Warnf does nothing.
func (DiscardReporter) Warnf(string, ...any) {}
