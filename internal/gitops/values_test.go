package gitops

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/release"
)

func image(t testing.TB, digit string) release.Image {
	t.Helper()
	found, err := release.ParseImage("registry.example.com/team/shop@sha256:" + strings.Repeat(digit, 64))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheDigestAloneIsWritten(t *testing.T) {
	t.Parallel()
	old, next := image(t, "a"), image(t, "b")
	for name, test := range map[string]struct{ before, path, after string }{
		"empty":           {"# ours\nimage:\n    digest: \"\" # of the build\nother: 1\n", "image.digest", "# ours\nimage:\n    digest: \"NEXT\" # of the build\nother: 1\n"},
		"plain":           {"image: {digest: OLD, tag: x}\n", "image.digest", "image: {digest: NEXT, tag: x}\n"},
		"single quotes":   {"image:\n  digest: 'OLD'\r\n", "image.digest", "image:\n  digest: 'NEXT'\r\n"},
		"reference":       {"web:\n- 1\napp: registry.example.com/team/shop@OLD\n", "app", "web:\n- 1\napp: registry.example.com/team/shop@NEXT\n"},
		"tag":             {"app: registry.example.com/team/shop:v1", "app", "app: registry.example.com/team/shop@NEXT"},
		"after an umlaut": {"größe: {ä: ö, digest: \"OLD\"}\n", "größe.digest", "größe: {ä: ö, digest: \"NEXT\"}\n"},
	} {
		fill := strings.NewReplacer("OLD", old.Digest.String(), "NEXT", next.Digest.String())
		got, err := setDigest([]byte(fill.Replace(test.before)), test.path, next)
		if diff := cmp.Diff(fill.Replace(test.after), string(got)); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
		if found, err := digestAt(got, test.path); err != nil || found != next.Digest {
			t.Errorf("%s: reads %s, %v", name, found, err)
		}
	}
}

func TestWhatIsNotWritten(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ content, path, want string }{
		"no value":       {"image: {}\n", "image.digest", "has no value"},
		"another kind":   {"image: {digest: [x]}\n", "image.digest", "is not a string"},
		"nothing":        {"image:\n  digest:\n", "image.digest", "not written on one line"},
		"several lines":  {"image:\n  digest: |\n    sha256:x\n", "image.digest", "not written on one line"},
		"escapes":        {"image:\n  digest: \"sha256\\x3a\"\n", "image.digest", "not written on one line"},
		"another image":  {"app: registry.example.com/team/other:v1\n", "app", "names the repository"},
		"an anchor":      {"a: &d {digest: \"\"}\nb: *d\n", "a.digest", "cannot be changed alone"},
		"two documents":  {"a: 1\n---\na: 2\n", "a", "more than one document"},
		"a list":         {"- a\n", "a", "is not a map"},
		"no YAML":        {"a: [\n", "a", "is not YAML"},
		"through a list": {"a:\n- b: \"\"\n", "a.b", "has no value"},
		"too large":      {"a: \"\"\nb: " + strings.Repeat("x", maxValues), "a", "is larger"},
	} {
		if _, err := setDigest([]byte(test.content), test.path, image(t, "b")); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// FuzzSetDigest: whatever a values file is, either it is refused, or its value is the digest afterwards and nothing else has changed.
func FuzzSetDigest(f *testing.F) {
	for _, seed := range []string{"image:\n  digest: \"\"\n", "image: {digest: 'sha256:x', tag: x}", "image:\r\n  digest: a # b\r\n", "image: &a {digest: \"\"}\nx: *a", "image: !!map {digest: !!str x}", "\ufeffimage: {digest: \"\"}"} {
		f.Add([]byte(seed))
	}
	next := image(f, "b")
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := setDigest(content, "image.digest", next)
		if err != nil {
			return
		}
		if found, err := digestAt(got, "image.digest"); err != nil || found != next.Digest {
			t.Fatalf("%q became %q", content, got)
		}
		if before, after := bytes.Count(content, []byte("\n")), bytes.Count(got, []byte("\n")); before != after {
			t.Fatalf("%q became %q", content, got)
		}
	})
}
