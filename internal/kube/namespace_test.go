package kube

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// leaseOf is the Lease of a release, as the package lease writes it.
func leaseOf(name, holder string, renewed time.Time, annotations map[string]string) *coordination.Lease {
	lease := &coordination.Lease{ObjectMeta: described("onedigest-"+name, map[string]string{labelManagedBy: managedByUs})}
	seconds, at := int32(15), meta.NewMicroTime(renewed.UTC().Truncate(time.Microsecond))
	lease.Annotations, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = annotations, &seconds, &at
	if holder != "" {
		lease.Spec.HolderIdentity = &holder
	}
	return lease
}

// TestUseOfNamespace: a Lease stands for a release only while it is held or pinned, or if a deploy held it last; the one that an uninstall leaves does not. Releases that Helm
// records in ConfigMaps count where these may be listed.
func TestUseOfNamespace(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Put(&core.Namespace{ObjectMeta: meta.ObjectMeta{Name: space, UID: "1", Labels: map[string]string{labelManagedBy: managedByUs, release.LabelEnvironment: "qa"}}})
	now, recorded := time.Now(), func(name string) map[string]string { return map[string]string{recordOwner: "helm", recordName: name} }
	s.Put(leaseOf("shop", "a run", now, nil), leaseOf("left", "", now, map[string]string{release.AnnotationRun: "https://example.com/1"}), leaseOf("killed", "a run", now.Add(-time.Hour), nil))
	s.Put(&core.Secret{ObjectMeta: described("r1", recorded("shop"))})
	use := func() []string {
		t.Helper()
		got, err := s.client().UseOfNamespace(t.Context(), space, "shop")
		if err != nil || got.UID != "1" || !got.IsOurs {
			t.Fatalf("got %+v, %v", got, err)
		}
		return got.Others
	}
	if others := use(); len(others) > 0 {
		t.Errorf("Leases that stand for no release count: %q", others)
	}
	s.Put(leaseOf("busy", "a run", now, nil), leaseOf("kept", "", now, map[string]string{"onedigest.dev/pin-commit": strings.Repeat("a", 40)}),
		leaseOf("argo", "", now, map[string]string{release.LabelCommit: strings.Repeat("a", 40)}), leaseOf("mail", "", now, map[string]string{release.LabelCommit: strings.Repeat("a", 40)}))
	s.Put(&core.Secret{ObjectMeta: described("r2", recorded("mail"))}, &core.ConfigMap{ObjectMeta: described("r3", recorded("old"))}, &core.ConfigMap{ObjectMeta: described("c", nil)})
	want := []string{"argo (Lease onedigest-argo names the commit of a deploy)", "busy (Lease onedigest-busy is held)", "kept (Lease onedigest-kept is pinned)", "mail", "old (recorded in ConfigMaps)"}
	if diff := cmp.Diff(want, use()); diff != "" {
		t.Error(diff)
	}
	s.Break(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/configmaps") {
			return http.StatusForbidden
		}
		return 0
	})
	if diff := cmp.Diff(want[:4], use()); diff != "" {
		t.Error(diff)
	}
	s.Break(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/configmaps") {
			return http.StatusConflict
		}
		return 0
	})
	if got, err := s.client().UseOfNamespace(t.Context(), space, "shop"); release.ExitCode(err) != release.ExitFault {
		t.Errorf("ConfigMaps that cannot be read: %+v, %v", got, err)
	}
}

// TestNamespaceEnvironment: the label of a namespace says the environment, and what is not read says none.
func TestNamespaceEnvironment(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	of := func(want release.Environment) {
		t.Helper()
		if got, err := s.client().EnvironmentOf(t.Context(), space); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	of("")
	for label, want := range map[string]release.Environment{"production": "production", "Not One": "", "": ""} {
		s.Put(&core.Namespace{ObjectMeta: meta.ObjectMeta{Name: space, Labels: map[string]string{release.LabelEnvironment: label}}})
		of(want)
	}
	s.Break(func(*http.Request) int { return http.StatusForbidden })
	of("")
	s.Break(func(*http.Request) int { return http.StatusConflict })
	if _, err := s.client().EnvironmentOf(t.Context(), space); release.ExitCode(err) != release.ExitFault {
		t.Errorf("got %v", err)
	}
}
