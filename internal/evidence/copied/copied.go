// Package copied encodes and decodes the statement that an image was copied from one repository into another, with its evidence. A gate at the
// target accepts evidence about the source only if such a statement, signed as the evidence must be, names both.
package copied

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/evidence/strictjson"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/text"
)

const (
	// PredicateType is the kind of the statement (docs/evidence.md).
	PredicateType = "https://onedigest.dev/attestation/copied/v1"
	// MediaType is that of an in-toto statement. Source: in-toto attestation spec v1, envelope.md.
	MediaType = "application/vnd.in-toto+json"

	statementType = "https://in-toto.io/Statement/v1"
	limit         = 16 << 10 // bytes of a statement
	maxRun        = 2048     // bytes
)

// Copy says that an image was copied.
type Copy struct {
	Digest release.Digest
	From   release.Repository
	To     release.Repository
	At     time.Time
	Run    string // URL of the run that copied it; "" if unknown
}

// statement is Statement v1 of the in-toto attestation spec, with one subject.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []subject  `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     *predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"` // the target repository
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	From release.Repository `json:"from"`
	To   release.Repository `json:"to"`
	At   time.Time          `json:"at"`
	Run  string             `json:"run,omitempty"`
}

// Encode writes the statement. A copy with missing or malformed fields is an error.
func Encode(of Copy) ([]byte, error) {
	if err := of.check(); err != nil {
		return nil, fmt.Errorf("writing the statement of a copy: %w", err)
	}
	return json.Marshal(statement{
		Type: statementType, PredicateType: PredicateType,
		Subject:   []subject{{Name: of.To.String(), Digest: map[string]string{"sha256": of.Digest.String()[len("sha256:"):]}}},
		Predicate: &predicate{From: of.From, To: of.To, At: of.At.UTC(), Run: of.Run},
	})
}

// Decode reads a statement that Encode wrote. One with several subjects, with a field twice or with a subject that is not the target is an error.
func Decode(encoded []byte) (Copy, error) {
	read, err := decode(encoded)
	if err != nil {
		return Copy{}, fmt.Errorf("reading the statement of a copy: %w", err)
	}
	return read, nil
}

// decode is Decode without the context that it adds to errors.
func decode(encoded []byte) (Copy, error) {
	if len(encoded) > limit {
		return Copy{}, fmt.Errorf("it is %d bytes long, limit %d", len(encoded), limit)
	}
	var parsed statement
	if err := strictjson.Decode(encoded, &parsed); err != nil {
		return Copy{}, err
	}
	switch {
	case parsed.Type != statementType || parsed.PredicateType != PredicateType:
		return Copy{}, fmt.Errorf("it is %.100q of %.100q", parsed.PredicateType, parsed.Type)
	case len(parsed.Subject) != 1 || parsed.Predicate == nil:
		return Copy{}, errors.New("it has not one subject and a predicate")
	case parsed.Subject[0].Name != parsed.Predicate.To.String():
		return Copy{}, errors.New("its subject is not the target")
	}
	digest, err := release.ParseDigest("sha256:" + parsed.Subject[0].Digest["sha256"])
	if err != nil {
		return Copy{}, err
	}
	read := Copy{Digest: digest, From: parsed.Predicate.From, To: parsed.Predicate.To, At: parsed.Predicate.At, Run: parsed.Predicate.Run}
	return read, read.check()
}

// check refuses a copy with missing or malformed fields.
func (c Copy) check() error {
	for _, repository := range []release.Repository{c.From, c.To} {
		if _, err := release.ParseRepository(repository.String()); err != nil {
			return err
		}
	}
	switch {
	case c.Digest.IsZero():
		return errors.New("it names no digest")
	case c.From == c.To:
		return fmt.Errorf("%q is both source and target", c.From)
	case c.At.IsZero():
		return errors.New("it names no time")
	case len(c.Run) > maxRun || !text.IsPrintable(c.Run):
		return errors.New("the run is too long or not printable")
	}
	_, err := c.At.MarshalJSON()
	return err
}

// Sources returns the repositories from which copies lead to a target, directly or over others.
func Sources(copies []Copy, digest release.Digest, target release.Repository) []release.Repository {
	var sources []release.Repository
	for reached := []release.Repository{target}; len(reached) > 0; reached = reached[1:] {
		for _, each := range copies {
			if each.Digest == digest && each.To == reached[0] && each.From != target && !slices.Contains(sources, each.From) {
				sources, reached = append(sources, each.From), append(reached, each.From)
			}
		}
	}
	return sources
}
