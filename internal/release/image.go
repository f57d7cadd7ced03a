package release

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Repository names a repository in a registry: host[:port]/path.
type Repository string

var (
	hostPattern = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$`)
	// Patterns of the path components. Source: OCI distribution-spec, "Pulling manifests".
	pathPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// ParseRepository accepts host[:port]/path. The host is required: a default registry could receive an image by mistake.
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

// Host returns the registry's host[:port].
func (r Repository) Host() string { host, _, _ := strings.Cut(string(r), "/"); return host }

// Path returns the repository's path on its registry.
func (r Repository) Path() string { _, path, _ := strings.Cut(string(r), "/"); return path }

func (r Repository) String() string { return string(r) }

// At returns the image with that digest in the repository.
func (r Repository) At(d Digest) Image { return Image{Repository: r, Digest: d} }

// Tag is a movable label in a repository; it never identifies an image.
type Tag string

// ParseTag accepts a tag of the OCI distribution-spec's grammar (at most 128 characters).
func ParseTag(text string) (Tag, error) {
	if !tagPattern.MatchString(text) {
		return "", fmt.Errorf("%q is not a tag (letters, digits, . _ -, at most 128, not starting with . or -)", text)
	}
	return Tag(text), nil
}

func (t Tag) String() string { return string(t) }

// referrersTag is the beginning of the tags that list what is attached to an image where a registry has no referrers API, and of those by which cosign 2 finds its
// signatures. Source: OCI distribution-spec 1.1, "Referrers Tag Schema"; cosign, specs/SIGNATURE_SPEC.md.
var referrersTag = regexp.MustCompile(`^sha(?:256|384|512)-`)

// IsReferrersTag reports whether a tag has the form of one that lists what is attached to an image: another image under it loses the list.
func (t Tag) IsReferrersTag() bool { return referrersTag.MatchString(t.String()) }

// Named returns what a tag of the program's own forms names: the commit alone, of a build (SHA) or of uncommitted work on it (SHA-dirty-…), or with the environment for which it is promoted
// (ENVIRONMENT-SHA). It returns false for a tag of another form.
func (t Tag) Named() (environment Environment, commit Commit, is bool) {
	text := t.String()
	if commit, err := ParseCommit(text); err == nil {
		return "", commit, true
	}
	if before, _, found := strings.Cut(text, DirtyMark); found {
		if commit, err := ParseCommit(before); err == nil {
			return "", commit, true
		}
	}
	last := strings.LastIndexByte(text, '-')
	if last < 0 || t.IsReferrersTag() {
		return "", "", false
	}
	environment, environmentErr := ParseEnvironment(text[:last])
	commit, commitErr := ParseCommit(text[last+1:])
	if environmentErr != nil || commitErr != nil {
		return "", "", false
	}
	return environment, commit, true
}

// DirtyMark is part of the tag of every image that is built from a work tree with uncommitted changes.
const DirtyMark = "-dirty-"

// Image is a repository and the digest of one image in it. It prints as repository@digest.
type Image struct {
	Repository Repository
	Digest     Digest
}

// ParseImage accepts repository@sha256:…. A tag before the digest is refused because the two can disagree.
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

// IsZero reports whether this is the zero value, no image.
func (i Image) IsZero() bool { return i == Image{} }

// MarshalText makes an image its reference in JSON.
func (i Image) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText accepts what ParseImage accepts, and "" for the zero value.
func (i *Image) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*i = Image{}
		return nil
	}
	image, err := ParseImage(string(text))
	*i = image
	return err
}

// SplitReference splits an image reference as a manifest has it, [host[:port]/]path[:tag][@digest]: into the repository in full
// (FullRepository), and the tag and the digest with the sign before them. It does not validate them.
// Source: https://pkg.go.dev/github.com/distribution/reference, "Grammar".
func SplitReference(text string) (repository, rest string) {
	name, _, _ := strings.Cut(text, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return FullRepository(name), text[len(name):]
}

// ParseAlias accepts a repository as a chart names it, with a registry or without: "shop", "team/shop", "ghcr.io/team/shop". It returns the
// repository in full (FullRepository).
func ParseAlias(text string) (string, error) {
	repository, rest := SplitReference(text)
	if rest != "" {
		return "", fmt.Errorf("%q carries a tag or a digest; give the repository alone, as the chart names it", text)
	}
	if _, err := ParseRepository(repository); err != nil {
		return "", err
	}
	return repository, nil
}

// dockerHub is the registry of a repository that names none.
const dockerHub = "docker.io"

// FullRepository returns a repository with its registry: "shop" is docker.io/library/shop, and index.docker.io is docker.io.
// Source: https://pkg.go.dev/github.com/distribution/reference, ParseNormalizedNamed.
func FullRepository(name string) string {
	host, path, found := strings.Cut(name, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, path = dockerHub, name
	}
	if host == "index."+dockerHub || host == "registry-1."+dockerHub {
		host = dockerHub
	}
	if host == dockerHub && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	return host + "/" + path
}

// Descriptor points to a manifest or a blob of a registry, and says what it is. A registry lists what is attached to an image as descriptors.
// Source: OCI image-spec, descriptor.md.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"` // as the registry names it; it may be none
	Size         int64             `json:"size"`   // bytes
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Data         []byte            `json:"data,omitempty"` // the content itself; nil if only the blob has it
	Platform     *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform,omitempty"`
}

// imageConfigs are the media types of the configs of images. A node unpacks no manifest with another one.
// Source: OCI image-spec, manifest.md, "Guidelines for Artifact Usage"; containerd, images.IsConfigType.
var imageConfigs = []string{"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}

// imageManifests are the media types of the manifests of images, and of indexes.
var imageManifests = []string{"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json"}

// IsConfigOfImage reports whether a config of this media type makes its manifest that of an image. "" counts, as it says nothing else.
func IsConfigOfImage(mediaType string) bool {
	return mediaType == "" || slices.Contains(imageConfigs, mediaType)
}

// IsImage reports whether a child of an index is an image or an index: neither an attestation, which buildx lists with the platform
// unknown/unknown, nor anything else that an index may hold. A child without a media type counts.
func (d Descriptor) IsImage() bool {
	return (d.MediaType == "" || slices.Contains(imageManifests, d.MediaType)) && (d.Platform == nil || d.Platform.Architecture != "unknown") && IsConfigOfImage(d.ArtifactType)
}

// ArtifactOf says what a manifest or an index is that no node can run, such as a Helm chart; "" for an image, or if the content is not known to be
// anything else. It does not look into the children of an index.
func ArtifactOf(manifest []byte) string {
	var read struct {
		Config    Descriptor    `json:"config"`
		Manifests *[]Descriptor `json:"manifests"`
	}
	if json.Unmarshal(manifest, &read) != nil {
		return ""
	}
	switch {
	case read.Manifests != nil && !slices.ContainsFunc(*read.Manifests, Descriptor.IsImage):
		return "an index that lists no image"
	case read.Manifests != nil || IsConfigOfImage(read.Config.MediaType):
		return ""
	case read.Config.MediaType == "application/vnd.cncf.helm.config.v1+json":
		return "a Helm chart"
	}
	return fmt.Sprintf("an artifact with a config of type %q", read.Config.MediaType)
}

// RefuseArtifact returns a *Refusal of a digest that is no image; nil if the artifact is "".
func RefuseArtifact(image Image, artifact string) error {
	if artifact == "" {
		return nil
	}
	return &Refusal{Why: fmt.Sprintf("%q is %s, which no node can run", image, artifact), Do: "give the digest of an image, as build or the push of the image printed it"}
}

// TagState is the state of an image and of a tag of its repository at one moment.
type TagState struct {
	Found     bool   // whether the image is in the repository
	Manifest  []byte // bytes of its manifest or index, as pushed
	MediaType string
	Revision  string // org.opencontainers.image.revision of the manifest's annotations, or ""
	TagDigest Digest // digest that the tag points to; zero if the tag does not exist
}
