package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/release"
)

// at is a client with the tokens of a local AWS.
func at(t *testing.T, server *localawstest.Server) *Client {
	t.Helper()
	transport := defaultTransport()
	t.Cleanup(transport.CloseIdleConnections) // the server waits for them else
	return New(Options{Transport: transport, Credentials: func(context.Context, string) (string, string, error) {
		return "AWS", server.IssueToken(), nil
	}})
}

var immutable = localaws.TagRule{Mutability: localaws.Immutable}

// holds fails the test unless a tag names a digest.
func holds(t *testing.T, c *Client, repo release.Repository, tag release.Tag, want release.Digest) {
	t.Helper()
	got, _, err := c.Find(t.Context(), repo, tag)
	if err != nil || got.Digest != want {
		t.Errorf("tag %q of %s names %s, %v, want %s", tag, repo, got.Digest, err, want)
	}
}

func TestPush(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		image any
		puts  int
	}{
		"image":      {randomImage(t, 10), 1},
		"index of 4": {randomIndex(t, 4, nil), 5},
		"no layer":   {randomImage(t, 0), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := localawstest.Start(t)
			repo := server.RepositoryWith("team/shop", immutable)
			c := at(t, server)
			from := writeLayout(t, test.image)
			var seen []release.Progress
			if err := c.Push(t.Context(), from, repo, commit, func(p release.Progress) { seen = append(seen, p) }); err != nil {
				t.Fatal(err)
			}
			holds(t, c, repo, commit, from.Digest)
			if got := server.Count(localaws.RouteManifest, http.MethodPut); got != test.puts {
				t.Errorf("put %d manifests, want %d", got, test.puts)
			}
			last := seen[len(seen)-1]
			if last.Complete != last.Total || last.Total == 0 {
				t.Errorf("progress ended at %d of %d bytes", last.Complete, last.Total)
			}
			if !slices.IsSortedFunc(seen, func(a, b release.Progress) int { return int(a.Complete - b.Complete) }) {
				t.Errorf("progress went back: %v", seen)
			}
			manifestsLast(t, server)
		})
	}
}

// manifestsLast: no manifest before the last blob, and what the tag names at the very end.
func manifestsLast(t *testing.T, server *localawstest.Server) {
	t.Helper()
	put := false
	var last localaws.Request
	for _, request := range server.Requests() {
		if request.Route == localaws.RouteManifest && request.Method == http.MethodPut {
			put, last = true, request
		}
		if put && request.Route == localaws.RouteUpload {
			t.Errorf("%s %s came after a manifest", request.Method, request.Path)
		}
	}
	if !strings.HasSuffix(last.Path, "/"+commit) {
		t.Errorf("the last manifest went to %s, want the tag", last.Path)
	}
}

func TestPushAgain(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.RepositoryWith("shop", immutable)
	c := at(t, server)
	from := writeLayout(t, randomImage(t, 3))
	for range 2 {
		server.ResetRequests()
		if err := c.Push(t.Context(), from, repo, commit, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.Count(localaws.RouteUpload, ""); got != 0 {
		t.Errorf("blobs that are there were sent again in %d requests", got)
	}
	if got := server.Count(localaws.RouteManifest, http.MethodPut); got != 0 {
		t.Errorf("the manifest was put again %d times", got)
	}
}

// R4: the tag names another image.
func TestPushToTakenTag(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]localaws.TagRule{"immutable": immutable, "mutable": {}} {
		server := localawstest.Start(t)
		repo := server.RepositoryWith("shop", rule)
		c := at(t, server)
		first := pushTo(t, c, randomImage(t, 1), repo, commit)
		second := writeLayout(t, randomImage(t, 1))
		err := c.Push(t.Context(), second, repo, commit, nil)
		var taken *release.TagTakenError
		if !errors.As(err, &taken) || taken.Holds != first.Digest || taken.Wanted != second.Digest || taken.Tag != commit {
			t.Errorf("%s: got %v, want that the tag holds %s", name, err, first.Digest)
		}
		holds(t, c, repo, commit, first.Digest)
	}
}

// Two builders, one commit, images that differ: one digest is the commit's, the other builder learns which.
func TestPushRace(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.RepositoryWith("shop", immutable)
	layouts := []release.Layout{writeLayout(t, randomImage(t, 2)), writeLayout(t, randomImage(t, 2)), writeLayout(t, randomImage(t, 2)), writeLayout(t, randomImage(t, 2))}
	results := make([]error, len(layouts))
	var group sync.WaitGroup
	for i, from := range layouts {
		group.Go(func() { results[i] = at(t, server).Push(t.Context(), from, repo, commit, nil) })
	}
	group.Wait()
	tagged, _, err := at(t, server).Find(t.Context(), repo, commit)
	if err != nil {
		t.Fatal(err)
	}
	winners := 0
	for i, err := range results {
		var taken *release.TagTakenError
		switch {
		case err == nil:
			winners++
			if tagged.Digest != layouts[i].Digest {
				t.Errorf("builder %d was told that %s is the commit's, the tag names %s", i, layouts[i].Digest, tagged.Digest)
			}
		case !errors.As(err, &taken) || taken.Holds != tagged.Digest:
			t.Errorf("builder %d: got %v, want that the tag holds %s", i, err, tagged.Digest)
		}
	}
	if winners != 1 {
		t.Errorf("%d builders won, want 1", winners)
	}
}

// The faults that a push must outlast. In each of them one tag names one digest at the end.
func TestPushSurvivesFaults(t *testing.T) {
	t.Parallel()
	uploads := localaws.Fault{Route: localaws.RouteUpload, Method: http.MethodPatch}
	manifests := localaws.Fault{Route: localaws.RouteManifest, Method: http.MethodPut}
	with := func(fault localaws.Fault, skip, times int, do localaws.Action) localaws.Fault {
		fault.Skip, fault.Times, fault.Do = skip, times, do
		return fault
	}
	const layers = 6
	for name, test := range map[string]struct {
		fault   localaws.Fault
		patches int // uploads of blobs, the config's among them
		puts    int // of the manifest
	}{
		"R1: 429 with Retry-After on the manifest": {with(manifests, 0, 2, localaws.Throttle(time.Second)), layers + 1, 3},
		"R1: 429 on blobs":                         {with(uploads, 2, 3, localaws.Throttle(0)), layers + 1 + 3, 1},
		"R2: ThrottlingException":                  {with(manifests, 0, 3, localaws.ThrottlingException()), layers + 1, 4},
		"R3: the manifest's answer is lost":        {with(manifests, 0, 1, localaws.LoseAnswer()), layers + 1, 1},
		"R5: 401 on a blob":                        {with(uploads, 3, 1, localaws.Unauthorized()), layers + 1 + 1, 1},
		"R5: expired on a blob":                    {with(uploads, 3, 1, localaws.Expired()), layers + 1 + 1, 1},
		"R5: 401 on the manifest":                  {with(manifests, 0, 1, localaws.Unauthorized()), layers + 1, 2},
		"R5: expired on the manifest":              {with(manifests, 0, 1, localaws.Expired()), layers + 1, 2},
		"R6: reset inside a blob":                  {with(uploads, 2, 1, localaws.ResetUpload(100)), layers + 1 + 1, 1},
		"R6: reset inside two blobs":               {with(uploads, 1, 2, localaws.ResetUpload(100)), layers + 1 + 2, 1},
		"a blob's answer is lost":                  {with(uploads, 2, 1, localaws.LoseAnswer()), layers + 1, 1},
		"the registry fails on a blob":             {with(uploads, 2, 1, localaws.RegistryError(503, "UNAVAILABLE", "later")), layers + 1 + 1, 1},
		"the registry fails on the manifest":       {with(manifests, 0, 2, localaws.RegistryError(500, "UNKNOWN", "later")), layers + 1, 3},
		"the registry fails on a question": {
			localaws.Fault{Route: localaws.RouteBlob, Method: http.MethodHead, Times: 3, Do: localaws.Answer(502, nil, "")}, layers + 1, 1,
		},
		"the commit of a blob is lost": {
			localaws.Fault{Route: localaws.RouteUpload, Method: http.MethodPut, Skip: 1, Times: 1, Do: localaws.LoseAnswer()}, layers + 1, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := localawstest.Start(t)
			repo := server.RepositoryWith("shop", immutable)
			c := at(t, server)
			from := writeLayout(t, randomImage(t, layers))
			injected := server.Inject(test.fault)
			var last release.Progress
			if err := c.Push(t.Context(), from, repo, commit, func(p release.Progress) { last = p }); err != nil {
				t.Fatal(err)
			}
			if got := injected.Hits(); got != test.fault.Times {
				t.Errorf("the fault hit %d times, want %d", got, test.fault.Times)
			}
			if got := server.Count(localaws.RouteUpload, http.MethodPatch); got != test.patches {
				t.Errorf("blobs were sent %d times, want %d", got, test.patches)
			}
			if got := server.Count(localaws.RouteManifest, http.MethodPut); got != test.puts {
				t.Errorf("the manifest was put %d times, want %d", got, test.puts)
			}
			if last.Complete != last.Total {
				t.Errorf("progress ended at %d of %d bytes", last.Complete, last.Total)
			}
			manifestsLast(t, server)
			holds(t, c, repo, commit, from.Digest)
		})
	}
}

// R5 for real: the registry forgets every token, then every token expires.
func TestPushAfterItsTokenExpired(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*localawstest.Server){
		"forgotten": func(s *localawstest.Server) { s.ForgetTokens() },
		"expired":   func(s *localawstest.Server) { s.ExpireTokens() },
	} {
		server := localawstest.Start(t)
		repo := server.Repository("shop")
		c := at(t, server)
		var once sync.Once
		err := c.Push(t.Context(), writeLayout(t, randomImage(t, 8)), repo, commit, func(p release.Progress) {
			if p.Complete > p.Total/2 {
				once.Do(func() { end(server) })
			}
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		end(server)
		if _, found, err := c.Find(t.Context(), repo, commit); err != nil || !found {
			t.Errorf("%s: got %t, %v", name, found, err)
		}
	}
}

// A blob that never arrives leaves no manifest behind, and the next push sends only what is missing.
func TestPushResumes(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.RepositoryWith("shop", immutable)
	c := at(t, server)
	eight := randomImage(t, 8)
	from := writeLayout(t, eight)
	injected := server.Inject(localaws.Fault{Route: localaws.RouteUpload, Method: http.MethodPatch, Skip: 4, Do: localaws.RegistryError(403, "DENIED", "no more")})
	err := c.Push(t.Context(), from, repo, commit, nil)
	if err == nil || !strings.Contains(err.Error(), "HTTP 403 Forbidden: DENIED: no more") {
		t.Fatalf("got %v", err)
	}
	if got := server.Count(localaws.RouteManifest, http.MethodPut); got != 0 {
		t.Errorf("the manifest was put %d times without its blobs", got)
	}
	injected.Remove()
	if err := c.Push(t.Context(), from, repo, commit, nil); err != nil {
		t.Fatal(err)
	}
	holds(t, c, repo, commit, from.Digest)
	// What has arrived is not sent again. Uploads begun are counted: requests that the first push broke off may reach the
	// server late, but begin none.
	server.ResetRequests()
	if err := c.Push(t.Context(), from, repo, "again", nil); err != nil {
		t.Fatal(err)
	}
	if got := server.Count(localaws.RouteUpload, http.MethodPost); got != 0 {
		t.Errorf("%d uploads were begun for blobs that are there", got)
	}
	holds(t, c, repo, "again", from.Digest)
	// With one layer more, that layer and the config are missing.
	layer, err := random.Layer(1024, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	nine, err := mutate.AppendLayers(eight, layer)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Push(t.Context(), writeLayout(t, nine), repo, "nine", nil); err != nil {
		t.Fatal(err)
	}
	if got := server.Count(localaws.RouteUpload, http.MethodPost); got != 2 {
		t.Errorf("%d of 10 blobs were sent, want the 2 that were missing", got)
	}
}

func TestPushStopsWithItsContext(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.Repository("shop")
	ctx, cancel := context.WithCancel(t.Context())
	server.Inject(localaws.Fault{Route: localaws.RouteUpload, Method: http.MethodPatch, Do: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			// The connection must not end before the client has noticed its context's end.
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				<-r.Context().Done()
			}
			panic(http.ErrAbortHandler)
		})
	}})
	err := at(t, server).Push(ctx, writeLayout(t, randomImage(t, 8)), repo, commit, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
	if got := server.Count(localaws.RouteManifest, http.MethodPut); got != 0 {
		t.Errorf("the manifest was put %d times", got)
	}
}

// ECR makes no repository on push; the cause and what to do are said before a byte is sent.
func TestPushWithoutRepository(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := release.Repository(server.Address() + "/shop")
	for what, err := range map[string]error{
		"Push": at(t, server).Push(t.Context(), writeLayout(t, randomImage(t, 1)), repo, commit, nil),
		"Find": second(at(t, server).Find(t.Context(), repo, commit)),
	} {
		if err == nil || !strings.Contains(err.Error(), "does not exist in the registry with id") || !strings.Contains(err.Error(), "create the repository") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func second(_ release.ImageInfo, _ bool, err error) error { return err }

func TestPushOfABrokenLayout(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.Repository("shop")
	from := writeLayout(t, randomImage(t, 1))
	file := filepath.Join(from.Dir, "blobs", "sha256", strings.TrimPrefix(from.Digest.String(), "sha256:"))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func() error{
		"other bytes": func() error { return os.WriteFile(file, append(text, ' '), 0o600) },
		"gone":        func() error { return os.Remove(file) },
	} {
		if err := breakIt(); err != nil {
			t.Fatal(err)
		}
		err := at(t, server).Push(t.Context(), from, repo, commit, nil)
		var fault *release.Fault
		if !errors.As(err, &fault) || fault.Side != "builder" {
			t.Errorf("%s: got %v, want a fault of the builder", name, err)
		}
	}
	if got := server.Requests(); len(got) > 0 {
		t.Errorf("requests were made: %v", got)
	}
}

// A blob that two images share is sent once.
func TestPushSharesBlobs(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repo := server.Repository("shop")
	image := randomImage(t, 3)
	relabelled, ok := mutate.Annotations(image, map[string]string{"also": "this"}).(v1.Image)
	if !ok {
		t.Fatal("annotating an image gave no image")
	}
	both := mutate.AppendManifests(randomIndex(t, 0, nil), mutate.IndexAddendum{Add: image}, mutate.IndexAddendum{Add: relabelled})
	if err := at(t, server).Push(t.Context(), writeLayout(t, both), repo, commit, nil); err != nil {
		t.Fatal(err)
	}
	if got := server.Count(localaws.RouteUpload, http.MethodPatch); got != 4 {
		t.Errorf("blobs were sent %d times, want 4", got)
	}
	if got := server.Count(localaws.RouteManifest, http.MethodPut); got != 3 {
		t.Errorf("%d manifests were put, want 3", got)
	}
}
