package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

// Limits of a statement.
const (
	maxList   = 1000 // checks or pods
	maxString = 2048 // bytes
	maxRounds = 1_000_000
	maxDepth  = 32 // of nested objects and lists
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
	case evidence.At.IsZero():
		return errors.New("it names no time")
	}
	if _, err := evidence.At.MarshalJSON(); err != nil {
		return fmt.Errorf("time %s: %w", evidence.At.Format(time.RFC3339), err)
	}
	return checkStrings(evidence)
}

func checkStrings(evidence release.Evidence) error {
	if len(evidence.Checks) > maxList || len(evidence.Pods) > maxList || len(evidence.After) > maxList {
		return fmt.Errorf("it names %d checks, %d pods and %d records, limit %d", len(evidence.Checks), len(evidence.Pods), len(evidence.After), maxList)
	}
	if slices.ContainsFunc(evidence.After, release.Digest.IsZero) {
		return errors.New("it names a record without a digest")
	}
	for _, list := range [][]string{evidence.Checks, evidence.Pods, {evidence.URL, evidence.Run}} {
		for _, s := range list {
			if len(s) > maxString || !text.IsPrintable(s) {
				return fmt.Errorf("%s is longer than %d bytes or not printable", quote(s), maxString)
			}
		}
	}
	return nil
}

// checkUnambiguous refuses JSON that two readers could read differently: an object with the same field twice (in any letter case,
// because encoding/json ignores case), or text after the statement. It also limits the depth.
func checkUnambiguous(encoded []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	if err := checkValue(decoder, 0); err != nil {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the statement")
	}
	return nil
}

// checkValue reads one JSON value and all values inside.
func checkValue(decoder *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is more than %d levels deep", maxDepth)
	}
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	opening, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	names := map[string]bool{}
	for decoder.More() {
		if opening == '{' {
			name, err := decoder.Token()
			if err != nil {
				return err
			}
			folded := foldCase(fmt.Sprint(name))
			if names[folded] {
				return fmt.Errorf("field %s is there twice", quote(folded))
			}
			names[folded] = true
		}
		if err := checkValue(decoder, depth+1); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// foldCase maps all spellings that encoding/json accepts for a field to the same text: by simple case folding, which makes "ſ" an
// "s".
func foldCase(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// quote quotes at most 100 bytes of a text for an error message.
func quote(s string) string { return strconv.Quote(text.Truncate(s, 100)) }
