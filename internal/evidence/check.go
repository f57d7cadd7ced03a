package evidence

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Limits of a statement.
const (
	maxList   = 1000 // checks or pods
	maxString = 2048 // bytes
	maxTarget = 500  // bytes of each part of a target
	maxRounds = 1_000_000
)

// check refuses evidence with missing or malformed fields. Encode and Decode both call it.
func check(evidence release.Evidence) error {
	if evidence.Image.Digest.IsZero() {
		return errors.New("it names no digest")
	}
	if _, err := release.ParseRepository(evidence.Image.Repository.String()); err != nil {
		return err
	}
	if _, err := release.ParseEnvironment(evidence.Environment.String()); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	if err := checkTarget(evidence.Target); err != nil {
		return err
	}
	if evidence.Commit != "" {
		if _, err := release.ParseCommit(evidence.Commit.String()); err != nil {
			return err
		}
	}
	switch evidence.Verdict {
	case release.Pass, release.Fail, release.Inconclusive:
	default:
		return fmt.Errorf("%s is not a verdict", quote(string(evidence.Verdict)))
	}
	switch {
	case evidence.Rounds < 0 || evidence.Rounds > maxRounds:
		return fmt.Errorf("%d is not a number of rounds", evidence.Rounds)
	case evidence.Verdict == release.Pass && len(evidence.Failed) > 0:
		return fmt.Errorf("it is a pass, and names failed checks: %s", quote(strings.Join(evidence.Failed, ", ")))
	case evidence.At.IsZero():
		return errors.New("it names no time")
	}
	if _, err := evidence.At.MarshalJSON(); err != nil {
		return fmt.Errorf("time %s: %w", evidence.At.Format(time.RFC3339), err)
	}
	return checkLimits(evidence)
}

// checkTarget refuses a target that lacks a part, or whose parts are not printable, too long, or have the character that separates them in an annotation.
func checkTarget(target release.Target) error {
	if target.IsZero() {
		return nil
	}
	for _, part := range []string{target.Cluster, target.Server, target.Namespace, target.Release} {
		if len(part) > maxTarget || !text.IsPrintable(part) || strings.Contains(part, "|") {
			return fmt.Errorf("target: %s is longer than %d bytes, not printable or has a |", quote(part), maxTarget)
		}
	}
	if err := needs(map[string]string{"cluster": target.Cluster, "namespace": target.Namespace, "release": target.Release}); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	return nil
}

// checkLimits refuses evidence with too many checks, pods or earlier records, and with text that is too long or not printable.
func checkLimits(evidence release.Evidence) error {
	if len(evidence.Checks) > maxList || len(evidence.Failed) > maxList || len(evidence.Pods) > maxList || len(evidence.After) > maxList {
		return fmt.Errorf("it names %d checks, %d pods and %d records, limit %d", len(evidence.Checks), len(evidence.Pods), len(evidence.After), maxList)
	}
	if slices.ContainsFunc(evidence.After, release.Digest.IsZero) {
		return errors.New("it names a record without a digest")
	}
	for _, list := range [][]string{evidence.Checks, evidence.Failed, evidence.Pods, {evidence.URL, evidence.Run}} {
		for _, s := range list {
			if len(s) > maxString || !text.IsPrintable(s) {
				return fmt.Errorf("%s is longer than %d bytes or not printable", quote(s), maxString)
			}
		}
	}
	return nil
}

// quote quotes at most 100 bytes of a text for an error message.
func quote(s string) string { return strconv.Quote(text.Truncate(s, 100)) }
