// Package history reads and writes the revisions of releases where Helm's own command keeps them, one Secret each, so that both
// can be used on one release. It also heals the revisions that a killed run left behind.
package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/manifest"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
	"golang.org/x/sync/errgroup"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// MaxRevisions is how many revisions of a release are kept, and how many are read at most.
const MaxRevisions = 10

// Options say how a store reaches the cluster. All but the last three are required.
type Options struct {
	Config    *rest.Config // its transport ends the requests
	Namespace string
	Stopped   func() error                  // the operation's error once it is stopped: no revision is created after that
	Sleep     func(time.Duration) (ok bool) // false when no request is answered any more
	Log       func(line string)             // warnings
	// AuthorOf says who creates a revision. It may change the revision before it is recorded and its hooks run, or refuse it.
	AuthorOf func(*helmrelease.Release) (Author, error)
	Collect  func(*helmrelease.Release) // gets every revision that is read or recorded; may be nil
	Redact   func(string) string        // of what is recorded in words; may be nil
	Recorded func()                     // called after a new revision was recorded, and before it is rolled out; may be nil
}

// Store is the revisions of a namespace's releases, for one operation. In place of Helm's driver it reads no more of a long
// history than is needed, overwrites only what it has read, and labels each record with who wrote it.
type Store struct {
	Options
	Created  *helmrelease.Release // the revision that this operation created, nil if none
	Pending  *helmrelease.Release // the revision that is in progress because of this operation, nil if none
	WriteErr error                // of the last update of a revision, nil if it succeeded

	secrets    typed.SecretInterface
	metadata   metadata.ResourceInterface
	configMaps metadata.ResourceInterface
	known      map[string]*core.Secret // by name, as last read or written
	recent     bool                    // lists may be as old as the apiserver's cache
}

var _ driver.Driver = (*Store)(nil)

// NewStore returns a store. It sends no request.
func NewStore(options Options) (*Store, error) {
	client, err := kubernetes.NewForConfig(options.Config)
	if err != nil {
		return nil, err
	}
	lister, err := metadata.NewForConfig(options.Config)
	if err != nil {
		return nil, err
	}
	resource := func(name string) metadata.ResourceInterface {
		return lister.Resource(core.SchemeGroupVersion.WithResource(name)).Namespace(options.Namespace)
	}
	if options.Collect == nil {
		options.Collect = func(*helmrelease.Release) {}
	}
	if options.Recorded == nil {
		options.Recorded = func() {}
	}
	if options.Redact == nil {
		options.Redact = func(text string) string { return text }
	}
	return &Store{Options: options, secrets: client.CoreV1().Secrets(options.Namespace), metadata: resource("secrets"), configMaps: resource("configmaps"),
		known: map[string]*core.Secret{}}, nil
}

// Name returns the name of Helm's driver that this store replaces, as Helm's driver interface requires.
func (s *Store) Name() string { return driver.SecretsDriverName }

// List always fails: operations on one release do not call it.
func (s *Store) List(func(*helmrelease.Release) bool) ([]*helmrelease.Release, error) {
	return nil, errors.New("listing all releases of a namespace is not supported")
}

// Get reads one revision. The error is driver.ErrReleaseNotFound if there is none.
func (s *Store) Get(name string) (*helmrelease.Release, error) {
	secret, err := s.secrets.Get(context.Background(), name, meta.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, driver.ErrReleaseNotFound
	}
	if err != nil {
		return nil, err
	}
	revision, err := s.decode(secret)
	var unreadable *unreadableError
	if errors.As(err, &unreadable) {
		return nil, s.refuse(unreadable)
	}
	return revision, err
}

// decode decodes a record that was read, and remembers it for a later update.
func (s *Store) decode(secret *core.Secret) (*helmrelease.Release, error) {
	revision, err := decode(secret.Data[recordKey])
	if err == nil && recordName(revision.Name, revision.Version) != secret.Name {
		err = fmt.Errorf("it is the record of revision %d of release %q", revision.Version, revision.Name)
	}
	if err != nil {
		return nil, &unreadableError{secret.Name, err}
	}
	revision.Labels = customLabels(secret.Labels)
	s.known[secret.Name] = secret
	s.Collect(revision)
	return revision, nil
}

// Query returns the revisions with the labels. Helm queries a release's history, of which it needs only the newest revision
// completely and the numbers of the others, and the revisions of one status, which it needs completely.
func (s *Store) Query(by map[string]string) ([]*helmrelease.Release, error) {
	entries, err := s.list(by)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, driver.ErrReleaseNotFound
	}
	whole := 1
	if by[labelStatus] != "" {
		whole = MaxRevisions
		entries = entries[:min(len(entries), MaxRevisions)]
	}
	revisions, err := s.read(entries[:min(len(entries), whole)], entries[0])
	if err != nil {
		return nil, err
	}
	for _, entry := range entries[min(len(entries), whole):] {
		revisions = append(revisions, entry.metadataOnly(by[labelName]))
	}
	return revisions, nil
}

// Entries lists a release's revisions, newest first.
func (s *Store) Entries(name string) ([]Entry, error) {
	return s.list(map[string]string{labelName: name, labelOwner: "helm"})
}

// list lists the records with the labels, newest revision first.
func (s *Store) list(by map[string]string) ([]Entry, error) {
	options := meta.ListOptions{LabelSelector: labels.SelectorFromSet(by).String()}
	if s.recent {
		options.ResourceVersion = "0"
	}
	found, err := s.metadata.List(context.Background(), options)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(found.Items))
	for _, item := range found.Items {
		if entry, ok := entryOf(item); ok {
			entries = append(entries, entry)
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return b.Revision - a.Revision })
	return entries, nil
}

// maxParallelReads bounds how many records are read at once.
const maxParallelReads = 5

// read reads the revisions of entries, in their order. One that was deleted meanwhile is left out, and so is one that cannot be
// decoded, which is logged; unless it is needed: then that is a *release.Failure (OD-215).
func (s *Store) read(entries []Entry, needed ...Entry) ([]*helmrelease.Release, error) {
	secrets := make([]*core.Secret, len(entries))
	var group errgroup.Group
	group.SetLimit(maxParallelReads)
	for i, entry := range entries {
		if known := s.known[entry.name]; known != nil && known.ResourceVersion == entry.resourceVersion && entry.resourceVersion != "" {
			secrets[i] = known
			continue
		}
		group.Go(func() (err error) {
			secrets[i], err = s.secrets.Get(context.Background(), entry.name, meta.GetOptions{})
			if apierrors.IsNotFound(err) {
				secrets[i], err = nil, nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var revisions []*helmrelease.Release
	for _, secret := range secrets {
		if secret == nil {
			continue
		}
		revision, err := s.decode(secret)
		var unreadable *unreadableError
		switch {
		case errors.As(err, &unreadable) && slices.ContainsFunc(needed, func(e Entry) bool { return e.name == secret.Name }):
			return nil, s.refuse(unreadable)
		case errors.As(err, &unreadable):
			s.warnSkipped(unreadable)
		case err != nil:
			return nil, err
		default:
			revisions = append(revisions, revision)
		}
	}
	return revisions, nil
}

// errPartial is returned when a revision that was not read whole is written: the rest of it would be lost.
var errPartial = errors.New("the record was not read whole")

// Create records a new revision. The error is driver.ErrReleaseExists if there is one of that number already.
func (s *Store) Create(name string, revision *helmrelease.Release) error {
	if err := s.Stopped(); err != nil {
		return err
	}
	s.Collect(revision)
	author, err := s.AuthorOf(revision)
	if err != nil {
		return err
	}
	revision.Labels = customLabels(revision.Labels) // Helm copied them from the revision before
	for _, label := range []string{release.LabelMark, createdLabel, runLabel, statusLabel} {
		delete(revision.Labels, label)
	}
	revision.Info.Description = s.Redact(revision.Info.Description)
	content, err := encode(revision)
	if err != nil {
		return err
	}
	secret := &core.Secret{ObjectMeta: meta.ObjectMeta{Name: name, Labels: maps.Clone(revision.Labels)}, Type: recordType}
	setRecord(secret, revision, content)
	secret.Labels[createdLabel] = strconv.Itoa(revision.Version)
	secret.Labels[labelCreated] = strconv.FormatInt(time.Now().Unix(), 10)
	if run := author.label(); run != "" {
		secret.Labels[runLabel] = run
	}
	var created *core.Secret
	err = s.retry(func(again bool) (err error) {
		created, err = s.secrets.Create(context.Background(), secret, meta.CreateOptions{FieldManager: manifest.FieldManager})
		if apierrors.IsAlreadyExists(err) && again {
			created, err = s.confirmCreate(secret, err)
		}
		return err
	})
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("%w: Secret %q in namespace %q (another run was faster, or its labels owner, name and version are not Helm's)", driver.ErrReleaseExists, name, s.Namespace)
	}
	if err != nil {
		return err
	}
	s.Created = revision
	s.cacheWrite(created, revision)
	s.Recorded()
	return nil
}

// confirmCreate checks whether the record that exists is the one that was sent: then an earlier try succeeded, and its answer
// was lost.
func (s *Store) confirmCreate(sent *core.Secret, exists error) (*core.Secret, error) {
	current, err := s.secrets.Get(context.Background(), sent.Name, meta.GetOptions{})
	if err != nil || !bytes.Equal(current.Data[recordKey], sent.Data[recordKey]) {
		return nil, exists
	}
	return current, nil
}

// Update overwrites the record that was read or written before. If somebody else has rewritten it since, the error is a
// conflict; if only its labels were changed, they are kept.
func (s *Store) Update(name string, revision *helmrelease.Release) error {
	s.WriteErr = s.update(name, revision)
	return s.WriteErr
}

// MarkUninstalled records that an uninstall which was interrupted is over, as another revision has replaced the one that it was to remove: no rollback goes back beyond it.
func (s *Store) MarkUninstalled(revision *helmrelease.Release) error {
	revision.SetStatus(helmrelease.StatusUninstalled, "onedigest: an uninstall was interrupted, and the release was installed again")
	return s.update(recordName(revision.Name, revision.Version), revision)
}

// update overwrites a record if it has not changed since it was read or written.
func (s *Store) update(name string, revision *helmrelease.Release) error {
	if revision.Chart == nil && revision.Manifest == "" {
		return errPartial
	}
	base := s.known[name]
	if base == nil {
		return fmt.Errorf("writing the record %q: %w", name, errPartial)
	}
	if !revision.Info.Deleted.IsZero() && revision.Info.Status == helmrelease.StatusSuperseded {
		revision.Info.Status = helmrelease.StatusUninstalled // Helm's install loses it, and no rollback may go back beyond it
	}
	revision.Info.Description = s.Redact(revision.Info.Description)
	content, err := encode(revision)
	if err != nil {
		return err
	}
	var updated *core.Secret
	err = s.retry(func(again bool) (err error) {
		secret := base.DeepCopy()
		setRecord(secret, revision, content)
		secret.Labels[labelModified] = strconv.FormatInt(time.Now().Unix(), 10)
		updated, err = s.secrets.Update(context.Background(), secret, meta.UpdateOptions{FieldManager: manifest.FieldManager})
		if !apierrors.IsConflict(err) {
			return err
		}
		current, readErr := s.secrets.Get(context.Background(), name, meta.GetOptions{})
		switch {
		case readErr != nil:
			return readErr
		case again && bytes.Equal(current.Data[recordKey], content): // an earlier try succeeded, and its answer was lost
			updated = current
			return nil
		case bytes.Equal(current.Data[recordKey], base.Data[recordKey]):
			base = current
			return errRelabelled
		}
		return err
	})
	if err != nil {
		return err
	}
	s.cacheWrite(updated, revision)
	return nil
}

// cacheWrite updates the cached Secrets and Pending after a record was written to the cluster.
func (s *Store) cacheWrite(secret *core.Secret, revision *helmrelease.Release) {
	s.known[secret.Name] = secret
	switch {
	case InProgress(revision.Info.Status):
		s.Pending = revision
	case s.Pending != nil && s.Pending.Version == revision.Version:
		s.Pending = nil
	}
}

// Delete deletes one record; a missing one is no error. Helm does not use the revision that its driver interface returns.
func (s *Store) Delete(name string) (*helmrelease.Release, error) {
	err := s.secrets.Delete(context.Background(), name, meta.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	delete(s.known, name)
	if s.Pending != nil && name == recordName(s.Pending.Name, s.Pending.Version) {
		s.Pending = nil
	}
	return &helmrelease.Release{}, nil
}

// maxRetryTime is how long a write is retried in a cluster that does not answer: as long as an apiserver takes to restart.
const maxRetryTime = 30 * time.Second

// errRelabelled is the error of a write that is retried because only the record's labels had changed.
var errRelabelled = errors.New("the record's labels were changed meanwhile")

// retry calls write until it succeeds, fails permanently, or maxRetryTime has passed. again is false in the first call: later ones must
// read the record first, because a write whose answer was lost may have been stored.
func (s *Store) retry(write func(again bool) error) error {
	backoff := httpx.RestartBackoff(maxRetryTime)
	for again := false; ; again = true {
		err := write(again)
		if err == nil || errors.Is(err, context.Canceled) || !failure.IsTransient(err) {
			return err
		}
		if wait, stop := backoff.Next(); stop || !s.Sleep(wait) {
			return err
		}
	}
}
