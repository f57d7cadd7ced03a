package store

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/onedigest/onedigest/internal/release"
)

// FuzzParseManifest: no manifest makes the parser panic, and an accepted manifest is accepted again with the same digest.
func FuzzParseManifest(f *testing.F) {
	none := "sha256:" + strings.Repeat("0", 64)
	for _, seed := range []string{
		`{}`, `[]`, `null`, `{"schemaVersion":2}`, `{"schemaVersion":1,"fsLayers":[]}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"digest":"` + none + `","size":1},"layers":[]}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"` + none + `"}],"subject":{"digest":"` + none + `"}}`,
		`{"schemaVersion":2,"config":{"digest":"sha512:0"},"layers":[{"size":-1}]}`,
		`{"schemaVersion":2,"subject":null,"annotations":{"a":1}}`, strings.Repeat(`{"a":`, 1000),
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), string(types.OCIManifestSchema1)+"; charset=utf-8")
	}
	f.Fuzz(func(t *testing.T, body []byte, mediaType string) {
		parsed, err := ParseManifest(body, mediaType)
		if err != nil {
			return
		}
		if parsed.Digest.IsZero() || len(parsed.Body) != len(body) || parsed.Size < 0 && len(parsed.Blobs) == 0 {
			t.Errorf("accepted as %+v", parsed)
		}
		again, err := ParseManifest(parsed.Body, string(parsed.MediaType))
		if err != nil || again.Digest != parsed.Digest {
			t.Errorf("accepted once, then %v", err)
		}
	})
}

// FuzzWildcard compares the matcher with a regular expression.
func FuzzWildcard(f *testing.F) {
	for _, seed := range [][2]string{{"*", ""}, {"a*b*a", "aba"}, {"ab*ba", "aba"}, {"**", "x"}, {"a", "b"}, {"*a*a*", "xaya"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, filter, tag string) {
		if !filterPattern.MatchString(filter) {
			return
		}
		if _, err := release.ParseTag(tag); err != nil {
			return
		}
		want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(filter), `\*`, ".*") + "$").MatchString(tag)
		if got := wildcard(filter, tag); got != want {
			t.Errorf("wildcard(%q, %q) = %t, want %t", filter, tag, got, want)
		}
	})
}
