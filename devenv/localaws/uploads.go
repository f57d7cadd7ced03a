package localaws

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/onedigest/onedigest/internal/release"
)

// maxUploads bounds the uploads that were begun and not finished, each an open file on disk; the oldest is dropped first.
const maxUploads = 256

// uploads are the blobs that are on their way in.
type uploads struct {
	dir string // "" spools in memory

	mu    sync.Mutex
	order []string // ids, oldest first
	byID  map[string]*upload
}

// upload is one blob on its way in. Its lock is its own: uploads do not wait for each other.
type upload struct {
	repository string

	mu    sync.Mutex
	spool spool
	size  int64
}

// spool keeps what has arrived.
type spool interface {
	io.Writer
	reader() (io.Reader, error) // from the first byte
	discard()
}

type memorySpool struct{ buffer bytes.Buffer }

func (m *memorySpool) Write(p []byte) (int, error) { return m.buffer.Write(p) }
func (m *memorySpool) reader() (io.Reader, error)  { return bytes.NewReader(m.buffer.Bytes()), nil }
func (m *memorySpool) discard()                    {} // a request may still be at it; the collector takes it after

type diskSpool struct{ *os.File }

func (d diskSpool) reader() (io.Reader, error) {
	_, err := d.Seek(0, io.SeekStart)
	return d.File, err
}

func (d diskSpool) discard() { _ = errors.Join(d.Close(), os.Remove(d.Name())) }

func newUploads(dir string) *uploads {
	if dir != "" {
		dir = filepath.Join(dir, "uploads")
	}
	return &uploads{dir: dir, byID: map[string]*upload{}}
}

func (u *uploads) begin(repository string) (string, error) {
	begun := &upload{repository: repository, spool: &memorySpool{}}
	if u.dir != "" {
		file, err := os.CreateTemp(u.dir, "upload-*")
		if err != nil {
			return "", fmt.Errorf("beginning an upload: %w", err)
		}
		begun.spool = diskSpool{file}
	}
	id := rand.Text()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.order) >= maxUploads {
		u.drop(u.order[0])
	}
	u.order = append(u.order, id)
	u.byID[id] = begun
	return id, nil
}

func (u *uploads) find(id, repository string) *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	if found := u.byID[id]; found != nil && found.repository == repository {
		return found
	}
	return nil
}

func (u *uploads) end(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop(id)
}

// drop forgets an upload. The caller holds the lock.
func (u *uploads) drop(id string) {
	if found := u.byID[id]; found != nil {
		found.spool.discard()
		delete(u.byID, id)
		u.order = slices.DeleteFunc(u.order, func(other string) bool { return other == id })
	}
}

func (u *uploads) discardAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range slices.Clone(u.order) {
		u.drop(id)
	}
}

// serveUpload answers the requests that bring a blob in.
// Source: OCI distribution-spec, "Pushing blobs", and
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html for a mount.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request, asked call) {
	query := r.URL.Query()
	if asked.reference == "" {
		if r.Method != http.MethodPost {
			writeRegistryError(w, errUnsupported)
			return
		}
		s.beginUpload(w, r, asked.repository)
		return
	}
	found := s.uploads.find(asked.reference, asked.repository)
	if found == nil {
		writeRegistryError(w, &registryError{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", fmt.Sprintf(
			"The upload with the upload id '%s' in the repository with name '%s' does not exist",
			asked.reference, asked.repository)})
		return
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	switch r.Method {
	case http.MethodPatch:
		if refusal := found.append(r); refusal != nil {
			writeRegistryError(w, refusal)
			return
		}
		writeUpload(w, r, asked.repository, asked.reference, found.size, http.StatusAccepted)
	case http.MethodPut:
		digest, err := release.ParseDigest(query.Get("digest"))
		if err != nil {
			writeRegistryError(w, &registryError{http.StatusBadRequest, "DIGEST_INVALID", err.Error()})
			return
		}
		if refusal := found.append(r); refusal != nil {
			writeRegistryError(w, refusal)
			return
		}
		whole, err := found.spool.reader()
		if err != nil {
			writeRegistryError(w, internalError(err))
			return
		}
		s.keepBlob(w, r, asked.repository, digest, whole)
		s.uploads.end(asked.reference)
	case http.MethodGet:
		writeUpload(w, r, asked.repository, asked.reference, found.size, http.StatusNoContent)
	case http.MethodDelete:
		s.uploads.end(asked.reference)
		w.WriteHeader(http.StatusNoContent)
	default:
		writeRegistryError(w, errUnsupported)
	}
}

func (s *Server) beginUpload(w http.ResponseWriter, r *http.Request, repository string) {
	query := r.URL.Query()
	if mounted, err := release.ParseDigest(query.Get("mount")); err == nil {
		found, err := s.store.mount(query.Get("from"), repository, mounted)
		if err != nil {
			writeRegistryError(w, internalError(err))
			return
		}
		if found {
			w.Header().Set(registryVersionHeader, registryVersion)
			w.Header().Set(contentDigestHeader, mounted.String())
			w.Header().Set("Location", absolute(r, "/v2/"+repository+"/blobs/"+mounted.String()))
			w.WriteHeader(http.StatusCreated)
			return
		}
	}
	if query.Has("digest") {
		digest, err := release.ParseDigest(query.Get("digest"))
		if err != nil {
			writeRegistryError(w, &registryError{http.StatusBadRequest, "DIGEST_INVALID", err.Error()})
			return
		}
		s.keepBlob(w, r, repository, digest, r.Body)
		return
	}
	id, err := s.uploads.begin(repository)
	if err != nil {
		writeRegistryError(w, internalError(err))
		return
	}
	writeUpload(w, r, repository, id, 0, http.StatusAccepted)
}

// writeUpload tells where an upload goes on and how much of it is there.
func writeUpload(w http.ResponseWriter, r *http.Request, repository, id string, size int64, status int) {
	w.Header().Set(registryVersionHeader, registryVersion)
	w.Header().Set("Location", absolute(r, "/v2/"+repository+"/blobs/uploads/"+id))
	w.Header().Set("Docker-Upload-Uuid", id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, size-1)))
	w.WriteHeader(status)
}

// append adds a request's body. One that breaks off leaves what has arrived: the next part goes on from there.
func (u *upload) append(r *http.Request) *registryError {
	if header := r.Header.Get("Content-Range"); header != "" {
		var start, end int64
		if _, err := fmt.Sscanf(header, "%d-%d", &start, &end); err != nil || start != u.size {
			return &registryError{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID",
				fmt.Sprintf("The part %q does not follow the %d bytes that have arrived", header, u.size)}
		}
	}
	arrived, err := io.Copy(u.spool, io.LimitReader(r.Body, maxBlobSize+1-u.size))
	u.size += arrived
	switch {
	case err != nil:
		return &registryError{http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "The upload broke off: " + err.Error()}
	case u.size > maxBlobSize:
		return &registryError{http.StatusRequestEntityTooLarge, "SIZE_INVALID",
			fmt.Sprintf("The layer is longer than %d bytes", int64(maxBlobSize))}
	}
	return nil
}
