// Package store holds the state of the fake ECR: repositories with their images, tags and blobs, in memory or in a directory.
package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/internal/release"
)

// Store holds the repositories of one account. The ECR API and the registry both use it and hold no state of their own, so they
// always agree; its lock decides every race (of two pushes to one immutable tag, one succeeds).
//
// Manifests are here and not in go-containerregistry's registry, which has them in private maps: the API could not list them, and
// checking a tag and setting it would be two steps.
type Store struct {
	mu           sync.RWMutex
	account      string
	repositories map[string]*Repository
	contents     contents
	persister    persister
	unlock       func() error
	now          func() time.Time
}

// Repository is a repository at one moment; nobody may change it.
type Repository struct {
	Name    string
	Created time.Time
	Rule    TagRule
	Images  map[release.Digest]*Image
	Tags    map[release.Tag]release.Digest
	Blobs   map[release.Digest]int64 // size in bytes; a blob belongs to the repositories it was pushed or mounted to
}

// Image is a manifest in a repository.
type Image struct {
	*Manifest
	Pushed   time.Time
	Archived time.Time // zero: it is active; a server that is started again has no archived images
}

// Open loads the repositories in dir, which it creates and locks until Close; "" is an empty store in memory.
func Open(dir, account string, now func() time.Time) (*Store, error) {
	s := &Store{
		account: account, repositories: map[string]*Repository{}, contents: newMemoryContents(), persister: noPersister{},
		unlock: func() error { return nil }, now: now,
	}
	if dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making %q: %w", dir, err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	directory, err := newDirectory(dir)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	if s.repositories, err = directory.load(); err != nil {
		return nil, errors.Join(err, unlock())
	}
	s.contents, s.persister, s.unlock = directory.contents, directory, unlock
	return s, nil
}

// Close unlocks the directory. It may be called again.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock := s.unlock
	s.unlock = func() error { return nil }
	return unlock()
}

// namePattern matches a repository's name.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html (repositoryName)
var namePattern = regexp.MustCompile(`^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

const (
	minName = 2
	maxName = 256

	// maxTags is the most tags that an image may have.
	// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html (Tags per image)
	maxTags = 1000
)

// find returns a repository, or nil. The caller holds the lock.
func (s *Store) find(name string) *Repository { return s.repositories[name] }

// Create makes an empty repository; it returns false if the name is in use.
func (s *Store) Create(name string, rule TagRule) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(name) != nil {
		return false, nil
	}
	created := &Repository{
		Name: name, Created: s.now().UTC().Truncate(time.Millisecond), Rule: rule,
		Images: map[release.Digest]*Image{}, Tags: map[release.Tag]release.Digest{}, Blobs: map[release.Digest]int64{},
	}
	if err := s.persister.saveRepository(created); err != nil {
		return false, err
	}
	s.repositories[name] = created
	return true, nil
}

// Repeated says how a put that changes nothing is answered: as success in the registry's protocol, as a refusal in the API.
type Repeated bool

// The two kinds of put.
const (
	RepeatedAccepted Repeated = false
	RepeatedRefused  Repeated = true
)

// Put stores a manifest and, unless tag is "", moves the tag to it. A *Refusal says why ECR would not do it.
func (s *Store) Put(name string, pushed *Manifest, tag release.Tag, repeated Repeated) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil {
		return s.refuse(RepositoryNotFound, name)
	}
	refuse := func(kind RefusalKind, missing ...release.Digest) error {
		return &Refusal{Kind: kind, account: s.account, repository: name, tag: tag, digest: pushed.Digest, missing: missing}
	}
	if absent := missing(found.Blobs, pushed.Blobs); len(absent) > 0 {
		return refuse(LayersNotFound, absent...)
	}
	if absent := missing(found.Images, pushed.Children); len(absent) > 0 {
		return refuse(ReferencedImagesNotFound, absent...)
	}
	current, tagged := found.Tags[tag]
	_, present := found.Images[pushed.Digest]
	switch {
	case repeated == RepeatedRefused && present && (tag == "" || tagged && current == pushed.Digest):
		return refuse(ImageUnchanged)
	case tagged && found.Rule.immutable(tag):
		return refuse(TagImmutable)
	case tag != "" && !tagged && len(found.TagsOf(pushed.Digest)) >= maxTags:
		return refuse(TooManyTags)
	}
	return s.change(found, func(r *Repository) error {
		if !present {
			if err := s.persister.saveManifest(pushed); err != nil {
				return err
			}
			// A new tag on an existing image does not change the time at which it was pushed.
			r.Images[pushed.Digest] = &Image{Manifest: pushed, Pushed: s.now().UTC().Truncate(time.Millisecond)}
		}
		if tag != "" {
			r.Tags[tag] = pushed.Digest
		}
		return nil
	})
}

// change applies a change to a copy, saves the copy, and then replaces the repository by it. A restarted server therefore has
// everything that callers have seen. The caller holds the lock.
func (s *Store) change(found *Repository, change func(*Repository) error) error {
	changed := *found
	changed.Images, changed.Tags, changed.Blobs = maps.Clone(found.Images), maps.Clone(found.Tags), maps.Clone(found.Blobs)
	if err := change(&changed); err != nil {
		return err
	}
	if err := s.persister.saveRepository(&changed); err != nil {
		return err
	}
	s.repositories[found.Name] = &changed
	return nil
}

// missing returns the wanted digests that are not present, in order and each once.
func missing[V any](present map[release.Digest]V, wanted []release.Digest) []release.Digest {
	var absent []release.Digest
	for _, digest := range wanted {
		if _, found := present[digest]; !found && !slices.Contains(absent, digest) {
			absent = append(absent, digest)
		}
	}
	return absent
}

// TagsOf returns an image's tags, sorted.
func (r *Repository) TagsOf(digest release.Digest) []release.Tag {
	var tags []release.Tag
	for tag, current := range r.Tags {
		if current == digest {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// SortedImages returns the images by push time, then digest.
func (r *Repository) SortedImages() []*Image {
	return slices.SortedFunc(maps.Values(r.Images), func(a, b *Image) int {
		if order := a.Pushed.Compare(b.Pushed); order != 0 {
			return order
		}
		if a.Digest.String() < b.Digest.String() {
			return -1
		}
		return 1
	})
}

// View returns a repository as it is now, or false if there is none of that name. Repositories are replaced, never changed (see
// change), so the caller may read it without a lock.
func (s *Store) View(name string) (*Repository, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := s.find(name)
	return found, found != nil
}

// Names lists the repositories, sorted.
func (s *Store) Names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.repositories))
}

// Remove deletes a repository; it returns false, and deletes nothing, if the repository has images and force is not set.
func (s *Store) Remove(name string, force bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil || len(found.Images) > 0 && !force {
		return false, nil
	}
	if err := s.persister.deleteRepository(name); err != nil {
		return false, err
	}
	delete(s.repositories, name)
	return true, nil
}

// SetRule changes which tags of a repository may move from now on.
func (s *Store) SetRule(name string, rule TagRule) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil {
		return s.refuse(RepositoryNotFound, name)
	}
	return s.change(found, func(r *Repository) error {
		r.Rule = rule
		return nil
	})
}

// CheckName returns ECR's error for an invalid repository name.
func CheckName(name string) *awsapi.Error {
	switch {
	case len(name) < minName || len(name) > maxName:
		return awsapi.InvalidParameter("repositoryName", fmt.Sprintf("Member must have length between %d and %d", minName, maxName))
	case !namePattern.MatchString(name):
		return awsapi.InvalidParameter("repositoryName", "Member must satisfy regular expression pattern: "+namePattern.String())
	}
	return nil
}
