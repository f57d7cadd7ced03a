package registry

import (
	"regexp"
	"strings"
)

// Part is a part of the registry's API.
type Part string

// The parts of the registry's API.
const (
	Ping          Part = "ping"      // /v2/
	ManifestPart  Part = "manifest"  // /v2/<name>/manifests/<reference>
	BlobPart      Part = "blob"      // /v2/<name>/blobs/<digest>
	UploadPart    Part = "upload"    // /v2/<name>/blobs/uploads/[<id>]
	TagsPart      Part = "tags"      // /v2/<name>/tags/list
	ReferrersPart Part = "referrers" // /v2/<name>/referrers/<digest>
	Other         Part = "other"     // anything else under /v2/
)

// Target is the manifest, blob, upload or list that a path of the registry names.
type Target struct {
	Part       Part
	Repository string
	Reference  string // the tag, digest or upload id at the end of the path
}

// pathPattern splits a path as in the OCI distribution-spec's end points ("API", end-1 to end-12).
var pathPattern = regexp.MustCompile(`^/v2/(.+)/(?:(manifests)/([^/]+)|(blobs)/(uploads)(?:/([^/]*))?|(blobs)/([^/]+)|(tags)/list|(referrers)/([^/]+))$`)

// ParsePath returns what a path names; false if it is not the registry's.
func ParsePath(path string) (Target, bool) {
	switch {
	case path == "/v2" || path == "/v2/":
		return Target{Part: Ping}, true
	case !strings.HasPrefix(path, "/v2/"):
		return Target{}, false
	}
	parts := pathPattern.FindStringSubmatch(path)
	if parts == nil {
		return Target{Part: Other}, true
	}
	target := Target{Repository: parts[1]}
	switch {
	case parts[2] != "":
		target.Part, target.Reference = ManifestPart, parts[3]
	case parts[5] != "":
		target.Part, target.Reference = UploadPart, parts[6]
	case parts[7] != "":
		target.Part, target.Reference = BlobPart, parts[8]
	case parts[9] != "":
		target.Part = TagsPart
	default:
		target.Part, target.Reference = ReferrersPart, parts[11]
	}
	return target, true
}
