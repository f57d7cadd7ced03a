package sigstore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/sigstore"
	"github.com/onedigest/onedigest/internal/sigstore/sigstoretest"
)

const statement = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"registry.example.com/shop","digest":{"sha256":"1111111111111111111111111111111111111111111111111111111111111111"}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{}}`

// newSigner makes a signer for a job, with services of an instance.
func newSigner(t *testing.T, instance *sigstoretest.Instance, claims sigstoretest.Claims, trustedRoot, signingConfig []byte) (*sigstore.Signer, *sigstore.Trust, error) {
	t.Helper()
	trust, err := sigstore.ParseTrust(trustedRoot)
	if err != nil {
		t.Fatal(err)
	}
	services, err := sigstore.ParseServices(signingConfig, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token := func(context.Context) (string, error) { return instance.Token(claims), nil }
	signer, err := sigstore.NewSigner(t.Context(), services, trust, token, time.Now)
	return signer, trust, err
}

// TestSignatureProvesTheJob: a signature by a job's certificate proves its workflow, repository and ref, with a log and with timestamps.
func TestSignatureProvesTheJob(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]struct{ logs, timestamps bool }{"log": {logs: true}, "log and timestamps": {true, true}, "timestamps": {timestamps: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			instance := sigstoretest.Start(t)
			signer, trust, err := newSigner(t, instance, sigstoretest.Job(release.GitHubIssuer, "deploy.yml"), instance.TrustedRoot(with.logs), instance.SigningConfig(with.logs, with.timestamps))
			if err != nil {
				t.Fatal(err)
			}
			want := release.Identity{Issuer: release.GitHubIssuer, Subject: "https://github.com/octo/shop/.github/workflows/deploy.yml@refs/heads/main", Repository: "https://github.com/octo/shop", Ref: "refs/heads/main"}
			if signer.Identity() != want {
				t.Errorf("the signer is %+v", signer.Identity())
			}
			bundle, err := signer.Sign(t.Context(), []byte(statement))
			if err != nil {
				t.Fatal(err)
			}
			verified, err := trust.Verify(bundle)
			if err != nil {
				t.Fatal(err)
			}
			if verified.Identity != want || string(verified.Payload) != statement || time.Since(verified.At).Abs() > time.Minute {
				t.Errorf("got %+v", verified)
			}
		})
	}
}

// sign makes a bundle; what the instance's own root does not accept is made with another.
func sign(t *testing.T, instance *sigstoretest.Instance, trustedRoot, signingConfig []byte) []byte {
	t.Helper()
	signer, _, err := newSigner(t, instance, sigstoretest.Job(release.GitHubIssuer, "deploy.yml"), trustedRoot, signingConfig)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := signer.Sign(t.Context(), []byte(statement))
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// TestSignaturesDoNotWaitForEachOther: the log answers neither of two before it has both.
func TestSignaturesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	instance := sigstoretest.Start(t)
	target, err := url.Parse(instance.URL)
	if err != nil {
		t.Fatal(err)
	}
	var (
		waiting atomic.Int32
		both    = make(chan struct{})
		proxy   = httputil.NewSingleHostReverseProxy(target)
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/log/entries") && waiting.Add(1) == 2 {
			close(both)
		}
		if strings.HasSuffix(r.URL.Path, "/log/entries") {
			select {
			case <-both:
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	config := bytes.ReplaceAll(instance.SigningConfig(true, true), []byte(instance.URL), []byte(server.URL))
	signer, _, err := newSigner(t, instance, sigstoretest.Job(release.GitHubIssuer, "deploy.yml"), instance.TrustedRoot(true), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	failed := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := signer.Sign(ctx, []byte(statement))
			failed <- err
		}()
	}
	for range 2 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// TestForgeriesAreRefused: each is a bundle that looks like one of the job's.
func TestForgeriesAreRefused(t *testing.T) {
	t.Parallel()
	instance, stranger := sigstoretest.Start(t), sigstoretest.Start(t)
	full := instance.SigningConfig(true, true)
	genuine := sign(t, instance, instance.TrustedRoot(true), full)
	trust, err := sigstore.ParseTrust(instance.TrustedRoot(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Verify(genuine); err != nil {
		t.Fatal(err)
	}
	edit := func(change func(map[string]any)) []byte {
		var read map[string]any
		if err := json.Unmarshal(genuine, &read); err != nil {
			t.Fatal(err)
		}
		change(read)
		edited, err := json.Marshal(read)
		if err != nil {
			t.Fatal(err)
		}
		return edited
	}
	material := func(read map[string]any) map[string]any { return read["verificationMaterial"].(map[string]any) }
	other := sign(t, instance, instance.TrustedRoot(true), full)
	for name, c := range map[string]struct {
		bundle []byte
		want   string
	}{
		"no log entry":           {sign(t, instance, instance.TrustedRoot(false), instance.SigningConfig(false, true)), "not enough verified log entries"},
		"another authority":      {sign(t, stranger, stranger.TrustedRoot(true), stranger.SigningConfig(true, true)), "log"},
		"entry removed":          {edit(func(read map[string]any) { delete(material(read), "tlogEntries") }), "log entries"},
		"entry of another":       {edit(func(read map[string]any) { material(read)["tlogEntries"] = material(decode(t, other))["tlogEntries"] }), "does not match"},
		"certificate of another": {edit(func(read map[string]any) { material(read)["certificate"] = material(decode(t, other))["certificate"] }), "does not match"},
		"payload changed":        {edit(func(read map[string]any) { read["dsseEnvelope"].(map[string]any)["payload"] = "e30=" }), "does not match"},
		"not a bundle":           {[]byte(`{}`), ""},
		"a public key's": {edit(func(read map[string]any) {
			material(read)["publicKey"] = map[string]any{"hint": "a"}
			delete(material(read), "certificate")
		}), ""},
		"no envelope":              {edit(func(read map[string]any) { delete(read, "dsseEnvelope") }), ""},
		"snake case beside camel":  {bytes.Replace(genuine, []byte(`"dsseEnvelope"`), []byte(`"dsse_envelope":{},"dsseEnvelope"`), 1), ""},
		"certificate is a garbage": {edit(func(read map[string]any) { material(read)["certificate"] = map[string]any{"rawBytes": "AAAA"} }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			verified, err := trust.Verify(c.bundle)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v; want an error with %q", verified, err, c.want)
			}
		})
	}
}

func decode(t *testing.T, bundle []byte) (read map[string]any) {
	t.Helper()
	if err := json.Unmarshal(bundle, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// TestALateEntryIsRefused: an entry that the log got after the certificate expired proves nothing, because whoever found the key later could have made it.
func TestALateEntryIsRefused(t *testing.T) {
	t.Parallel()
	instance := sigstoretest.Start(t)
	instance.LogTime = func() time.Time { return time.Now().Add(20 * time.Minute) }
	signer, _, err := newSigner(t, instance, sigstoretest.Job(release.GitHubIssuer, "deploy.yml"), instance.TrustedRoot(true), instance.SigningConfig(true, false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(t.Context(), []byte(statement)); err == nil || !strings.Contains(err.Error(), "certificate validity") {
		t.Errorf("got %v", err)
	}
}

// TestFulcioRefusesATokenThatIsNotForIt: the verb fails before it changes anything.
func TestFulcioRefusesATokenThatIsNotForIt(t *testing.T) {
	t.Parallel()
	instance := sigstoretest.Start(t)
	expired, elsewhere := sigstoretest.Job(release.GitHubIssuer, "deploy.yml"), sigstoretest.Job(release.GitHubIssuer, "deploy.yml")
	expired.Expires, elsewhere.Audience = time.Now().Add(-time.Minute).Unix(), "sts.amazonaws.com"
	for name, claims := range map[string]sigstoretest.Claims{"expired": expired, "another audience": elsewhere} {
		if _, _, err := newSigner(t, instance, claims, instance.TrustedRoot(true), instance.SigningConfig(true, true)); err == nil || !strings.Contains(err.Error(), "identity token") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestTrustIsAsked: a root without a log asks for timestamps, one with neither is refused, and of several one is enough.
func TestTrustIsAsked(t *testing.T) {
	t.Parallel()
	instance, other := sigstoretest.Start(t), sigstoretest.Start(t)
	bundle := sign(t, instance, instance.TrustedRoot(false), instance.SigningConfig(false, true))
	lines := append(append(other.TrustedRoot(true), '\n'), instance.TrustedRoot(false)...)
	trust, err := sigstore.ParseTrust(lines)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Verify(bundle); err != nil {
		t.Errorf("the second root is not used: %v", err)
	}
	for name, content := range map[string]string{"empty": "", "no JSON": "{", "other JSON": "{}", "no authority": `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`} {
		if _, err := sigstore.ParseTrust([]byte(content)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestServicesAreEncrypted: a token goes to no service without TLS but to this machine's.
func TestServicesAreEncrypted(t *testing.T) {
	t.Parallel()
	instance := sigstoretest.Start(t)
	config := bytes.ReplaceAll(instance.SigningConfig(true, true), []byte(instance.URL), []byte("http://fulcio.example.com"))
	if _, err := sigstore.ParseServices(config, time.Now()); err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("got %v", err)
	}
}

// FuzzVerify: no bundle makes the verifier panic, and only the genuine one is accepted.
func FuzzVerify(f *testing.F) {
	instance := sigstoretest.Start(f)
	trust, err := sigstore.ParseTrust(instance.TrustedRoot(true))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{`{}`, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`,
		`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"MIIB"},"tlogEntries":[{}]},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA=="}]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		if verified, err := trust.Verify(encoded); err == nil {
			t.Errorf("accepted as %+v", verified)
		}
	})
}
