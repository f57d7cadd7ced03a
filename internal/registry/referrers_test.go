package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
			if got, err := c.Referrers(t.Context(), image, kind); err != nil || len(got) > 0 {
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
			got, err := c.Referrers(t.Context(), image, kind)
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
	got, err := c.Referrers(t.Context(), image, kind)
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
	if _, err := c.Attach(t.Context(), repo.At(digestOf([]byte("gone"))), kind, media, []byte("{}"), nil); err == nil || !strings.Contains(err.Error(), "the image is not in the repository") {
		t.Errorf("no image: got %v", err)
	}
	if _, err := c.Attach(t.Context(), image, kind, media, make([]byte, maxAttached+1), nil); err == nil || !strings.Contains(err.Error(), "limit 1048576") {
		t.Errorf("long content: got %v", err)
	}
}

// A registry that does not confirm the subject in a header is checked by its list; one without the list is refused, and
// the fallback tag is not written.
func TestAttachToOlderRegistries(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	attached, err := c.Attach(t.Context(), image, kind, media, []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Referrers(t.Context(), image, kind)
	if err != nil || len(got) != 1 || got[0].Digest != attached {
		t.Errorf("got %v, %v", got, err)
	}
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			return false
		}
		http.NotFound(w, r)
		return true
	})
	_, attachErr := c.Attach(t.Context(), image, kind, media, []byte("[]"), nil)
	_, readErr := c.Referrers(t.Context(), image, kind)
	for what, err := range map[string]error{"Attach": attachErr, "Referrers": readErr} {
		if !errors.Is(err, errNoReferrers) || release.ExitCode(err) != release.ExitFault {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for _, request := range h.requested() {
		if method, path, _ := strings.Cut(request, " "); method == http.MethodPut && strings.Contains(path, "/manifests/sha256-") {
			t.Errorf("the fallback tag was written: %s", request)
		}
	}
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
	if got, err := c.Referrers(t.Context(), image, kind); err != nil || len(got) != 1 {
		t.Errorf("got %d, %v", len(got), err)
	}
}

// pages serves a list of referrers by a function of the page's number.
func pages(t *testing.T, h *testRegistry, page func(number int) (entries []descriptor, next string)) {
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
	var all []descriptor
	for i := range 5 {
		digest, err := c.Attach(t.Context(), image, kind, media, fmt.Appendf(nil, "%d", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, descriptor{Digest: digest.String(), ArtifactType: kind, Annotations: map[string]string{release.AnnotationCreated: fmt.Sprint(i)}})
	}
	pages(t, h, func(number int) ([]descriptor, string) {
		next := fmt.Sprintf("/v2/shop/referrers/%s?page=%d", image.Digest, number+1)
		if number == 4 {
			next = ""
		}
		return all[number : number+1], next
	})
	got, err := c.Referrers(t.Context(), image, kind)
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
	entry := func(digest string) descriptor { return descriptor{Digest: digest, ArtifactType: kind} }
	endless := func(number int) string { return fmt.Sprintf("?page=%d", number+1) }
	for name, test := range map[string]struct {
		page func(int) ([]descriptor, string)
		want string // error; "" for an empty result
	}{
		"pages without end": {func(n int) ([]descriptor, string) { return nil, endless(n) }, "more than 20 pages"},
		"entries without end": {func(n int) ([]descriptor, string) {
			return make([]descriptor, maxListed/2), endless(n)
		}, "more than 5000"},
		"next page elsewhere": {func(int) ([]descriptor, string) { return nil, "http://169.254.169.254/latest" }, "another host"},
		"no digest":           {func(int) ([]descriptor, string) { return []descriptor{entry("../../latest")}, "" }, "is not a digest"},
		"of another image":    {func(int) ([]descriptor, string) { return []descriptor{entry(foreign.String())}, "" }, ""},
		"of another kind":     {func(int) ([]descriptor, string) { return []descriptor{entry(otherKind.String())}, "" }, ""},
		"an image":            {func(int) ([]descriptor, string) { return []descriptor{entry(neighbour.Digest.String())}, "" }, ""},
		"gone":                {func(int) ([]descriptor, string) { return []descriptor{entry(digestOf([]byte("gone")).String())}, "" }, ""},
	} {
		pages(t, h, test.page)
		got, err := c.Referrers(t.Context(), image, kind)
		switch {
		case test.want == "" && (err != nil || len(got) > 0):
			t.Errorf("%s: got %v, %v, want nothing", name, got, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want an error that says %q", name, err, test.want)
		}
	}
}

func TestReferrersReadsTheNewestOnly(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	image := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	newest, err := c.Attach(t.Context(), image, kind, media, []byte("newest"), nil)
	if err != nil {
		t.Fatal(err)
	}
	pages(t, h, func(int) ([]descriptor, string) {
		var entries []descriptor
		for i := range 500 {
			entries = append(entries, descriptor{
				Digest: digestOf(fmt.Append(nil, i)).String(), ArtifactType: kind,
				Annotations: map[string]string{release.AnnotationCreated: fmt.Sprintf("2025-01-01T00:00:00.%06dZ", i)},
			})
		}
		return append(entries, descriptor{
			Digest: newest.String(), ArtifactType: kind, Annotations: map[string]string{release.AnnotationCreated: "2026-01-01T00:00:00.000000Z"},
		}), ""
	})
	h.requested()
	got, err := c.Referrers(t.Context(), image, kind)
	if err != nil || len(got) != 1 || string(got[0].Content) != "newest" {
		t.Errorf("got %v, %v", got, err)
	}
	if requests := len(h.requested()); requests > maxReferrers+2 {
		t.Errorf("made %d requests, want at most %d", requests, maxReferrers+2)
	}
}
