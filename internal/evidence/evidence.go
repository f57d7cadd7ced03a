// Package evidence writes and reads what a smoke run proved, as an in-toto statement. It knows no network and no
// signature: a later envelope signs the bytes that Encode gives, with MediaType as its payload type (DSSE, "payloadType").
package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	// ArtifactType marks evidence among the other things attached to an image. It is our own, and not in-toto's, so that
	// statements of other tools are neither read nor counted.
	ArtifactType = "application/vnd.onedigest.evidence.v1+json"
	// MediaType is that of an in-toto statement. Source: in-toto attestation spec v1, envelope.md.
	MediaType = "application/vnd.in-toto+json"
	// PredicateType says what the statement states. Source: in-toto attestation spec, predicates/test-result.md.
	PredicateType = "https://in-toto.io/attestation/test-result/v0.1"

	statementType = "https://in-toto.io/Statement/v1"

	// Limit is the largest statement, in bytes.
	Limit = 256 << 10
)

// The results of the predicate. It has none for a question that could not be put: that is FAILED for every reader, and
// the verdict beside it says which.
const (
	passed = "PASSED"
	failed = "FAILED"
)

// statement is the in-toto attestation spec's Statement v1.
type statement struct {
	Type          string       `json:"_type"`
	Subject       []descriptor `json:"subject"`
	PredicateType string       `json:"predicateType"`
	Predicate     *predicate   `json:"predicate"`
}

// descriptor is its ResourceDescriptor.
type descriptor struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"`
}

// predicate is test-result v0.1. What it has no field for is in one extension field of our own name, which the spec's
// parsing rules allow in every object (spec/v1/README.md, "Extension fields") and which a reader may ignore safely:
// without it, promote refuses. Annotations of the configuration would be the other place, but the time, the pods and
// the address are not configuration.
type predicate struct {
	Result        string       `json:"result"`
	Configuration []descriptor `json:"configuration"`
	URL           string       `json:"url,omitempty"` // of the run that tested
	PassedTests   []string     `json:"passedTests,omitempty"`
	Observed      *observed    `json:"onedigest"`
}

// observed is what the smoke run saw.
type observed struct {
	Environment release.Environment `json:"environment"`
	Commit      release.Commit      `json:"commit,omitempty"`
	Verdict     release.Verdict     `json:"verdict"`
	Checks      []string            `json:"checks"`
	Rounds      int                 `json:"rounds"`
	Pods        []string            `json:"pods"`
	URL         string              `json:"url"`
	At          time.Time           `json:"at"`
}

// Encode writes evidence as a statement about its image's digest. The same evidence gives the same bytes.
func Encode(evidence release.Evidence) ([]byte, error) {
	if err := check(evidence); err != nil {
		return nil, fmt.Errorf("writing evidence: %w", err)
	}
	result, passedTests := failed, []string(nil)
	if evidence.Verdict == release.Pass {
		// The names of failed tests are left out: the evidence does not say which of the checks failed.
		result, passedTests = passed, evidence.Checks
	}
	text, err := json.Marshal(statement{
		Type:          statementType,
		Subject:       []descriptor{{Name: evidence.Image.Repository.String(), Digest: sha256Of(evidence.Image.Digest)}},
		PredicateType: PredicateType,
		Predicate: &predicate{
			Result:        result,
			Configuration: []descriptor{configuration(evidence.Checks)},
			URL:           evidence.Run,
			PassedTests:   passedTests,
			Observed: &observed{
				Environment: evidence.Environment, Commit: evidence.Commit, Verdict: evidence.Verdict,
				Checks: filled(evidence.Checks), Rounds: evidence.Rounds, Pods: filled(evidence.Pods), URL: evidence.URL,
				At: evidence.At.UTC(),
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("writing evidence: %w", err)
	}
	if len(text) > Limit {
		return nil, fmt.Errorf("writing evidence: it is %d bytes long, limit %d", len(text), Limit)
	}
	return text, nil
}

// filled keeps an empty list from becoming null.
func filled(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func sha256Of(digest release.Digest) map[string]string {
	return map[string]string{"sha256": digest.String()[len("sha256:"):]}
}

// configuration names the checks that ran, by a digest over their names in order, so that two runs can be compared.
func configuration(checks []string) descriptor {
	names, _ := json.Marshal(filled(checks)) // strings cannot fail
	sum := sha256.Sum256(names)
	return descriptor{Name: "checks", Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}}
}

// Decode reads a statement that Encode wrote, or that another writer of the same predicate wrote with our extension.
// It refuses what is ambiguous or contradicts itself: more than one subject, a field twice, a result that is not the
// verdict's, anything after the statement. Fields that it does not know it ignores, as the specification demands.
func Decode(text []byte) (release.Evidence, error) {
	evidence, err := decode(text)
	if err != nil {
		return release.Evidence{}, fmt.Errorf("reading evidence: %w", err)
	}
	return evidence, nil
}

func decode(text []byte) (release.Evidence, error) {
	if len(text) > Limit {
		return release.Evidence{}, fmt.Errorf("it is %d bytes long, limit %d", len(text), Limit)
	}
	if err := unambiguous(text); err != nil {
		return release.Evidence{}, err
	}
	var read statement
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&read); err != nil {
		return release.Evidence{}, err
	}
	switch {
	case read.Type != statementType:
		return release.Evidence{}, fmt.Errorf("%q is not %s", clip(read.Type), statementType)
	case read.PredicateType != PredicateType:
		return release.Evidence{}, fmt.Errorf("predicate %q is not %s", clip(read.PredicateType), PredicateType)
	case len(read.Subject) != 1:
		return release.Evidence{}, fmt.Errorf("it has %d subjects, want one", len(read.Subject))
	case read.Predicate == nil || read.Predicate.Observed == nil:
		return release.Evidence{}, errors.New(`it has no field predicate.onedigest`)
	}
	evidence, err := assemble(read.Subject[0], *read.Predicate)
	if err != nil {
		return release.Evidence{}, err
	}
	if err := consistent(*read.Predicate, evidence); err != nil {
		return release.Evidence{}, err
	}
	return evidence, check(evidence)
}

func assemble(subject descriptor, predicate predicate) (release.Evidence, error) {
	digest, err := release.ParseDigest("sha256:" + subject.Digest["sha256"])
	if err != nil {
		return release.Evidence{}, fmt.Errorf("subject: %w", err)
	}
	seen := predicate.Observed
	return release.Evidence{
		Image:       release.Repository(subject.Name).At(digest),
		Commit:      seen.Commit,
		Environment: seen.Environment,
		Verdict:     seen.Verdict,
		Checks:      seen.Checks,
		Rounds:      seen.Rounds,
		Pods:        seen.Pods,
		URL:         seen.URL,
		Run:         predicate.URL,
		At:          seen.At,
	}, nil
}

// consistent holds the predicate's own fields, which other tools go by, against ours.
func consistent(predicate predicate, evidence release.Evidence) error {
	wanted := failed
	if evidence.Verdict == release.Pass {
		wanted = passed
	}
	if predicate.Result != wanted {
		return fmt.Errorf("result %q contradicts verdict %q", clip(predicate.Result), clip(string(evidence.Verdict)))
	}
	if evidence.Verdict == release.Pass && !slices.Equal(predicate.PassedTests, evidence.Checks) {
		return errors.New("passedTests contradicts the checks")
	}
	if len(predicate.Configuration) == 0 {
		return errors.New("it has no field predicate.configuration")
	}
	return nil
}
