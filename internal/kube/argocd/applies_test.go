package argocd

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/kube"
	"github.com/onedigest/onedigest/internal/kube/kubetest"
	"github.com/onedigest/onedigest/internal/release"
)

// TestReleaseOfAnApplication: the workloads that an Application applies, and no others; kinds that may not be listed are named.
func TestReleaseOfAnApplication(t *testing.T) {
	t.Parallel()
	s := kubetest.New(t)
	put := func(kind, name, instance, tracked string) {
		s.Put(object(t, `apiVersion: apps/v1
kind: `+kind+`
metadata: {name: `+name+`, namespace: staging, uid: `+name+`, labels: {app.kubernetes.io/instance: `+instance+`}, annotations: {argocd.argoproj.io/tracking-id: '`+tracked+`'}}
spec: {template: {spec: {containers: [{name: app, image: "registry.example.com/shop@sha256:`+strings.Repeat("1", 64)+`"}, {name: proxy, image: "envoy:1"}]}}}
status: {conditions: [{type: Progressing, status: "True", reason: NewReplicaSetAvailable, lastUpdateTime: "2026-03-04T05:06:07Z"}]}
`))
	}
	put("Deployment", "shop", "shop", "argocd_shop-staging:apps/Deployment:staging/shop")
	put("Deployment", "by-hand", "shop", "")
	put("StatefulSet", "other", "mail", "mail:apps/StatefulSet:staging/other")
	client, err := kube.New(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	found, err := Release(t.Context(), client, "staging", "shop")
	want := release.ByArgoCD{Application: "argocd/shop-staging", Workloads: []release.Object{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "staging", Name: "shop"}},
		References: []string{"envoy:1", "registry.example.com/shop@sha256:" + strings.Repeat("1", 64)}, Since: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	if diff := cmp.Diff(want, found); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if image, is := found.Image("shop"); !is || image.Repository != "registry.example.com/shop" {
		t.Errorf("got %s, %t", image, is)
	}
	status := http.StatusForbidden
	s.Break(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/deployments") {
			return status
		}
		return 0
	})
	if found, err := Release(t.Context(), client, "staging", "shop"); err != nil || found.Application != "" || !cmp.Equal(found.Unread, []string{"deployments"}) {
		t.Errorf("got %+v, %v", found, err)
	}
	status = http.StatusBadRequest
	if _, err := Release(t.Context(), client, "staging", "shop"); !errors.As(err, new(*release.Fault)) {
		t.Errorf("got %v", err)
	}
}

// TestTheImage: of several images that are named by a digest, the one of the release's name; a tag beside a digest is left out.
func TestTheImage(t *testing.T) {
	t.Parallel()
	digest := "@sha256:" + strings.Repeat("1", 64)
	for name, test := range map[string]struct {
		references []string
		want       release.Repository
	}{
		"none":             {[]string{"nginx:1", "nginx"}, ""},
		"one":              {[]string{"nginx:1", "localhost:5000/team/a:v1" + digest}, "localhost:5000/team/a"},
		"one of its name":  {[]string{"r.example.com/envoy" + digest, "r.example.com/team/shop" + digest}, "r.example.com/team/shop"},
		"two of no name":   {[]string{"r.example.com/envoy" + digest, "r.example.com/cart" + digest}, ""},
		"two of its name":  {[]string{"a.example.com/shop" + digest, "b.example.com/shop" + digest}, ""},
		"a broken digest":  {[]string{"r.example.com/shop@sha256:1"}, ""},
		"a broken address": {[]string{"@" + digest}, ""},
	} {
		if image, is := (release.ByArgoCD{References: test.references}).Image("shop"); image.Repository != test.want || is != (test.want != "") {
			t.Errorf("%s: got %q, %t", name, image.Repository, is)
		}
	}
}
