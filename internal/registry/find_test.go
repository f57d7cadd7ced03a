package registry

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/internal/httpx"
	"github.com/onedigest/onedigest/internal/release"
)

// unannotated is an image that says only in its config's labels what it was built from.
func unannotated(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.Config.Labels = map[string]string{release.AnnotationRevision: commit, release.AnnotationRecipe: "a label"}
	image, err = mutate.ConfigFile(image, file)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func bare(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestFind(t *testing.T) {
	t.Parallel()
	revisionLabel := mutate.AppendManifests(randomIndex(t, 0, nil), mutate.IndexAddendum{Add: unannotated(t)})
	for name, test := range map[string]struct {
		image    any
		revision string
		recipe   string
		requests int
	}{
		"annotated with its recipe":    {randomIndex(t, 2, map[string]string{release.AnnotationRevision: commit, release.AnnotationRecipe: "an annotation"}), commit, "an annotation", 1},
		"annotated image":              {randomImage(t, 3), commit, "", 1},
		"annotated index":              {randomIndex(t, 2, map[string]string{release.AnnotationRevision: commit}), commit, "", 1},
		"label of the config":          {unannotated(t), commit, "a label", 2},
		"index of annotated images":    {randomIndex(t, 4, nil), commit, "", 5},
		"index of labelled images":     {revisionLabel, commit, "a label", 3},
		"image that says nothing":      {bare(t), "", "", 2},
		"index that names another one": {randomIndex(t, 1, map[string]string{release.AnnotationRevision: "other"}), "other", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestRegistry(t)
			c := h.client()
			image := pushTo(t, c, test.image, h.repo("team/shop"), commit)
			for what, find := range map[string]func() (release.ImageInfo, bool, error){
				"Find":     func() (release.ImageInfo, bool, error) { return c.Find(t.Context(), image.Repository, commit) },
				"Describe": func() (release.ImageInfo, bool, error) { return c.Describe(t.Context(), image) },
			} {
				h.requested()
				got, found, err := find()
				want := release.ImageInfo{Digest: image.Digest, Revision: test.revision, Recipe: test.recipe}
				if err != nil || !found || got != want {
					t.Errorf("%s: got %+v, %t, %v, want %+v", what, got, found, err, want)
				}
				if requests := h.requested(); len(requests) != test.requests {
					t.Errorf("%s: made requests %q, want %d", what, requests, test.requests)
				}
			}
		})
	}
}

// TestFindAnIndexOfSeveralCommits: the images of an index are all read, whatever their order, and those that name other commits are told apart.
func TestFindAnIndexOfSeveralCommits(t *testing.T) {
	t.Parallel()
	const other = "2222222222222222222222222222222222222222"
	child := func(revision, architecture string) mutate.IndexAddendum {
		image := withPlatform(t, bare(t), architecture)
		if revision != "" {
			file, err := image.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			file = file.DeepCopy()
			file.Config.Labels = map[string]string{release.AnnotationRevision: revision, release.AnnotationInputs: "inputs"}
			if image, err = mutate.ConfigFile(image, file); err != nil {
				t.Fatal(err)
			}
		}
		return mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}}
	}
	of := func(children ...mutate.IndexAddendum) v1.ImageIndex {
		return mutate.AppendManifests(empty.Index, children...)
	}
	attestation := child(other, "amd64")
	attestation.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
	const both = commit + " (linux/amd64), " + other + " (linux/arm64)"
	for name, test := range map[string]struct {
		index            v1.ImageIndex
		revision, inputs string
	}{
		"one commit":               {of(child(commit, "amd64"), child(commit, "arm64")), commit, "inputs"},
		"two commits":              {of(child(commit, "amd64"), child(other, "arm64")), both, ""},
		"two commits, turned":      {of(child(other, "arm64"), child(commit, "amd64")), other + " (linux/arm64), " + commit + " (linux/amd64)", ""},
		"two commits, nested":      {of(child(commit, "amd64"), mutate.IndexAddendum{Add: of(child(other, "arm64"))}), both, ""},
		"one that says nothing":    {of(child("", "amd64"), child(commit, "arm64")), commit, "inputs"},
		"an attestation beside it": {of(attestation, child(commit, "arm64")), commit, "inputs"},
		"of no commit":             {of(child("", "amd64"), child("", "arm64")), "", ""},
	} {
		h := newTestRegistry(t)
		c := h.client()
		image := pushTo(t, c, test.index, h.repo("team/shop"), commit)
		got, found, err := c.Describe(t.Context(), image)
		if want := (release.ImageInfo{Digest: image.Digest, Revision: test.revision, Inputs: test.inputs}); err != nil || !found || got != want {
			t.Errorf("%s: got %+v, %t, %v, want %+v", name, got, found, err, want)
		}
	}
}

// TestFindAnArtifact: what no node can run is said to be that, and has no platforms.
func TestFindAnArtifact(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	config := release.DigestOf([]byte("{}")).String()
	typed := func(mediaType types.MediaType) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"annotations":{%q:%q}}`, types.OCIManifestSchema1, mediaType, config, release.AnnotationRevision, commit)
	}
	for name, test := range map[string]struct {
		content   string
		mediaType types.MediaType
		artifact  string
		images    int
	}{
		"an image":           {typed(types.OCIConfigJSON), types.OCIManifestSchema1, "", 1},
		"an image of docker": {typed(types.DockerConfigJSON), types.OCIManifestSchema1, "", 1},
		"a Helm chart":       {typed("application/vnd.cncf.helm.config.v1+json"), types.OCIManifestSchema1, "a Helm chart", 0},
		"another artifact":   {typed("application/vnd.oci.empty.v1+json"), types.OCIManifestSchema1, `an artifact with a config of type "application/vnd.oci.empty.v1+json"`, 0},
		"an empty index":     {`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`, types.OCIImageIndex, "an index that lists no image", 0},
	} {
		image := h.repo("team/shop").At(release.DigestOf([]byte(test.content)))
		if err := c.PutTag(t.Context(), image.Repository, []byte(test.content), string(test.mediaType), image.Digest, "v1"); err != nil {
			t.Fatal(err)
		}
		got, _, err := c.Describe(t.Context(), image)
		if err != nil || got.Artifact != test.artifact {
			t.Errorf("%s: got %q, %v, want %q", name, got.Artifact, err, test.artifact)
		}
		images, found, err := c.Platforms(t.Context(), image)
		if err != nil || !found || len(images) != test.images {
			t.Errorf("%s: got platforms %v, %t, %v, want %d", name, images, found, err, test.images)
		}
	}
}

func TestFindMissing(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	if _, found, err := c.Find(t.Context(), h.repo("empty"), "one"); err != nil || found {
		t.Errorf("no repository: got %t, %v", found, err)
	}
	shop := pushTo(t, c, randomImage(t, 1), h.repo("shop"), "one")
	if _, found, err := c.Find(t.Context(), shop.Repository, "two"); err != nil || found {
		t.Errorf("no tag: got %t, %v", found, err)
	}
	if _, found, err := c.Describe(t.Context(), shop.Repository.At(release.DigestOf([]byte("x")))); err != nil || found {
		t.Errorf("no digest: got %t, %v", found, err)
	}
}

// A registry's refusals: which side, the status, its own words, what to do, exit code 3, nothing that commands a
// terminal or a runner.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status   int
		code     string
		message  string
		want     []string
		requests int
	}{
		"403": {403, "DENIED", "not authorized to perform: ecr:BatchGetImage", []string{"HTTP 403 Forbidden: DENIED: not authorized", "allow these credentials", "ecr:PutImage"}, 1},
		"404": {404, "NAME_UNKNOWN", "The repository with name 'shop' does not exist in the registry with id '123456789012'", []string{"HTTP 404 Not Found: NAME_UNKNOWN", "create the repository"}, 1},
		"400": {400, "NAME_INVALID", "bad", []string{"HTTP 400 Bad Request: NAME_INVALID: bad"}, 1},
		"hostile": {
			400, "X\n::set-output name=a::b", "\x1b[2J\r\n##[add-mask]x\u202e\u2028" + strings.Repeat("a", 5000),
			[]string{`X :\:set-output name=a::b: ##\[add-mask]x aaa`}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestRegistry(t)
			h.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(test.status)
				_, _ = fmt.Fprintf(w, `{"errors":[{"code":%s,"message":%s}]}`, jsonString(test.code), jsonString(test.message))
				return true
			})
			_, _, err := h.client().Find(t.Context(), h.repo("shop"), "one")
			var fault *release.Fault
			if !errors.As(err, &fault) || fault.Side != "registry" || release.ExitCode(err) != release.ExitFault {
				t.Fatalf("got %v, want a fault of the registry", err)
			}
			text := err.Error()
			for _, want := range append(test.want, `reading tag "one" of "`+h.host()+`/shop"`) {
				if !strings.Contains(text, want) {
					t.Errorf("got %q, want it to say %q", text, want)
				}
			}
			if strings.ContainsAny(text, "\n\r\x1b\u202e\u2028") || len(text) > 1200 {
				t.Errorf("%d bytes long or with control characters: %q", len(text), text)
			}
			if got := len(h.requested()); got != test.requests {
				t.Errorf("made %d requests, want %d", got, test.requests)
			}
		})
	}
}

func TestServerFailure(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	h.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprint(w, "<html>oops</html>")
		return true
	})
	_, _, err := h.client().Find(t.Context(), h.repo("shop"), "one")
	if err == nil || !strings.Contains(err.Error(), "HTTP 500") || !strings.Contains(err.Error(), "run again") {
		t.Errorf("got %v", err)
	}
	if got := len(h.requested()); got != httpx.MaxUnavailable+1 {
		t.Errorf("made %d requests, want %d", got, httpx.MaxUnavailable+1)
	}
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err = New(Options{}).Find(t.Context(), release.Repository(address+"/shop"), "one")
	if err == nil || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), "check that "+address+" can be reached") {
		t.Errorf("got %v", err)
	}
}

// H6: bytes that are not the digest's, and more of them than anybody needs.
func TestHostileBytes(t *testing.T) {
	t.Parallel()
	h := newTestRegistry(t)
	c := h.client()
	shop := pushTo(t, c, unannotated(t), h.repo("shop"), "one")
	for name, test := range map[string]struct {
		path string // of what is served wrongly
		body func(w http.ResponseWriter)
		want string
	}{
		"manifest by tag": {"/manifests/one", func(w http.ResponseWriter) {
			w.Header().Set("Docker-Content-Digest", shop.Digest.String())
			_, _ = fmt.Fprint(w, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`)
		}, "served bytes of sha256:"},
		"config": {"/blobs/", func(w http.ResponseWriter) { _, _ = fmt.Fprint(w, `{}`) }, "served bytes of sha256:"},
		"manifest of declared size": {"/manifests/", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", fmt.Sprint(int64(1)<<40))
		}, "it is 1099511627776 bytes long, limit 4194304"},
		"manifest without end": {"/manifests/", func(w http.ResponseWriter) {
			for range 200 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, "it is longer than 4194304 bytes"},
		"not JSON": {"/manifests/", func(w http.ResponseWriter) { _, _ = fmt.Fprint(w, "<html>") }, "is not an image or an index"},
		"schema 1": {"/manifests/", func(w http.ResponseWriter) {
			_, _ = fmt.Fprint(w, `{"schemaVersion":1,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`)
		}, "schema version 1"},
		"something else":  {"/manifests/", func(w http.ResponseWriter) { _, _ = fmt.Fprint(w, `{"schemaVersion":2,"mediaType":"text/html"}`) }, `"text/html" is not an image`},
		"redirect circle": {"/manifests/", func(w http.ResponseWriter) { w.Header().Set("Location", "/v2/shop/manifests/one"); w.WriteHeader(307) }, "redirected more than three times"},
	} {
		h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, test.path) {
				return false
			}
			test.body(w)
			return true
		})
		got, found, err := c.Find(t.Context(), shop.Repository, "one")
		if err == nil || !strings.Contains(err.Error(), test.want) || found || got != (release.ImageInfo{}) {
			t.Errorf("%s: got %+v, %t, %v, want an error that says %q", name, got, found, err, test.want)
		}
	}
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = fmt.Fprint(w, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`)
		return true
	})
	if _, err := c.Inspect(t.Context(), shop.Repository, shop.Digest, "one"); err == nil || !strings.Contains(err.Error(), "do not use this image") {
		t.Errorf("by digest: got %v", err)
	}
}

func jsonString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	b.WriteByte('"')
	return b.String()
}
