package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/onedigest/onedigest/internal/evidence/strictjson"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// listedPredicate is the document itself. Source: in-toto attestation spec, predicates/cyclonedx.md.
func listedPredicate(f fact.Fact) any { return json.RawMessage(f.SBOM.Document) }

func readListed(predicate json.RawMessage, into *fact.Fact) error {
	sbom, at, err := fact.NewSBOM(predicate)
	into.SBOM, into.At = &sbom, at
	return err
}

// ReadSBOM reads a document of another program, and its time. What EncodeFact would refuse is an error.
func ReadSBOM(document []byte) (fact.SBOM, time.Time, error) {
	if err := strictjson.Check(document); err != nil {
		return fact.SBOM{}, time.Time{}, err
	}
	return fact.NewSBOM(document)
}

// checkListed refuses what the document does not say, because a reader would not find it.
func checkListed(f fact.Fact) error {
	if f.Environment != "" || f.Commit != "" || f.By != "" || f.Run != "" || len(f.After) > 0 {
		return errors.New("an SBOM has no environment, commit or run, and names no earlier records")
	}
	if err := strictjson.Check(f.SBOM.Document); err != nil {
		return err
	}
	again, at, err := fact.NewSBOM(f.SBOM.Document)
	if err == nil && (!bytes.Equal(again.Document, f.SBOM.Document) || !at.Equal(f.At)) {
		err = errors.New("its document is not normalized, or has another time")
	}
	return err
}
