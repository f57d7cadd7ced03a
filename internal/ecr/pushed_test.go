package ecr

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/internal/release"
)

func TestPushedAt(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	repo := server.Repository("shop")
	began := time.Now().Add(-time.Second)
	var digests []release.Digest
	for i := range maxDescribed + 1 {
		digests = append(digests, put(t, c, repo, fmt.Sprint(i), release.Tag(fmt.Sprint("t", i))))
	}
	server.ResetRequests()
	pushed, err := c.PushedAt(t.Context(), repo, digests)
	if err != nil || len(pushed) != len(digests) {
		t.Fatalf("got %d times, %v, want %d", len(pushed), err, len(digests))
	}
	if requests := server.Count(localaws.RouteDescribeImages, ""); requests != 2 {
		t.Errorf("%d requests, want two of at most %d images", requests, maxDescribed)
	}
	for i, digest := range digests {
		if at := pushed[digest]; at.Before(began) || at.After(time.Now()) || i > 0 && at.Before(pushed[digests[i-1]]) {
			t.Errorf("%s was pushed at %s, the one before at %s", digest, at, pushed[digests[max(i-1, 0)]])
		}
	}
	_, missing := index("missing")
	if _, err := c.PushedAt(t.Context(), repo, []release.Digest{digests[0], missing}); err == nil || !strings.Contains(err.Error(), "ImageNotFoundException") {
		t.Errorf("a manifest that does not exist: got %v", err)
	}
}
