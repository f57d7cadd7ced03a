package release

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"regexp"
	"strings"
)

// Digest is the identity of an image: the sha256 of its manifest's bytes. The zero value stands for no digest.
// Source: OCI image-spec, descriptor.md, "Digests".
type Digest struct{ hex string }

var hexPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ParseDigest accepts "sha256:" and 64 lower-case hex digits. For other text the error says what is wrong: the algorithm, the
// length, or upper case.
func ParseDigest(text string) (Digest, error) {
	algorithm, hex, found := strings.Cut(text, ":")
	switch {
	case !found:
		return Digest{}, fmt.Errorf("%q is not a digest (sha256: and 64 hex digits)", text)
	case algorithm != "sha256":
		return Digest{}, fmt.Errorf("digest %q: algorithm %q is not supported, only sha256", text, algorithm)
	case len(hex) != 64:
		return Digest{}, fmt.Errorf("digest %q has %d hex digits, want 64", text, len(hex))
	case strings.ToLower(hex) != hex:
		return Digest{}, fmt.Errorf("digest %q has upper-case hex digits; a digest is lower-case", text)
	case !hexPattern.MatchString(hex):
		return Digest{}, fmt.Errorf("digest %q has characters that are not hex digits", text)
	}
	return Digest{hex: hex}, nil
}

// DigestOf returns the digest of content.
func DigestOf(content []byte) Digest {
	return Digest{hex: fmt.Sprintf("%x", sha256.Sum256(content))}
}

// DigestOfSum returns the digest of what was written to a SHA-256 hash.
func DigestOfSum(sum hash.Hash) Digest {
	return Digest{hex: fmt.Sprintf("%x", sum.Sum(nil))}
}

// String returns "sha256:…", or "" for the zero value.
func (d Digest) String() string {
	if d.hex == "" {
		return ""
	}
	return "sha256:" + d.hex
}

// Short returns "sha256:" and 12 digits, for display only.
func (d Digest) Short() string {
	if d.hex == "" {
		return ""
	}
	return "sha256:" + d.hex[:12]
}

// IsZero reports whether this is the zero value, no digest.
func (d Digest) IsZero() bool { return d.hex == "" }

// MarshalText encodes a digest as its string, also in JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText accepts what ParseDigest accepts, and "" for the zero value.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Digest{}
		return nil
	}
	parsed, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
