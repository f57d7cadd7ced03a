package registry

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/release"
)

const production = "production-" + commit

// Promotion inside one repository: three requests whatever the image, and the bytes as they were.
func TestRetag(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]any{
		"1 layer":    randomImage(t, 1),
		"50 layers":  randomImage(t, 50),
		"index of 4": randomIndex(t, 4, map[string]string{release.AnnotationRevision: commit}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := localawstest.Start(t)
			repo := server.RepositoryWith("shop", immutable)
			c := at(t, server)
			image := pushTo(t, c, one, repo, commit)
			server.ResetRequests()
			looked, err := c.Inspect(t.Context(), repo, image.Digest, production)
			if err != nil {
				t.Fatal(err)
			}
			if !looked.Found || looked.Revision != commit || !looked.TagDigest.IsZero() || digestOf(looked.Manifest) != image.Digest {
				t.Errorf("looked: found %t, revision %q, tag holds %q", looked.Found, looked.Revision, looked.TagDigest)
			}
			if err := c.PutTag(t.Context(), repo, looked.Manifest, looked.MediaType, image.Digest, production); err != nil {
				t.Fatal(err)
			}
			if got := len(server.Requests()); got != 3 {
				t.Errorf("made %d requests, want 3: %v", got, server.Requests())
			}
			again, err := c.Inspect(t.Context(), repo, image.Digest, production)
			if err != nil || again.TagDigest != image.Digest || !bytes.Equal(again.Manifest, looked.Manifest) || again.MediaType != looked.MediaType {
				t.Errorf("after: tag holds %q, %v", again.TagDigest, err)
			}
		})
	}
}

func TestInspectMissing(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.Repository("shop")
	c := at(t, server)
	image := pushTo(t, c, randomImage(t, 1), repo, commit)
	other := digestOf([]byte("other"))
	got, err := c.Inspect(t.Context(), repo, other, commit)
	if err != nil {
		t.Fatal(err)
	}
	want := release.TagState{TagDigest: image.Digest}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b release.Digest) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// R3, R4 and throttling, for a tag.
func TestPutTagSurvivesFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do    localaws.Action
		times int
		puts  int
	}{
		"R2: throttled":          {localaws.ThrottlingException(), 2, 3},
		"R3: the answer is lost": {localaws.LoseAnswer(), 1, 1},
		"R5: expired":            {localaws.Expired(), 1, 2},
		"the registry fails":     {localaws.RegistryError(502, "UNAVAILABLE", "later"), 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := localawstest.Start(t)
			repo := server.RepositoryWith("shop", immutable)
			c := at(t, server)
			image := pushTo(t, c, randomImage(t, 1), repo, commit)
			looked, err := c.Inspect(t.Context(), repo, image.Digest, production)
			if err != nil {
				t.Fatal(err)
			}
			server.ResetRequests()
			injected := server.Inject(localaws.Fault{Route: localaws.RouteManifest, Method: http.MethodPut, Times: test.times, Do: test.do})
			if err := c.PutTag(t.Context(), repo, looked.Manifest, looked.MediaType, image.Digest, production); err != nil {
				t.Fatal(err)
			}
			if got := injected.Hits(); got != test.times {
				t.Errorf("the fault hit %d times, want %d", got, test.times)
			}
			if got := server.Count(localaws.RouteManifest, http.MethodPut); got != test.puts {
				t.Errorf("the tag was put %d times, want %d", got, test.puts)
			}
			holds(t, c, repo, production, image.Digest)
		})
	}
}

func TestPutTagTwice(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.RepositoryWith("shop", immutable)
	c := at(t, server)
	one := pushTo(t, c, randomImage(t, 1), repo, "one")
	two := pushTo(t, c, randomImage(t, 1), repo, "two")
	for _, image := range []release.Image{one, one, two} {
		looked, err := c.Inspect(t.Context(), repo, image.Digest, production)
		if err != nil {
			t.Fatal(err)
		}
		err = c.PutTag(t.Context(), repo, looked.Manifest, looked.MediaType, image.Digest, production)
		var taken *release.TagTakenError
		switch {
		case image == one && err != nil:
			t.Errorf("the same digest: got %v", err)
		case image == two && (!errors.As(err, &taken) || taken.Holds != one.Digest || taken.Wanted != two.Digest):
			t.Errorf("another digest: got %v", err)
		}
	}
	holds(t, c, repo, production, one.Digest)
}

// H6: what is put under the tag is the digest's bytes or nothing.
func TestPutTagOfOtherBytes(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.Repository("shop")
	c := at(t, server)
	err := c.PutTag(t.Context(), repo, []byte("{}"), "application/vnd.oci.image.manifest.v1+json", digestOf([]byte("x")), production)
	if err == nil || !strings.Contains(err.Error(), "do not use this image") {
		t.Errorf("got %v", err)
	}
	if got := server.Requests(); len(got) > 0 {
		t.Errorf("requests were made: %v", got)
	}
}

func TestInspectChecksDigests(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   localaws.Action
		want string
	}{
		"another last byte": {localaws.AnswerWrongBytes(nil), "served bytes of sha256:"},
		"8 MiB":             {localaws.AnswerHugeManifest(8 << 20), "limit 4194304"},
	} {
		server := localawstest.Start(t)
		repo := server.Repository("shop")
		c := at(t, server)
		image := pushTo(t, c, randomImage(t, 1), repo, commit)
		injected := server.Inject(localaws.Fault{Route: localaws.RouteManifest, Method: http.MethodGet, Do: test.do})
		_, err := c.Inspect(t.Context(), repo, image.Digest, production)
		if err == nil || !strings.Contains(err.Error(), test.want) && !strings.Contains(err.Error(), "longer than 4194304") {
			t.Errorf("%s: got %v", name, err)
		}
		if injected.Hits() != 1 {
			t.Errorf("%s: the manifest was read %d times, want once", name, injected.Hits())
		}
	}
}
