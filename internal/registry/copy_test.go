package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/release"
)

func TestCopy(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]any{"image": randomImage(t, 5), "index of 3": randomIndex(t, 3, nil)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := localawstest.Start(t), localawstest.Start(t)
			image := pushTo(t, at(t, from), one, from.Repository("shop"), commit)
			target := to.RepositoryWith("live/shop", immutable)
			// One client for both, as the verb has it: each host has its own password.
			c := between(t, from, to)
			for range 2 {
				if err := c.Copy(t.Context(), image, target, production); err != nil {
					t.Fatal(err)
				}
			}
			holds(t, c, target, production, image.Digest)
			looked, err := c.Inspect(t.Context(), target, image.Digest, commit)
			if err != nil || !looked.Found || !looked.TagDigest.IsZero() {
				t.Errorf("the image is there: %t, its old tag holds %q, %v", looked.Found, looked.TagDigest, err)
			}
		})
	}
}

// between is a client with the tokens of several.
func between(t *testing.T, servers ...*localawstest.Server) *Client {
	t.Helper()
	transport := defaultTransport()
	t.Cleanup(transport.CloseIdleConnections)
	return New(Options{Transport: transport, Credentials: func(_ context.Context, host string) (string, string, error) {
		for _, server := range servers {
			if server.Address() == host {
				return "AWS", server.IssueToken(), nil
			}
		}
		return "", "", nil
	}})
}

// Inside one registry no blob goes over the wire.
func TestCopyMounts(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	c := at(t, server)
	image := pushTo(t, c, randomIndex(t, 2, nil), server.Repository("shop"), commit)
	target := server.Repository("live/shop")
	server.ResetRequests()
	if err := c.Copy(t.Context(), image, target, production); err != nil {
		t.Fatal(err)
	}
	holds(t, c, target, production, image.Digest)
	if got := server.Count(localaws.RouteBlob, http.MethodGet) + server.Count(localaws.RouteUpload, http.MethodPatch); got > 0 {
		t.Errorf("%d blobs went over the wire", got)
	}
}

func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	from, to := localawstest.Start(t), localawstest.Start(t)
	image := pushTo(t, at(t, from), randomImage(t, 3), from.Repository("shop"), commit)
	target := to.RepositoryWith("shop", immutable)
	c := between(t, from, to)
	other := pushTo(t, c, randomImage(t, 1), target, production)
	var taken *release.TagTakenError
	if err := c.Copy(t.Context(), image, target, production); !errors.As(err, &taken) || taken.Holds != other.Digest {
		t.Errorf("taken tag: got %v", err)
	}
	var fault *release.Fault
	gone := image.Repository.At(digestOf([]byte("gone")))
	if err := c.Copy(t.Context(), gone, target, "new"); !errors.As(err, &fault) || fault.Side != sideSource || !strings.Contains(err.Error(), "is not in") {
		t.Errorf("no image: got %v", err)
	}
	nowhere := release.Repository(to.Address() + "/nowhere")
	if err := c.Copy(t.Context(), image, nowhere, "new"); !errors.As(err, &fault) || fault.Side != sideTarget || !strings.Contains(err.Error(), "create the repository") {
		t.Errorf("no repository: got %v", err)
	}
	fresh := to.Repository("fresh")
	from.Inject(localaws.Fault{Route: localaws.RouteBlob, Method: http.MethodGet, Do: localaws.AnswerWrongBytes(nil)})
	if err := c.Copy(t.Context(), image, fresh, "new"); !errors.As(err, &fault) || fault.Side != sideSource || !strings.Contains(err.Error(), "do not use this image") {
		t.Errorf("changed blobs: got %v, want a fault of the source", err)
	}
	if got := to.Count(localaws.RouteManifest, http.MethodPut); got != 1 {
		t.Errorf("%d manifests were put, want the other image's alone", got)
	}
}

// A read that breaks off starts the one blob again.
func TestCopySurvivesFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		source bool
		localaws.Fault
	}{
		"source throttles":     {true, localaws.Fault{Route: localaws.RouteBlob, Method: http.MethodGet, Times: 2, Do: localaws.Throttle(0)}},
		"source forgets login": {true, localaws.Fault{Route: localaws.RouteBlob, Method: http.MethodGet, Skip: 1, Times: 1, Do: localaws.Unauthorized()}},
		"source resets":        {true, localaws.Fault{Route: localaws.RouteBlob, Method: http.MethodGet, Times: 1, Do: localaws.LoseAnswer()}},
		"target resets":        {false, localaws.Fault{Route: localaws.RouteUpload, Method: http.MethodPatch, Times: 1, Do: localaws.ResetUpload(10)}},
		"target's put is lost": {false, localaws.Fault{Route: localaws.RouteManifest, Method: http.MethodPut, Times: 1, Do: localaws.LoseAnswer()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := localawstest.Start(t), localawstest.Start(t)
			image := pushTo(t, at(t, from), randomImage(t, 3), from.Repository("shop"), commit)
			target := to.RepositoryWith("shop", immutable)
			c := between(t, from, to)
			server := to
			if fault.source {
				server = from
			}
			injected := server.Inject(fault.Fault)
			if err := c.Copy(t.Context(), image, target, production); err != nil {
				t.Fatal(err)
			}
			if got := injected.Hits(); got != fault.Times {
				t.Errorf("the fault hit %d times, want %d", got, fault.Times)
			}
			holds(t, between(t, from, to), target, production, image.Digest)
		})
	}
}
