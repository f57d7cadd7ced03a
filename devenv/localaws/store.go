package localaws

import (
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// store holds the repositories of the account. The API and the registry both work on it and on nothing else, so they
// always agree; its lock decides every race (of two pushes to one immutable tag, one wins).
//
// Manifests live here and not in go-containerregistry's registry, which keeps them in private maps: the API could not
// list them, and neither could refuse a tag in the same breath as setting it. Blobs it can keep elsewhere, see blobs.go.
type store struct {
	mu           sync.RWMutex
	repositories map[string]*repository
	contents     contents
	keep         keeper
	now          func() time.Time
}

type repository struct {
	name    string
	created time.Time
	rule    TagRule
	images  map[release.Digest]*image
	tags    map[release.Tag]release.Digest
	blobs   map[release.Digest]int64 // size in bytes; a blob belongs to the repositories it was pushed or mounted to
}

type image struct {
	*manifest
	pushed time.Time
}

// openStore loads what is kept in dir; "" is an empty store in memory.
func openStore(dir string, now func() time.Time) (*store, error) {
	s := &store{repositories: map[string]*repository{}, contents: newMemoryContents(), keep: forgetful{}, now: now}
	if dir == "" {
		return s, nil
	}
	directory, err := newDirectory(dir)
	if err != nil {
		return nil, err
	}
	if s.repositories, err = directory.load(); err != nil {
		return nil, err
	}
	s.contents, s.keep = directory.contents, directory
	return s, nil
}

// namePattern is a repository's name.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html (repositoryName)
var namePattern = regexp.MustCompile(`^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

const (
	minName = 2
	maxName = 256

	// maxTags is how many tags an image may have.
	// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html (Tags per image)
	maxTags = 1000
)

// find returns a repository, or nil. The caller holds the lock.
func (s *store) find(name string) *repository { return s.repositories[name] }

// create makes an empty repository; it is false if the name is taken.
func (s *store) create(name string, rule TagRule) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(name) != nil {
		return false, nil
	}
	made := &repository{
		name: name, created: s.now().UTC().Truncate(time.Millisecond), rule: rule,
		images: map[release.Digest]*image{}, tags: map[release.Tag]release.Digest{}, blobs: map[release.Digest]int64{},
	}
	if err := s.keep.repository(made); err != nil {
		return false, err
	}
	s.repositories[name] = made
	return true, nil
}

// put stores a manifest and, if a tag is given, moves the tag to it. wantChange makes it a refusal if nothing changes.
func (s *store) put(name string, pushed *manifest, tag release.Tag, wantChange bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(name)
	if found == nil {
		return &putRefusal{kind: noRepository}
	}
	if absent := missing(found.blobs, pushed.blobs); len(absent) > 0 {
		return &putRefusal{kind: blobsAbsent, digest: pushed.digest, absent: absent}
	}
	if absent := missing(found.images, pushed.children); len(absent) > 0 {
		return &putRefusal{kind: childrenAbsent, digest: pushed.digest, absent: absent}
	}
	holds, tagged := found.tags[tag]
	_, present := found.images[pushed.digest]
	switch {
	case wantChange && present && (tag == "" || tagged && holds == pushed.digest):
		return &putRefusal{kind: imageUnchanged, digest: pushed.digest}
	case tagged && found.rule.immutable(tag):
		return &putRefusal{kind: tagImmutable, digest: holds}
	case tag != "" && !tagged && len(found.tagsOf(pushed.digest)) >= maxTags:
		return &putRefusal{kind: tooManyTags, digest: pushed.digest}
	}
	return s.change(found, func(r *repository) error {
		if !present {
			if err := s.keep.manifest(pushed); err != nil {
				return err
			}
			// A new tag on an image that is there does not renew the time it was pushed.
			r.images[pushed.digest] = &image{manifest: pushed, pushed: s.now().UTC().Truncate(time.Millisecond)}
		}
		if tag != "" {
			r.tags[tag] = pushed.digest
		}
		return nil
	})
}

// change applies a change to a copy and makes it the repository once it is kept, so that what callers see and what a
// restarted server reads never differ. The caller holds the lock.
func (s *store) change(found *repository, change func(*repository) error) error {
	changed := *found
	changed.images, changed.tags, changed.blobs = maps.Clone(found.images), maps.Clone(found.tags), maps.Clone(found.blobs)
	if err := change(&changed); err != nil {
		return err
	}
	if err := s.keep.repository(&changed); err != nil {
		return err
	}
	s.repositories[found.name] = &changed
	return nil
}

// missing lists the wanted digests that are not there, in order and each once.
func missing[V any](there map[release.Digest]V, wanted []release.Digest) []release.Digest {
	var absent []release.Digest
	for _, digest := range wanted {
		if _, found := there[digest]; !found && !slices.Contains(absent, digest) {
			absent = append(absent, digest)
		}
	}
	return absent
}

// tagsOf lists an image's tags, sorted.
func (r *repository) tagsOf(digest release.Digest) []release.Tag {
	var tags []release.Tag
	for tag, held := range r.tags {
		if held == digest {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// sorted lists the images by push time, then digest.
func (r *repository) sorted() []*image {
	return slices.SortedFunc(maps.Values(r.images), func(a, b *image) int {
		if order := a.pushed.Compare(b.pushed); order != 0 {
			return order
		}
		if a.digest.String() < b.digest.String() {
			return -1
		}
		return 1
	})
}

// view runs a reader on a repository under the lock; it is false if there is none of that name. Repositories are
// replaced, never changed (see change), so what the reader takes out stays true to that moment.
func (s *store) view(name string) (*repository, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := s.find(name)
	return found, found != nil
}
