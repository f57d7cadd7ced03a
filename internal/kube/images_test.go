package kube

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestImages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ending, ended, foreign := pod("ending"), pod("ended"), pod("foreign")
	now := meta.Now()
	ending.DeletionTimestamp, ending.Finalizers = &now, []string{"test/keep"}
	ended.Status.Phase = core.PodSucceeded
	foreign.Labels[instanceLabel] = "another"
	starting := pod("starting")
	starting.Status.ContainerStatuses[0].Ready = false
	starting.Status.ContainerStatuses[0].ImageID = ""
	sidecar := pod("two")
	sidecar.Status.ContainerStatuses = append(sidecar.Status.ContainerStatuses, core.ContainerStatus{Name: "aaa", Ready: true, ImageID: "x@sha256:" + strings.Repeat("b", 64)})
	s.Put(ending, ended, foreign, starting, sidecar)
	got, err := s.client().Images(context.Background(), space, "shop")
	if err != nil {
		t.Fatal(err)
	}
	ran, _ := release.ParseDigest(digest)
	other, _ := release.ParseDigest("sha256:" + strings.Repeat("b", 64))
	want := []release.PodImage{{Pod: "starting", Container: "app"}, {Pod: "two", Container: "aaa", Digest: other, Ready: true}, {Pod: "two", Container: "app", Digest: ran, Ready: true}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

var imageIDs = map[string]string{
	"localhost:5000/shop@" + digest:             digest,
	"docker-pullable://example.com/x@" + digest: digest,
	"docker://" + digest:                        digest,
	digest:                                      digest,
	"":                                          "",
	"localhost:5000/shop:v1":                    "",
	"localhost:5000/shop@sha256:AAAA":           "",
	"localhost:5000/shop@sha512:" + strings.Repeat("a", 128): "",
	"x@y@" + digest: "",
	"@":             "",
}

func TestParseImageID(t *testing.T) {
	t.Parallel()
	for imageID, want := range imageIDs {
		if got := parseImageID(imageID).String(); got != want {
			t.Errorf("%q: got %q, want %q", imageID, got, want)
		}
	}
}

func FuzzParseImageID(f *testing.F) {
	for imageID := range imageIDs {
		f.Add(imageID)
	}
	f.Fuzz(func(t *testing.T, imageID string) {
		got := parseImageID(imageID)
		if got.IsZero() {
			return
		}
		if !strings.HasSuffix(imageID, got.String()) {
			t.Errorf("%q holds no %s at its end", imageID, got)
		}
		if _, err := release.ParseDigest(got.String()); err != nil {
			t.Error(err)
		}
	})
}
