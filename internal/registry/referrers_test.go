package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/release"
)

const (
	kind  = "application/vnd.example.proof.v1+json"
	other = "application/vnd.example.other.v1+json"
	media = "application/vnd.in-toto+json"
)

func TestAttach(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]any{"image": randomImage(t, 2), "index": randomIndex(t, 2, nil)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := localawstest.Start(t)
			repo := server.RepositoryWith("shop", immutable)
			c := at(t, server)
			image := pushTo(t, c, one, repo, commit)
			if got, err := readAll(t, c, image); err != nil || len(got) > 0 {
				t.Errorf("before: got %v, %v", got, err)
			}
			var want []release.Digest
			for i := range 3 {
				note := map[string]string{release.AnnotationCreated: fmt.Sprintf("2026-11-23T00:00:0%dZ", i), "environment": "staging"}
				digest, err := c.Attach(t.Context(), image, kind, media, fmt.Appendf(nil, `{"run":%d}`, i), note)
				if err != nil {
					t.Fatal(err)
				}
				want = append([]release.Digest{digest}, want...)
			}
			if _, err := c.Attach(t.Context(), image, other, media, []byte(`{}`), nil); err != nil {
				t.Fatal(err)
			}
			got, err := readAll(t, c, image)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 3 {
				t.Fatalf("got %d referrers, want 3", len(got))
			}
			for i, each := range got {
				if each.Digest != want[i] || string(each.Content) != fmt.Sprintf(`{"run":%d}`, 2-i) || each.MediaType != media || each.Annotations["environment"] != "staging" {
					t.Errorf("referrer %d is %s %s %q %v, want %s", i, each.Digest, each.MediaType, each.Content, each.Annotations, want[i])
				}
			}
			holds(t, c, repo, commit, image.Digest)
			for _, request := range server.Requests() {
				if request.Method == http.MethodPut && request.Route == localaws.RouteManifest && !strings.Contains(request.Path, "sha256:") && !strings.HasSuffix(request.Path, "/"+commit) {
					t.Errorf("a tag was written: %s", request.Path)
				}
			}
		})
	}
}

// The date is needed to find the newest.
func TestAttachDates(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	c := at(t, server)
	image := pushTo(t, c, randomImage(t, 1), server.Repository("shop"), commit)
	if _, err := c.Attach(t.Context(), image, kind, media, []byte("{}"), nil); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, c, image)
	if err != nil || len(got) != 1 || got[0].Annotations[release.AnnotationCreated] == "" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAttachRefuses(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.Repository("shop")
	c := at(t, server)
	image := pushTo(t, c, randomImage(t, 1), repo, commit)
	if _, err := c.Attach(t.Context(), repo.At(release.DigestOf([]byte("gone"))), kind, media, []byte("{}"), nil); err == nil || !strings.Contains(err.Error(), "the image is not in the repository") {
		t.Errorf("no image: got %v", err)
	}
	if _, err := c.Attach(t.Context(), image, kind, media, make([]byte, maxAttached+1), nil); err == nil || !strings.Contains(err.Error(), "limit 1048576") {
		t.Errorf("long content: got %v", err)
	}
}

// A registry that does not confirm the subject in a header is checked by its list.
func TestAttachToOlderRegistries(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	attached, err := c.Attach(t.Context(), image, kind, media, []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, c, image)
	if err != nil || len(got) != 1 || got[0].Digest != attached {
		t.Errorf("got %v, %v", got, err)
	}
}

// withoutReferrers answers as a registry without the referrers API.
func withoutReferrers(w http.ResponseWriter, r *http.Request) bool {
	if !strings.Contains(r.URL.Path, "/referrers/") {
		return false
	}
	http.NotFound(w, r)
	return true
}

// TestHasReferrersAPI asks without an image, also where nothing was pushed yet.
func TestHasReferrersAPI(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	if has, err := h.client().HasReferrersAPI(t.Context(), h.repo("empty")); !has || err != nil {
		t.Errorf("got %t, %v of a registry with the API", has, err)
	}
	h.intercept(withoutReferrers)
	if has, err := h.client().HasReferrersAPI(t.Context(), h.repo("empty")); has || err != nil {
		t.Errorf("got %t, %v of one without", has, err)
	}
	h.intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true })
	if _, err := h.client().HasReferrersAPI(t.Context(), h.repo("empty")); release.ExitCode(err) != release.ExitFault {
		t.Errorf("got %v of one that refuses", err)
	}
}

// Without the referrers API, the list is an index under a tag of the image, which keeps what others wrote there.
func TestReferrersUnderATag(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	h.intercept(withoutReferrers)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	if got, err := readAll(t, c, image); err != nil || len(got) != 0 {
		t.Fatalf("before: got %v, %v", got, err)
	}
	r, err := c.open(sideRegistry, image.Repository, true)
	if err != nil {
		t.Fatal(err)
	}
	other := `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + image.Digest.String() + `","size":7,"artifactType":"example/other","data":"e30="}`
	list := referrersList{SchemaVersion: 2, MediaType: indexType, Manifests: []json.RawMessage{json.RawMessage(other)}, Annotations: map[string]string{"by": "another tool"}}
	if err := r.writeReferrersTag(t.Context(), image.Digest, list); err != nil {
		t.Fatal(err)
	}
	var attached []release.Digest
	for _, content := range []string{"{}", "[]", "[]"} { // the last is there already, under another time
		digest, err := c.Attach(t.Context(), image, kind, media, []byte(content), map[string]string{"environment": "staging"})
		if err != nil {
			t.Fatal(err)
		}
		attached = append(attached, digest)
	}
	got, skipped, err := read(t, c, image, map[string]string{"environment": "staging"})
	if err != nil || len(skipped) > 0 || len(got) != 3 || got[0].Digest != attached[2] {
		t.Errorf("got %v, %v, %v", got, skipped, err)
	}
	if got, _, err := read(t, c, image, map[string]string{"environment": "production"}); err != nil || len(got) != 0 {
		t.Errorf("of another environment: got %v, %v", got, err)
	}
	kept, err := r.readReferrersTag(t.Context(), image.Digest, newAllowance())
	if err != nil || len(kept.Manifests) != 4 || string(kept.Manifests[0]) != other || kept.Annotations["by"] != "another tool" {
		t.Errorf("the list is %s, %v", kept.Manifests, err)
	}
}

// Writers that add to the list at the same time lose none of it.
func TestWritersOfAReferrersTag(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	h.intercept(withoutReferrers)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	const writers = 4
	failed := make(chan error, writers)
	for i := range writers {
		go func() {
			_, err := h.client().Attach(t.Context(), image, kind, media, fmt.Appendf(nil, "[%d]", i), nil)
			failed <- err
		}()
	}
	for range writers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if got, err := readAll(t, c, image); err != nil || len(got) != writers {
		t.Errorf("got %d, %v", len(got), err)
	}
}

// TestDetach deletes what is attached to an image, with and without the referrers API, and nothing else.
func TestDetach(t *testing.T) {
	t.Parallel()
	for name, interceptor := range map[string]func(http.ResponseWriter, *http.Request) bool{"with the API": nil, "without": withoutReferrers} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestRegistry(t)
			h.intercept(interceptor)
			c := h.client()
			image, neighbour := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one"), pushTo(t, c, randomImage(t, 1), h.repo("shop"), "two")
			attach := func(to release.Image, content string) release.Digest {
				t.Helper()
				digest, err := c.Attach(t.Context(), to, kind, media, []byte(content), nil)
				if err != nil {
					t.Fatal(err)
				}
				return digest
			}
			a, b, kept, foreign := attach(image, "1"), attach(image, "2"), attach(image, "3"), attach(neighbour, "4")
			want := func(what string, want ...release.Digest) {
				t.Helper()
				got, skipped, err := read(t, c, image, nil)
				if err != nil || len(skipped) > 0 || len(got) != len(want) || slices.ContainsFunc(got, func(r Referrer) bool { return !slices.Contains(want, r.Digest) }) {
					t.Errorf("%s: got %v, %v, %v", what, got, skipped, err)
				}
			}
			for refused, digest := range map[string]release.Digest{"another image's": foreign, "an image": neighbour.Digest} {
				if err := c.Detach(t.Context(), image, []release.Digest{a, digest}, []string{kind}); err == nil || !strings.Contains(err.Error(), "is no record") {
					t.Errorf("%s: got %v", refused, err)
				}
			}
			if err := c.Detach(t.Context(), image, []release.Digest{a}, []string{"example/other"}); err == nil {
				t.Error("another type: no error")
			}
			want("refused", a, b, kept)

			deleting := func(answer func(w http.ResponseWriter)) {
				h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodDelete {
						answer(w)
						return true
					}
					return interceptor != nil && interceptor(w, r)
				})
			}
			deleting(func(w http.ResponseWriter) { refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "deletion is off") })
			if err := c.Detach(t.Context(), image, []release.Digest{a, b}, []string{kind}); release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "storage.delete.enabled") {
				t.Errorf("not allowed: got %v", err)
			}
			want("not allowed", a, b, kept)
			h.intercept(interceptor)
			for range 2 { // the second time, they are gone
				if err := c.Detach(t.Context(), image, []release.Digest{a, b}, []string{kind}); err != nil {
					t.Fatal(err)
				}
				want("deleted", kept)
			}
			if _, found, err := c.Describe(t.Context(), neighbour); err != nil || !found {
				t.Errorf("the other image: %t, %v", found, err)
			}
		})
	}
}

func TestReferrersTagsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	t.Run("immutable", func(t *testing.T) {
		t.Parallel()
		h := newTestRegistry(t)
		c := h.client()
		image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
		h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/"+referrersTag(image.Digest).String()) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusPreconditionFailed)
				fmt.Fprint(w, `{"errors":[{"code":"PRECONDITION","message":"the tag is configured as immutable"}]}`)
				return true
			}
			return withoutReferrers(w, r)
		})
		_, err := c.Attach(t.Context(), image, kind, media, []byte("{}"), nil)
		if !errors.Is(err, ErrNoReferrers) || release.ExitCode(err) != release.ExitFault || !strings.Contains(err.Error(), "sha256-*") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another image", func(t *testing.T) {
		t.Parallel()
		h := newTestRegistry(t)
		h.intercept(withoutReferrers)
		c := h.client()
		image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
		other := pushTo(t, c, randomImage(t, 1), h.repo("shop"), referrersTag(image.Digest))
		_, attachErr := c.Attach(t.Context(), image, kind, media, []byte("{}"), nil)
		_, readErr := readAll(t, c, image)
		for _, err := range []error{attachErr, readErr} {
			if err == nil || !strings.Contains(err.Error(), "is not a list of referrers") {
				t.Errorf("got %v", err)
			}
		}
		if held, _, err := c.Find(t.Context(), image.Repository, referrersTag(image.Digest)); err != nil || held.Digest != other.Digest {
			t.Errorf("the tag holds %v, %v", held, err)
		}
	})
}

// A list that lags is read again; one that never shows the referrer is a fault, since promote would not find it.
func TestAttachWaitsForTheList(t *testing.T) {
	t.Parallel()
	for name, lag := range map[string]int{"late": 2, "never": 1000} {
		h := newTestRegistry(t)
		c := h.client()
		image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
		asked := 0
		h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/referrers/") {
				return false
			}
			if asked++; asked > lag {
				return false
			}
			_, _ = fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
			return true
		})
		_, err := c.Attach(t.Context(), image, kind, media, []byte("{}"), nil)
		if want := name == "never"; errors.Is(err, errNotListed) != want || (err != nil) != want {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAttachRetries(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	c := at(t, server)
	image := pushTo(t, c, randomImage(t, 1), server.RepositoryWith("shop", immutable), commit)
	lost := server.Inject(localaws.Fault{Route: localaws.RouteManifest, Method: http.MethodPut, Times: 1, Do: localaws.LoseAnswer()})
	reset := server.Inject(localaws.Fault{Route: localaws.RouteUpload, Method: http.MethodPatch, Times: 1, Do: localaws.ResetUpload(1)})
	if _, err := c.Attach(t.Context(), image, kind, media, []byte(`{"run":1}`), nil); err != nil {
		t.Fatal(err)
	}
	if lost.Hits() != 1 || reset.Hits() != 1 {
		t.Errorf("the faults hit %d and %d times", lost.Hits(), reset.Hits())
	}
	if got, err := readAll(t, c, image); err != nil || len(got) != 1 {
		t.Errorf("got %d, %v", len(got), err)
	}
}

// pages serves a list of referrers by a function of the page's number.
func pages(t *testing.T, h *testRegistry, page func(number int) (entries []release.Descriptor, next string)) {
	t.Helper()
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			return false
		}
		number := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("page"), &number)
		entries, next := page(number)
		if next != "" {
			w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, next))
		}
		text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		_, _ = w.Write(text)
		return true
	})
}

func TestReferrersPages(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	var all []release.Descriptor
	for i := range 5 {
		digest, err := c.Attach(t.Context(), image, kind, media, fmt.Appendf(nil, "%d", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, release.Descriptor{Digest: digest.String(), ArtifactType: kind, Annotations: map[string]string{release.AnnotationCreated: fmt.Sprintf("2026-01-01T00:00:0%dZ", i)}})
	}
	pages(t, h, func(number int) ([]release.Descriptor, string) {
		next := fmt.Sprintf("/v2/shop/referrers/%s?page=%d", image.Digest, number+1)
		if number == 4 {
			next = ""
		}
		return all[number : number+1], next
	})
	got, err := readAll(t, c, image)
	if err != nil {
		t.Fatal(err)
	}
	var contents []string
	for _, each := range got {
		contents = append(contents, string(each.Content))
	}
	if diff := cmp.Diff([]string{"4", "3", "2", "1", "0"}, contents); diff != "" {
		t.Errorf("newest first (-want +got):\n%s", diff)
	}
}

// readAll reads every referrer of the kind. What is skipped is joined into the error only if nothing else is wrong.
func readAll(t *testing.T, c *Client, image release.Image) ([]Referrer, error) {
	t.Helper()
	all, skipped, err := read(t, c, image, nil)
	return all, errors.Join(append([]error{err}, skipped...)...)
}

// read reads the referrers of the kind with the annotations, and lists what was skipped.
func read(t *testing.T, c *Client, image release.Image, annotations map[string]string) (all []Referrer, skipped []error, err error) {
	t.Helper()
	for referrer, err := range c.Referrers(t.Context(), image, ReferrerQuery{ArtifactTypes: []string{kind}, Annotations: annotations}) {
		over := new(SkippedReferrerError)
		switch {
		case errors.As(err, &over):
			skipped = append(skipped, err)
		case err != nil:
			return all, skipped, err
		default:
			all = append(all, referrer)
		}
	}
	return all, skipped, nil
}

func TestReferrersHostileList(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	neighbour := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "two")
	foreign, err := c.Attach(t.Context(), neighbour, kind, media, []byte("of another image"), nil)
	if err != nil {
		t.Fatal(err)
	}
	otherKind, err := c.Attach(t.Context(), image, other, media, []byte("of another kind"), nil)
	if err != nil {
		t.Fatal(err)
	}
	entry := func(digest string) release.Descriptor { return release.Descriptor{Digest: digest, ArtifactType: kind} }
	endless := func(number int) string { return fmt.Sprintf("?page=%d", number+1) }
	big := release.Descriptor{Digest: image.Digest.String(), ArtifactType: "x", Annotations: map[string]string{"a": strings.Repeat("a", 15<<20)}}
	for name, test := range map[string]struct {
		page func(int) ([]release.Descriptor, string)
		want string // error; "" for an empty result
	}{
		"entries without end": {func(n int) ([]release.Descriptor, string) { return []release.Descriptor{big}, endless(n) }, "larger than 64 MiB"},
		"pages in a circle":   {func(int) ([]release.Descriptor, string) { return nil, "?page=1" }, "lead in a circle"},
		"next page elsewhere": {func(int) ([]release.Descriptor, string) { return nil, "http://169.254.169.254/latest" }, "another host"},
		"no digest":           {func(int) ([]release.Descriptor, string) { return []release.Descriptor{entry("../../latest")}, "" }, "is not a digest"},
		"of another image":    {func(int) ([]release.Descriptor, string) { return []release.Descriptor{entry(foreign.String())}, "" }, ""},
		"of another kind":     {func(int) ([]release.Descriptor, string) { return []release.Descriptor{entry(otherKind.String())}, "" }, ""},
		"an image": {func(int) ([]release.Descriptor, string) {
			return []release.Descriptor{entry(neighbour.Digest.String())}, ""
		}, ""},
		"gone": {func(int) ([]release.Descriptor, string) {
			return []release.Descriptor{entry(release.DigestOf([]byte("gone")).String())}, ""
		}, "HTTP 404"},
	} {
		pages(t, h, test.page)
		got, err := readAll(t, c, image)
		switch {
		case test.want == "" && (err != nil || len(got) > 0):
			t.Errorf("%s: got %v, %v, want nothing", name, got, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want an error that says %q", name, err, test.want)
		}
	}
}

// TestReferrersOfARepositoryThatIsNotThereYet: nothing is attached in a repository that a push makes; in ECR, which makes none, it is a fault.
func TestReferrersOfARepositoryThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	for message, isFault := range map[string]bool{"repository name not known to registry": false, "The repository with name 'shop' does not exist in the registry with id '123456789012'": true} {
		h := newTestRegistry(t)
		h.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprintf(w, `{"errors":[{"code":"NAME_UNKNOWN","message":%s}]}`, jsonString(message))
			return true
		})
		listed, err := h.client().ListReferrers(t.Context(), h.repo("shop").At(release.DigestOf([]byte("image"))), []string{kind}, nil)
		if len(listed) > 0 || (err != nil) != isFault {
			t.Errorf("%s: got %v, %v", message, listed, err)
		}
	}
}

// What one referrer lacks is its own matter: the others are read.
func TestReferrersSkips(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	if _, err := c.Attach(t.Context(), image, kind, media, []byte("good"), nil); err != nil {
		t.Fatal(err)
	}
	r, err := c.open(sideRegistry, image.Repository, true)
	if err != nil {
		t.Fatal(err)
	}
	artifact := func(layers ...release.Descriptor) string {
		text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": imageType, "artifactType": kind,
			"config": release.Descriptor{MediaType: emptyMediaType, Digest: release.DigestOf(emptyConfig).String(), Size: 2}, "layers": layers,
			"subject": release.Descriptor{MediaType: imageType, Digest: image.Digest.String(), Size: 1}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	huge := bytes.Repeat([]byte("a"), maxAttached+1)
	hugeBlob := release.Descriptor{MediaType: media, Digest: release.DigestOf(huge).String(), Size: int64(len(huge))}
	if err := r.upload(t.Context(), []release.Descriptor{hugeBlob}, blobsInMemory(map[string][]byte{hugeBlob.Digest: huge}), "", newMeter(0, nil)); err != nil {
		t.Fatal(err)
	}
	lying := hugeBlob
	lying.Size = 10
	for name, test := range map[string]struct{ manifest, want string }{
		"oversized":         {artifact(hugeBlob), "1048577 bytes long, limit 1048576"},
		"oversized in fact": {artifact(lying), "limit 1048576"},
		"no layer":          {artifact(), "0 layers"},
		"blob gone":         {artifact(blobOf("gone")), "HTTP 404"},
		"no digest":         {artifact(release.Descriptor{MediaType: media, Digest: "latest"}), "is not a digest"},
		"schema":            {`{"schemaVersion":3,"mediaType":"` + imageType + `"}`, "schema version 3"},
		"no manifest":       {`{"schemaVersion":2,"mediaType":"text/plain"}`, "not an image or an index"},
	} {
		m := manifest{bytes: []byte(test.manifest), mediaType: imageType, digest: release.DigestOf([]byte(test.manifest))}
		if _, err := r.putManifest(t.Context(), m, ""); err != nil {
			t.Fatal(err)
		}
		listed, _, err := r.listReferrers(t.Context(), image.Digest, []string{kind}, newAllowance())
		if err != nil {
			t.Fatal(err)
		}
		bad := release.Descriptor{MediaType: imageType, Digest: m.digest.String(), ArtifactType: kind,
			Annotations: map[string]string{release.AnnotationCreated: "2030"}}
		pages(t, h, func(int) ([]release.Descriptor, string) { return append([]release.Descriptor{bad}, listed...), "" })
		got, skipped, err := read(t, c, image, nil)
		if err != nil || len(got) != 1 || string(got[0].Content) != "good" {
			t.Errorf("%s: got %v, %v, want the good one", name, got, err)
		}
		if !slices.ContainsFunc(skipped, func(err error) bool { return strings.Contains(err.Error(), test.want) }) {
			t.Errorf("%s: skipped %v, want one that says %q", name, skipped, test.want)
		}
		h.intercept(nil)
	}
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			refuse(w, http.StatusForbidden, "DENIED", "no")
			return true
		}
		return false
	})
	if _, _, err := read(t, c, image, nil); err == nil || release.ExitCode(err) != release.ExitFault {
		t.Errorf("a registry that refuses to answer: got %v, want a fault", err)
	}
}

// A manifest whose bytes are not those of its digest is no referrer, even if they are those of another.
func TestReferrersOfOtherBytes(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	listed, err := c.Attach(t.Context(), image, kind, media, []byte("listed"), nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Attach(t.Context(), image, kind, media, []byte("served instead"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.open(sideRegistry, image.Repository, false)
	if err != nil {
		t.Fatal(err)
	}
	instead, found, err := r.getManifest(t.Context(), other.String())
	if err != nil || !found {
		t.Fatal(found, err)
	}
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/manifests/"+listed.String()) {
			return false
		}
		w.Header().Set("Content-Type", instead.mediaType)
		_, _ = w.Write(instead.bytes)
		return true
	})
	got, skipped, err := read(t, c, image, nil)
	if err != nil || len(got) != 1 || got[0].Digest != other || len(skipped) != 1 || !strings.Contains(skipped[0].Error(), "served bytes of") {
		t.Errorf("got %v, %v, %v, want the other alone", got, skipped, err)
	}
}

// The list's annotations decide what is read: a thousand records of another environment cost no request each.
func TestReferrersFiltersByAnnotationsFirst(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	c := at(t, server)
	image := pushTo(t, c, randomImage(t, 1), server.Repository("shop"), commit)
	const others = 75 // more than one page of ECR's list
	attach := func(content, environment, created string) {
		t.Helper()
		note := map[string]string{"environment": environment, release.AnnotationCreated: created}
		if _, err := c.Attach(t.Context(), image, kind, media, []byte(content), note); err != nil {
			t.Fatal(err)
		}
	}
	attach("older", "staging", "2026-01-01T00:00:00.000000Z")
	attach("proof", "staging", "2026-01-02T00:00:00.000000Z")
	for i := range others {
		attach(fmt.Sprint(i), "production", fmt.Sprintf("2026-02-01T00:00:00.%06dZ", i))
	}
	server.ResetRequests()
	got, skipped, err := read(t, c, image, map[string]string{"environment": "staging"})
	if err != nil || len(skipped) > 0 || len(got) != 2 || string(got[0].Content) != "proof" || string(got[1].Content) != "older" {
		t.Errorf("got %v, %v, %v, want the proof first", got, skipped, err)
	}
	if pages := server.Count(localaws.RouteReferrers, ""); pages < 2 {
		t.Errorf("the list was read in %d pages, want more", pages)
	}
	if read := server.Count(localaws.RouteManifest, "") + server.Count(localaws.RouteBlob, ""); read != 2 {
		t.Errorf("%d manifests and blobs were read, want a manifest each, which holds the content", read)
	}
	found := false
	leave := func(Referrer) bool { return found }
	for referrer, err := range c.Referrers(t.Context(), image, ReferrerQuery{ArtifactTypes: []string{kind}, Annotations: map[string]string{"environment": "staging"}, Leave: leave}) {
		if found = true; err != nil || string(referrer.Content) != "proof" {
			t.Errorf("got %s, %v, want the proof", referrer.Content, err)
		}
	}
	if read := server.Count(localaws.RouteManifest, ""); read != 3 {
		t.Errorf("%d manifests were read, want one more for the newest", read-2)
	}
}

// Some registries list no annotations: those of the manifests decide.
func TestReferrersOfAListWithoutAnnotations(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	var listed []release.Descriptor
	for i, environment := range []string{"staging", "production", "staging", "production"} {
		note := map[string]string{"environment": environment, release.AnnotationCreated: fmt.Sprintf("2026-01-0%dT00:00:00.000000Z", i+1)}
		digest, err := c.Attach(t.Context(), image, kind, media, fmt.Append(nil, i), note)
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, release.Descriptor{MediaType: imageType, Digest: digest.String(), ArtifactType: kind})
	}
	pages(t, h, func(int) ([]release.Descriptor, string) { return listed, "" })
	got, skipped, err := read(t, c, image, map[string]string{"environment": "staging"})
	if err != nil || len(skipped) > 0 || len(got) != 2 || string(got[0].Content) != "2" || string(got[1].Content) != "0" {
		t.Errorf("got %v, %v, %v, want those of staging, the newest first", got, skipped, err)
	}
}

// A list that says of a record what its manifest does not say is not believed.
func TestReferrersOfAListThatIsWrong(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	staging := map[string]string{"environment": "staging", release.AnnotationCreated: "2026-01-01T00:00:00.000000Z"}
	digest, err := c.Attach(t.Context(), image, kind, media, []byte("x"), map[string]string{"environment": "production"})
	if err != nil {
		t.Fatal(err)
	}
	pages(t, h, func(int) ([]release.Descriptor, string) {
		return []release.Descriptor{{MediaType: imageType, Digest: digest.String(), ArtifactType: kind, Annotations: staging}}, ""
	})
	if got, skipped, err := read(t, c, image, map[string]string{"environment": "staging"}); err != nil || len(skipped) > 0 || len(got) > 0 {
		t.Errorf("got %v, %v, %v, want nothing", got, skipped, err)
	}
}

// Five thousand referrers of the type are no fault, and cost what the wanted ones cost.
func TestManyReferrers(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	note := map[string]string{"environment": "staging", release.AnnotationCreated: "2025-01-01T00:00:00.000000Z"}
	proof, err := c.Attach(t.Context(), image, kind, media, []byte("proof"), note)
	if err != nil {
		t.Fatal(err)
	}
	pages(t, h, func(number int) ([]release.Descriptor, string) {
		if number == 50 {
			return []release.Descriptor{{Digest: proof.String(), ArtifactType: kind, Annotations: note}}, ""
		}
		var entries []release.Descriptor
		for i := range 100 {
			entries = append(entries, release.Descriptor{
				Digest: release.DigestOf(fmt.Append(nil, number, i)).String(), ArtifactType: kind,
				Annotations: map[string]string{"environment": "production", release.AnnotationCreated: fmt.Sprintf("2026-01-01T00:00:00.%06dZ", i)},
			})
		}
		return entries, fmt.Sprintf("?page=%d", number+1)
	})
	h.requested()
	got, skipped, err := read(t, c, image, map[string]string{"environment": "staging"})
	if err != nil || len(skipped) > 0 || len(got) != 1 || string(got[0].Content) != "proof" {
		t.Errorf("got %v, %v, %v", got, skipped, err)
	}
	if requests := len(h.requested()); requests != 51+1 {
		t.Errorf("made %d requests, want 51 for the list and 1 for the proof", requests)
	}
}

// Content that does not fit into the manifest is read from its blob, and so is content whose copy in the manifest is not the blob's.
func TestEmbeddedContent(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	for content, blobs := range map[string]int{"short": 0, strings.Repeat("x", maxEmbedded+1): 1} {
		attached, err := c.Attach(t.Context(), image, kind, media, []byte(content), nil)
		if err != nil {
			t.Fatal(err)
		}
		h.requested()
		found := false
		for referrer, err := range c.Referrers(t.Context(), image, ReferrerQuery{ArtifactTypes: []string{kind}}) {
			if err == nil && referrer.Digest == attached {
				found = string(referrer.Content) == content
			}
			if found {
				break
			}
		}
		got := 0
		for _, request := range h.requested() {
			if strings.Contains(request, "/blobs/") {
				got++
			}
		}
		if !found || got != blobs {
			t.Errorf("%d bytes: found %t, read %d blobs, want %d", len(content), found, got, blobs)
		}
	}
	r, err := c.open(sideRegistry, image.Repository, true)
	if err != nil {
		t.Fatal(err)
	}
	layer := release.Descriptor{MediaType: media, Digest: release.DigestOf([]byte("true")).String(), Size: 4, Data: []byte("fake")}
	if err := r.upload(t.Context(), []release.Descriptor{layer}, blobsInMemory(map[string][]byte{layer.Digest: []byte("true")}), "", newMeter(0, nil)); err != nil {
		t.Fatal(err)
	}
	if content, err := r.referrerContent(t.Context(), []release.Descriptor{layer}, newAllowance()); err != nil || string(content) != "true" {
		t.Errorf("got %q, %v", content, err)
	}
}
