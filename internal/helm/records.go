package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// records keeps a namespace's revisions where Helm's own command keeps them, one Secret each, so that both can be used on one
// release. In place of Helm's driver it reads no more of a long history than is asked for, writes only onto what it has read,
// and says on each record who wrote it.
type records struct {
	secrets typed.SecretInterface
	heads   metadata.ResourceInterface
	over    func() error // the operation's context: no revision is begun after it
	warn    func(format string, args ...any)
	pause   func(time.Duration) (going bool)  // false when no request is answered any more
	marking func(*helmrelease.Release) author // who makes a revision; may change it before it is recorded

	seen      map[string]*core.Secret // by name, as last read or written
	made      *helmrelease.Release    // the revision that this operation began, nil if none
	open      *helmrelease.Release    // the revision that this operation has left pending in the cluster so far, nil if none
	unwritten error                   // why the last write of a revision failed, nil if it did not
}

var _ driver.Driver = (*records)(nil)

// newRecords prepares the requests. They end with the config's transport.
func newRecords(pause func(time.Duration) bool, config *rest.Config, namespace string, over func() error, warn func(string, ...any)) (*records, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	listing, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &records{
		secrets: client.CoreV1().Secrets(namespace), heads: listing.Resource(core.SchemeGroupVersion.WithResource("secrets")).Namespace(namespace),
		over: over, warn: warn, pause: pause, marking: func(*helmrelease.Release) author { return author{} }, seen: map[string]*core.Secret{},
	}, nil
}

// Name is the driver's.
func (r *records) Name() string { return driver.SecretsDriverName }

// List is not used by anything that works on one release.
func (r *records) List(func(*helmrelease.Release) bool) ([]*helmrelease.Release, error) {
	return nil, errors.New("listing all releases of a namespace is not supported")
}

// Get reads one revision whole.
func (r *records) Get(key string) (*helmrelease.Release, error) {
	secret, err := r.secrets.Get(context.Background(), key, meta.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, driver.ErrReleaseNotFound
	}
	if err != nil {
		return nil, err
	}
	return r.taken(secret)
}

// taken decodes what was read, and remembers it as the ground that a write may stand on.
func (r *records) taken(secret *core.Secret) (*helmrelease.Release, error) {
	found, err := decoded(secret.Data[recordKey])
	if err != nil {
		return nil, fmt.Errorf("reading the record %q: %w", secret.Name, err)
	}
	found.Labels = ownLabels(secret.Labels)
	r.seen[secret.Name] = secret
	return found, nil
}

// Query is asked by Helm for a release's history, of which it wants the newest revision whole and of the others the numbers;
// and for the revisions of one status, which it wants whole.
func (r *records) Query(labels map[string]string) ([]*helmrelease.Release, error) {
	heads, err := r.list(labels)
	if err != nil {
		return nil, err
	}
	if len(heads) == 0 {
		return nil, driver.ErrReleaseNotFound
	}
	whole := 1
	if labels[labelStatus] != "" {
		whole = history
		heads = heads[:min(len(heads), history)]
	}
	found, err := r.read(heads[:min(len(heads), whole)])
	if err != nil {
		return nil, err
	}
	for _, head := range heads[min(len(heads), whole):] {
		found = append(found, head.shallow(labels[labelName]))
	}
	return found, nil
}

// errShallow is a write of a revision that was not read whole: it would lose the rest.
var errShallow = errors.New("the record was not read whole")

// Create records a new revision.
func (r *records) Create(key string, made *helmrelease.Release) error {
	if err := r.over(); err != nil {
		return err
	}
	by := r.marking(made)
	made.Labels = ownLabels(made.Labels) // those of the revision before; what they say of that one is not said of this
	for _, name := range []string{verifiedLabel, runLabel, stateLabel} {
		delete(made.Labels, name)
	}
	made.Info.Description = told(made.Info.Description)
	content, err := encoded(made)
	if err != nil {
		return err
	}
	secret := &core.Secret{ObjectMeta: meta.ObjectMeta{Name: key, Labels: maps.Clone(made.Labels)}, Type: recordType}
	fill(secret, made, content)
	secret.Labels[labelCreated] = strconv.FormatInt(time.Now().Unix(), 10)
	if run := by.label(); run != "" {
		secret.Labels[runLabel] = run
	}
	var kept *core.Secret
	err = r.persist(func(again bool) (err error) {
		kept, err = r.secrets.Create(context.Background(), secret, meta.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) && again {
			kept, err = r.mine(secret, err)
		}
		return err
	})
	if apierrors.IsAlreadyExists(err) {
		return driver.ErrReleaseExists
	}
	if err != nil {
		return err
	}
	r.made = made
	r.wrote(kept, made)
	return nil
}

// mine looks whether an answer that got lost was a yes.
func (r *records) mine(sent *core.Secret, err error) (*core.Secret, error) {
	current, reading := r.secrets.Get(context.Background(), sent.Name, meta.GetOptions{})
	if reading != nil || !bytes.Equal(current.Data[recordKey], sent.Data[recordKey]) {
		return nil, err
	}
	return current, nil
}

// Update writes a revision onto the record that was read or written before. A record that somebody else has rewritten since is
// an error; one that was only labelled anew keeps its labels.
func (r *records) Update(key string, changed *helmrelease.Release) error {
	r.unwritten = r.update(key, changed)
	return r.unwritten
}

// wrote remembers what a write has left in the cluster.
func (r *records) wrote(kept *core.Secret, written *helmrelease.Release) {
	r.seen[kept.Name] = kept
	switch {
	case busy(written.Info.Status):
		r.open = written
	case r.open != nil && r.open.Version == written.Version:
		r.open = nil
	}
}

func (r *records) update(key string, changed *helmrelease.Release) error {
	if changed.Chart == nil && changed.Manifest == "" {
		return errShallow
	}
	ground := r.seen[key]
	if ground == nil {
		return fmt.Errorf("writing the record %q: %w", key, errShallow)
	}
	content, err := encoded(changed)
	if err != nil {
		return err
	}
	var kept *core.Secret
	err = r.persist(func(again bool) (err error) {
		secret := ground.DeepCopy()
		fill(secret, changed, content)
		secret.Labels[labelModified] = strconv.FormatInt(time.Now().Unix(), 10)
		kept, err = r.secrets.Update(context.Background(), secret, meta.UpdateOptions{FieldManager: fieldManager})
		if !apierrors.IsConflict(err) {
			return err
		}
		current, reading := r.secrets.Get(context.Background(), key, meta.GetOptions{})
		switch {
		case reading != nil:
			return reading
		case again && bytes.Equal(current.Data[recordKey], content):
			kept = current
			return nil
		case bytes.Equal(current.Data[recordKey], ground.Data[recordKey]):
			ground = current
			return errAgain
		}
		return err
	})
	if err != nil {
		return err
	}
	r.wrote(kept, changed)
	return nil
}

// Delete removes one record; one that is gone is no error. What Helm is given back is not the whole revision.
func (r *records) Delete(key string) (*helmrelease.Release, error) {
	err := r.secrets.Delete(context.Background(), key, meta.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	delete(r.seen, key)
	if r.open != nil && key == keyOf(r.open.Name, r.open.Version) {
		r.open = nil
	}
	return &helmrelease.Release{}, nil
}

// persistence is how long a write is tried again in a cluster that does not answer: as long as an apiserver takes to restart.
const persistence = 30 * time.Second

// errAgain is a write that is to be tried again at once.
var errAgain = errors.New("the record was labelled meanwhile")

// persist tries a write again that did not reach the cluster, or whose answer did not come back.
func (r *records) persist(write func(again bool) error) error {
	began, wait := time.Now(), 100*time.Millisecond
	for again := false; ; again = true {
		err := write(again)
		if err == nil || !transient(err) || time.Since(began) > persistence || !r.pause(wait) {
			return err
		}
		if !errors.Is(err, errAgain) {
			wait = min(2*wait, 2*time.Second)
		}
	}
}

// transient tells whether an error says nothing about the request: the network's, or an apiserver's that is starting.
func transient(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	code := status.Status().Code
	return code == 429 || code >= 500 && code != 501
}
