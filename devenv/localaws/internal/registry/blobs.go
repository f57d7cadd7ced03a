package registry

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
	"github.com/onedigest/onedigest/internal/release"
)

// newBlobRegistry returns go-containerregistry's registry over the store's blobs. This registry verifies pushed blobs and serves
// pulled ones. Chunked uploads are handled in uploads.go instead: go-containerregistry buffers them in memory and holds one lock
// while a body arrives, so one slow layer would block every push.
func newBlobRegistry(s *store.Store) http.Handler {
	return registry.New(registry.WithBlobHandler(blobHandler{s}), registry.Logger(log.New(io.Discard, "", 0)))
}

// serveBlob answers HEAD and GET of a blob.
func (g *Registry) serveBlob(w http.ResponseWriter, r *http.Request, target Target, in *store.Repository) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		WriteError(w, errUnsupported)
		return
	}
	digest, err := release.ParseDigest(target.Reference)
	if err != nil {
		WriteError(w, newError(http.StatusBadRequest, "DIGEST_INVALID", err.Error()))
		return
	}
	size, found := in.Blobs[digest]
	if !found {
		WriteError(w, newError(http.StatusNotFound, "BLOB_UNKNOWN", fmt.Sprintf(
			"The layer with digest '%s' does not exist in the repository with name '%s'", digest, target.Repository)))
		return
	}
	forwarded := r.Clone(r.Context())
	forwarded.URL.Host = "" // go-containerregistry would make it part of the repository's name
	if !setRange(forwarded.Header, size) {
		WriteError(w, newError(http.StatusRequestedRangeNotSatisfiable, "SIZE_INVALID",
			fmt.Sprintf("The range %q starts past the end of the layer (%d bytes)", r.Header.Get("Range"), size)))
		return
	}
	g.blobs.ServeHTTP(&blobWriter{ResponseWriter: w}, forwarded)
}

var rangePattern = regexp.MustCompile(`^bytes=([0-9]{1,18})-([0-9]{0,18})$`)

// setRange rewrites a Range for go-containerregistry, which requires both ends inside the blob, and drops a Range that may be
// ignored. It returns false for a range that cannot be served.
// Source: RFC 9110, 14.2.
func setRange(header http.Header, size int64) bool {
	parts := rangePattern.FindStringSubmatch(header.Get("Range"))
	header.Del("Range")
	if parts == nil {
		return true
	}
	start, _ := strconv.ParseInt(parts[1], 10, 64)
	end := size - 1
	if parts[2] != "" {
		requested, _ := strconv.ParseInt(parts[2], 10, 64)
		if requested < start {
			return true
		}
		end = min(end, requested)
	}
	if start >= size {
		return false
	}
	header.Set("Range", fmt.Sprintf("bytes=%d-%d", start, end))
	return true
}

// storeBlob passes a whole blob to go-containerregistry's registry, which verifies it against the digest and stores it.
func (g *Registry) storeBlob(w http.ResponseWriter, r *http.Request, repository string, digest release.Digest, body io.Reader) {
	forwarded := r.Clone(r.Context())
	forwarded.Method = http.MethodPost
	forwarded.URL = &url.URL{
		Path: "/v2/" + repository + "/blobs/uploads/", RawQuery: url.Values{"digest": {digest.String()}}.Encode(),
	}
	forwarded.Body = io.NopCloser(body)
	forwarded.ContentLength = -1
	w.Header().Set("Location", absolute(r, "/v2/"+repository+"/blobs/"+digest.String()))
	g.blobs.ServeHTTP(&blobWriter{ResponseWriter: w}, forwarded)
}

// blobWriter adds the headers that go-containerregistry's answers lack.
type blobWriter struct{ http.ResponseWriter }

func (b *blobWriter) WriteHeader(status int) {
	b.Header().Set(registryVersionHeader, registryVersion)
	switch {
	case status >= http.StatusBadRequest:
		b.Header().Del("Location")
		b.Header().Set("Content-Type", awsapi.JSONType)
	case b.Header().Get("Content-Length") != "":
		b.Header().Set("Content-Type", "application/octet-stream")
	}
	b.ResponseWriter.WriteHeader(status)
}

// absolute returns the URL of a path on the host that the caller used.
func absolute(r *http.Request, path string) string {
	return "http://" + r.Host + "/" + strings.TrimPrefix(path, "/")
}
