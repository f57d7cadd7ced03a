package localaws

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	registryVersionHeader = "Docker-Distribution-Api-Version"
	registryVersion       = "registry/2.0"
	contentDigestHeader   = "Docker-Content-Digest"
	jsonType              = "application/json; charset=utf-8"
	ociManifestType       = string(types.OCIManifestSchema1)
	ociIndexType          = string(types.OCIImageIndex)
)

// registryError is an error of the registry, in the form and with the codes of the OCI distribution-spec ("Error
// Codes") and with ECR's words where they are known.
type registryError struct {
	status        int
	code, message string
}

func (e *registryError) Error() string { return e.code + ": " + e.message }

// errUnsupported is ECR's answer to what it does not do, as deleting by the registry's own API: images are deleted by
// BatchDeleteImage. Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/delete_image.html
var errUnsupported = &registryError{http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is unsupported."}

func internalError(err error) *registryError {
	return &registryError{http.StatusInternalServerError, "UNKNOWN", err.Error()}
}

func writeRegistryError(w http.ResponseWriter, failure *registryError) {
	w.Header().Set(registryVersionHeader, registryVersion)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	writeJSON(w, failure.status, jsonType, map[string]any{
		"errors": []map[string]string{{"code": failure.code, "message": failure.message}},
	})
}

// serveRegistry answers everything under /v2/, to a caller with a token.
// Source: OCI distribution-spec, "API", and https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
func (s *Server) serveRegistry(w http.ResponseWriter, r *http.Request, asked call) {
	if !s.admit(w, r) {
		return
	}
	switch asked.route {
	case RoutePing:
		w.Header().Set(registryVersionHeader, registryVersion)
		w.Header().Set("Content-Type", jsonType)
		w.WriteHeader(http.StatusOK)
		return
	case RouteOther:
		writeRegistryError(w, errUnsupported)
		return
	}
	found, ok := s.store.view(asked.repository)
	if !ok {
		writeRegistryError(w, s.nameUnknown(asked.repository))
		return
	}
	switch asked.route {
	case RouteManifest:
		s.serveManifest(w, r, asked, found)
	case RouteBlob:
		s.serveBlob(w, r, asked, found)
	case RouteUpload:
		s.serveUpload(w, r, asked)
	case RouteTags:
		serveTags(w, r, found)
	case RouteReferrers:
		serveReferrers(w, r, asked, found)
	}
}

func (s *Server) nameUnknown(name string) *registryError {
	return &registryError{http.StatusNotFound, "NAME_UNKNOWN", s.repositoryNotFound(name)}
}

func (s *Server) serveManifest(w http.ResponseWriter, r *http.Request, asked call, in *repository) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		found := in.lookup(asked.reference)
		if found == nil {
			writeRegistryError(w, &registryError{http.StatusNotFound, "MANIFEST_UNKNOWN", "Requested image not found"})
			return
		}
		w.Header().Set(registryVersionHeader, registryVersion)
		w.Header().Set(contentDigestHeader, found.digest.String())
		w.Header().Set("Content-Type", string(found.mediaType))
		w.Header().Set("Content-Length", strconv.Itoa(len(found.body)))
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodGet {
			_, _ = w.Write(found.body)
		}
	case http.MethodPut:
		s.pushManifest(w, r, asked)
	default:
		writeRegistryError(w, errUnsupported)
	}
}

// lookup finds an image by tag or digest, or nil.
func (r *repository) lookup(reference string) *image {
	if digest, err := release.ParseDigest(reference); err == nil {
		return r.images[digest]
	}
	return r.images[r.tags[release.Tag(reference)]]
}

// pushManifest stores a manifest under a tag or its digest.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html, which is what ECR's registry calls,
// and OCI distribution-spec, "Pushing Manifests".
func (s *Server) pushManifest(w http.ResponseWriter, r *http.Request, asked call) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxManifest+1))
	if err != nil {
		writeRegistryError(w, &registryError{http.StatusBadRequest, "MANIFEST_INVALID", "The manifest broke off: " + err.Error()})
		return
	}
	if len(body) > maxManifest {
		writeRegistryError(w, &registryError{http.StatusRequestEntityTooLarge, "MANIFEST_INVALID",
			fmt.Sprintf("The manifest is longer than %d bytes", maxManifest)})
		return
	}
	pushed, err := parseManifest(body, r.Header.Get("Content-Type"))
	if err != nil {
		writeRegistryError(w, &registryError{http.StatusBadRequest, "MANIFEST_INVALID", err.Error()})
		return
	}
	var tag release.Tag
	if strings.Contains(asked.reference, ":") {
		if asked.reference != pushed.digest.String() {
			writeRegistryError(w, &registryError{http.StatusBadRequest, "MANIFEST_INVALID",
				s.digestMismatch(asked.reference, asked.repository)})
			return
		}
	} else if tag, err = release.ParseTag(asked.reference); err != nil {
		writeRegistryError(w, &registryError{http.StatusBadRequest, "TAG_INVALID", err.Error()})
		return
	}
	if err := s.store.put(asked.repository, pushed, tag, false); err != nil {
		writeRegistryError(w, s.wordRegistryRefusal(err, asked.repository, tag))
		return
	}
	w.Header().Set(registryVersionHeader, registryVersion)
	w.Header().Set(contentDigestHeader, pushed.digest.String())
	w.Header().Set("Location", absolute(r, "/v2/"+asked.repository+"/manifests/"+pushed.digest.String()))
	// Tells the client that the referrers API lists it, so that it writes no fallback tag.
	// Source: OCI distribution-spec, "Pushing Manifests with Subject".
	if !pushed.subject.IsZero() {
		w.Header().Set("OCI-Subject", pushed.subject.String())
	}
	w.WriteHeader(http.StatusCreated)
}

// maxTagPage is how many tags one answer lists at most.
const maxTagPage = 1000

// serveTags lists the tags of a repository, n at a time if asked.
// Source: OCI distribution-spec, "Listing Tags".
func serveTags(w http.ResponseWriter, r *http.Request, in *repository) {
	if r.Method != http.MethodGet {
		writeRegistryError(w, errUnsupported)
		return
	}
	limit := maxTagPage
	if text := r.URL.Query().Get("n"); text != "" {
		asked, err := strconv.Atoi(text)
		if err != nil || asked < 1 {
			writeRegistryError(w, &registryError{http.StatusBadRequest, "PAGINATION_NUMBER_INVALID",
				fmt.Sprintf("n is %q, not a number of tags", text)})
			return
		}
		limit = min(limit, asked)
	}
	tags := []string{}
	for tag := range in.tags {
		if string(tag) > r.URL.Query().Get("last") {
			tags = append(tags, string(tag))
		}
	}
	slices.Sort(tags)
	if len(tags) > limit {
		tags = tags[:limit]
		next := url.Values{"n": {strconv.Itoa(limit)}, "last": {tags[limit-1]}}
		w.Header().Set("Link", "</v2/"+in.name+"/tags/list?"+next.Encode()+`>; rel="next"`)
	}
	w.Header().Set(registryVersionHeader, registryVersion)
	writeJSON(w, http.StatusOK, jsonType, map[string]any{"name": in.name, "tags": tags})
}

// serveReferrers lists the manifests whose subject is a digest, as an index.
// Source: OCI distribution-spec, "Listing Referrers", and https://docs.aws.amazon.com/AmazonECR/latest/userguide/images.html
// (ECR supports OCI 1.1 reference artifacts).
func serveReferrers(w http.ResponseWriter, r *http.Request, asked call, in *repository) {
	if r.Method != http.MethodGet {
		writeRegistryError(w, errUnsupported)
		return
	}
	subject, err := release.ParseDigest(asked.reference)
	if err != nil {
		writeRegistryError(w, &registryError{http.StatusBadRequest, "DIGEST_INVALID", err.Error()})
		return
	}
	wanted := r.URL.Query().Get("artifactType")
	if wanted != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	listed := []referrer{}
	for _, found := range in.sorted() {
		if found.subject == subject && (wanted == "" || wanted == found.artifactType) {
			listed = append(listed, referrer{
				MediaType: string(found.mediaType), Digest: found.digest, Size: len(found.body),
				ArtifactType: found.artifactType, Annotations: found.annotations,
			})
		}
	}
	w.Header().Set(registryVersionHeader, registryVersion)
	writeJSON(w, http.StatusOK, ociIndexType, map[string]any{
		"schemaVersion": 2, "mediaType": ociIndexType, "manifests": listed,
	})
}

type referrer struct {
	MediaType    string            `json:"mediaType"`
	Digest       release.Digest    `json:"digest"`
	Size         int               `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}
