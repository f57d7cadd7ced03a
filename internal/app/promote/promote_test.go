package promote_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	promoting "github.com/onedigest/onedigest/internal/app/promote"
	"github.com/onedigest/onedigest/internal/ecr"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// gate is a registry with an image that staging is to have proved.
type gate struct {
	t       *testing.T
	image   release.Image
	client  *registry.Client
	environ []string
	lost    *sync.Map // names of blobs: how the registry answers instead
	// hook answers requests in the place of a plain registry, if it returns true; nil: none.
	hook *atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

func newGate(t *testing.T, onECR bool) gate {
	t.Helper()
	if onECR {
		return newGateOn(t, localawstest.Start(t))
	}
	hook := new(atomic.Pointer[func(http.ResponseWriter, *http.Request) bool])
	lost, all := new(sync.Map), ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answers := hook.Load(); answers != nil && (*answers)(w, r) {
			return
		}
		if answer, found := lost.Load(path.Base(r.URL.Path)); found && r.Method == http.MethodGet {
			answer.(http.HandlerFunc)(w, r) //nolint:forcetypeassert // the test's own
			return
		}
		all.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return gate{t: t, lost: lost, hook: hook, client: registry.New(registry.Options{})}.push(release.Repository(strings.TrimPrefix(server.URL, "http://") + "/shop"))
}

// newGateOn returns a gate in a local AWS.
func newGateOn(t *testing.T, server *localawstest.Server) gate {
	t.Helper()
	credentials := func(context.Context, string) (string, string, error) { return "AWS", server.IssueToken(), nil }
	return gate{t: t, lost: new(sync.Map), environ: server.Env(), client: registry.New(registry.Options{Credentials: credentials})}.push(server.Repository("shop"))
}

// push pushes the image.
func (g gate) push(repository release.Repository) gate {
	g.t.Helper()
	layout := registrytest.Layout(g.t, map[string]string{release.AnnotationRevision: releasetest.Commit.String()})
	if err := g.client.Push(g.t.Context(), layout, repository, "one", nil); err != nil {
		g.t.Fatal(err)
	}
	g.image = repository.At(layout.Digest)
	return g
}

// attach writes a record that is dated from now and whose manifest declares its verdict.
func (g gate) attach(verdict release.Verdict, at time.Duration, change func(*release.Evidence)) {
	g.t.Helper()
	of := release.Evidence{Image: g.image, Commit: releasetest.Commit, Environment: "staging", Verdict: verdict, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().Add(at).UTC()}
	if change != nil {
		change(&of)
	}
	content, err := evidence.Encode(of)
	if err != nil {
		g.t.Fatal(err)
	}
	g.attachContent(content, string(verdict), of.At.Format(time.RFC3339Nano))
}

func (g gate) attachContent(content []byte, verdict, created string) {
	g.t.Helper()
	if _, err := g.client.Attach(g.t.Context(), g.image, evidence.ArtifactType, evidence.MediaType, content, map[string]string{
		evidence.AnnotationEnvironment: "staging", evidence.AnnotationVerdict: verdict, release.AnnotationCreated: created,
	}); err != nil {
		g.t.Fatal(err)
	}
}

// lose attaches a record whose content the registry cannot serve any more.
func (g gate) lose(verdict release.Verdict, created string, answer http.HandlerFunc) {
	g.t.Helper()
	content := fmt.Appendf(nil, `{"lost":%q}`, strings.Repeat("x", 40<<10)) // longer than what a manifest holds
	g.attachContent(content, string(verdict), created)
	g.lost.Store(fmt.Sprintf("sha256:%x", sha256.Sum256(content)), answer)
}

func (g gate) promote(verify ...setting.KeyRef) error {
	g.t.Helper()
	var settings promote.Settings
	if err := settings.Declare().ApplyDefaults(func() { settings.Image, settings.To, settings.VerifyKeys = g.image, "production", verify }); err != nil {
		g.t.Fatal(err)
	}
	_, err := promoting.Run(g.t.Context(), &settings, &app.RunContext{
		Process: app.Process{Environ: g.environ, Now: time.Now}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets),
	})
	return err
}

// TestPromoteRequiresASignature: with keys, only what one of them signed lets promote tag; the key of AWS KMS does not leave it.
func TestPromoteRequiresASignature(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	for _, alias := range []string{"alias/staging", "alias/other"} {
		if _, err := server.CreateKey(alias); err != nil {
			t.Fatal(err)
		}
	}
	trusted, stranger := setting.KeyRef{Source: setting.KeyKMS, Name: "alias/staging"}, setting.KeyRef{Source: setting.KeyKMS, Name: "alias/other"}
	g := newGateOn(t, server)
	g.attach(release.Pass, -time.Minute, nil)
	var refusal *release.Refusal
	if err := g.promote(trusted); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "--sign-key") {
		t.Errorf("an unsigned pass: got %v", err)
	}
	run := &app.RunContext{Process: app.Process{Environ: g.environ, Now: time.Now}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
	signer, err := keys.Signer(t.Context(), run, "sign-key", trusted)
	if err != nil {
		t.Fatal(err)
	}
	connected, err := images.New(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	connected.SignWith(signer)
	if _, err := connected.Record(t.Context(), release.Evidence{Image: g.image, Commit: releasetest.Commit, Environment: "staging", Verdict: release.Pass, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()}); err != nil {
		t.Fatal(err)
	}
	if err := g.promote(stranger); !errors.As(err, &refusal) {
		t.Errorf("signed by another key: got %v", err)
	}
	if err := g.promote(stranger, trusted); err != nil {
		t.Errorf("signed: got %v", err)
	}
}

const (
	year       = 365 * 24 * time.Hour
	longBefore = "2020-01-01T00:00:00.000000Z"
)

// promote believes a pass only if it is about the image in this repository, is recent, and no other verdict may be later.
func TestPromoteBelieves(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		records func(g gate)
		want    string // the refusal; "" for a promotion
	}{
		"a pass of today": {func(g gate) { g.attach(release.Pass, -time.Minute, nil) }, ""},
		"a ten-year-old record": {func(g gate) { g.attach(release.Pass, -10*year, nil) },
			"older than 30 days"},
		"a record about another repository": {func(g gate) {
			g.attach(release.Pass, -time.Minute, func(e *release.Evidence) { e.Image.Repository = "registry.example/other" })
		}, `evidence is about the image in "registry.example/other"`},
		"a pass dated next year": {func(g gate) { g.attach(release.Pass, year, nil) }, "in the future"},
		"a pass dated next year beside a later failure": {func(g gate) {
			g.attach(release.Pass, year, nil)
			g.attach(release.Fail, -time.Minute, nil)
		}, `the verdict in "staging" was "fail"`},
		"a failure that names its checks and its run": {func(g gate) {
			g.attach(release.Pass, -time.Hour, nil)
			g.attach(release.Fail, -time.Minute, func(e *release.Evidence) { e.Failed, e.Run = []string{"/orders"}, "https://ci.example.com/7" })
		}, `the verdict in "staging" was "fail", check "/orders" failed, run https://ci.example.com/7`},
		"a failure before a pass": {func(g gate) {
			g.attach(release.Fail, -time.Hour, nil)
			g.attach(release.Pass, -time.Minute, nil)
		}, ""},
	} {
		for _, onECR := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, on ECR %t", name, onECR), func(t *testing.T) {
				t.Parallel()
				g := newGate(t, onECR)
				test.records(g)
				checkPromotion(t, g.promote(), test.want)
			})
		}
	}
}

// TestAPassThatFollowsAFailureLiftsIt: what failed by its values alone passes once these are mended, and the same digest is promoted; a failure after that counts again.
func TestAPassThatFollowsAFailureLiftsIt(t *testing.T) {
	t.Parallel()
	for _, onECR := range []bool{false, true} {
		t.Run(fmt.Sprintf("on ECR %t", onECR), func(t *testing.T) {
			t.Parallel()
			g := newGate(t, onECR)
			g.attach(release.Fail, -time.Hour, nil)
			checkPromotion(t, g.promote(), `make smoke pass in "staging" first`)
			g.attach(release.Pass, -time.Minute, nil)
			checkPromotion(t, g.promote(), "")
			g.attach(release.Fail, 0, nil)
			checkPromotion(t, g.promote(), "the newest verdict counts")
		})
	}
}

// A record whose content is lost is passed over if it cannot matter, and refused if it may be a later failure.
func TestPromoteOfLostRecords(t *testing.T) {
	t.Parallel()
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	storage := httptest.NewServer(answer(http.StatusForbidden)) // as S3 answers for what is gone to whom may not list
	t.Cleanup(storage.Close)
	for loss, how := range map[string]http.HandlerFunc{
		"gone":          answer(http.StatusNotFound),
		"a bad request": answer(http.StatusBadRequest),
		"failing":       answer(http.StatusInternalServerError),
		"gone in storage": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, storage.URL, http.StatusTemporaryRedirect)
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "13")
			_, _ = w.Write([]byte("{"))
		},
		"other bytes": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
		"endless":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2<<20)) },
	} {
		for name, test := range map[string]struct {
			verdict release.Verdict
			created string
			want    string
		}{
			"a failure of today":     {release.Fail, time.Now().UTC().Format(time.RFC3339), `which cannot be read, declares the verdict "fail"`},
			"an undated failure":     {release.Fail, "", `(undated), which cannot be read, declares the verdict "fail"`},
			"a failure of long ago":  {release.Fail, longBefore, ""},
			"another pass of today ": {release.Pass, time.Now().UTC().Format(time.RFC3339), ""},
		} {
			t.Run(loss+": "+name, func(t *testing.T) {
				t.Parallel()
				g := newGate(t, false)
				g.attach(release.Pass, -time.Minute, nil)
				g.lose(test.verdict, test.created, how)
				checkPromotion(t, g.promote(), test.want)
			})
		}
	}
}

// TestPromoteOfARecordThatSaysNothing: a record without annotations, as another program writes it, that the registry does not serve now may be a failure. A pass that names it, and a
// record that is lost for good, are not waited for.
func TestPromoteOfARecordThatSaysNothing(t *testing.T) {
	t.Parallel()
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for name, test := range map[string]struct {
		created string
		how     http.HandlerFunc
		code    int
	}{
		"failing, undated": {"", answer(http.StatusInternalServerError), release.ExitFault},
		"failing, older":   {longBefore, answer(http.StatusInternalServerError), release.ExitDone},
		"gone":             {"", answer(http.StatusNotFound), release.ExitDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, false)
			g.attach(release.Pass, -time.Minute, nil)
			g.lose("", test.created, test.how)
			if err := g.promote(); release.ExitCode(err) != test.code {
				t.Errorf("got %v, want exit code %d", err, test.code)
			}
			lost, err := g.client.ListReferrers(t.Context(), g.image, []string{evidence.ArtifactType}, nil)
			if err != nil {
				t.Fatal(err)
			}
			g.attach(release.Pass, 0, func(e *release.Evidence) { e.After = lost })
			checkPromotion(t, g.promote(), "")
		})
	}
}

func checkPromotion(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got exit code %d: %v", release.ExitCode(err), err)
	case want != "" && (err == nil || release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), want)):
		t.Errorf("got exit code %d: %v, want 1 and %q", release.ExitCode(err), err, want)
	}
}

// recording keeps what a run warned of.
type recording struct {
	releasetest.DiscardReporter
	mu       sync.Mutex
	warnings []string
}

func (r *recording) Warnf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// promote warns of what the registry is going to lose: the image itself, and those that were released before. A role that may not know is told once.
func TestPromoteWarnsOfExpiry(t *testing.T) {
	t.Parallel()
	const soon = `{"rules":[{"rulePriority":7,"description":"a rule that keeps too few of the images that are live","selection":{"tagStatus":"tagged","tagPrefixList":["production-"],` +
		`"countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}`
	const later = `{"rules":[{"rulePriority":2,"description":"a rule about everything in the repository","selection":{"tagStatus":"any","countType":"sinceImagePushed","countUnit":"days",` +
		`"countNumber":20},"action":{"type":"expire"}}]}`
	for name, test := range map[string]struct {
		policy  string
		prepare func(t *testing.T, server *localawstest.Server, before release.Digest)
		want    []string
	}{
		"no policy":                {"", nil, nil},
		"too few":                  {soon, nil, []string{"which was released to \"production\" before and may be rolled back to, is about to be lost: rule 7"}},
		"everything in some weeks": {later, nil, []string{"will be lost on", "will be lost on"}},
		"archived": {later, func(t *testing.T, server *localawstest.Server, before release.Digest) {
			t.Helper()
			if err := server.ArchiveImage("shop", before); err != nil {
				t.Fatal(err)
			}
		}, []string{"will be lost on", "is archived and cannot be pulled"}},
		"denied": {soon, func(_ *testing.T, server *localawstest.Server, _ release.Digest) {
			server.Inject(localaws.Fault{Route: localaws.RouteGetLifecyclePolicy, Do: localaws.APIError(400, "AccessDeniedException", "not authorized")})
		}, []string{"allow ecr:GetLifecyclePolicy"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := localawstest.Start(t)
			repository := server.Repository("shop")
			before := registrytest.Layout(t, nil)
			client := registry.New(registry.Options{Credentials: func(context.Context, string) (string, string, error) { return "AWS", server.IssueToken(), nil }})
			if err := client.Push(t.Context(), before, repository, "production-before", nil); err != nil {
				t.Fatal(err)
			}
			newer := newGateOn(t, server)
			newer.attach(release.Pass, -time.Minute, nil)
			if test.policy != "" {
				cloud, err := ecr.New(t.Context(), ecr.Options{Environ: func(name string) string { return server.EnvMap()[name] }})
				if err != nil {
					t.Fatal(err)
				}
				if err := cloud.PutLifecyclePolicy(t.Context(), repository, test.policy); err != nil {
					t.Fatal(err)
				}
			}
			if test.prepare != nil {
				test.prepare(t, server, before.Digest)
			}
			told := new(recording)
			var settings promote.Settings
			if err := settings.Declare().ApplyDefaults(func() { settings.Image, settings.To = newer.image, "production" }); err != nil {
				t.Fatal(err)
			}
			if _, err := promoting.Run(t.Context(), &settings, &app.RunContext{
				Process: app.Process{Environ: newer.environ, Now: time.Now}, Reporter: told, Secrets: new(text.Secrets),
			}); err != nil {
				t.Fatal(err)
			}
			told.warnings = slices.DeleteFunc(told.warnings, func(warned string) bool { return strings.Contains(warned, "needs no signature") })
			matching := len(told.warnings) == len(test.want)
			for i := range min(len(test.want), len(told.warnings)) {
				matching = matching && strings.Contains(told.warnings[i], test.want[i])
			}
			if !matching {
				t.Errorf("warned %q, want %q", told.warnings, test.want)
			}
		})
	}
}
