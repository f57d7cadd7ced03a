package keyless_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/keyless"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/sigstore/sigstoretest"
	"github.com/onedigest/onedigest/internal/text"
)

// runIn is a run in a work tree with the files of an instance of Sigstore.
func runIn(t *testing.T, instance *sigstoretest.Instance, environ ...string) *app.RunContext {
	t.Helper()
	dir := t.TempDir()
	instance.Write(filepath.Join(dir, "sigstore"))
	return &app.RunContext{Process: app.Process{Dir: dir, Environ: environ, Now: time.Now}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
}

// TestSignerOfAJob: the token is the runner's, or that of a variable, and the bundle is the job's.
func TestSignerOfAJob(t *testing.T) {
	t.Parallel()
	instance := sigstoretest.Start(t)
	claims := sigstoretest.Job(release.GitHubIssuer, "deploy.yml")
	for name, environ := range map[string][]string{"runner": instance.JobEnv(claims), "variable": {"SIGSTORE_ID_TOKEN=" + instance.Token(claims)}} {
		run := runIn(t, instance, environ...)
		signer, err := keyless.Sigstore{}.Signer(t.Context(), run, "sign-key", "sigstore")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		bundle, err := signer.SignStatement(t.Context(), []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"11"}}],"predicateType":"https://example.com","predicate":{}}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		trust, err := keyless.Sigstore{}.Trust(t.Context(), run, "policy", "sigstore/trusted_root.json")
		if err != nil {
			t.Fatal(err)
		}
		if by, _, at, err := trust.Verify(bundle); err != nil || by != signer.Identity() || time.Since(at).Abs() > time.Minute {
			t.Errorf("%s: got %s at %s, %v", name, by, at, err)
		}
	}
}

// TestTheTokenIsSecret: a service that says what it got tells the token to nobody who reads the run's output.
func TestTheTokenIsSecret(t *testing.T) {
	t.Parallel()
	instance := sigstoretest.Start(t)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "got "+r.Header.Get("Authorization"))
	}))
	t.Cleanup(echo.Close)
	token := instance.Token(sigstoretest.Job(release.GitHubIssuer, "deploy.yml"))
	run := runIn(t, instance, "SIGSTORE_ID_TOKEN="+token)
	config := filepath.Join(run.Process.Dir, "sigstore", "signing_config.json")
	content, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(content), instance.URL, echo.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = keyless.Sigstore{}.Signer(t.Context(), run, "sign-key", "sigstore")
	var fault *release.Fault
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), "got Bearer") {
		t.Fatalf("got %v", err)
	}
	if shown := run.Secrets.Redact(err.Error()); strings.Contains(shown, token) {
		t.Errorf("the token is shown: %s", shown)
	}
}
