package copied_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/evidence/copied"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

func example(t testing.TB) copied.Copy {
	t.Helper()
	return copied.Copy{Digest: releasetest.Digest(t, "d"), From: "registry.example/staging/shop", To: "registry.example/live/shop",
		At: time.Date(2026, 11, 23, 2, 34, 56, 0, time.UTC), Run: "https://github.com/example/shop/actions/runs/1"}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want := example(t)
	encoded, err := copied.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := copied.Decode(encoded); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	encoded, err := copied.Encode(example(t))
	if err != nil {
		t.Fatal(err)
	}
	valid := string(encoded)
	for name, text := range map[string]string{
		"another predicate":  strings.Replace(valid, copied.PredicateType, "https://slsa.dev/provenance/v1", 1),
		"another subject":    strings.Replace(valid, `"name":"registry.example/live/shop"`, `"name":"registry.example/other"`, 1),
		"two subjects":       strings.Replace(valid, `"subject":[`, `"subject":[{"name":"registry.example/live/shop","digest":{}},`, 1),
		"a field twice":      strings.Replace(valid, `"from":`, `"from":"registry.example/other","from":`, 1),
		"no time":            strings.Replace(valid, "2026-11-23T02:34:56Z", "0001-01-01T00:00:00Z", 1),
		"no repository":      strings.Replace(valid, "registry.example/staging/shop", "shop", 1),
		"source is target":   strings.Replace(valid, "registry.example/staging/shop", "registry.example/live/shop", 1),
		"sha512":             strings.Replace(valid, `"sha256"`, `"sha512"`, 1),
		"control characters": strings.Replace(valid, "runs/1", `runs/1\u001b`, 1),
		"something after":    valid + "{}",
		"long":               strings.Replace(valid, "runs/1", strings.Repeat("1", 20<<10), 1),
		"nothing":            "",
	} {
		if text == valid {
			t.Errorf("%s: nothing was changed", name)
		}
		if got, err := copied.Decode([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*copied.Copy){
		"no digest":     func(c *copied.Copy) { c.Digest = release.Digest{} },
		"no source":     func(c *copied.Copy) { c.From = "" },
		"to its source": func(c *copied.Copy) { c.From = c.To },
		"no time":       func(c *copied.Copy) { c.At = time.Time{} },
	} {
		of := example(t)
		change(&of)
		if got, err := copied.Encode(of); err == nil {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// Copies lead from repository to repository; a circle ends, and copies of another digest lead nowhere.
func TestSources(t *testing.T) {
	t.Parallel()
	digest, other := releasetest.Digest(t, "d"), releasetest.Digest(t, "e")
	of := func(digest release.Digest, from, to release.Repository) copied.Copy {
		return copied.Copy{Digest: digest, From: from, To: to}
	}
	copies := []copied.Copy{of(digest, "r/b", "r/c"), of(digest, "r/a", "r/b"), of(digest, "r/c", "r/a"), of(other, "r/x", "r/c"), of(digest, "r/y", "r/z")}
	if got := copied.Sources(copies, digest, "r/c"); !slices.Equal(got, []release.Repository{"r/b", "r/a"}) {
		t.Errorf("got %v", got)
	}
	if got := copied.Sources(copies, digest, "r/y"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func FuzzDecode(f *testing.F) {
	encoded, err := copied.Encode(example(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://onedigest.dev/attestation/copied/v1","subject":[{}],"predicate":{}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		read, err := copied.Decode(content)
		if err != nil {
			return
		}
		again, err := copied.Encode(read)
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", read, err)
		}
		if twice, err := copied.Decode(again); err != nil || !twice.At.Equal(read.At) || twice.From != read.From || twice.To != read.To {
			t.Errorf("got %+v, %v, want %+v", twice, err, read)
		}
	})
}
