// Package planfile stores the plan of a deploy in a file, so that it can be reviewed, approved and then carried out unchanged: it writes and reads the
// file, and finds what has changed since the plan was made.
package planfile

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Format identifies the file's format and its version.
const Format = "onedigest.dev/plan/v1"

// MaxBytes is the largest file that is read, in bytes.
const MaxBytes = 16 << 20

// Plan is the plan of a dry run, with the deploy that it is for and the state that it was made against.
type Plan struct {
	MadeAt  time.Time    `json:"madeAt"`
	RunURL  string       `json:"runURL,omitempty"`
	Actor   string       `json:"actor,omitempty"`
	Subject Subject      `json:"subject"`
	Shown   release.Plan `json:"plan"`
	Against Against      `json:"against"`
}

// Subject identifies a deploy: the release, its images, its chart, and the settings that change which objects are applied.
type Subject struct {
	Environment release.Environment `json:"environment"`
	Release     string              `json:"release"`
	Namespace   string              `json:"namespace"`
	Commit      release.Commit      `json:"commit,omitempty"`
	Images      []Image             `json:"images"`
	Chart       string              `json:"chart"` // its place, for people; two places with the same content are the same chart
	ChartDigest release.Digest      `json:"chartDigest"`
	ApplyCRDs   bool                `json:"applyCRDs,omitempty"`
	PinText     bool                `json:"pinText,omitempty"`
}

// Image is one of the images that the release is pinned to.
type Image struct {
	Name      string `json:"name,omitempty"`
	Reference string `json:"image"` // REPOSITORY@DIGEST
}

// Against is the state that a plan was made against: the cluster, the release, the rendered objects and the live ones. Secret values cannot be
// guessed from it in any practical time.
type Against struct {
	Server    string                  `json:"server"`
	Namespace string                  `json:"namespaceUID,omitempty"`
	Revision  int                     `json:"revision"`
	Status    string                  `json:"status,omitempty"`
	Objects   []release.PlannedObject `json:"objects"`
	Varies    []string                `json:"varies,omitempty"`
	Salt      string                  `json:"salt"` // hex
	Values    string                  `json:"values"`
	Rendered  string                  `json:"rendered"`
	Live      string                  `json:"live"`
}

// rounds is the number of PBKDF2's iterations. They make it expensive to guess a secret value from a digest in the file: about 0.2 s for each guess.
// Source: OWASP, Password Storage Cheat Sheet, PBKDF2-HMAC-SHA256.
const rounds = 600_000

// stretch hashes a digest of secret values with PBKDF2, in hex.
func stretch(digest release.Digest, salt []byte) (string, error) {
	key, err := pbkdf2.Key(sha256.New, digest.String(), salt, rounds, sha256.Size)
	return hex.EncodeToString(key), err
}

// NewAgainst returns the state that a plan was made against in the form of the file, with a new salt.
func NewAgainst(basis release.Basis) (Against, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // it never fails
	return newAgainst(basis, salt)
}

func newAgainst(basis release.Basis, salt []byte) (Against, error) {
	a := Against{Server: basis.Server, Namespace: basis.Namespace, Revision: basis.Revision, Status: basis.Status, Objects: basis.Objects, Varies: basis.Varies, Salt: hex.EncodeToString(salt)}
	var errs [3]error
	a.Values, errs[0] = stretch(basis.Values, salt)
	a.Rendered, errs[1] = stretch(basis.Rendered, salt)
	a.Live, errs[2] = stretch(basis.Live, salt)
	return a, errors.Join(errs[:]...)
}

// envelope is the whole file: the plan, and the digest of its JSON without spaces.
type envelope struct {
	Format string          `json:"format"`
	Digest release.Digest  `json:"digest"`
	Plan   json.RawMessage `json:"content"`
}

// Encode returns the file of a plan, and the plan's digest. redact replaces the secrets in a JSON document; it is applied to plan.Shown.
func Encode(plan Plan, redact func(json string) string) ([]byte, release.Digest, error) {
	shown, err := json.Marshal(plan.Shown)
	if err != nil {
		return nil, release.Digest{}, fmt.Errorf("encoding the plan: %w", err)
	}
	plan.Shown = release.Plan{}
	if err := json.Unmarshal([]byte(redact(string(shown))), &plan.Shown); err != nil {
		return nil, release.Digest{}, fmt.Errorf("encoding the plan: %w", err)
	}
	content, err := json.Marshal(plan)
	if err != nil {
		return nil, release.Digest{}, fmt.Errorf("encoding the plan: %w", err)
	}
	digest := release.DigestOf(content)
	file, err := json.MarshalIndent(envelope{Format: Format, Digest: digest, Plan: content}, "", "  ")
	if err != nil {
		return nil, release.Digest{}, fmt.Errorf("encoding the plan: %w", err)
	}
	return append(file, '\n'), digest, nil
}

// Decode reads the file of a plan, and returns the plan's digest. A file that Encode did not write, or that was changed since, is an error; only
// the spaces between the values may differ.
func Decode(file []byte) (Plan, release.Digest, error) {
	var (
		kept envelope
		plan Plan
	)
	if len(file) > MaxBytes {
		return plan, release.Digest{}, fmt.Errorf("it has %d bytes, limit %d", len(file), MaxBytes)
	}
	if err := decodeStrict(file, &kept); err != nil {
		return plan, release.Digest{}, fmt.Errorf("it is not a plan: %w", err)
	}
	if kept.Format != Format {
		return plan, release.Digest{}, fmt.Errorf("its format is %q, and this version reads %q", kept.Format, Format)
	}
	var content bytes.Buffer
	if err := json.Compact(&content, kept.Plan); err != nil {
		return plan, release.Digest{}, fmt.Errorf("it is not a plan: %w", err)
	}
	if digest := release.DigestOf(content.Bytes()); digest != kept.Digest {
		return plan, digest, fmt.Errorf("it was changed after it was made: its content has digest %s, and it says %s", digest, kept.Digest)
	}
	if err := decodeStrict(content.Bytes(), &plan); err != nil {
		return plan, kept.Digest, fmt.Errorf("it is not a plan: %w", err)
	}
	// Programs differ in which value of a repeated key they read, so the plan that was shown could be another one than this.
	if again, err := json.Marshal(plan); err != nil || !bytes.Equal(again, content.Bytes()) {
		return plan, kept.Digest, errors.New("it is not in the form that this program writes: a key is there twice, or a value is written differently")
	}
	return plan, kept.Digest, nil
}

// decodeStrict decodes one JSON document, and refuses unknown fields.
func decodeStrict(document []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("something follows the document")
	}
	return nil
}
