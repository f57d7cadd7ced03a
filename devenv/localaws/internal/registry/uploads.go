package registry

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
	"github.com/onedigest/onedigest/internal/release"
)

// maxUploads is the most unfinished uploads, each of which is an open file on disk; the oldest is dropped first.
const maxUploads = 256

// uploads holds the unfinished uploads.
type uploads struct {
	dir string // "" spools in memory

	mu    sync.Mutex
	order []string // ids, oldest first
	byID  map[string]*upload
}

// upload is an unfinished upload of one blob. Each has its own lock, so that uploads do not wait for each other.
type upload struct {
	repository string

	mu    sync.Mutex
	spool spool
	size  int64
}

// spool holds the bytes that have arrived.
type spool interface {
	io.Writer
	reader() (io.Reader, error) // from the first byte
	discard()
}

type memorySpool struct{ buffer bytes.Buffer }

func (m *memorySpool) Write(p []byte) (int, error) { return m.buffer.Write(p) }
func (m *memorySpool) reader() (io.Reader, error)  { return bytes.NewReader(m.buffer.Bytes()), nil }
func (m *memorySpool) discard()                    {} // a request may still use it; the garbage collector frees it

type diskSpool struct{ *os.File }

func (d diskSpool) reader() (io.Reader, error) {
	_, err := d.Seek(0, io.SeekStart)
	return d.File, err
}

func (d diskSpool) discard() { _ = errors.Join(d.Close(), os.Remove(d.Name())) }

func newUploads(dir string) *uploads {
	if dir != "" {
		dir = store.UploadsDir(dir)
	}
	return &uploads{dir: dir, byID: map[string]*upload{}}
}

// start starts an upload to a repository and returns its id. It drops the oldest upload if there are too many.
func (u *uploads) start(repository string) (string, error) {
	started := &upload{repository: repository, spool: &memorySpool{}}
	if u.dir != "" {
		file, err := os.CreateTemp(u.dir, "upload-*")
		if err != nil {
			return "", fmt.Errorf("starting an upload: %w", err)
		}
		started.spool = diskSpool{file}
	}
	id := rand.Text()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.order) >= maxUploads {
		u.drop(u.order[0])
	}
	u.order = append(u.order, id)
	u.byID[id] = started
	return id, nil
}

// find returns an unfinished upload to a repository, or nil.
func (u *uploads) find(id, repository string) *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	if found := u.byID[id]; found != nil && found.repository == repository {
		return found
	}
	return nil
}

func (u *uploads) remove(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop(id)
}

// drop removes an upload. The caller holds the lock.
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

// serveUpload answers the requests that upload a blob.
// Source: OCI distribution-spec, "Pushing blobs", and
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html for a mount.
func (g *Registry) serveUpload(w http.ResponseWriter, r *http.Request, target Target) {
	query := r.URL.Query()
	if target.Reference == "" {
		if r.Method != http.MethodPost {
			WriteError(w, errUnsupported)
			return
		}
		g.startUpload(w, r, target.Repository)
		return
	}
	found := g.uploads.find(target.Reference, target.Repository)
	if found == nil {
		WriteError(w, newError(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", fmt.Sprintf(
			"The upload with the upload id '%s' in the repository with name '%s' does not exist",
			target.Reference, target.Repository)))
		return
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	switch r.Method {
	case http.MethodPatch:
		if refusal := found.append(r); refusal != nil {
			WriteError(w, refusal)
			return
		}
		writeUpload(w, r, target.Repository, target.Reference, found.size, http.StatusAccepted)
	case http.MethodPut:
		digest, err := release.ParseDigest(query.Get("digest"))
		if err != nil {
			WriteError(w, newError(http.StatusBadRequest, "DIGEST_INVALID", err.Error()))
			return
		}
		if refusal := found.append(r); refusal != nil {
			WriteError(w, refusal)
			return
		}
		blob, err := found.spool.reader()
		if err != nil {
			WriteError(w, internalError(err))
			return
		}
		g.storeBlob(w, r, target.Repository, digest, blob)
		g.uploads.remove(target.Reference)
	case http.MethodGet:
		writeUpload(w, r, target.Repository, target.Reference, found.size, http.StatusNoContent)
	case http.MethodDelete:
		g.uploads.remove(target.Reference)
		w.WriteHeader(http.StatusNoContent)
	default:
		WriteError(w, errUnsupported)
	}
}

// startUpload answers the POST that mounts a blob, uploads it whole, or starts an upload in parts.
func (g *Registry) startUpload(w http.ResponseWriter, r *http.Request, repository string) {
	query := r.URL.Query()
	if mounted, err := release.ParseDigest(query.Get("mount")); err == nil {
		found, err := g.store.Mount(query.Get("from"), repository, mounted)
		if err != nil {
			WriteError(w, internalError(err))
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
			WriteError(w, newError(http.StatusBadRequest, "DIGEST_INVALID", err.Error()))
			return
		}
		g.storeBlob(w, r, repository, digest, r.Body)
		return
	}
	id, err := g.uploads.start(repository)
	if err != nil {
		WriteError(w, internalError(err))
		return
	}
	writeUpload(w, r, repository, id, 0, http.StatusAccepted)
}

// writeUpload responds with an upload's location and how many bytes have arrived.
func writeUpload(w http.ResponseWriter, r *http.Request, repository, id string, size int64, status int) {
	w.Header().Set(registryVersionHeader, registryVersion)
	w.Header().Set("Location", absolute(r, "/v2/"+repository+"/blobs/uploads/"+id))
	w.Header().Set("Docker-Upload-Uuid", id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, size-1)))
	w.WriteHeader(status)
}

// append adds a request's body to an upload. If the body is cut off, the bytes that arrived are kept, and the next part continues
// after them.
func (u *upload) append(r *http.Request) *Error {
	if header := r.Header.Get("Content-Range"); header != "" {
		var start, end int64
		if _, err := fmt.Sscanf(header, "%d-%d", &start, &end); err != nil || start != u.size {
			return newError(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID",
				fmt.Sprintf("The part %q does not follow the %d bytes that have arrived", header, u.size))
		}
	}
	arrived, err := io.Copy(u.spool, io.LimitReader(r.Body, store.MaxBlobSize+1-u.size))
	u.size += arrived
	switch {
	case err != nil:
		return newError(http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "The upload was cut off: "+err.Error())
	case u.size > store.MaxBlobSize:
		return newError(http.StatusRequestEntityTooLarge, "SIZE_INVALID",
			fmt.Sprintf("The layer is longer than %d bytes", int64(store.MaxBlobSize)))
	}
	return nil
}
