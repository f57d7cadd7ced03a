// Package release holds the words of the pipeline and their rules: what a commit, a digest, an environment and an
// outcome are, and what may follow what. It knows no network, no cluster and no file: the standard library only.
package release

import (
	"fmt"
	"regexp"
	"strings"
)

// Commit is a full git commit id: 40 lower-case hex digits (SHA-1) or 64 (SHA-256).
type Commit string

var commitPattern = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// ParseCommit accepts a full commit id only: a short one is ambiguous as soon as the repository grows.
func ParseCommit(text string) (Commit, error) {
	if !commitPattern.MatchString(text) {
		return "", fmt.Errorf("%q is not a full commit id (40 or 64 lower-case hex digits)", text)
	}
	return Commit(text), nil
}

func (c Commit) String() string { return string(c) }

// Short is the first 12 digits, for people to read; never for identity.
func (c Commit) Short() string { return string(c)[:min(12, len(c))] }

// Digest is the identity of an image: the sha256 of its manifest's bytes. The zero value is no digest.
// Source: OCI image-spec, descriptor.md, "Digests".
type Digest struct{ hex string }

var hexPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ParseDigest accepts "sha256:" and 64 lower-case hex digits. Upper case, other lengths and other algorithms are
// refused with what is wrong, for they would name nothing in a registry that answers sha256.
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

// String is "sha256:…", or "" for the zero value.
func (d Digest) String() string {
	if d.hex == "" {
		return ""
	}
	return "sha256:" + d.hex
}

// Short is "sha256:" and 12 digits, for people to read; never for identity.
func (d Digest) Short() string {
	if d.hex == "" {
		return ""
	}
	return "sha256:" + d.hex[:12]
}

// IsZero tells whether there is no digest.
func (d Digest) IsZero() bool { return d.hex == "" }

// MarshalText and UnmarshalText carry a digest through JSON as its string.
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

// Repository names a repository in a registry: host[:port]/path.
type Repository string

var (
	hostPattern = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$`)
	// The path components of the OCI distribution-spec, "Pulling manifests".
	pathPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// ParseRepository wants the registry's host spelt out: a default registry would send an image where nobody looked.
func ParseRepository(text string) (Repository, error) {
	host, path, found := strings.Cut(text, "/")
	switch {
	case strings.Contains(text, "://"):
		return "", fmt.Errorf("repository %q has a URL scheme; write it without (host/path)", text)
	case strings.Contains(text, "@"):
		return "", fmt.Errorf("repository %q carries a digest; give the repository alone (host/path)", text)
	case !found || !strings.ContainsAny(host, ".:") && host != "localhost":
		return "", fmt.Errorf("repository %q names no registry host; write host/path, for example "+
			"123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop", text)
	case !hostPattern.MatchString(host):
		return "", fmt.Errorf("repository %q: %q is not a host", text, host)
	case strings.Contains(path, ":"):
		return "", fmt.Errorf("repository %q carries a tag; give the repository alone (host/path)", text)
	case !pathPattern.MatchString(path):
		return "", fmt.Errorf("repository %q: path %q has characters a repository cannot have "+
			"(lower-case letters, digits, and . _ - / between them)", text, path)
	case len(path) > 255:
		return "", fmt.Errorf("repository %q: the path is %d characters long, limit 255", text, len(path))
	}
	return Repository(text), nil
}

// Host is the registry's host[:port].
func (r Repository) Host() string { host, _, _ := strings.Cut(string(r), "/"); return host }

// Path is the repository's name inside its registry.
func (r Repository) Path() string { _, path, _ := strings.Cut(string(r), "/"); return path }

func (r Repository) String() string { return string(r) }

// At is the repository's image with that digest.
func (r Repository) At(d Digest) Image { return Image{Repository: r, Digest: d} }

// Tag is a movable label in a repository; it is never identity.
type Tag string

// ParseTag holds a tag to the grammar of the OCI distribution-spec (at most 128 characters).
func ParseTag(text string) (Tag, error) {
	if !tagPattern.MatchString(text) {
		return "", fmt.Errorf("%q is not a tag (letters, digits, . _ -, at most 128, not starting with . or -)", text)
	}
	return Tag(text), nil
}

func (t Tag) String() string { return string(t) }

// DirtyMark is in the tag of every image built from a work tree with uncommitted changes.
const DirtyMark = "-dirty-"

// Dirty tells whether the tag says that no commit describes the image.
func (t Tag) Dirty() bool { return strings.Contains(string(t), DirtyMark) }

// Image is a repository and the digest of one image in it. It prints as repository@digest.
type Image struct {
	Repository Repository
	Digest     Digest
}

// ParseImage wants repository@sha256:…. A tag before the digest is refused: two names for one thing can disagree.
func ParseImage(text string) (Image, error) {
	name, digest, found := strings.Cut(text, "@")
	if !found {
		return Image{}, fmt.Errorf("image %q carries no digest; give it as repository@sha256:…", text)
	}
	d, digestErr := ParseDigest(digest)
	if digestErr != nil {
		return Image{}, fmt.Errorf("image %q: %w", text, digestErr)
	}
	if slash := strings.LastIndex(name, "/"); strings.Contains(name[slash+1:], ":") && slash >= 0 {
		return Image{}, fmt.Errorf("image %q carries both a tag and a digest, which can disagree; give repository@digest", text)
	}
	repository, err := ParseRepository(name)
	if err != nil {
		return Image{}, err
	}
	return Image{Repository: repository, Digest: d}, nil
}

func (i Image) String() string {
	if i.Digest.IsZero() {
		return ""
	}
	return i.Repository.String() + "@" + i.Digest.String()
}

// IsZero tells whether no image is named.
func (i Image) IsZero() bool { return i == Image{} }

// MarshalText carries an image through JSON as its reference.
func (i Image) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// Environment names where a release runs.
type Environment string

var labelPattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// ParseLabel holds a name to RFC 1123's label, as Kubernetes wants for namespaces: at most 63 characters.
func ParseLabel(text string) (string, error) {
	if !labelPattern.MatchString(text) {
		return "", fmt.Errorf("%q is not a DNS label (lower-case letters, digits and -, at most 63, "+
			"starting and ending with a letter or digit)", text)
	}
	return text, nil
}

// ParseEnvironment wants a DNS label: the name becomes part of tags, namespaces and evidence.
func ParseEnvironment(text string) (Environment, error) {
	label, err := ParseLabel(text)
	return Environment(label), err
}

func (e Environment) String() string { return string(e) }

// Ladder is the order in which an image climbs, lowest first.
type Ladder []Environment

// DefaultLadder is what the shipped workflows use.
var DefaultLadder = Ladder{"staging", "production"}

// Below is the environment that must have proved an image before it may enter e; false if e is the lowest or unknown.
func (l Ladder) Below(e Environment) (Environment, bool) {
	for i, step := range l {
		if step == e && i > 0 {
			return l[i-1], true
		}
	}
	return "", false
}

// Candidate is an image and the commit it was built from, unproven.
type Candidate struct {
	Image  Image
	Commit Commit
}

// Outcome says what a verb did.
type Outcome string

// The outcomes. Reused is build's "unchanged": the image was there already.
const (
	Created    Outcome = "created"
	Changed    Outcome = "changed"
	Unchanged  Outcome = "unchanged"
	Reused     Outcome = "reused"
	Refused    Outcome = "refused"
	RolledBack Outcome = "rolled-back"
)

// Verdict is what a smoke run concluded. Inconclusive means that the question could not be put (nothing answered yet,
// a name that does not resolve), which is not the same as a wrong answer.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Inconclusive Verdict = "inconclusive"
)

// Keys of the annotations and labels that an image and the objects of a release carry.
const (
	// Keys of the OCI image-spec, annotations.md, "Pre-Defined Annotation Keys".
	AnnotationRevision = "org.opencontainers.image.revision"
	AnnotationSource   = "org.opencontainers.image.source"
	AnnotationCreated  = "org.opencontainers.image.created"

	// Keys on Kubernetes objects.
	LabelCommit      = "onedigest.dev/commit"
	LabelEnvironment = "onedigest.dev/environment"
	AnnotationDigest = "onedigest.dev/digest"
	AnnotationRun    = "onedigest.dev/run"
	AnnotationActor  = "onedigest.dev/actor"
)
