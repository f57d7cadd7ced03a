package previews

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

var expires = time.Date(2026, 12, 3, 12, 0, 0, 0, time.UTC)

// start returns the namespaces of a cluster that counts quotas at once, and gives namespaces a UID.
func start(objects ...runtime.Object) (*Namespaces, *fake.Clientset) {
	cluster := fake.NewClientset(objects...)
	cluster.PrependReactor("create", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		switch object := action.(clienttesting.CreateAction).GetObject().(type) {
		case *core.Namespace:
			object.UID = "made"
		case *core.ResourceQuota:
			object.Status.Hard = object.Spec.Hard
		}
		return false, nil, nil
	})
	n := New(cluster.CoreV1(), "https://cluster")
	n.pause = time.Millisecond
	return n, cluster
}

func namespace(name string, change func(*core.Namespace)) *core.Namespace {
	made := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name, UID: "u-" + "1", Labels: map[string]string{release.LabelPreview: "17", release.LabelRelease: "shop"},
		Annotations: map[string]string{release.AnnotationPreviewOf: "octo/shop", release.AnnotationExpires: expires.Format(time.RFC3339)}}}
	if change != nil {
		change(made)
	}
	return made
}

// TestOnlyWhatWasCreatedIsAPreview: a label alone makes no preview of a namespace.
func TestOnlyWhatWasCreatedIsAPreview(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		namespace *core.Namespace
		want      bool
	}{
		"a preview":            {namespace("preview-shop-17", nil), true},
		"production, labelled": {namespace("production", nil), false},
		"no label":             {namespace("preview-shop-17", func(n *core.Namespace) { delete(n.Labels, release.LabelPreview) }), false},
		"no number":            {namespace("preview-shop-17", func(n *core.Namespace) { n.Labels[release.LabelPreview] = "true" }), false},
		"another number":       {namespace("preview-shop-17", func(n *core.Namespace) { n.Labels[release.LabelPreview] = "18" }), false},
		"a negative number":    {namespace("preview-shop--1", func(n *core.Namespace) { n.Labels[release.LabelPreview] = "-1" }), false},
		"another release":      {namespace("preview-shop-17", func(n *core.Namespace) { n.Labels[release.LabelRelease] = "cart" }), false},
		"nobody's":             {namespace("preview-shop-17", func(n *core.Namespace) { delete(n.Annotations, release.AnnotationPreviewOf) }), false},
	} {
		n, _ := start(test.namespace)
		found, exists, err := n.Find(t.Context(), test.namespace.Name)
		if err != nil || !exists || (found != nil) != test.want {
			t.Errorf("%s: got %+v, %t, %v", name, found, exists, err)
		}
		listed, err := n.List(t.Context(), "octo/shop")
		if err != nil || (len(listed) == 1) != test.want {
			t.Errorf("%s: listed %+v, %v", name, listed, err)
		}
	}
	n, _ := start(namespace("preview-shop-17", func(n *core.Namespace) { n.Annotations[release.AnnotationExpires] = "tomorrow" }))
	if found, _, err := n.Find(t.Context(), "preview-shop-17"); err != nil || found == nil || !found.Expires.IsZero() {
		t.Errorf("a time that is none: %+v, %v", found, err)
	}
	if listed, err := n.List(t.Context(), "octo/other"); err != nil || len(listed) != 0 {
		t.Errorf("another repository's: %+v, %v", listed, err)
	}
	if _, exists, err := n.Find(t.Context(), "absent"); err != nil || exists {
		t.Errorf("an absent one: %t, %v", exists, err)
	}
}

// TestALife: created, limited, extended, deleted.
func TestALife(t *testing.T) {
	t.Parallel()
	n, cluster := start()
	wanted := release.Preview{Repository: "octo/shop", PullRequest: 17, Release: "shop", Expires: expires}
	made, err := n.Create(t.Context(), wanted, "preview", release.PodSecurityBaseline)
	if err != nil {
		t.Fatal(err)
	}
	wanted.UID, wanted.Version = "made", made.Version
	if found, _, err := n.Find(t.Context(), "preview-shop-17"); err != nil || !cmp.Equal(&wanted, found) || made != wanted {
		t.Errorf("made %+v, found %+v, %v", made, found, err)
	}
	if _, err := n.Create(t.Context(), wanted, "preview", release.PodSecurityNone); err == nil {
		t.Error("a namespace is created twice")
	}
	for range 2 {
		if err := n.Limit(t.Context(), "preview-shop-17"); err != nil {
			t.Fatal(err)
		}
	}
	made.Expires = expires.Add(time.Hour)
	if made, err = n.Extend(t.Context(), made); err != nil || made.Deleting {
		t.Fatalf("%+v, %v", made, err)
	}
	object, err := cluster.CoreV1().Namespaces().Get(t.Context(), "preview-shop-17", meta.GetOptions{})
	if err != nil || object.Annotations[release.AnnotationExpires] != "2026-12-03T13:00:00Z" || object.Labels["pod-security.kubernetes.io/enforce"] != "baseline" || object.Labels[release.LabelEnvironment] != "preview" {
		t.Errorf("got %+v, %v", object, err)
	}
	for range 2 {
		if err := errors.Join(n.Delete(t.Context(), made), n.Gone(t.Context(), made)); err != nil {
			t.Fatal(err)
		}
	}
	for _, action := range cluster.Actions() {
		if deletion, is := action.(clienttesting.DeleteActionImpl); is && (deletion.DeleteOptions.Preconditions == nil || *deletion.DeleteOptions.Preconditions.UID != "made") {
			t.Errorf("deleted with %+v", deletion.DeleteOptions)
		}
	}
}

// TestWaitingEnds: with the context, whose cause is told.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	n, _ := start(namespace("preview-shop-17", nil)) // which stays
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("not done within 1m"))
	err := n.Gone(ctx, release.Preview{Repository: "octo/shop", PullRequest: 17, Release: "shop", UID: "u-1"})
	if !errors.Is(err, context.Canceled) && (err == nil || release.ExitCode(err) == 0) {
		t.Errorf("got %v", err)
	}
}

// TestOnlyWhatWasFoundIsDeleted: the deletion names the UID and the version that was found, and what the cluster refuses is an error.
func TestOnlyWhatWasFoundIsDeleted(t *testing.T) {
	t.Parallel()
	n, cluster := start(namespace("preview-shop-17", func(n *core.Namespace) { n.ResourceVersion = "41" }))
	found, _, err := n.Find(t.Context(), "preview-shop-17")
	if err != nil || found == nil || found.Version != "41" {
		t.Fatalf("found %+v, %v", found, err)
	}
	cluster.PrependReactor("delete", "namespaces", func(action clienttesting.Action) (bool, runtime.Object, error) {
		only := action.(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions
		if only == nil || only.UID == nil || *only.UID != "u-1" || only.ResourceVersion == nil || *only.ResourceVersion != "41" {
			t.Errorf("deleted if %+v", only)
		}
		return true, nil, apierrors.NewConflict(core.Resource("namespaces"), "preview-shop-17", errors.New("it was changed"))
	})
	if err := n.Delete(t.Context(), *found); !apierrors.IsConflict(err) {
		t.Errorf("got %v", err)
	}
}

// TestExtendingWhatIsBeingDeleted: the cluster accepts it, and the answer says that the namespace ends.
func TestExtendingWhatIsBeingDeleted(t *testing.T) {
	t.Parallel()
	n, _ := start(namespace("preview-shop-17", func(n *core.Namespace) {
		n.DeletionTimestamp, n.Finalizers = &meta.Time{Time: expires}, []string{"kubernetes"}
	}))
	extended, err := n.Extend(t.Context(), release.Preview{Repository: "octo/shop", PullRequest: 17, Release: "shop", UID: "u-1", Expires: expires.Add(time.Hour)})
	if err != nil || !extended.Deleting {
		t.Errorf("extended %+v, %v", extended, err)
	}
}
