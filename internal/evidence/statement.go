package evidence

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/evidence/strictjson"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/text"
)

// The kinds of statements. Those of smoke and of builds are in-toto's and SLSA's; the others have none that is more than a proposal.
const (
	// PredicateType is that of smoke. Source: in-toto attestation spec, predicates/test-result.md.
	PredicateType = "https://in-toto.io/attestation/test-result/v0.1"
	// PredicateBuilt is SLSA's provenance, in its version 1. Source: SLSA specification v1.0, provenance.
	PredicateBuilt = "https://slsa.dev/provenance/v1"
	// PredicateListed is CycloneDX's: the predicate is the document. Source: in-toto attestation spec, predicates/cyclonedx.md; cosign's name of it is
	// cyclonedx.
	PredicateListed = "https://cyclonedx.org/bom"
	// PredicateScanned is defined in docs/schemas/evidence.json.
	PredicateScanned = "https://onedigest.dev/attestation/scanned/v1"
	// PredicateDeployed is defined in docs/schemas/evidence.json.
	PredicateDeployed = "https://onedigest.dev/attestation/deployed/v1"
	// PredicatePromoted is defined in docs/schemas/evidence.json.
	PredicatePromoted = "https://onedigest.dev/attestation/promoted/v1"
	// PredicateRejected is defined in docs/schemas/evidence.json.
	PredicateRejected = "https://onedigest.dev/attestation/rejected/v1"
	// PredicateLifted is defined in docs/schemas/evidence.json.
	PredicateLifted = "https://onedigest.dev/attestation/lifted/v1"
	// PredicateOverridden is defined in docs/schemas/evidence.json.
	PredicateOverridden = "https://onedigest.dev/attestation/overridden/v1"
)

const (
	statementType = "https://in-toto.io/Statement/v1"
	// olderStatementType has the same fields. cosign attest --predicate writes it.
	olderStatementType = "https://in-toto.io/Statement/v0.1"
)

// format reads and writes the predicates of one kind.
type format struct {
	kind          fact.Kind
	predicateType string
	// predicate returns the predicate of a fact whose detail is set.
	predicate func(fact.Fact) any
	// read fills in the fact, whose image is set, from a predicate.
	read func(predicate json.RawMessage, into *fact.Fact) error
	// check refuses a detail with missing or malformed fields.
	check func(fact.Fact) error
}

// formats are those of all kinds but smoke's, which Encode and Decode have.
var formats = []format{
	{fact.Built, PredicateBuilt, builtPredicate, readBuilt, checkBuilt},
	{fact.Listed, PredicateListed, listedPredicate, readListed, checkListed},
	{fact.Scanned, PredicateScanned, scannedPredicate, readScanned, checkScanned},
	{fact.Deployed, PredicateDeployed, deployedPredicate, readDeployed, checkDeployed},
	{fact.Promoted, PredicatePromoted, promotedPredicate, readPromoted, checkPromoted},
	{fact.Rejected, PredicateRejected, rejectedPredicate, readRejected, checkRejected},
	{fact.Lifted, PredicateLifted, liftedPredicate, readLifted, checkLifted},
	{fact.Overridden, PredicateOverridden, overriddenPredicate, readOverridden, checkOverridden},
}

// TypeOf returns the predicate type of a kind; "" if there is none.
func TypeOf(kind fact.Kind) string {
	if kind == fact.Smoked {
		return PredicateType
	}
	for _, each := range formats {
		if each.kind == kind {
			return each.predicateType
		}
	}
	return ""
}

// KindOf returns the kind of a predicate type; false if it is another program's.
func KindOf(predicateType string) (fact.Kind, bool) {
	if predicateType == PredicateType {
		return fact.Smoked, true
	}
	for _, each := range formats {
		if each.predicateType == predicateType {
			return each.kind, true
		}
	}
	return "", false
}

// EncodeFact writes a fact as a statement about its image's digest, of at most Limit bytes, or LimitListed if it is an SBOM. The same fact gives the same bytes. A fact with missing
// or malformed fields is an error.
func EncodeFact(f fact.Fact) ([]byte, error) {
	if f.Kind == fact.Smoked && f.Smoke != nil {
		return Encode(*f.Smoke)
	}
	for _, each := range formats {
		if each.kind != f.Kind {
			continue
		}
		err := checkFact(f, each)
		if err == nil {
			var encoded []byte
			if encoded, err = encodeStatement(f.Image, each.predicateType, each.predicate(f)); err == nil {
				return encoded, nil
			}
		}
		return nil, fmt.Errorf("writing the fact %q: %w", f.Kind, err)
	}
	return nil, fmt.Errorf("writing a fact: %s is not a kind with its details", quote(string(f.Kind)))
}

// DecodeFact reads a statement of any kind. A statement that is ambiguous is an error: more than one subject, a field twice, anything after the
// statement. Unknown fields are ignored, as the specification demands. Source: in-toto attestation spec, v1/README.md, "Parsing Rules".
func DecodeFact(encoded []byte) (fact.Fact, error) {
	read, err := decodeFact(encoded)
	if err != nil {
		return fact.Fact{}, fmt.Errorf("reading a fact: %w", err)
	}
	return read, nil
}

// decodeFact is DecodeFact without the context that it adds to errors.
func decodeFact(encoded []byte) (fact.Fact, error) {
	parsed, err := parseStatement(encoded)
	if err != nil {
		return fact.Fact{}, err
	}
	if parsed.PredicateType == PredicateType {
		smoked, err := decodeSmoked(parsed)
		if err != nil {
			return fact.Fact{}, err
		}
		return fact.FromEvidence(smoked), nil
	}
	for _, each := range formats {
		if each.predicateType != parsed.PredicateType {
			continue
		}
		read := fact.Fact{Kind: each.kind}
		if read.Image, err = parsed.subject(); err != nil {
			return fact.Fact{}, err
		}
		if len(parsed.Predicate) == 0 || string(parsed.Predicate) == "null" {
			return fact.Fact{}, errors.New("it has no predicate")
		}
		if err := each.read(parsed.Predicate, &read); err != nil {
			return fact.Fact{}, err
		}
		if err := checkFact(read, each); err != nil {
			return fact.Fact{}, err
		}
		return read, nil
	}
	return fact.Fact{}, fmt.Errorf("predicate %s is not one of a fact", quote(parsed.PredicateType))
}

// statement is Statement v1. Source: in-toto attestation spec, v1/statement.md.
type statement struct {
	Type          string          `json:"_type"`
	Subject       []descriptor    `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// descriptor is ResourceDescriptor. Source: in-toto attestation spec, v1/resource_descriptor.md.
type descriptor struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

func encodeStatement(image release.Image, predicateType string, predicate any) ([]byte, error) {
	content, err := json.Marshal(predicate)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(statement{
		Type:          statementType,
		Subject:       []descriptor{{Name: image.Repository.String(), Digest: sha256Of(image.Digest)}},
		PredicateType: predicateType,
		Predicate:     content,
	})
	if err == nil {
		err = checkLength(encoded, predicateType)
	}
	return encoded, err
}

// checkLength refuses a statement that is longer than those of its type may be.
func checkLength(encoded []byte, predicateType string) error {
	limit := Limit
	if predicateType == PredicateListed {
		limit = LimitListed
	}
	if len(encoded) > limit {
		return fmt.Errorf("it is %d bytes long, limit %d", len(encoded), limit)
	}
	return nil
}

// parseStatement parses an in-toto statement with one subject.
func parseStatement(encoded []byte) (statement, error) {
	if err := checkLength(encoded, PredicateListed); err != nil { // the largest
		return statement{}, err
	}
	var parsed statement
	malformed := strictjson.Decode(encoded, &parsed)
	if err := cmp.Or(checkLength(encoded, parsed.PredicateType), malformed); err != nil {
		return statement{}, err
	}
	switch {
	case parsed.Type != statementType && parsed.Type != olderStatementType:
		return statement{}, fmt.Errorf("%s is not %s", quote(parsed.Type), statementType)
	case len(parsed.Subject) != 1:
		return statement{}, fmt.Errorf("it has %d subjects, want one", len(parsed.Subject))
	}
	return parsed, nil
}

// subject returns the image that the statement is about.
func (s statement) subject() (release.Image, error) {
	digest, err := digestOf(s.Subject[0])
	if err != nil {
		return release.Image{}, fmt.Errorf("subject: %w", err)
	}
	return release.Repository(s.Subject[0].Name).At(digest), nil
}

func sha256Of(digest release.Digest) map[string]string {
	return map[string]string{"sha256": digest.String()[len("sha256:"):]}
}

// digestOf reads a descriptor's digest, which must be there.
func digestOf(described descriptor) (release.Digest, error) {
	return release.ParseDigest("sha256:" + described.Digest["sha256"])
}

// described describes content by its digest; nil for none.
func described(name string, digest release.Digest) *descriptor {
	if digest.IsZero() {
		return nil
	}
	return &descriptor{Name: name, Digest: sha256Of(digest)}
}

// optionalDigest reads the digest of a descriptor that may be absent.
func optionalDigest(what string, from *descriptor) (release.Digest, error) {
	if from == nil {
		return release.Digest{}, nil
	}
	digest, err := digestOf(*from)
	if err != nil {
		return digest, fmt.Errorf("%s: %w", what, err)
	}
	return digest, nil
}

// run says in a predicate of ours who wrote it and when.
type run struct {
	By    string           `json:"by,omitempty"`
	Run   string           `json:"run,omitempty"`
	At    time.Time        `json:"at"`
	After []release.Digest `json:"after,omitempty"`
}

func runOf(f fact.Fact) run { return run{By: f.By, Run: f.Run, At: f.At.UTC(), After: f.After} }

func (r run) addTo(f *fact.Fact) { f.By, f.Run, f.At, f.After = r.By, r.Run, r.At, r.After }

// checkFact refuses a fact with missing or malformed fields, or with another detail than its kind's.
func checkFact(f fact.Fact, of format) error {
	if err := checkDetails(f); err != nil {
		return err
	}
	if f.Image.Digest.IsZero() {
		return errors.New("it names no digest")
	}
	if _, err := release.ParseRepository(f.Image.Repository.String()); err != nil {
		return err
	}
	if err := checkCommit(f.Commit); err != nil {
		return err
	}
	if f.Environment != "" {
		if _, err := release.ParseEnvironment(f.Environment.String()); err != nil {
			return fmt.Errorf("environment: %w", err)
		}
	}
	if len(f.After) > maxList || slices.ContainsFunc(f.After, release.Digest.IsZero) {
		return fmt.Errorf("it names more than %d earlier records, or one without a digest", maxList)
	}
	if err := checkTexts(f.By, f.Run); err != nil {
		return err
	}
	if err := of.check(f); err != nil {
		return err
	}
	return checkTime(f.At, f.SBOM != nil || f.Build != nil && f.Build.Type != fact.BuildType)
}

// checkDetails refuses a fact without exactly the detail of its kind.
func checkDetails(f fact.Fact) error {
	set := map[fact.Kind]bool{fact.Built: f.Build != nil, fact.Listed: f.SBOM != nil, fact.Scanned: f.Scan != nil, fact.Deployed: f.Deployment != nil, fact.Smoked: f.Smoke != nil, fact.Promoted: f.Promotion != nil, fact.Rejected: f.Rejection != nil,
		fact.Lifted: f.Lift != nil, fact.Overridden: f.Override != nil}
	for kind, isSet := range set {
		if isSet != (kind == f.Kind) {
			return fmt.Errorf("a record of kind %q must have the details of that kind and no others", f.Kind)
		}
	}
	return nil
}

func checkCommit(commit release.Commit) error {
	if commit == "" {
		return nil
	}
	_, err := release.ParseCommit(commit.String())
	return err
}

// checkTime refuses a time that RFC 3339 cannot express, and no time unless it may be unknown.
func checkTime(at time.Time, mayBeUnknown bool) error {
	if at.IsZero() && !mayBeUnknown {
		return errors.New("it names no time")
	}
	if _, err := at.MarshalJSON(); err != nil {
		return fmt.Errorf("time %s: %w", at.Format(time.RFC3339), err)
	}
	return nil
}

// checkTexts refuses text that is too long or not printable.
func checkTexts(texts ...string) error {
	for _, each := range texts {
		if len(each) > maxString || !text.IsPrintable(each) {
			return fmt.Errorf("%s is longer than %d bytes or not printable", quote(each), maxString)
		}
	}
	return nil
}

// needs refuses fields that are empty.
func needs(fields map[string]string) error {
	var missing []string
	for name, value := range fields {
		if value == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("it lacks %s", missing)
	}
	return nil
}
