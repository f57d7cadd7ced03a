package images_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
)

// push pushes an image and returns it.
func push(t *testing.T, connected *images.Images, repository release.Repository) release.Image {
	t.Helper()
	layout := registrytest.Layout(t, nil)
	if err := connected.Push(t.Context(), layout, repository, "one", nil); err != nil {
		t.Fatal(err)
	}
	return repository.At(layout.Digest)
}

// connect connects with an environment; what is reported is written to the buffer.
func connect(t *testing.T, environment []string) (*images.Images, *bytes.Buffer) {
	t.Helper()
	var told bytes.Buffer
	run := &app.RunContext{
		Process:  app.Process{Environ: environment, Now: time.Now},
		Reporter: &reporter{told: &told},
	}
	connected, err := images.New(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return connected, &told
}

type reporter struct {
	releasetest.DiscardReporter
	told *bytes.Buffer
}

func (r *reporter) Warnf(format string, args ...any) { fmt.Fprintf(r.told, format+"\n", args...) }

func record(image release.Image, environment release.Environment, verdict release.Verdict, at time.Time) release.Evidence {
	return release.Evidence{Image: image, Commit: releasetest.Commit, Environment: environment, Verdict: verdict,
		Checks: []string{"/"}, Rounds: 3, Pods: []string{"a"}, URL: "http://x", At: at}
}

var begun = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// Many records of production hide none of staging's, in a registry that behaves like ECR and in a plain one.
func TestNewestOfAnEnvironment(t *testing.T) {
	t.Parallel()
	for kind, start := range map[string]func(t *testing.T) (release.Repository, []string){
		"ECR": func(t *testing.T) (release.Repository, []string) {
			server := localawstest.Start(t)
			return server.Repository("shop"), server.Env()
		},
		"plain": func(t *testing.T) (release.Repository, []string) { return registrytest.Repository(t), nil },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			repository, environment := start(t)
			connected, told := connect(t, environment)
			image := push(t, connected, repository)
			attach := func(each release.Evidence) {
				t.Helper()
				if _, err := connected.Record(t.Context(), each); err != nil {
					t.Fatal(err)
				}
			}
			attach(record(image, "staging", release.Fail, begun))
			for i := range 101 { // one more than a record names: those of production take no place of staging's
				attach(record(image, "production", release.Fail, begun.Add(time.Hour+time.Duration(i)*time.Minute)))
			}
			attach(record(image, "staging", release.Pass, begun.Add(time.Minute)))
			newest, found, err := connected.Newest(t.Context(), image, "staging")
			if err != nil || !found || newest.Verdict != release.Pass || newest.Environment != "staging" || newest.Record.IsZero() || len(newest.After) != 1 {
				t.Errorf("got %+v, %t, %v, want staging's pass after its failure", newest, found, err)
			}
			if _, found, err := connected.Newest(t.Context(), image, "qa"); err != nil || found {
				t.Errorf("an environment without evidence: got %t, %v", found, err)
			}
			if told.Len() > 0 {
				t.Errorf("warned of %s", told)
			}
		})
	}
}

// A record that cannot be read is no proof and no obstacle: what staging recorded before it counts.
func TestNewestSkips(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		content func(t *testing.T, image release.Image) []byte
		lose    bool // deletes the content after it was attached
		want    string
	}{
		"oversized": {func(*testing.T, release.Image) []byte { return bytes.Repeat([]byte(" "), evidence.Limit+1) }, false, "limit 262144"},
		"malformed": {func(*testing.T, release.Image) []byte { return []byte("{") }, false, "unexpected EOF"},
		"of another image": {func(t *testing.T, image release.Image) []byte {
			return encoded(t, record(image.Repository.At(releasetest.Digest(t, "a")), "staging", release.Pass, begun))
		}, false, "it is about sha256:aaaa"},
		"blob gone": {func(*testing.T, release.Image) []byte {
			return fmt.Appendf(nil, `{"gone":%q}`, strings.Repeat("x", 40<<10))
		}, true, "HTTP 404"},
		"of production": {func(t *testing.T, image release.Image) []byte {
			return encoded(t, record(image, "production", release.Fail, begun.Add(time.Hour)))
		}, false, `it is from "production"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var blobs sync.Map // paths that are gone
			images := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, gone := blobs.Load(path.Base(r.URL.Path)); gone {
					http.NotFound(w, r)
					return
				}
				images.ServeHTTP(w, r)
			}))
			defer server.Close()
			connected, told := connect(t, nil)
			image := push(t, connected, release.Repository(strings.TrimPrefix(server.URL, "http://")+"/shop"))
			if _, err := connected.Record(t.Context(), record(image, "staging", release.Pass, begun)); err != nil {
				t.Fatal(err)
			}
			content := test.content(t, image)
			if _, err := registry.New(registry.Options{}).Attach(t.Context(), image, evidence.ArtifactType, evidence.MediaType, content,
				map[string]string{evidence.AnnotationEnvironment: "staging"}); err != nil {
				t.Fatal(err)
			}
			if test.lose {
				blobs.Store(fmt.Sprintf("sha256:%x", sha256.Sum256(content)), true)
			}
			newest, found, err := connected.Newest(t.Context(), image, "staging")
			if err != nil || !found || newest.Verdict != release.Pass || !newest.At.Equal(begun) {
				t.Errorf("got %+v, %t, %v, want the good record", newest, found, err)
			}
			if got := told.String(); !strings.Contains(got, test.want) {
				t.Errorf("warned %q, want %q", got, test.want)
			}
		})
	}
}

// A record that cannot be read, but declares that the environment did not prove the image, may outdate an older pass. One that
// is older, declares a pass or speaks of another environment does not, and a newer pass settles it.
func TestNewestOfAnUnreadableFailure(t *testing.T) {
	t.Parallel()
	const before, after = "2020-01-01T00:00:00.000000Z", "2100-01-01T00:00:00.000000Z"
	for name, test := range map[string]struct {
		environment, verdict, created string // annotations
		lose                          string // what is gone after it was attached: "content", "manifest" or nothing, so that its form is unknown
		refused                       bool
	}{
		"unknown form":           {"staging", "fail", after, "", true},
		"content gone":           {"staging", "fail", after, "content", true},
		"manifest gone":          {"staging", "fail", after, "manifest", true},
		"unknown verdict":        {"staging", "flaky", after, "", true},
		"older":                  {"staging", "fail", before, "", false},
		"older, content gone":    {"staging", "fail", before, "content", false},
		"older, manifest gone":   {"staging", "fail", before, "manifest", false},
		"a pass":                 {"staging", "pass", after, "content", false},
		"no verdict":             {"staging", "", after, "content", false},
		"another environment":    {"production", "fail", after, "content", false},
		"undated":                {"staging", "fail", "", "content", true},
		"dated otherwise":        {"staging", "fail", "yesterday", "content", true},
		"without an environment": {"", "fail", after, "content", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var gone sync.Map // last parts of paths
			all := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, lost := gone.Load(path.Base(r.URL.Path)); lost && r.Method == http.MethodGet {
					http.NotFound(w, r)
					return
				}
				all.ServeHTTP(w, r)
			}))
			defer server.Close()
			connected, _ := connect(t, nil)
			image := push(t, connected, release.Repository(strings.TrimPrefix(server.URL, "http://")+"/shop"))
			pass, err := connected.Record(t.Context(), record(image, "staging", release.Pass, begun))
			if err != nil {
				t.Fatal(err)
			}
			content := []byte(`{"_type":"https://in-toto.io/Statement/v9"}`)
			annotations := map[string]string{release.AnnotationCreated: test.created}
			for key, value := range map[string]string{evidence.AnnotationEnvironment: test.environment, evidence.AnnotationVerdict: test.verdict} {
				if value != "" {
					annotations[key] = value
				}
			}
			unreadable, err := registry.New(registry.Options{}).Attach(t.Context(), image, evidence.ArtifactType, evidence.MediaType, content, annotations)
			if err != nil {
				t.Fatal(err)
			}
			switch test.lose {
			case "content":
				gone.Store(fmt.Sprintf("sha256:%x", sha256.Sum256(content)), true)
			case "manifest":
				gone.Store(unreadable.String(), true)
			}
			newest, found, err := connected.Newest(t.Context(), image, "staging")
			if !test.refused {
				if err != nil || !found || newest.Record != pass {
					t.Errorf("got %+v, %t, %v, want the pass", newest, found, err)
				}
				return
			}
			want := &release.UnreadableRecordError{Record: unreadable.String(), Environment: "staging", Verdict: release.Verdict(test.verdict)}
			if created, err := time.Parse(time.RFC3339, test.created); err == nil {
				want.Created = created.Format(time.RFC3339)
			}
			got := new(release.UnreadableRecordError)
			if !errors.As(err, &got) || *got != *want {
				t.Errorf("got %+v, %t, %v, want the error %v", newest, found, err, want)
			}
		})
	}
}

func encoded(t *testing.T, of release.Evidence) []byte {
	t.Helper()
	text, err := evidence.Encode(of)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// AWS_ENDPOINT_URL is often set for another service. A registry that is neither ECR nor at that address is used as without it.
func TestAGeneralEndpointConcernsNoOtherRegistry(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECR"} {
		var asked atomic.Int32
		endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		t.Cleanup(endpoint.Close)
		connected, _ := connect(t, []string{variable + "=" + endpoint.URL, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y"})
		image := push(t, connected, registrytest.Repository(t))
		state, err := connected.Inspect(t.Context(), image.Repository, image.Digest, "one")
		if err != nil || state.TagDigest != image.Digest {
			t.Errorf("%s: got %+v, %v", variable, state, err)
		}
		if asked.Load() > 0 {
			t.Errorf("%s: the endpoint was asked %d times about another registry", variable, asked.Load())
		}
	}
}
