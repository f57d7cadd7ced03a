package helm

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/helm/failure"
	"github.com/onedigest/onedigest/internal/helm/objects"
	"github.com/onedigest/onedigest/internal/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/resource"
)

// The limits of waiting for an object that is being deleted. Controllers remove their finalizers in seconds, and retry for minutes.
const (
	deletionQuiet = 5 * time.Second // until the log says what it waits for
	deletionStuck = 2 * time.Minute // without a finalizer being removed, until it is given up
)

// awaitGone waits until an object that is being deleted no longer exists. If its finalizers keep it for deletionQuiet, that is logged; for deletionStuck
// without a finalizer being removed, the result is a *release.Failure, which also becomes the operation's error.
func (k *kubeClient) awaitGone(info *resource.Info) error {
	began := time.Now()
	changed, logged := began, false
	var kept []string
	for poll := 20 * time.Millisecond; ; poll = min(2*poll, time.Second) {
		current, err := objects.Get(info)
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil && !failure.IsTransient(err):
			return err
		case err == nil:
			finalizers, _ := objects.IsDeleting(current)
			if !slices.Equal(kept, finalizers) {
				kept, changed = finalizers, time.Now()
			}
		}
		if !logged && len(kept) > 0 && time.Since(began) > deletionQuiet {
			logged = true
			k.session.client.log(fmt.Sprintf("waiting until %s, which is being deleted, is gone: it is kept by %s", objects.ID(info), failure.Finalizers(kept)))
		}
		isStuck := len(objects.OfControllers(kept)) > 0 && time.Since(changed) > deletionStuck
		if isStuck || !k.session.sleep(poll) {
			return k.failDeletion(info, kept)
		}
	}
}

// failDeletion makes the operation fail because an object still exists. It stores the error as the operation's own, because Helm would turn it into text.
func (k *kubeClient) failDeletion(info *resource.Info, finalizers []string) error {
	stopped := k.session.stopped()
	if len(finalizers) == 0 {
		return stopped
	}
	failed := failure.BeingDeleted(objects.ID(info), finalizers)
	failed.Err = stopped
	k.deletionMu.Lock()
	defer k.deletionMu.Unlock()
	if k.waitErr == nil {
		k.waitErr = failed
	}
	return failed
}

// explainExisting returns the failure that names an object of a manifest that is being deleted, if the error says only that the object exists.
func (s *session) explainExisting(err error, manifest string) error {
	if err == nil || !failure.SaysExisting(err) || s.stopped() != nil {
		return err
	}
	list, failed := s.kube.BuildServed(manifest)
	if failed != nil {
		return err
	}
	found := make([]*release.Failure, len(list))
	_ = objects.Each(len(list), func(i int) error {
		if current, err := objects.Get(list[i]); err == nil {
			if finalizers, deleting := objects.IsDeleting(current); deleting && len(finalizers) > 0 {
				found[i] = failure.BeingDeleted(objects.ID(current), finalizers)
			}
		}
		return nil // what cannot be read explains nothing
	})
	if first := cmp.Or(found...); first != nil {
		return first
	}
	return err
}

// reportKept logs the objects that the operation has deleted and that their controllers' finalizers keep.
func (k *kubeClient) reportKept() {
	lines := make([]string, len(k.removed))
	_ = objects.Each(len(k.removed), func(i int) error {
		current, err := objects.Get(k.removed[i])
		if err != nil {
			return nil // it is gone, or cannot be asked for
		}
		if finalizers, deleting := objects.IsDeleting(current); deleting && len(objects.OfControllers(finalizers)) > 0 {
			lines[i] = fmt.Sprintf("%s is no longer part of the release, and is still being deleted: it is kept by %s", objects.ID(current), failure.Finalizers(finalizers))
		}
		return nil
	})
	for _, line := range lines {
		if line != "" {
			k.session.client.log(line)
		}
	}
}
