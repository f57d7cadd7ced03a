package promote_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	promoting "github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// refuses runs a promotion that must be refused and leave the registry as it was.
func (g guarded) refuses(want string) {
	g.t.Helper()
	before := g.listed()
	_, err := g.run(nil, "octocat")
	checkPromotion(g.t, err, want)
	if after := g.listed(); !slices.Equal(before, after) {
		g.t.Errorf("the registry had %q, and has %q", before, after)
	}
}

// TestEvidenceOfAChild: what is recorded about one platform's image says nothing about the index that is promoted, wherever it is attached.
func TestEvidenceOfAChild(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	child, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: child})
	ref, err := name.ParseReference(g.image.Repository.String()+":index", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	digests := map[string]release.Image{}
	for what, of := range map[string]interface{ RawManifest() ([]byte, error) }{"child": child, "index": index} {
		raw, err := of.RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		digest, err := release.ParseDigest(sum(raw))
		if err != nil {
			t.Fatal(err)
		}
		digests[what] = g.image.Repository.At(digest)
	}
	g.image = digests["child"]
	g.pass("staging", nil)
	statement := g.statement(nil)
	g.image = digests["index"]
	g.refuses("no evidence")
	g.attachBundle(g.bundle("staging", statement), "staging", release.Pass)
	g.refuses("no evidence")
}

// entry is an entry of a list of referrers.
type entry struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int               `json:"size"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
}

// flood is a list of ten thousand records that claim to be passes of staging and do not exist: 9,000 that are dated before the real ones and 1,000 after.
func flood() (entries []entry) {
	for i := range 10_000 {
		at := time.Now().Add(-24 * time.Hour)
		if i%10 == 0 {
			at = time.Now()
		}
		entries = append(entries, entry{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: sum(fmt.Append(nil, "flood", i)), Size: 1000, ArtifactType: signed.MediaType, Annotations: map[string]string{
			evidence.AnnotationEnvironment: "staging", evidence.AnnotationVerdict: string(release.Pass), signed.AnnotationPredicateType: evidence.PredicateType,
			release.AnnotationCreated: at.UTC().Format(time.RFC3339Nano)}})
	}
	return entries
}

// TestTenThousandReferrers: neither verdict is lost among them, and reading them is bounded.
func TestTenThousandReferrers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		verdict release.Verdict
		want    string
	}{"a pass": {release.Pass, ""}, "a failure": {release.Fail, `was "fail"`}, "neither": {"", "no evidence"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			if test.verdict != "" {
				g.attachBundle(g.bundle("staging", g.statement(func(e *release.Evidence) { e.Verdict = test.verdict })), "staging", test.verdict)
			}
			answer, err := http.Get("http://" + g.image.Repository.Host() + "/v2/" + g.image.Repository.Path() + "/referrers/" + g.image.Digest.String())
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			var listed struct {
				SchemaVersion int     `json:"schemaVersion"`
				MediaType     string  `json:"mediaType"`
				Manifests     []entry `json:"manifests"`
			}
			if err := json.NewDecoder(answer.Body).Decode(&listed); err != nil {
				t.Fatal(err)
			}
			for at := range listed.Manifests { // this registry lists no annotations
				if listed.Manifests[at].Annotations == nil {
					listed.Manifests[at].Annotations = map[string]string{evidence.AnnotationEnvironment: "staging", evidence.AnnotationVerdict: string(test.verdict),
						signed.AnnotationPredicateType: evidence.PredicateType, release.AnnotationCreated: time.Now().Add(-time.Minute).UTC().Format(time.RFC3339Nano)}
				}
			}
			listed.Manifests = append(flood(), listed.Manifests...)
			text, err := json.Marshal(listed)
			if err != nil {
				t.Fatal(err)
			}
			before := g.listed()
			var requests atomic.Int64
			hook := func(w http.ResponseWriter, r *http.Request) bool {
				requests.Add(1)
				if !strings.Contains(r.URL.Path, "/referrers/") {
					return false
				}
				w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
				_, _ = w.Write(text)
				return true
			}
			g.hook.Store(&hook)
			began := time.Now()
			_, err = g.run(nil, "octocat")
			g.hook.Store(nil)
			checkPromotion(t, err, test.want)
			if took := time.Since(began); took > 2*time.Minute || requests.Load() > 10_100 {
				t.Errorf("took %s and %d requests", took, requests.Load())
			}
			if after := g.listed(); test.want != "" && !slices.Equal(before, after) {
				t.Errorf("the registry had %q, and has %q", before, after)
			}
		})
	}
}

// TestARecordThatIsDeletedWhileItIsReliedOn: the promotion that read it goes through, because it was proved when it was asked; the next one and
// every deploy are refused.
func TestARecordThatIsDeletedWhileItIsReliedOn(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.pass("staging", nil)
	records, err := g.client.ListReferrers(t.Context(), g.image, []string{signed.MediaType}, nil)
	if err != nil || len(records) != 1 {
		t.Fatalf("got %v, %v", records, err)
	}
	manifests := "http://" + g.image.Repository.Host() + "/v2/" + g.image.Repository.Path() + "/manifests/"
	deleted := false
	hook := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/production-") && !deleted {
			deleted = true
			request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, manifests+records[0].String(), nil)
			if err != nil {
				t.Error(err)
				return false
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil || response.StatusCode/100 != 2 {
				t.Errorf("deleting the record: %v, %v", response, err)
			}
		}
		return false
	}
	g.hook.Store(&hook)
	result, err := g.run(nil, "octocat")
	g.hook.Store(nil)
	if err != nil || !deleted || result.Outcome != release.Created {
		t.Fatalf("got %+v, %v, deleted %t", result, err, deleted)
	}
	g.refuses("no evidence")
}

// TestRequestsOfAPromotion: tagging takes three requests and the evidence at most three, whatever the number of records, and nothing is asked of the
// registry's protocol, which would need a password.
func TestRequestsOfAPromotion(t *testing.T) {
	t.Parallel()
	for _, records := range []int{1, 2, 10, 40} {
		t.Run(fmt.Sprint(records), func(t *testing.T) {
			t.Parallel()
			server := localawstest.Start(t)
			g := newGateOn(t, server)
			for i := range records {
				verdict := release.Fail
				if i == records-1 {
					verdict = release.Pass
				}
				if _, err := (guarded{gate: g}).registry("").Record(t.Context(), release.Evidence{Image: g.image, Commit: releasetest.Commit, Environment: "staging", Verdict: verdict, Checks: []string{"/"}, Rounds: 3,
					Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()}); err != nil {
					t.Fatal(err)
				}
			}
			server.ResetRequests()
			if err := g.promote(); err != nil {
				t.Fatal(err)
			}
			counts := map[localaws.Route]int{}
			for _, request := range server.Requests() {
				counts[request.Route]++
			}
			describes := 1 // of the repository's images, for its lifecycle policy
			if records > 1 {
				describes++ // when the records were pushed
			}
			for route, want := range map[localaws.Route]int{localaws.RouteListImageReferrers: 1, localaws.RouteBatchGetImage: 3, localaws.RoutePutImage: 1} {
				if counts[route] != want {
					t.Errorf("%s: got %d, want %d", route, counts[route], want)
				}
			}
			if counts[localaws.RouteDescribeImages] > describes || counts[localaws.RouteManifest]+counts[localaws.RouteBlob]+counts[localaws.RouteReferrers]+counts[localaws.RouteGetAuthorizationToken] > 0 {
				t.Errorf("got %v", counts)
			}
		})
	}
}

// TestWithoutListImageReferrers: an endpoint that does not list referrers, and a role that may not, are asked by the registry's protocol.
func TestWithoutListImageReferrers(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"AccessDeniedException", "UnknownOperationException"} {
		server := localawstest.Start(t)
		server.Inject(localaws.Fault{Route: localaws.RouteListImageReferrers, Do: localaws.APIError(400, code, "no")})
		g := newGateOn(t, server)
		checkPromotion(t, g.promote(), "no evidence")
		g.attach(release.Pass, -time.Minute, nil)
		checkPromotion(t, g.promote(), "")
		if server.Count(localaws.RouteReferrers, "") == 0 {
			t.Errorf("%s: the registry was not asked", code)
		}
	}
}

// TestAnArchivedRejectionCounts: ECR lists what is archived, and it cannot be read; a rejection counts nevertheless.
func TestAnArchivedRejectionCounts(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	g := newGateOn(t, server)
	g.attach(release.Pass, -time.Minute, nil)
	rejecting := guarded{gate: g, dir: t.TempDir()}
	result, err := rejecting.run(func(s *promote.Settings) { s.Reject = "CVE-2026-1, agreed with security" }, "alice")
	if err != nil {
		t.Fatal(err)
	}
	checkPromotion(t, g.promote(), "was rejected")
	if err := server.ArchiveImage("shop", result.Record); err != nil {
		t.Fatal(err)
	}
	checkPromotion(t, g.promote(), "was rejected")
}

// TestAnAliasThatIsMoved: evidence of the key that an alias named before is not believed any more, the refusal says which key it is, and it counts
// again once that key is listed by its own name.
func TestAnAliasThatIsMoved(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	old, err := server.CreateKey("alias/staging")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.CreateKey("alias/next"); err != nil {
		t.Fatal(err)
	}
	g := guarded{gate: newGateOn(t, server), dir: t.TempDir()}
	policy := func(signers string) {
		g.write(".onedigest.yaml", []byte("version: 1\nenvironments:\n- name: staging\n  signers: ["+signers+"]\n- name: production\n  signers: [awskms:///alias/next]\n  requires: {smoked: {}}\n"))
	}
	policy("awskms:///alias/staging")
	recordWith(t, g, "alias/staging")
	result, err := g.run(nil, "octocat")
	if err != nil || !strings.HasPrefix(result.Gate.Lines[0].By, "awskms:///alias/staging (key ") {
		t.Fatalf("got %+v, %v", result.Gate, err)
	}
	if err := server.MoveAlias("alias/staging", "alias/next"); err != nil {
		t.Fatal(err)
	}
	_, err = g.run(nil, "octocat")
	checkPromotion(t, err, "that a trusted key signed")
	policy("awskms:///alias/staging, awskms:///" + old)
	if result, err = g.run(nil, "octocat"); err != nil || result.Gate.Lines[0].By != "awskms:///"+old {
		t.Errorf("got %+v, %v", result.Gate, err)
	}
}

// TestWhatNeedsNoSignatureIsTold: a variable that is not set gives neither --verify-key nor --sign-key, and that is loud.
func TestWhatNeedsNoSignatureIsTold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		policy string
		change func(*promote.Settings)
		want   string // "": nothing is told
	}{
		"no key and no file":  {"", nil, "needs no signature"},
		"a file without keys": {"version: 1\nenvironments:\n- name: staging\n- name: production\n", nil, "needs no signature"},
		"a key to verify with": {"", func(s *promote.Settings) {
			s.VerifyKeys = []setting.KeyRef{{Source: setting.KeyFile, Name: "keys/staging.pub"}}
		}, ""},
		"a file with keys":      {ruled, nil, "this run has no --sign-key"},
		"and a key":             {ruled, func(s *promote.Settings) { s.SignKey = key("production") }, ""},
		"an environment of all": {"version: 1\nenvironments:\n- name: production\n", nil, ""},
	} {
		g, told := newGuarded(t), new(recording)
		if err := os.Remove(filepath.Join(g.dir, ".onedigest.yaml")); err != nil {
			t.Fatal(err)
		}
		if test.policy != "" {
			g.write(".onedigest.yaml", []byte(test.policy))
		}
		g.pass("staging", nil)
		var settings promote.Settings
		if err := settings.Declare().ApplyDefaults(func() {
			settings.Image, settings.To = g.image, "production"
			if test.change != nil {
				test.change(&settings)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := promoting.Run(t.Context(), &settings, &app.RunContext{Process: app.Process{Dir: g.dir, Now: time.Now}, Reporter: told, Secrets: new(text.Secrets)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if test.want == "" && len(told.warnings) > 0 || test.want != "" && (len(told.warnings) != 1 || !strings.Contains(told.warnings[0], test.want)) {
			t.Errorf("%s: told %q, want %q", name, told.warnings, test.want)
		}
	}
}

// recordWith records a pass of staging that a key of KMS signs.
func recordWith(t *testing.T, g guarded, alias string) {
	t.Helper()
	run := &app.RunContext{Process: app.Process{Environ: g.environ, Now: time.Now}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
	signer, err := keys.Signer(t.Context(), run, "sign-key", setting.KeyRef{Source: setting.KeyKMS, Name: alias})
	if err != nil {
		t.Fatal(err)
	}
	connected, err := images.New(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connected.Signing(signer).Record(t.Context(), release.Evidence{Image: g.image, Commit: releasetest.Commit, Environment: "staging", Verdict: release.Pass, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().Add(-time.Minute).UTC()}); err != nil {
		t.Fatal(err)
	}
}

func sum(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }
