// Package registry is the fake ECR's container registry: the OCI distribution-spec with ECR's rules, messages and tokens.
package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	registryVersionHeader = "Docker-Distribution-Api-Version"
	registryVersion       = "registry/2.0"
	contentDigestHeader   = "Docker-Content-Digest"
	ociIndexType          = string(types.OCIImageIndex)
)

// Registry serves the images of a store. It is safe for concurrent use. Make one with New.
type Registry struct {
	account string
	store   *store.Store
	tokens  *tokens
	uploads *uploads
	blobs   http.Handler // go-containerregistry's registry; blobs only
}

// New returns a registry of a store. key signs its tokens, dir ("" for memory) holds unfinished uploads, now is the clock of its
// tokens.
func New(account string, images *store.Store, key []byte, dir string, now func() time.Time) *Registry {
	return &Registry{account: account, store: images, tokens: newTokens(key, now), uploads: newUploads(dir), blobs: newBlobRegistry(images)}
}

// Close discards unfinished uploads.
func (g *Registry) Close() { g.uploads.discardAll() }

// Error is an error of the registry, in the form and with the codes of the OCI distribution-spec ("Error Codes"), and with ECR's
// message where it is known.
type Error struct {
	Status        int
	Code, Message string
}

func newError(status int, code, message string) *Error {
	return &Error{Status: status, Code: code, Message: message}
}

// errUnsupported is ECR's error for requests that its registry does not support, such as deleting an image, which is done by
// BatchDeleteImage. Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/delete_image.html
var errUnsupported = newError(http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is unsupported.")

func internalError(err error) *Error {
	return newError(http.StatusInternalServerError, "UNKNOWN", err.Error())
}

// WriteError writes an error in the registry's form.
func WriteError(w http.ResponseWriter, failure *Error) {
	w.Header().Set(registryVersionHeader, registryVersion)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	awsapi.WriteJSON(w, failure.Status, awsapi.JSONType, map[string]any{
		"errors": []map[string]string{{"code": failure.Code, "message": failure.Message}},
	})
}

// Serve answers a request under /v2/ from a caller with a token.
// Source: OCI distribution-spec, "API", and https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
func (g *Registry) Serve(w http.ResponseWriter, r *http.Request, target Target) {
	if !g.admit(w, r) {
		return
	}
	switch target.Part {
	case Ping:
		w.Header().Set(registryVersionHeader, registryVersion)
		w.Header().Set("Content-Type", awsapi.JSONType)
		w.WriteHeader(http.StatusOK)
		return
	case Other:
		WriteError(w, errUnsupported)
		return
	}
	found, ok := g.store.View(target.Repository)
	if !ok {
		WriteError(w, g.nameUnknown(target.Repository))
		return
	}
	switch target.Part {
	case ManifestPart:
		g.serveManifest(w, r, target, found)
	case BlobPart:
		g.serveBlob(w, r, target, found)
	case UploadPart:
		g.serveUpload(w, r, target)
	case TagsPart:
		serveTags(w, r, found)
	case ReferrersPart:
		serveReferrers(w, r, target, found)
	}
}

// refusal returns the registry's error for a put that the store refused.
func (g *Registry) refusal(err error) *Error {
	var refused *store.Refusal
	if !errors.As(err, &refused) {
		return internalError(err)
	}
	switch refused.Kind {
	case store.RepositoryNotFound:
		return newError(http.StatusNotFound, "NAME_UNKNOWN", refused.Error())
	case store.LayersNotFound, store.ReferencedImagesNotFound:
		return newError(http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", refused.Error())
	case store.TagImmutable:
		return newError(http.StatusBadRequest, "TAG_INVALID", refused.Error())
	default:
		return newError(http.StatusBadRequest, "DENIED", refused.Error())
	}
}

func (g *Registry) nameUnknown(name string) *Error {
	return newError(http.StatusNotFound, "NAME_UNKNOWN", store.RepositoryNotFoundText(name, g.account))
}

// serveManifest answers HEAD, GET and PUT of a manifest by tag or digest.
func (g *Registry) serveManifest(w http.ResponseWriter, r *http.Request, target Target, in *store.Repository) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		found := lookup(in, target.Reference)
		if found == nil {
			WriteError(w, newError(http.StatusNotFound, "MANIFEST_UNKNOWN", "Requested image not found"))
			return
		}
		w.Header().Set(registryVersionHeader, registryVersion)
		w.Header().Set(contentDigestHeader, found.Digest.String())
		w.Header().Set("Content-Type", string(found.MediaType))
		w.Header().Set("Content-Length", strconv.Itoa(len(found.Body)))
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodGet {
			_, _ = w.Write(found.Body)
		}
	case http.MethodPut:
		g.pushManifest(w, r, target)
	default:
		WriteError(w, errUnsupported)
	}
}

// lookup returns the image with a tag or a digest, or nil.
func lookup(in *store.Repository, reference string) *store.Image {
	digest, err := release.ParseDigest(reference)
	if err != nil {
		digest = in.Tags[release.Tag(reference)]
	}
	found := in.Images[digest]
	if found != nil && !found.Archived.IsZero() {
		return nil // an archived image cannot be pulled
	}
	return found
}

// pushManifest stores a manifest under a tag or its digest.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html, which is what ECR's registry calls,
// and OCI distribution-spec, "Pushing Manifests".
func (g *Registry) pushManifest(w http.ResponseWriter, r *http.Request, target Target) {
	body, err := io.ReadAll(io.LimitReader(r.Body, store.MaxManifest+1))
	if err != nil {
		WriteError(w, newError(http.StatusBadRequest, "MANIFEST_INVALID", "The manifest was cut off: "+err.Error()))
		return
	}
	if len(body) > store.MaxManifest {
		WriteError(w, newError(http.StatusRequestEntityTooLarge, "MANIFEST_INVALID",
			fmt.Sprintf("The manifest is longer than %d bytes", store.MaxManifest)))
		return
	}
	pushed, err := store.ParseManifest(body, r.Header.Get("Content-Type"))
	if err != nil {
		WriteError(w, newError(http.StatusBadRequest, "MANIFEST_INVALID", err.Error()))
		return
	}
	var tag release.Tag
	if strings.Contains(target.Reference, ":") {
		if target.Reference != pushed.Digest.String() {
			WriteError(w, newError(http.StatusBadRequest, "MANIFEST_INVALID",
				store.DigestMismatchText(target.Reference, target.Repository, g.account)))
			return
		}
	} else if tag, err = release.ParseTag(target.Reference); err != nil {
		WriteError(w, newError(http.StatusBadRequest, "TAG_INVALID", err.Error()))
		return
	}
	if err := g.store.Put(target.Repository, pushed, tag, store.RepeatedAccepted); err != nil {
		WriteError(w, g.refusal(err))
		return
	}
	w.Header().Set(registryVersionHeader, registryVersion)
	w.Header().Set(contentDigestHeader, pushed.Digest.String())
	w.Header().Set("Location", absolute(r, "/v2/"+target.Repository+"/manifests/"+pushed.Digest.String()))
	// The header tells the client that the referrers API lists the manifest, so that it writes no fallback tag.
	// Source: OCI distribution-spec, "Pushing Manifests with Subject".
	if !pushed.Subject.IsZero() {
		w.Header().Set("OCI-Subject", pushed.Subject.String())
	}
	w.WriteHeader(http.StatusCreated)
}
