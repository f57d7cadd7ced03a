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
			if !looked.Found || looked.Revision != commit || !looked.TagDigest.IsZero() || release.DigestOf(looked.Manifest) != image.Digest {
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
	other := release.DigestOf([]byte("other"))
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
	err := c.PutTag(t.Context(), repo, []byte("{}"), "application/vnd.oci.image.manifest.v1+json", release.DigestOf([]byte("x")), production)
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

// TestTags lists several pages of a registry, and refuses pages that do not end or that lead elsewhere.
func TestTags(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.Repository("shop")
	c := at(t, server)
	if tags, err := c.Tags(t.Context(), repo); err != nil || len(tags) > 0 {
		t.Errorf("an empty repository: got %v, %v", tags, err)
	}
	image := pushTo(t, c, randomImage(t, 1), repo, commit)
	state, err := c.Inspect(t.Context(), repo, image.Digest, production)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PutTag(t.Context(), repo, state.Manifest, state.MediaType, image.Digest, production); err != nil {
		t.Fatal(err)
	}
	tags, err := c.Tags(t.Context(), repo)
	if diff := cmp.Diff([]release.Tag{commit, production}, tags); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	var fault *release.Fault
	if _, err := c.Tags(t.Context(), repo+"-absent"); !errors.As(err, &fault) {
		t.Errorf("an absent repository: got %v", err)
	}
	for name, test := range map[string]struct {
		pages map[string]string // by their queries: the body, and after a space the next page's address
		want  []release.Tag     // nil: a fault
	}{
		"pages":           {map[string]string{"n=1000": `{"tags":["a","b"]} /v2/shop/tags/list?last=b`, "last=b": `{"tags":["c","not:a:tag"]}`}, []release.Tag{"a", "b", "c"}},
		"no tags":         {map[string]string{"n=1000": `{"tags":null}`}, []release.Tag{}},
		"the same page":   {map[string]string{"n=1000": `{"tags":["a"]} /v2/shop/tags/list?n=1000`}, nil},
		"empty pages":     {map[string]string{"n=1000": `{"tags":[]} /v2/shop/tags/list?last=b`, "last=b": `{"tags":[]} /v2/shop/tags/list?last=c`}, nil},
		"another host":    {map[string]string{"n=1000": `{"tags":["a"]} http://169.254.169.254/v2/shop/tags/list?last=b`}, nil},
		"something else":  {map[string]string{"n=1000": `["a"]`}, nil},
		"a cut off page ": {map[string]string{"n=1000": `{"tags":["a"`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hub := newTestRegistry(t)
			hub.password = ""
			hub.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				page, found := test.pages[r.URL.RawQuery]
				if !found {
					return false
				}
				body, next, _ := strings.Cut(page, " ")
				if next != "" {
					w.Header().Set("Link", "<"+next+`>; rel="next"`)
				}
				_, _ = w.Write([]byte(body))
				return true
			})
			tags, err := New(Options{}).Tags(t.Context(), release.Repository(strings.TrimPrefix(hub.URL, "http://")+"/shop"))
			if test.want == nil {
				if fault := new(release.Fault); !errors.As(err, &fault) {
					t.Errorf("got %v, %v, want a fault", tags, err)
				}
				return
			}
			if diff := cmp.Diff(test.want, append([]release.Tag{}, tags...)); err != nil || diff != "" {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
}
