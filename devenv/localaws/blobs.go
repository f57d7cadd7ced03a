package localaws

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

	"github.com/onedigest/onedigest/internal/release"
)

// newBlobRegistry is go-containerregistry's registry over the store's blobs. It verifies what is pushed and serves what
// is pulled. Uploads in parts stay ours (see uploads.go): it keeps them in memory under one lock for all, held while a
// body arrives, so one stalled layer would stall every push.
func newBlobRegistry(s *store) http.Handler {
	return registry.New(registry.WithBlobHandler(blobKeeper{s}), registry.Logger(log.New(io.Discard, "", 0)))
}

// serveBlob answers HEAD and GET of a blob.
func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request, asked call, in *repository) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		writeRegistryError(w, errUnsupported)
		return
	}
	digest, err := release.ParseDigest(asked.reference)
	if err != nil {
		writeRegistryError(w, &registryError{http.StatusBadRequest, "DIGEST_INVALID", err.Error()})
		return
	}
	size, found := in.blobs[digest]
	if !found {
		writeRegistryError(w, &registryError{http.StatusNotFound, "BLOB_UNKNOWN", fmt.Sprintf(
			"The layer with digest '%s' does not exist in the repository with name '%s'", digest, asked.repository)})
		return
	}
	forwarded := r.Clone(r.Context())
	forwarded.URL.Host = "" // it would become part of the repository's name
	if !setRange(forwarded.Header, size) {
		writeRegistryError(w, &registryError{http.StatusRequestedRangeNotSatisfiable, "SIZE_INVALID",
			fmt.Sprintf("The range %q starts past the end of the layer (%d bytes)", r.Header.Get("Range"), size)})
		return
	}
	s.blobs.ServeHTTP(&blobWriter{ResponseWriter: w}, forwarded)
}

var rangePattern = regexp.MustCompile(`^bytes=([0-9]{1,18})-([0-9]{0,18})$`)

// setRange writes a Range so that go-containerregistry understands it (it wants both ends, inside the blob), and drops
// one that may be ignored. It is false for a range that cannot be served.
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
		given, _ := strconv.ParseInt(parts[2], 10, 64)
		if given < start {
			return true
		}
		end = min(end, given)
	}
	if start >= size {
		return false
	}
	header.Set("Range", fmt.Sprintf("bytes=%d-%d", start, end))
	return true
}

// keepBlob hands a whole blob to go-containerregistry's registry, which verifies it against the digest and stores it.
func (s *Server) keepBlob(w http.ResponseWriter, r *http.Request, repository string, digest release.Digest, body io.Reader) {
	forwarded := r.Clone(r.Context())
	forwarded.Method = http.MethodPost
	forwarded.URL = &url.URL{
		Path: "/v2/" + repository + "/blobs/uploads/", RawQuery: url.Values{"digest": {digest.String()}}.Encode(),
	}
	forwarded.Body = io.NopCloser(body)
	forwarded.ContentLength = -1
	w.Header().Set("Location", absolute(r, "/v2/"+repository+"/blobs/"+digest.String()))
	s.blobs.ServeHTTP(&blobWriter{ResponseWriter: w}, forwarded)
}

// blobWriter gives go-containerregistry's answers the headers it leaves out.
type blobWriter struct{ http.ResponseWriter }

func (b *blobWriter) WriteHeader(status int) {
	b.Header().Set(registryVersionHeader, registryVersion)
	switch {
	case status >= http.StatusBadRequest:
		b.Header().Del("Location")
		b.Header().Set("Content-Type", jsonType)
	case b.Header().Get("Content-Length") != "":
		b.Header().Set("Content-Type", "application/octet-stream")
	}
	b.ResponseWriter.WriteHeader(status)
}

// absolute is a path as an address on the host that the caller used.
func absolute(r *http.Request, path string) string {
	return "http://" + r.Host + "/" + strings.TrimPrefix(path, "/")
}
