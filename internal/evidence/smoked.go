// Package evidence encodes and decodes what is known about an image, such as the result of a smoke run, as in-toto statements. It uses no network
// and makes no signature: an envelope signs the bytes of Encode and EncodeFact, with MediaType as its payload type (DSSE, "payloadType").
package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/text"
)

const (
	// ArtifactType marks evidence among the referrers of an image. It is not in-toto's, so that statements of other tools
	// are neither read nor counted.
	ArtifactType = "application/vnd.onedigest.evidence.v1+json"
	// MediaType is that of an in-toto statement. Source: in-toto attestation spec v1, envelope.md.
	MediaType = "application/vnd.in-toto+json"
	// AnnotationFact is on the manifest of every record but smoke's: its kind.
	AnnotationFact = "onedigest.dev/fact"
	// AnnotationEnvironment is on the manifest of a record, so that the registry's list of referrers shows which ones to read. The
	// statement decides.
	AnnotationEnvironment = "onedigest.dev/environment"
	// AnnotationVerdict is on the manifest too.
	AnnotationVerdict = "onedigest.dev/verdict"
	// AnnotationTarget is on the manifest of a verdict that names its target (EncodeTarget).
	AnnotationTarget = "onedigest.dev/target"

	// Limit is the largest statement but for SBOMs, in bytes.
	Limit = 256 << 10
	// LimitListed is the largest statement with an SBOM, in bytes: the document, the subject and the types.
	LimitListed = fact.MaxSBOM + 8<<10
)

// The results of the predicate. It has none for an inconclusive run: that is FAILED for every reader, and the verdict in
// our extension says which of the two.
const (
	passed = "PASSED"
	failed = "FAILED"
)

// predicate is test-result v0.1. What it has no field for is in one extension field with our name. The spec's parsing rules
// allow that in every object (spec/v1/README.md, "Extension fields"), and a reader may ignore it: promote refuses evidence
// without it. The annotations of the configuration are no place for it, since the time, the pods and the address are not
// configuration.
type predicate struct {
	Result        string       `json:"result"`
	Configuration []descriptor `json:"configuration"`
	URL           string       `json:"url,omitempty"` // of the run that tested
	PassedTests   []string     `json:"passedTests,omitempty"`
	FailedTests   []string     `json:"failedTests,omitempty"`
	Observed      *observed    `json:"onedigest"`
}

// observed is the result of the smoke run.
type observed struct {
	Environment release.Environment `json:"environment"`
	Target      *release.Target     `json:"target,omitempty"`
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
		// Those of a failure are left out: a check that was answered in one round may not have been in another.
		result, passedTests = passed, evidence.Checks
	}
	encoded, err := encodeStatement(evidence.Image, PredicateType, predicate{
		Result:        result,
		Configuration: configuration(evidence),
		URL:           evidence.Run,
		PassedTests:   passedTests,
		FailedTests:   evidence.Failed,
		Observed: &observed{
			Environment: evidence.Environment, Target: targetOf(evidence), Commit: evidence.Commit, Verdict: evidence.Verdict,
			Checks: notNil(evidence.Checks), Rounds: evidence.Rounds, Pods: notNil(evidence.Pods), URL: evidence.URL,
			At: evidence.At.UTC(), After: evidence.After,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("writing evidence: %w", err)
	}
	return encoded, nil
}

// targetOf returns the target of evidence; nil if it names none.
func targetOf(evidence release.Evidence) *release.Target {
	if evidence.Target.IsZero() {
		return nil
	}
	return &evidence.Target
}

// EncodeTarget writes a target as an annotation; "" if there is none.
func EncodeTarget(target release.Target) string {
	if target.IsZero() {
		return ""
	}
	return strings.Join([]string{target.Cluster, target.Server, target.Namespace, target.Release}, "|")
}

// DecodeTarget reads what EncodeTarget wrote; zero if it is something else.
func DecodeTarget(annotation string) release.Target {
	fields := strings.Split(annotation, "|")
	if len(fields) != 4 || len(annotation) > maxString || !text.IsPrintable(annotation) {
		return release.Target{}
	}
	target := release.Target{Cluster: fields[0], Server: fields[1], Namespace: fields[2], Release: fields[3]}
	if checkTarget(target) != nil {
		return release.Target{}
	}
	return target
}

// notNil makes an empty list encode as [] instead of null.
func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
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
	parsed, err := parseStatement(encoded)
	var evidence release.Evidence
	if err == nil {
		evidence, err = decodeSmoked(parsed)
	}
	if err != nil {
		return release.Evidence{}, fmt.Errorf("reading evidence: %w", err)
	}
	return evidence, nil
}

// decodeSmoked reads the predicate and checks the consistency of its fields.
func decodeSmoked(parsed statement) (release.Evidence, error) {
	if parsed.PredicateType != PredicateType {
		return release.Evidence{}, fmt.Errorf("predicate %s is not %s", quote(parsed.PredicateType), PredicateType)
	}
	var read predicate
	if len(parsed.Predicate) > 0 {
		if err := json.Unmarshal(parsed.Predicate, &read); err != nil {
			return release.Evidence{}, err
		}
	}
	if read.Observed == nil {
		return release.Evidence{}, errors.New(`it has no field predicate.onedigest`)
	}
	image, err := parsed.subject()
	if err != nil {
		return release.Evidence{}, err
	}
	evidence, err := newEvidence(image, read)
	if err != nil {
		return release.Evidence{}, err
	}
	if err := checkConsistent(read, evidence); err != nil {
		return release.Evidence{}, err
	}
	return evidence, check(evidence)
}

// newEvidence takes the subject's image and the fields of our extension.
func newEvidence(image release.Image, predicate predicate) (release.Evidence, error) {
	checks, err := checkSet(predicate.Configuration)
	if err != nil {
		return release.Evidence{}, err
	}
	observed := predicate.Observed
	var target release.Target
	if observed.Target != nil {
		if target = *observed.Target; target.IsZero() {
			return release.Evidence{}, errors.New("its target is empty")
		}
	}
	return release.Evidence{
		Image:       image,
		Target:      target,
		Commit:      observed.Commit,
		Environment: observed.Environment,
		Verdict:     observed.Verdict,
		Checks:      observed.Checks,
		CheckSet:    checks,
		Failed:      predicate.FailedTests,
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
