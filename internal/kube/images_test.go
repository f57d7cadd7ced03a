package kube

import (
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

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
		if _, got := parseImageID(imageID); got.String() != want {
			t.Errorf("%q: got %q, want %q", imageID, got, want)
		}
	}
}

func TestParseImageIDNamesTheRepository(t *testing.T) {
	t.Parallel()
	for imageID, want := range map[string]release.Repository{"docker-pullable://example.com/x@" + digest: "example.com/x", digest: "", "nohost@" + digest: ""} {
		if got, _ := parseImageID(imageID); got != want {
			t.Errorf("%q: got %q, want %q", imageID, got, want)
		}
	}
}

func FuzzParseImageID(f *testing.F) {
	for imageID := range imageIDs {
		f.Add(imageID)
	}
	f.Fuzz(func(t *testing.T, imageID string) {
		_, got := parseImageID(imageID)
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
