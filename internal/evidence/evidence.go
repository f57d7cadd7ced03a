// Package evidence encodes and decodes the result of a smoke run as an in-toto statement. It uses no network and makes no
// signature: an envelope signs the bytes of Encode, with MediaType as its payload type (DSSE, "payloadType").
package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/evidence/strictjson"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	// ArtifactType marks evidence among the referrers of an image. It is not in-toto's, so that statements of other tools
	// are neither read nor counted.
	ArtifactType = "application/vnd.onedigest.evidence.v1+json"
	// MediaType is that of an in-toto statement. Source: in-toto attestation spec v1, envelope.md.
	MediaType = "application/vnd.in-toto+json"
	// PredicateType is the kind of the statement. Source: in-toto attestation spec, predicates/test-result.md.
	PredicateType = "https://in-toto.io/attestation/test-result/v0.1"

	statementType = "https://in-toto.io/Statement/v1"
	// olderStatementType has the same fields. cosign attest --predicate writes it.
	olderStatementType = "https://in-toto.io/Statement/v0.1"

	// AnnotationEnvironment is on the manifest of a record, so that the registry's list of referrers shows which ones to read. The
	// statement decides.
	AnnotationEnvironment = "onedigest.dev/environment"
	// AnnotationVerdict is on the manifest too.
	AnnotationVerdict = "onedigest.dev/verdict"

	// Limit is the largest statement, in bytes.
	Limit = 256 << 10
)

// The results of the predicate. It has none for an inconclusive run: that is FAILED for every reader, and the verdict in
// our extension says which of the two.
const (
	passed = "PASSED"
	failed = "FAILED"
)

// statement is Statement v1 of the in-toto attestation spec.
type statement struct {
	Type          string       `json:"_type"`
	Subject       []descriptor `json:"subject"`
	PredicateType string       `json:"predicateType"`
	Predicate     *predicate   `json:"predicate"`
}

// descriptor is ResourceDescriptor of the in-toto attestation spec.
type descriptor struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"`
}

// predicate is test-result v0.1. What it has no field for is in one extension field with our name. The spec's parsing rules
// allow that in every object (spec/v1/README.md, "Extension fields"), and a reader may ignore it: promote refuses evidence
// without it. The annotations of the configuration are no place for it, since the time, the pods and the address are not
// configuration.
type predicate struct {
	Result        string       `json:"result"`
	Configuration []descriptor `json:"configuration"`
	URL           string       `json:"url,omitempty"` // of the run that tested
	PassedTests   []string     `json:"passedTests,omitempty"`
	Observed      *observed    `json:"onedigest"`
}

// observed is the result of the smoke run.
type observed struct {
	Environment release.Environment `json:"environment"`
	Commit      release.Commit      `json:"commit,omitempty"`
	Verdict     release.Verdict     `json:"verdict"`
	Checks      []string            `json:"checks"`
	Rounds      int                 `json:"rounds"`
	Pods        []string            `json:"pods"`
	URL         string              `json:"url"`
	At          time.Time           `json:"at"`
	After       []release.Digest    `json:"after,omitempty"`
}

// Encode writes evidence as a statement about its image's digest, of at most Limit bytes. The same evidence gives the same
// bytes. Evidence with missing or malformed fields is an error.
func Encode(evidence release.Evidence) ([]byte, error) {
	if err := check(evidence); err != nil {
		return nil, fmt.Errorf("writing evidence: %w", err)
	}
	result, passedTests := failed, []string(nil)
	if evidence.Verdict == release.Pass {
		// The names of failed tests are left out: the evidence does not say which of the checks failed.
		result, passedTests = passed, evidence.Checks
	}
	encoded, err := json.Marshal(statement{
		Type:          statementType,
		Subject:       []descriptor{{Name: evidence.Image.Repository.String(), Digest: sha256Of(evidence.Image.Digest)}},
		PredicateType: PredicateType,
		Predicate: &predicate{
			Result:        result,
			Configuration: configuration(evidence),
			URL:           evidence.Run,
			PassedTests:   passedTests,
			Observed: &observed{
				Environment: evidence.Environment, Commit: evidence.Commit, Verdict: evidence.Verdict,
				Checks: notNil(evidence.Checks), Rounds: evidence.Rounds, Pods: notNil(evidence.Pods), URL: evidence.URL,
				At: evidence.At.UTC(), After: evidence.After,
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("writing evidence: %w", err)
	}
	if len(encoded) > Limit {
		return nil, fmt.Errorf("writing evidence: it is %d bytes long, limit %d", len(encoded), Limit)
	}
	return encoded, nil
}

// notNil makes an empty list encode as [] instead of null.
func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func sha256Of(digest release.Digest) map[string]string {
	return map[string]string{"sha256": digest.String()[len("sha256:"):]}
}

// The descriptors of the configuration. Records of older versions have only the first.
const (
	checkNames    = "checks"         // a digest over the checks' names in order
	checkContents = "check-contents" // a digest over everything that the checks say
)

// configuration identifies the checks that ran by a digest of their names in order, so that two runs can be compared.
func configuration(evidence release.Evidence) []descriptor {
	names, _ := json.Marshal(notNil(evidence.Checks)) // a list of strings cannot fail
	sum := sha256.Sum256(names)
	result := []descriptor{{Name: checkNames, Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}}}
	if !evidence.CheckSet.IsZero() {
		result = append(result, descriptor{Name: checkContents, Digest: sha256Of(evidence.CheckSet)})
	}
	return result
}

// checkSet reads the digest over the checks' contents; zero if the configuration has none.
func checkSet(configuration []descriptor) (found release.Digest, err error) {
	for _, each := range configuration {
		if each.Name != checkContents {
			continue
		}
		if !found.IsZero() {
			return found, fmt.Errorf("configuration names %s twice", checkContents)
		}
		if found, err = release.ParseDigest("sha256:" + each.Digest["sha256"]); err != nil {
			return found, fmt.Errorf("%s: %w", checkContents, err)
		}
	}
	return found, nil
}

// Decode reads a statement that Encode wrote, or that another writer of the same predicate wrote with our extension. A
// statement that is ambiguous or contradicts itself is an error: more than one subject, a field twice, a result that does not
// match the verdict, anything after the statement. Unknown fields are ignored, as the specification demands.
func Decode(encoded []byte) (release.Evidence, error) {
	evidence, err := decode(encoded)
	if err != nil {
		return release.Evidence{}, fmt.Errorf("reading evidence: %w", err)
	}
	return evidence, nil
}

// decode parses an in-toto statement and checks its types, its single subject and the consistency of its fields.
func decode(encoded []byte) (release.Evidence, error) {
	if len(encoded) > Limit {
		return release.Evidence{}, fmt.Errorf("it is %d bytes long, limit %d", len(encoded), Limit)
	}
	var parsed statement
	if err := strictjson.Decode(encoded, &parsed); err != nil {
		return release.Evidence{}, err
	}
	switch {
	case parsed.Type != statementType && parsed.Type != olderStatementType:
		return release.Evidence{}, fmt.Errorf("%s is not %s", quote(parsed.Type), statementType)
	case parsed.PredicateType != PredicateType:
		return release.Evidence{}, fmt.Errorf("predicate %s is not %s", quote(parsed.PredicateType), PredicateType)
	case len(parsed.Subject) != 1:
		return release.Evidence{}, fmt.Errorf("it has %d subjects, want one", len(parsed.Subject))
	case parsed.Predicate == nil || parsed.Predicate.Observed == nil:
		return release.Evidence{}, errors.New(`it has no field predicate.onedigest`)
	}
	evidence, err := newEvidence(parsed.Subject[0], *parsed.Predicate)
	if err != nil {
		return release.Evidence{}, err
	}
	if err := checkConsistent(*parsed.Predicate, evidence); err != nil {
		return release.Evidence{}, err
	}
	return evidence, check(evidence)
}

// newEvidence takes the subject's image and the fields of our extension.
func newEvidence(subject descriptor, predicate predicate) (release.Evidence, error) {
	digest, err := release.ParseDigest("sha256:" + subject.Digest["sha256"])
	if err != nil {
		return release.Evidence{}, fmt.Errorf("subject: %w", err)
	}
	checks, err := checkSet(predicate.Configuration)
	if err != nil {
		return release.Evidence{}, err
	}
	observed := predicate.Observed
	return release.Evidence{
		Image:       release.Repository(subject.Name).At(digest),
		Commit:      observed.Commit,
		Environment: observed.Environment,
		Verdict:     observed.Verdict,
		Checks:      observed.Checks,
		CheckSet:    checks,
		Rounds:      observed.Rounds,
		Pods:        observed.Pods,
		URL:         observed.URL,
		Run:         predicate.URL,
		At:          observed.At,
		After:       observed.After,
	}, nil
}

// checkConsistent compares the predicate's own fields, which other tools read, with our extension.
func checkConsistent(predicate predicate, evidence release.Evidence) error {
	wanted := failed
	if evidence.Verdict == release.Pass {
		wanted = passed
	}
	if predicate.Result != wanted {
		return fmt.Errorf("result %s contradicts verdict %s", quote(predicate.Result), quote(string(evidence.Verdict)))
	}
	if evidence.Verdict == release.Pass && !slices.Equal(predicate.PassedTests, evidence.Checks) {
		return errors.New("passedTests contradicts the checks")
	}
	if len(predicate.Configuration) == 0 {
		return errors.New("it has no field predicate.configuration")
	}
	return nil
}
