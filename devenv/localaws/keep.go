package localaws

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

// keeper remembers repositories for the next server.
type keeper interface {
	repository(*repository) error
	forget(name string) error
	manifest(*manifest) error
}

// forgetful is the keeper of a server in memory.
type forgetful struct{}

func (forgetful) repository(*repository) error { return nil }
func (forgetful) forget(string) error          { return nil }
func (forgetful) manifest(*manifest) error     { return nil }

// directory keeps a store on disk: one small file per repository, written whole and renamed into place, and contents by
// digest. A server killed at any moment leaves the state before or after a change, never half of one.
type directory struct {
	repositories string
	manifests    string
	contents     *diskContents
}

// KeyFile is in every directory that a server has kept things in.
const KeyFile = "token.key"

// KeptFiles names what a server has in Options.Dir, the key last.
func KeptFiles() []string {
	return []string{"repositories", "manifests", "blobs", "uploads", "lock", KeyFile}
}

func newDirectory(dir string) (*directory, error) {
	d := &directory{
		repositories: filepath.Join(dir, "repositories"),
		manifests:    filepath.Join(dir, "manifests"),
		contents:     &diskContents{dir: filepath.Join(dir, "blobs")},
	}
	// What an earlier server had not finished receiving is nobody's.
	if err := os.RemoveAll(filepath.Join(dir, "uploads")); err != nil {
		return nil, fmt.Errorf("clearing unfinished uploads: %w", err)
	}
	for _, sub := range []string{d.repositories, d.manifests, d.contents.dir, filepath.Join(dir, "uploads")} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return nil, fmt.Errorf("making %q: %w", sub, err)
		}
	}
	return d, nil
}

// keptRepository is a repository's file.
type keptRepository struct {
	Name    string                         `json:"name"`
	Created time.Time                      `json:"created"`
	Rule    TagRule                        `json:"rule"`
	Images  map[release.Digest]keptImage   `json:"images"`
	Tags    map[release.Tag]release.Digest `json:"tags"`
	Blobs   map[release.Digest]int64       `json:"blobs"`
}

type keptImage struct {
	MediaType string    `json:"mediaType"`
	Pushed    time.Time `json:"pushed"`
}

func (d *directory) file(name string) string {
	return filepath.Join(d.repositories, url.PathEscape(name)+".json")
}

func (d *directory) repository(r *repository) error {
	kept := keptRepository{
		Name: r.name, Created: r.created, Rule: r.rule, Tags: r.tags, Blobs: r.blobs,
		Images: make(map[release.Digest]keptImage, len(r.images)),
	}
	for digest, image := range r.images {
		kept.Images[digest] = keptImage{MediaType: string(image.mediaType), Pushed: image.pushed}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("writing repository %q: %w", r.name, err)
	}
	return writeFile(d.file(r.name), text)
}

func (d *directory) forget(name string) error {
	if err := os.Remove(d.file(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("deleting repository %q: %w", name, err)
	}
	return nil
}

func (d *directory) manifest(m *manifest) error {
	return writeFile(filepath.Join(d.manifests, hexOf(m.digest)), m.body)
}

// load reads every repository back. A file that was changed by another hand is an error, not a guess.
func (d *directory) load() (map[string]*repository, error) {
	entries, err := os.ReadDir(d.repositories)
	if err != nil {
		return nil, fmt.Errorf("listing %q: %w", d.repositories, err)
	}
	loaded := map[string]*repository{}
	for _, entry := range entries {
		file := filepath.Join(d.repositories, entry.Name())
		if filepath.Ext(file) != ".json" {
			continue // a write that a killed server did not finish
		}
		repository, err := d.loadRepository(file)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", file, err)
		}
		loaded[repository.name] = repository
	}
	return loaded, nil
}

func (d *directory) loadRepository(file string) (*repository, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the server's own directory
	if err != nil {
		return nil, err
	}
	var kept keptRepository
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, err
	}
	if kept.Images == nil || kept.Tags == nil || kept.Blobs == nil {
		return nil, errors.New("images, tags or blobs are missing")
	}
	if !namePattern.MatchString(kept.Name) || d.file(kept.Name) != file {
		return nil, fmt.Errorf("it holds repository %q", kept.Name)
	}
	loaded := &repository{
		name: kept.Name, created: kept.Created, rule: kept.Rule, tags: kept.Tags, blobs: kept.Blobs,
		images: make(map[release.Digest]*image, len(kept.Images)),
	}
	for digest, facts := range kept.Images {
		body, err := os.ReadFile(filepath.Join(d.manifests, hexOf(digest)))
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", digest, err)
		}
		parsed, err := parseManifest(body, facts.MediaType)
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", digest, err)
		}
		if parsed.digest != digest {
			return nil, fmt.Errorf("manifest %s: its bytes are %s", digest, parsed.digest)
		}
		loaded.images[digest] = &image{manifest: parsed, pushed: facts.Pushed}
	}
	for tag, digest := range loaded.tags {
		if loaded.images[digest] == nil {
			return nil, fmt.Errorf("tag %q names %s, which is not there", tag, digest)
		}
	}
	return loaded, nil
}

func hexOf(digest release.Digest) string { return strings.TrimPrefix(digest.String(), "sha256:") }

// writeFile writes a file whole: beside its place first, then renamed into it.
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
