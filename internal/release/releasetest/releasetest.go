// Package releasetest makes the domain's values for tests.
package releasetest

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

// Commit is a commit, and Another is another.
const (
	Commit  = release.Commit("0123456789abcdef0123456789abcdef01234567")
	Another = release.Commit("89abcdef0123456789abcdef0123456789abcdef")
)

// Digest is the digest of 64 times one hex digit.
func Digest(t testing.TB, hex string) release.Digest {
	t.Helper()
	digest, err := release.ParseDigest("sha256:" + strings.Repeat(hex, 64))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// DiscardReporter is an account that nobody reads.
type DiscardReporter struct{}

// Say says nothing.
func (DiscardReporter) Infof(string, ...any) {}

// Progress shows nothing.
func (DiscardReporter) Progress(string, release.Progress) {}

// Untrusted shows nothing.
func (DiscardReporter) Raw(string) {}

// Step tells nothing.
func (DiscardReporter) Step(release.RolloutStep) {}

// Group opens nothing.
func (DiscardReporter) Group(string) func() { return func() {} }

// Warn warns of nothing.
func (DiscardReporter) Warnf(string, ...any) {}
