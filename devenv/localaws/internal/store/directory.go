package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// persister writes repositories for the next server on the same directory.
type persister interface {
	saveRepository(*Repository) error
	deleteRepository(name string) error
	saveManifest(*Manifest) error
}

// noPersister is the persister of a server in memory.
type noPersister struct{}

func (noPersister) saveRepository(*Repository) error { return nil }
func (noPersister) deleteRepository(string) error    { return nil }
func (noPersister) saveManifest(*Manifest) error     { return nil }

// directory persists a store on disk: one small file per repository, written whole and renamed into place, and blobs by digest. A
// server that is killed leaves the state before or after a change, never a part of it.
type directory struct {
	repositories string
	manifests    string
	contents     *diskContents
}

// KeyFile is the name of the file with the key that signs registry tokens; every server's directory has one.
const KeyFile = "token.key"

// Files lists the files and directories that a server writes in its directory, the key last.
func Files() []string {
	return []string{"repositories", "manifests", "blobs", "uploads", "lock", KeyFile}
}

// UploadsDir returns the directory for unfinished uploads in a server's directory.
func UploadsDir(dir string) string { return filepath.Join(dir, "uploads") }

// LoadKey returns the key in a server's directory, and writes the new one there if there is none.
func LoadKey(dir string, newKey []byte) ([]byte, error) {
	path := filepath.Join(dir, KeyFile)
	key, err := os.ReadFile(path) // #nosec G304 -- the server's own directory
	switch {
	case err == nil && len(key) == len(newKey):
		return key, nil
	case err == nil:
		return nil, fmt.Errorf("reading %q: %d bytes, want %d", path, len(key), len(newKey))
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	if err := writeFile(path, newKey); err != nil {
		return nil, err
	}
	return newKey, nil
}

// newDirectory creates the directory for a store, without unfinished uploads of an earlier server.
func newDirectory(dir string) (*directory, error) {
	d := &directory{
		repositories: filepath.Join(dir, "repositories"),
		manifests:    filepath.Join(dir, "manifests"),
		contents:     &diskContents{dir: filepath.Join(dir, "blobs")},
	}
	// An upload that an earlier server did not finish cannot be resumed.
	if err := os.RemoveAll(UploadsDir(dir)); err != nil {
		return nil, fmt.Errorf("clearing unfinished uploads: %w", err)
	}
	for _, sub := range []string{d.repositories, d.manifests, d.contents.dir, UploadsDir(dir)} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return nil, fmt.Errorf("making %q: %w", sub, err)
		}
	}
	return d, nil
}

// repositoryFile is a repository on disk.
type repositoryFile struct {
	Name    string                         `json:"name"`
	Created time.Time                      `json:"created"`
	Rule    TagRule                        `json:"rule"`
	Images  map[release.Digest]imageEntry  `json:"images"`
	Tags    map[release.Tag]release.Digest `json:"tags"`
	Blobs   map[release.Digest]int64       `json:"blobs"`
}

type imageEntry struct {
	MediaType string    `json:"mediaType"`
	Pushed    time.Time `json:"pushed"`
}

func (d *directory) file(name string) string {
	return filepath.Join(d.repositories, url.PathEscape(name)+".json")
}

func (d *directory) saveRepository(r *Repository) error {
	saved := repositoryFile{
		Name: r.Name, Created: r.Created, Rule: r.Rule, Tags: r.Tags, Blobs: r.Blobs,
		Images: make(map[release.Digest]imageEntry, len(r.Images)),
	}
	for digest, image := range r.Images {
		saved.Images[digest] = imageEntry{MediaType: string(image.MediaType), Pushed: image.Pushed}
	}
	text, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("writing repository %q: %w", r.Name, err)
	}
	return writeFile(d.file(r.Name), text)
}

func (d *directory) deleteRepository(name string) error {
	if err := os.Remove(d.file(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("deleting repository %q: %w", name, err)
	}
	return nil
}

func (d *directory) saveManifest(m *Manifest) error {
	return writeFile(filepath.Join(d.manifests, hexOf(m.Digest)), m.Body)
}

// load reads every repository. A file that does not match its name or its digest is an error.
func (d *directory) load() (map[string]*Repository, error) {
	entries, err := os.ReadDir(d.repositories)
	if err != nil {
		return nil, fmt.Errorf("listing %q: %w", d.repositories, err)
	}
	loaded := map[string]*Repository{}
	for _, entry := range entries {
		file := filepath.Join(d.repositories, entry.Name())
		if filepath.Ext(file) != ".json" {
			continue // a file that a killed server did not finish
		}
		repository, err := d.loadRepository(file)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", file, err)
		}
		loaded[repository.Name] = repository
	}
	return loaded, nil
}

// loadRepository reads a repository from its file, with the manifests that the file lists.
func (d *directory) loadRepository(file string) (*Repository, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the server's own directory
	if err != nil {
		return nil, err
	}
	var saved repositoryFile
	if err := json.Unmarshal(text, &saved); err != nil {
		return nil, err
	}
	if saved.Images == nil || saved.Tags == nil || saved.Blobs == nil {
		return nil, errors.New("images, tags or blobs are missing")
	}
	if !namePattern.MatchString(saved.Name) || d.file(saved.Name) != file {
		return nil, fmt.Errorf("it holds repository %q", saved.Name)
	}
	loaded := &Repository{
		Name: saved.Name, Created: saved.Created, Rule: saved.Rule, Tags: saved.Tags, Blobs: saved.Blobs,
		Images: make(map[release.Digest]*Image, len(saved.Images)),
	}
	for digest, entry := range saved.Images {
		body, err := os.ReadFile(filepath.Join(d.manifests, hexOf(digest)))
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", digest, err)
		}
		parsed, err := ParseManifest(body, entry.MediaType)
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", digest, err)
		}
		if parsed.Digest != digest {
			return nil, fmt.Errorf("manifest %s: its bytes are %s", digest, parsed.Digest)
		}
		loaded.Images[digest] = &Image{Manifest: parsed, Pushed: entry.Pushed}
	}
	for tag, digest := range loaded.Tags {
		if loaded.Images[digest] == nil {
			return nil, fmt.Errorf("tag %q names %s, which does not exist", tag, digest)
		}
	}
	return loaded, nil
}

func hexOf(digest release.Digest) string { return strings.TrimPrefix(digest.String(), "sha256:") }

// writeFile writes a file atomically: as a temporary file that is then renamed.
func writeFile(path string, text []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".writing-*")
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path) // #nosec G703 -- the server's own directory; names are escaped or hex
	}
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, errors.Join(err, os.Remove(file.Name()))) // #nosec G703 -- as above
	}
	return nil
}
