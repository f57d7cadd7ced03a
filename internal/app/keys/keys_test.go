package keys_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
)

// runIn returns a run in a work tree with files, and with variables.
func runIn(t *testing.T, files map[string]string, environment ...string) *app.RunContext {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &app.RunContext{Process: app.Process{Dir: dir, Environ: append(environment, "GITHUB_WORKSPACE="+dir)}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)}
}

func parse(t *testing.T, given string) setting.KeyRef {
	t.Helper()
	ref, err := setting.ParseKeyRef(given)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// pair makes a private key and its public part.
func pair(t *testing.T) (private, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	named, err := signed.NewKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM, err := named.PEM()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})), string(publicPEM)
}

func TestKeysOfEveryPlace(t *testing.T) {
	t.Parallel()
	private, public := pair(t)
	server := localawstest.Start(t)
	arn, err := server.CreateKey("alias/staging")
	if err != nil {
		t.Fatal(err)
	}
	run := runIn(t, map[string]string{"cosign.key": private, "cosign.pub": public}, append(server.Env(), "SIGNING_KEY="+private, "PUBLIC_KEY="+public)...)
	for given, trusts := range map[string]string{
		"cosign.key": "cosign.pub", "env://SIGNING_KEY": "env://PUBLIC_KEY", "awskms:///alias/staging": "awskms:///" + arn, "awskms:///" + arn: "awskms:///alias/staging",
	} {
		signer, err := keys.Signer(t.Context(), run, "sign-key", parse(t, given))
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		bundle, err := signer.SignStatement(t.Context(), []byte(`{}`))
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		trusted, err := keys.Trusted(t.Context(), run, "verify-key", []setting.KeyRef{parse(t, trusts)})
		if err != nil || len(trusted) != 1 {
			t.Errorf("%s: got %d keys, %v", trusts, len(trusted), err)
			continue
		}
		envelope, err := signed.Parse(bundle)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := envelope.Verify(signed.Verifiers(trusted...)); err != nil {
			t.Errorf("%s by %s: %v", given, trusts, err)
		}
	}
	if signer, err := keys.Signer(t.Context(), run, "sign-key", setting.KeyRef{}); signer != nil || err != nil {
		t.Errorf("got %v, %v", signer, err)
	}
	if redacted := run.Secrets.Redact(private); strings.Contains(redacted, strings.Split(private, "\n")[1]) {
		t.Errorf("the private key is shown: %s", redacted)
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	private, public := pair(t)
	server := localawstest.Start(t)
	run := runIn(t, map[string]string{"cosign.key": private, "cosign.pub": public, "canary.key": "canary"}, append(server.Env(), "CANARY=canary", "EMPTY=")...)
	for given, says := range map[string]string{
		"none.key": "none.key", "/etc/passwd": "outside the work tree", "canary.key": "holds no", "env://CANARY": "holds no", "env://EMPTY": "is empty", "env://UNSET": "is empty",
		"awskms:///alias/none": "NotFoundException",
	} {
		for kind, use := range map[string]func(setting.KeyRef) error{
			"signs": func(ref setting.KeyRef) error {
				_, err := keys.Signer(t.Context(), run, "sign-key", ref)
				return err
			},
			"verifies": func(ref setting.KeyRef) error {
				_, err := keys.Trusted(t.Context(), run, "verify-key", []setting.KeyRef{ref})
				return err
			},
		} {
			err := use(parse(t, given))
			var input *release.InputError
			if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "canary ") || !strings.HasPrefix(given, "awskms") && !errors.As(err, &input) {
				t.Errorf("%s %s: got %v, want %q", given, kind, err, says)
			}
		}
	}
	for given, use := range map[string]func(setting.KeyRef) error{
		"cosign.pub": func(ref setting.KeyRef) error { _, err := keys.Signer(t.Context(), run, "sign-key", ref); return err },
		"cosign.key": func(ref setting.KeyRef) error {
			_, err := keys.Trusted(t.Context(), run, "verify-key", []setting.KeyRef{ref})
			return err
		},
	} {
		if err := use(parse(t, given)); err == nil || strings.Contains(err.Error(), strings.Split(private, "\n")[1]) {
			t.Errorf("%s: got %v", given, err)
		}
	}
}
