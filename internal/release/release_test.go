package release_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

const (
	hex    = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	digest = "sha256:" + hex
	commit = "0123456789abcdef0123456789abcdef01234567"
)

// accepts runs a parser over texts and holds its answers to what is wanted: "" for accepted, else a part of the error.
func accepts[T any](t *testing.T, parse func(string) (T, error), texts map[string]string) {
	t.Helper()
	for text, want := range texts {
		_, err := parse(text)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q is refused: %v", text, err)
		case want != "" && err == nil:
			t.Errorf("%q is accepted, want an error with %q", text, want)
		case want != "" && !strings.Contains(err.Error(), want):
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestParseDigest(t *testing.T) {
	t.Parallel()
	accepts(t, release.ParseDigest, map[string]string{
		digest:                           "",
		"":                               "is not a digest",
		hex:                              "is not a digest",
		"sha256:" + hex[:63]:             "has 63 hex digits",
		"sha256:" + strings.ToUpper(hex): "upper-case",
		"sha512:" + hex + hex:            `algorithm "sha512" is not supported`,
		"sha256:" + hex[:63] + "g":       "not hex digits",
		"sha256:" + hex[:63] + "\n":      "not hex digits",
	})
}

func TestParseImage(t *testing.T) {
	t.Parallel()
	accepts(t, release.ParseImage, map[string]string{
		"localhost:5000/shop@" + digest:                                       "",
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/shop@" + digest: "",
		"localhost:5000/shop":                                                 "carries no digest",
		"localhost:5000/shop:v1":                                              "carries no digest",
		"localhost:5000/shop:v1@" + digest:                                    "both a tag and a digest",
		"localhost:5000/shop@sha256:abc":                                      "has 3 hex digits",
		"shop@" + digest:                                                      "names no registry host",
		"localhost:5000/Shop@" + digest:                                       "characters a repository cannot have",
		"localhost:5000/$(id)@" + digest:                                      "characters a repository cannot have",
		"localhost:5000/shop@" + digest + "\n":                                "digest",
		"localhost:5000/shop@" + digest + "@" + digest:                        "digest",
	})
}

func TestParseRepository(t *testing.T) {
	t.Parallel()
	accepts(t, release.ParseRepository, map[string]string{
		"localhost/shop":             "",
		"127.0.0.1:5510/team/shop":   "",
		"[::1]:5510/shop":            "",
		"":                           "names no registry host",
		"shop":                       "names no registry host",
		"team/shop":                  "names no registry host",
		"https://example.com/shop":   "URL scheme",
		"example.com/shop:v1":        "carries a tag",
		"example.com/shop@" + digest: "carries a digest",
		"example.com/":               "cannot have",
		"example.com/../shop":        "cannot have",
		"exa mple.com/shop":          "is not a host",
		"example.com/shop\n":         "cannot have",
		"example.com/" + strings.Repeat("a", 256): "limit 255",
	})
}

func TestParseCommitAndLabels(t *testing.T) {
	t.Parallel()
	accepts(t, release.ParseCommit, map[string]string{commit: "", commit[:12]: "not a full commit id", strings.ToUpper(commit): "not a full", hex: "", "HEAD": "not a full", commit + "\n": "not a full"})
	accepts(t, release.ParseLabel, map[string]string{"staging": "", "a": "", "-a": "DNS label", "A": "DNS label", "a.b": "DNS label", "": "DNS label", strings.Repeat("a", 64): "DNS label"})
	accepts(t, release.ParseTag, map[string]string{commit: "", "v1.2_3-x": "", ".x": "not a tag", "a b": "not a tag", "": "not a tag", strings.Repeat("a", 129): "not a tag"})
	accepts(t, release.ParsePlatform, map[string]string{"linux/amd64": "", "linux/arm/v7": "", "linux": "not a platform", "linux/": "not a platform", "Linux/AMD64": "not a platform", "a/b/c/d": "not a platform"})
}

// Two spellings of one platform would be two recipes and two images.
func TestParsePlatformKnowsOnePlatformByOneName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"linux/arm64/v8": "linux/arm64", "linux/arm64": "linux/arm64", "linux/arm": "linux/arm/v7", "linux/arm/v7": "linux/arm/v7",
		"linux/arm/v6": "linux/arm/v6", "linux/amd64/v1": "linux/amd64", "linux/amd64/v3": "linux/amd64/v3", "linux/s390x": "linux/s390x"} {
		if got, err := release.ParsePlatform(text); err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestDigestSurvivesText(t *testing.T) {
	t.Parallel()
	want, err := release.ParseDigest(digest)
	if err != nil {
		t.Fatal(err)
	}
	text, err := want.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var got release.Digest
	if err := got.UnmarshalText(text); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if err := got.UnmarshalText([]byte("sha256:x")); err == nil {
		t.Error("a malformed digest is accepted from text")
	}
}

func TestPromotionOrder(t *testing.T) {
	t.Parallel()
	before, found := release.DefaultPromotionOrder.Before("production")
	if before != "staging" || !found {
		t.Errorf("before production is %q, %v", before, found)
	}
	for _, environment := range []release.Environment{"staging", "elsewhere"} {
		if before, found := release.DefaultPromotionOrder.Before(environment); found {
			t.Errorf("before %q is %q", environment, before)
		}
	}
}

func TestEvidenceProves(t *testing.T) {
	t.Parallel()
	image, err := release.ParseImage("localhost:5000/shop@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	good := release.Evidence{Image: image, Environment: "staging", Verdict: release.Pass, Checks: []string{"/"}, Rounds: 1, At: now.Add(-time.Hour)}
	if err := good.Proves(image, "staging", now, time.Hour); err != nil {
		t.Errorf("good evidence is refused: %v", err)
	}
	for name, spoil := range map[string]func(*release.Evidence){
		"other digest":      func(e *release.Evidence) { e.Image.Digest = release.Digest{} },
		"other environment": func(e *release.Evidence) { e.Environment = "qa" },
		"failed":            func(e *release.Evidence) { e.Verdict = release.Fail },
		"no check":          func(e *release.Evidence) { e.Checks = nil },
		"no round":          func(e *release.Evidence) { e.Rounds = 0 },
		"other repository":  func(e *release.Evidence) { e.Image.Repository = "localhost:5000/other" },
		"too great an age":  func(e *release.Evidence) { e.At = now.Add(-time.Hour - time.Second) },
		"a future date":     func(e *release.Evidence) { e.At = now.Add(release.ClockSkew + time.Second) },
	} {
		bad := good
		spoil(&bad)
		if err := bad.Proves(image, "staging", now, time.Hour); err == nil {
			t.Errorf("evidence with %s proves the digest", name)
		}
	}
}

// Everything that a check says is part of what a record says about the checks.
func TestCheckSet(t *testing.T) {
	t.Parallel()
	good := release.Check{Name: "home", Path: "/", Status: 200, MaxLatency: time.Second}
	want := release.CheckSet([]release.Check{good})
	if want.IsZero() || want != release.CheckSet([]release.Check{good}) {
		t.Errorf("the same checks are %s and %s", want, release.CheckSet([]release.Check{good}))
	}
	for name, change := range map[string]func(*release.Check){
		"path":     func(c *release.Check) { c.Path = "/other" },
		"status":   func(c *release.Check) { c.Status = 201 },
		"body":     func(c *release.Check) { c.BodyContains = []string{"x"} },
		"not body": func(c *release.Check) { c.BodyNotContains = []string{"x"} },
		"json":     func(c *release.Check) { c.JSON = map[string]any{"$.a": 1} },
		"latency":  func(c *release.Check) { c.MaxLatency = 2 * time.Second },
	} {
		changed := good
		change(&changed)
		if release.CheckSet([]release.Check{changed}) == want {
			t.Errorf("checks with another %s have the same digest", name)
		}
	}
	if release.CheckSet([]release.Check{good, good}) == want {
		t.Error("two checks have the digest of one")
	}
}

func TestEvidenceRepeats(t *testing.T) {
	t.Parallel()
	image, err := release.ParseImage("localhost:5000/shop@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	earlier := release.Evidence{Image: image, Environment: "staging", Commit: commit, Verdict: release.Pass, Checks: []string{"/"},
		CheckSet: image.Digest, Rounds: 3, At: at}
	again := earlier
	again.Rounds, again.At = 5, at.Add(release.RecordFreshFor-time.Second)
	if !again.Repeats(earlier) {
		t.Error("the same verdict is not a repetition")
	}
	for name, change := range map[string]func(*release.Evidence){
		"of another repository":  func(e *release.Evidence) { e.Image.Repository = "localhost:5000/other" },
		"of another environment": func(e *release.Evidence) { e.Environment = "production" },
		"of another commit":      func(e *release.Evidence) { e.Commit = release.Commit(strings.Repeat("f", 40)) },
		"another verdict":        func(e *release.Evidence) { e.Verdict = release.Fail },
		"other checks":           func(e *release.Evidence) { e.Checks = []string{"home"} },
		"other check contents":   func(e *release.Evidence) { e.CheckSet = release.Digest{} },
		"dated before":           func(e *release.Evidence) { e.At = at.Add(-time.Second) },
		"a week later":           func(e *release.Evidence) { e.At = at.Add(release.RecordFreshFor) },
	} {
		other := again
		change(&other)
		if other.Repeats(earlier) {
			t.Errorf("evidence %s repeats the earlier one", name)
		}
	}
}

func FuzzParseImage(f *testing.F) {
	f.Add("localhost:5000/shop@" + digest)
	f.Add("a:b/c:d@sha256:x")
	f.Add("[::1]/x@" + digest)
	f.Fuzz(func(t *testing.T, text string) {
		image, err := release.ParseImage(text)
		if err != nil {
			return
		}
		if image.String() != text {
			t.Errorf("%q prints as %q", text, image)
		}
		if again, err := release.ParseImage(image.String()); err != nil || again != image {
			t.Errorf("%q does not survive: %v, %v", text, again, err)
		}
	})
}

func TestImageSurvivesText(t *testing.T) {
	t.Parallel()
	want, err := release.ParseImage("localhost:5000/team/shop@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []release.Image{want, {}} {
		text, err := image.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		got := want
		if err := got.UnmarshalText(text); err != nil || got != image {
			t.Errorf("got %v, %v; want %v", got, err, image)
		}
	}
	if err := new(release.Image).UnmarshalText([]byte("shop:latest")); err == nil {
		t.Error("a tag is accepted from text")
	}
}

func TestParseAlias(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"shop": "docker.io/library/shop", "team/shop": "docker.io/team/shop", "docker.io/shop": "docker.io/library/shop", "index.docker.io/team/shop": "docker.io/team/shop",
		"ghcr.io/team/shop": "ghcr.io/team/shop", "localhost/shop": "localhost/shop", "localhost:5000/a/b": "localhost:5000/a/b",
		"shop:1": "", "ghcr.io/team/shop@sha256:0": "", "Team/Shop": "", "": "", "http://ghcr.io/shop": "",
	} {
		if got, err := release.ParseAlias(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzSplitReference(f *testing.F) {
	for _, seed := range []string{"shop", "shop:1", "ghcr.io/team/shop@sha256:0", "localhost:5000/a", ":", "@", "/", "a:b:c/d@e@f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		repository, rest := release.SplitReference(text)
		if !strings.HasSuffix(text, rest) || release.FullRepository(repository) != repository {
			t.Errorf("%q: %q and %q; in full %q", text, repository, rest, release.FullRepository(repository))
		}
	})
}

// TestDigestOf compares with the SHA-256 of no bytes, which FIPS 180-4's test vectors give.
func TestDigestOf(t *testing.T) {
	t.Parallel()
	const want = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if of, ofSum := release.DigestOf(nil).String(), release.DigestOfSum(sha256.New()).String(); of != want || ofSum != want {
		t.Errorf("got %s and %s", of, ofSum)
	}
}

// TestArtifactOf: what no node can run is named; what does not say enough is taken for an image.
func TestArtifactOf(t *testing.T) {
	t.Parallel()
	const index, image = `{"manifests":[%s]}`, `{"mediaType":"application/vnd.oci.image.manifest.v1+json"%s}`
	for content, want := range map[string]string{
		`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json"}}`:       "",
		`{"config":{"mediaType":"application/vnd.docker.container.image.v1+json"}}`: "",
		`{"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"}}`:       "a Helm chart",
		`{"config":{"mediaType":"application/vnd.oci.empty.v1+json"}}`:              `an artifact with a config of type "application/vnd.oci.empty.v1+json"`,
		`{}`:                     "",
		`no JSON`:                "",
		`{"manifests":[]}`:       "an index that lists no image",
		fmt.Sprintf(index, `{}`): "",
		fmt.Sprintf(index, fmt.Sprintf(image, "")):                                                           "",
		fmt.Sprintf(index, fmt.Sprintf(image, `,"platform":{"architecture":"unknown"}`)):                     "an index that lists no image",
		fmt.Sprintf(index, fmt.Sprintf(image, `,"artifactType":"application/vnd.cncf.helm.config.v1+json"`)): "an index that lists no image",
		fmt.Sprintf(index, `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip"}`):                    "an index that lists no image",
		fmt.Sprintf(index, `{"mediaType":"application/vnd.oci.image.index.v1+json"}`):                        "",
	} {
		if got := release.ArtifactOf([]byte(content)); got != want {
			t.Errorf("%s: got %q, want %q", content, got, want)
		}
	}
}
