package store

import (
	"testing"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

func pod(name, version string) *core.Pod {
	return &core.Pod{ObjectMeta: meta.ObjectMeta{Name: name, UID: types.UID(name), ResourceVersion: version, ManagedFields: []meta.ManagedFieldsEntry{{}}}}
}

func TestChangedSinceSync(t *testing.T) {
	t.Parallel()
	s := New(func() {})
	if s.ChangedSinceSync(pod("a", "1")) {
		t.Error("a store that was never filled knows a change")
	}
	if err := s.Replace([]any{pod("a", "1")}, "1"); err != nil {
		t.Fatal(err)
	}
	if s.ChangedSinceSync(pod("a", "1")) || !s.ChangedSinceSync(pod("a", "2")) || !s.ChangedSinceSync(pod("b", "2")) {
		t.Error("an object of the first list counts as changed later")
	}
	if pods := All[*core.Pod](s); len(pods) != 1 || pods[0].ManagedFields != nil {
		t.Errorf("got %+v", pods)
	}
}

// TestVersion: the version is that of the last list or event, also of a deletion.
func TestVersion(t *testing.T) {
	t.Parallel()
	s := New(func() {})
	if got := s.Version() + (*Store)(nil).Version(); got != "" {
		t.Errorf("nothing was read, and the version is %q", got)
	}
	for want, change := range map[string]func() error{
		"3": func() error { return s.Replace([]any{pod("a", "1")}, "3") },
		"4": func() error { return s.Add(pod("b", "4")) },
		"5": func() error { return s.Update(pod("b", "5")) },
		"6": func() error { return s.Delete(pod("b", "6")) },
	} {
		if err := change(); err != nil || s.Version() != want {
			t.Errorf("got %q, %v, want %q", s.Version(), err, want)
		}
	}
}

func TestSyncState(t *testing.T) {
	t.Parallel()
	changes := 0
	s := New(func() { changes++ })
	if state := s.State(); !state.Current() || state.Synced || (*Store)(nil).State() != (SyncState{}) {
		t.Errorf("a new store: %+v", state)
	}
	s.RecordRequest(apierrors.NewForbidden(schema.GroupResource{}, "", nil))
	since := s.State().Since
	s.RecordRequest(apierrors.NewForbidden(schema.GroupResource{}, "", nil))
	if state := s.State(); state.Current() || !state.Refused() || state.Since != since || changes != 1 {
		t.Errorf("refused twice: %+v after %d changes", state, changes)
	}
	s.RecordRequest(nil)
	if state := s.State(); !state.Current() || state.Refused() || state.Resumed.IsZero() || changes != 2 {
		t.Errorf("connected again: %+v after %d changes", state, changes)
	}
	s.recordDisconnect()
	if state := s.State(); state.Current() || state.Err != nil || changes != 3 {
		t.Errorf("the watch has ended: %+v after %d changes", state, changes)
	}
}

func TestWatchAnnouncesItsEnd(t *testing.T) {
	t.Parallel()
	from, ended := watch.NewFakeWithChanSize(1, false), make(chan struct{})
	notifying := notifyOnEnd(from, func() { close(ended) })
	from.Add(pod("a", "1"))
	if event := <-notifying.ResultChan(); event.Type != watch.Added {
		t.Errorf("got %+v", event)
	}
	from.Stop()
	<-ended
	if _, open := <-notifying.ResultChan(); open {
		t.Error("an event after the end")
	}
	notifying.Stop()
	notifying.Stop()
}
