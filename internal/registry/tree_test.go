package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	imageType = "application/vnd.oci.image.manifest.v1+json"
	indexType = "application/vnd.oci.image.index.v1+json"
)

// forest is manifests by digest.
type forest map[release.Digest]manifest

func (f forest) plant(t *testing.T, c map[string]any) release.Descriptor {
	t.Helper()
	c["schemaVersion"] = 2
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newManifest(text, "")
	if err != nil {
		t.Fatal(err)
	}
	f[m.digest] = m
	return release.Descriptor{MediaType: m.mediaType, Digest: m.digest.String(), Size: int64(len(text))}
}

func (f forest) fetchManifest(_ context.Context, digest release.Digest) (manifest, error) {
	m, found := f[digest]
	if !found {
		return manifest{}, errors.New("not here")
	}
	return m, nil
}

func blobOf(name string) release.Descriptor {
	return release.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: release.DigestOf([]byte(name)).String(), Size: 10}
}

func TestReadTree(t *testing.T) {
	t.Parallel()
	f := forest{}
	foreign := blobOf("foreign")
	foreign.MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	a := f.plant(t, map[string]any{"mediaType": imageType, "config": blobOf("config a"), "layers": []release.Descriptor{blobOf("shared"), foreign}})
	b := f.plant(t, map[string]any{"mediaType": imageType, "config": blobOf("config b"), "layers": []release.Descriptor{blobOf("shared"), blobOf("own")}})
	inner := f.plant(t, map[string]any{"mediaType": indexType, "manifests": []release.Descriptor{b}})
	cached := blobOf("of a build cache") // an index may list what is no manifest
	root := f.plant(t, map[string]any{"mediaType": indexType, "manifests": []release.Descriptor{a, inner, b, cached}})
	digest, err := release.ParseDigest(root.Digest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readTree(t.Context(), digest, f.fetchManifest)
	if err != nil {
		t.Fatal(err)
	}
	var manifests []string
	for _, m := range got.manifests {
		manifests = append(manifests, m.digest.String())
	}
	if want := []string{a.Digest, b.Digest, inner.Digest, root.Digest}; strings.Join(manifests, " ") != strings.Join(want, " ") {
		t.Errorf("manifests are\n%q, want children first\n%q", manifests, want)
	}
	if len(got.blobs) != 5 || got.size() != 50 {
		t.Errorf("got %d blobs of %d bytes, want 5 of 50", len(got.blobs), got.size())
	}
}

func TestReadTreeRefuses(t *testing.T) {
	t.Parallel()
	many := func(n int) (all []release.Descriptor) {
		for i := range n {
			all = append(all, blobOf(fmt.Sprint(i)))
		}
		return all
	}
	negative := blobOf("negative")
	negative.Size = -1
	for name, test := range map[string]struct {
		root map[string]any
		want string
	}{
		"blobs without end": {map[string]any{"mediaType": imageType, "config": blobOf("c"), "layers": many(maxBlobs + 1)}, "more than 200 manifests"},
		"no digest":         {map[string]any{"mediaType": imageType, "config": release.Descriptor{Digest: "../../etc/passwd"}}, "is not a digest"},
		"no child's digest": {map[string]any{"mediaType": indexType, "manifests": []release.Descriptor{{Digest: "latest"}}}, "is not a digest"},
		"negative size":     {map[string]any{"mediaType": imageType, "config": negative}, "-1 bytes"},
		"missing child":     {map[string]any{"mediaType": indexType, "manifests": []release.Descriptor{{MediaType: imageType, Digest: release.DigestOf([]byte("gone")).String()}}}, "not here"},
		"a blob's size":     {map[string]any{"mediaType": indexType, "manifests": []release.Descriptor{negative}}, "-1 bytes"},
	} {
		f := forest{}
		root := f.plant(t, test.root)
		digest, err := release.ParseDigest(root.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readTree(t.Context(), digest, f.fetchManifest); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, test.want)
		}
	}
	f := forest{}
	var children []release.Descriptor
	for i := range 9 {
		children = append(children, f.plant(t, map[string]any{"mediaType": imageType, "config": blobOf("c"), "padding": fmt.Sprint(i) + strings.Repeat("a", 4_000_000)}))
	}
	digest, err := release.ParseDigest(f.plant(t, map[string]any{"mediaType": indexType, "manifests": children}).Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readTree(t.Context(), digest, f.fetchManifest); err == nil || !strings.Contains(err.Error(), "bytes of them") {
		t.Errorf("manifests without end: got %v", err)
	}
}

// FuzzManifest: whatever a registry serves as a manifest, reading it ends, and what comes out is named by digests.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"`+imageType+`","config":{"digest":"sha256:`+strings.Repeat("ab", 32)+`","size":3},"layers":[{"size":-1}]}`), imageType)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:`+strings.Repeat("ab", 32)+`"}]}`), indexType+"; charset=utf-8")
	f.Add([]byte(`{"schemaVersion":1}`), "")
	f.Add([]byte(`[]`), "a;;b")
	f.Fuzz(func(t *testing.T, text []byte, header string) {
		m, err := newManifest(text, header)
		if err != nil {
			return
		}
		if m.digest != release.DigestOf(text) {
			t.Errorf("digest %s is not the bytes'", m.digest)
		}
		all, err := readTree(t.Context(), m.digest, func(context.Context, release.Digest) (manifest, error) { return m, nil })
		if err != nil {
			return
		}
		for _, blob := range all.blobs {
			if _, err := release.ParseDigest(blob.Digest); err != nil || blob.Size < 0 {
				t.Errorf("blob %q of %d bytes came through", blob.Digest, blob.Size)
			}
		}
	})
}

// FuzzNextPage: a next page is on the same registry, whatever the header says.
func FuzzNextPage(f *testing.F) {
	for _, seed := range []string{
		`</v2/shop/referrers/x?page=2>; rel="next"`, `<http://169.254.169.254/>; rel=next`, `<//evil.example/x>; rel="next"`,
		`<?page=2>; rel="next"`, `<>; rel="next"`, `<%zz>; rel="next"`, `no link`, `<javascript:x>;rel=next`, `<https://registry.example:443/x>;rel=next`,
		// These led to an address that was not the registry's as it is called: without a path, over plain HTTP or another scheme, with
		// a name and password, and with the default port.
		`<//registry.example>;rel=next`, `<http://registry.example/x>;rel=next`, `<ftp://registry.example/x>;rel=next`,
		`<//mallory:secret@registry.example/x>;rel=next`, `<http://registry.example:443/x>;rel=next`, `<//REGISTRY.example./x>;rel=next`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r, err := New(Options{}).open(sideRegistry, "registry.example/shop", false)
		if err != nil {
			t.Fatal(err)
		}
		next, err := r.nextPage(r.url("referrers", "x"), map[string][]string{"Link": {header}})
		if err != nil || next == "" {
			return
		}
		if parsed, err := url.Parse(next); err != nil || parsed.Scheme != "https" || parsed.Host != "registry.example" || parsed.User != nil {
			t.Errorf("%q leads to %q, %v", header, next, err)
		}
	})
}

// FuzzSanitize: one printable line of bounded length.
func FuzzSanitize(f *testing.F) {
	for _, seed := range []string{"", "plain", "a\nb\r\x1b[2J", "\xff\xfe", "\u202e\u2028\u200b", strings.Repeat("é", 1000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := sanitize(text)
		if strings.ContainsAny(got, "\n\r\t\x1b\x00\u202e\u2028\u2029\u200b") || len(got) > maxMessage {
			t.Errorf("%q became %q", text, got)
		}
		if sanitize(got) != got {
			t.Errorf("%q changes when it is sanitized again", got)
		}
	})
}

// FuzzReferrersPage: whatever a registry serves as a page of its list, the entries that are descriptors are read.
func FuzzReferrersPage(f *testing.F) {
	for _, seed := range []string{
		`{"manifests":[{"digest":"sha256:` + strings.Repeat("ab", 32) + `","annotations":{"a":"b"}},7,{"size":"x"},null]}`,
		`{"manifests":null}`, `{"manifests":{}}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		entries, err := parseReferrers(page)
		var whole struct {
			Manifests []release.Descriptor `json:"manifests"`
		}
		if json.Unmarshal(page, &whole) == nil && (err != nil || len(entries) != len(whole.Manifests)) {
			t.Errorf("got %d entries, %v, want %d", len(entries), err, len(whole.Manifests))
		}
	})
}
