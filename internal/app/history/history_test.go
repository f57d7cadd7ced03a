package history_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	apphistory "github.com/onedigest/onedigest/internal/app/history"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/history"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// TestADamagedList: an image whose list of records was overwritten, where the registry has no referrers API, does not keep the others from being shown.
func TestADamagedList(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	repository := release.Repository(strings.TrimPrefix(server.URL, "http://") + "/shop")
	run := &app.RunContext{Process: app.Process{Now: time.Now, Dir: t.TempDir()}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
	connected, err := images.New(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	var layouts []release.Layout
	for _, commit := range []string{strings.Repeat("1", 40), strings.Repeat("2", 40)} {
		layout := registrytest.Layout(t, map[string]string{release.AnnotationRevision: commit})
		if err := connected.Push(t.Context(), layout, repository, release.Tag(commit), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := connected.Record(t.Context(), release.Evidence{Image: repository.At(layout.Digest), Commit: release.Commit(commit), Environment: "staging", Verdict: release.Pass, Checks: []string{"/"}, Rounds: 3,
			Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()}); err != nil {
			t.Fatal(err)
		}
		layouts = append(layouts, layout)
	}
	list := release.Tag(strings.ReplaceAll(layouts[1].Digest.String(), ":", "-"))
	state, err := connected.Inspect(t.Context(), repository, layouts[0].Digest, list)
	if err != nil {
		t.Fatal(err)
	}
	if err := connected.Tag(t.Context(), repository, state, layouts[0].Digest, list); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	process := app.Process{Now: time.Now, Stdout: &stdout, Stderr: &stderr, Dir: t.TempDir(), Args: []string{"--repository", repository.String()}}
	code := apphistory.Command().Run(t.Context(), process)
	told := stdout.String() + stderr.String()
	if code != 0 || strings.Count(told, "proved") != 1 || strings.Count(told, "unread") == 0 || !strings.Contains(told, "the records of "+layouts[1].Digest.Short()+" are not shown") {
		t.Errorf("exit %d\n%s", code, told)
	}
}

// TestHistory reads what verbs recorded in a registry, signed by a key of AWS KMS and not, and writes the board.
func TestHistory(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	if _, err := server.CreateKey("alias/staging"); err != nil {
		t.Fatal(err)
	}
	repository := server.Repository("shop")
	process := app.Process{Environ: append(server.Env(), "GITHUB_SERVER_URL=https://github.com", "GITHUB_REPOSITORY=team/shop"), Now: time.Now, Dir: t.TempDir()}
	run := &app.RunContext{Process: process, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
	connected, err := images.New(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	layout := registrytest.Layout(t, map[string]string{release.AnnotationRevision: releasetest.Commit.String(), release.AnnotationCreated: "2026-03-04T05:06:07Z"})
	if err := connected.Push(t.Context(), layout, repository, release.Tag(releasetest.Commit.String()), nil); err != nil {
		t.Fatal(err)
	}
	image := repository.At(layout.Digest)
	signer, err := keys.Signer(t.Context(), run, "sign-key", setting.KeyRef{Source: setting.KeyKMS, Name: "alias/staging"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	deployed := fact.Fact{Kind: fact.Deployed, Image: image, Commit: releasetest.Commit, Environment: "staging", At: now, Deployment: &fact.Deployment{Cluster: "c", Namespace: "staging",
		Release: "shop", Revision: 3, Chart: "charts/service", ChartDigest: image.Digest, ValuesDigest: image.Digest, Pods: 1}}
	connected.SignWith(signer)
	if _, _, err := connected.RecordFact(t.Context(), deployed); err != nil {
		t.Fatal(err)
	}
	if _, err := connected.Record(t.Context(), release.Evidence{Image: image, Commit: releasetest.Commit, Environment: "staging", Verdict: release.Pass, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: now}); err != nil {
		t.Fatal(err)
	}
	connected.SignWith(nil)
	deployed.Environment = "production"
	if _, _, err := connected.RecordFact(t.Context(), deployed); err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		args                []string
		staging, production history.State
		signed              bool
	}{
		"without a key": {nil, history.StateLive, history.StateLive, false},
		"with the key":  {[]string{"--verify-key", "awskms:///alias/staging"}, history.StateLive, history.StateNone, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			process := process
			process.Stdout, process.Stderr, process.Dir = &stdout, &stderr, t.TempDir()
			process.Args = append([]string{"--repository", repository.String(), "--board", "board.html", "--output", "json"}, test.args...)
			if code := apphistory.Command().Run(t.Context(), process); code != 0 {
				t.Fatalf("exit %d: %s", code, &stderr)
			}
			var result history.Result
			if err := json.Unmarshal(stdout.Bytes(), &result); err != nil || len(result.Commits) != 1 {
				t.Fatalf("%v: %s", err, &stdout)
			}
			entry := result.Commits[0]
			if entry.Commit != releasetest.Commit || entry.Created.IsZero() || entry.Cells[0].State != test.staging || entry.Cells[1].State != test.production || len(entry.Cells[0].Records) != 2 {
				t.Errorf("got %+v", entry)
			}
			page, err := os.ReadFile(filepath.Join(process.Dir, "board.html"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(page), "https://github.com/team/shop/commit/"+releasetest.Commit.String()) || strings.Contains(string(page), "cosign verify-attestation --key") != test.signed {
				t.Errorf("the board is\n%s", page)
			}
		})
	}
}
