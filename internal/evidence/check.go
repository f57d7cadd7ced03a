package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onedigest/onedigest/internal/release"
)

// Limits of what evidence holds.
const (
	maxList   = 1000 // checks or pods
	maxString = 2048 // bytes
	maxRounds = 1_000_000
	maxDepth  = 32 // of objects and lists in one another
)

// check holds evidence to the rules of its words, on the way out as on the way in.
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
		return fmt.Errorf("%q is not a verdict", clip(string(evidence.Verdict)))
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
	if len(evidence.Checks) > maxList || len(evidence.Pods) > maxList {
		return fmt.Errorf("it names %d checks and %d pods, limit %d", len(evidence.Checks), len(evidence.Pods), maxList)
	}
	for _, list := range [][]string{evidence.Checks, evidence.Pods, {evidence.URL, evidence.Run}} {
		for _, text := range list {
			if len(text) > maxString || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
				return fmt.Errorf("%q is longer than %d bytes or not printable", clip(text), maxString)
			}
		}
	}
	return nil
}

// unambiguous refuses text that two readers could take differently: a field that an object has twice (in any letter
// case, for encoding/json takes any), or something after the statement. It also bounds the depth.
func unambiguous(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := walk(decoder, 0); err != nil {
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

func walk(decoder *json.Decoder, depth int) error {
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
			folded := fold(fmt.Sprint(name))
			if names[folded] {
				return fmt.Errorf("field %q is there twice", clip(folded))
			}
			names[folded] = true
		}
		if err := walk(decoder, depth+1); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// fold is the same for all spellings that encoding/json takes for one field: simple case folding, by which "ſ" is "s".
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// clip keeps an error message short.
func clip(text string) string {
	if runes := []rune(text); len(runes) > 100 {
		return string(runes[:100]) + "…"
	}
	return text
}
