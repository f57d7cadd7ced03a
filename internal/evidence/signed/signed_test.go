package signed_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

const statement = `{"_type":"https://in-toto.io/Statement/v1"}`

// newKey makes a private key, in PKCS #8.
func newKey(t testing.TB, curve elliptic.Curve) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, encoded
}

func block(kind string, content []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
}

func newSigner(t testing.TB) *signed.KeySigner {
	t.Helper()
	_, encoded := newKey(t, elliptic.P256())
	signer, err := signed.ParseSigner(block("PRIVATE KEY", encoded), "")
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func sign(t testing.TB, signer signed.KeyHolder) []byte {
	t.Helper()
	bundle, err := signed.Sign(t.Context(), []byte(statement), signer)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	signer, other := newSigner(t), newSigner(t)
	envelope, err := signed.Parse(sign(t, signer))
	if err != nil {
		t.Fatal(err)
	}
	if string(envelope.Payload) != statement || envelope.Hint != signer.Key().ID {
		t.Errorf("got %+v", envelope)
	}
	if by, err := envelope.Verify(signed.Verifiers(other.Key(), signer.Key())); err != nil || by != signer.Key().ID {
		t.Errorf("got %v, %v", by, err)
	}
	for _, keys := range [][]signed.Key{nil, {{}}, {other.Key()}} {
		_, err := envelope.Verify(signed.Verifiers(keys...))
		var untrusted *signed.UntrustedError
		if !errors.As(err, &untrusted) || untrusted.Trusted != len(keys) || !strings.Contains(err.Error(), signer.Key().ID) {
			t.Errorf("%d keys: got %v", len(keys), err)
		}
	}
}

// TestAChangedBundleIsRefused changes each part that the signature covers.
func TestAChangedBundleIsRefused(t *testing.T) {
	t.Parallel()
	signer := newSigner(t)
	for name, change := range map[string]func(bundle map[string]any){
		"payload": func(b map[string]any) {
			b["dsseEnvelope"].(map[string]any)["payload"] = base64.StdEncoding.EncodeToString([]byte(statement + " "))
		},
		"payload serialized again": func(b map[string]any) {
			b["dsseEnvelope"].(map[string]any)["payload"] = base64.StdEncoding.EncodeToString([]byte(strings.Replace(statement, ":", ": ", 1)))
		},
		"signature of another statement": func(b map[string]any) {
			other, err := signed.Sign(t.Context(), []byte(`{}`), signer)
			if err != nil {
				t.Fatal(err)
			}
			var read map[string]any
			if err := json.Unmarshal(other, &read); err != nil {
				t.Fatal(err)
			}
			b["dsseEnvelope"].(map[string]any)["signatures"] = read["dsseEnvelope"].(map[string]any)["signatures"]
		},
	} {
		var bundle map[string]any
		if err := json.Unmarshal(sign(t, signer), &bundle); err != nil {
			t.Fatal(err)
		}
		change(bundle)
		changed, err := json.Marshal(bundle)
		if err != nil {
			t.Fatal(err)
		}
		envelope, err := signed.Parse(changed)
		if err != nil {
			t.Fatal(err)
		}
		if by, err := envelope.Verify(signed.Verifiers(signer.Key())); err == nil {
			t.Errorf("%s: verified by %v", name, by)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := string(sign(t, newSigner(t)))
	unsigned, _, _ := strings.Cut(good, `[{"sig"`)
	for name, test := range map[string]struct {
		bundle string
		want   string
	}{
		"nothing":           {"", "unexpected EOF"},
		"no JSON":           {"garbage", "invalid character"},
		"another version":   {strings.Replace(good, "v0.3+json", "v0.2+json", 1), "media type"},
		"another type":      {strings.Replace(good, signed.StatementType, "application/json", 1), "payload type"},
		"a field twice":     {strings.Replace(good, `{"mediaType"`, `{"MediaType":"x","mediaType"`, 1), "twice"},
		"something after":   {good + "{}", "follows"},
		"no signature":      {unsigned + `[]}}`, "0 signatures"},
		"two signatures":    {strings.Replace(good, `"signatures":[`, `"signatures":[{"sig":"eA=="},`, 1), "2 signatures"},
		"an empty one":      {unsigned + `[{"sig":""}]}}`, "0 bytes"},
		"no payload":        {strings.Replace(good, base64.StdEncoding.EncodeToString([]byte(statement)), "", 1), "no payload"},
		"no key":            {strings.Replace(good, `"publicKey":`, `"other":`, 1), "either"},
		"key and authority": {strings.Replace(good, `"publicKey":`, `"certificate":{"rawBytes":"eA=="},"publicKey":`, 1), "either"},
		"too long":          {good + strings.Repeat(" ", signed.Limit), "limit"},
	} {
		if test.bundle == good {
			t.Fatalf("%s: the bundle was not changed", name)
		}
		if _, err := signed.Parse([]byte(test.bundle)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	keyless, err := signed.Parse([]byte(strings.Replace(good, `"publicKey":`, `"certificate":`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	var untrusted *signed.UntrustedError
	if _, err := keyless.Verify(signed.Verifiers(newSigner(t).Key())); !errors.As(err, &untrusted) || !untrusted.Keyless {
		t.Errorf("got %v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	private, pkcs8 := newKey(t, elliptic.P256())
	sec1, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := encrypted.Encrypt(pkcs8, []byte("open"))
	if err != nil {
		t.Fatal(err)
	}
	var first signed.Key
	for kind, content := range map[string][]byte{"PRIVATE KEY": pkcs8, "EC PRIVATE KEY": sec1, "ENCRYPTED SIGSTORE PRIVATE KEY": locked, "ENCRYPTED COSIGN PRIVATE KEY": locked} {
		signer, err := signed.ParseSigner(block(kind, content), "open")
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		first = signer.Key()
		public, err := first.PEM()
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := signed.ParseKeys(append(public, public...)); err != nil || len(keys) != 2 || keys[1].ID != first.ID {
			t.Errorf("%s: got %v, %v", kind, keys, err)
		}
	}
	_, p384 := newKey(t, elliptic.P384())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaPKCS8, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.ParseSigner(block("PRIVATE KEY", p384), ""); err == nil || err.Error() != "it is an ECDSA key with the curve P-384, want P-256" {
		t.Errorf("P-384: got %v", err)
	}
	for name, content := range map[string][]byte{
		"nothing": nil, "text": []byte("canary"), "wrong password": block("ENCRYPTED SIGSTORE PRIVATE KEY", locked), "garbage": block("PRIVATE KEY", []byte("canary")),
		"SEC 1 garbage": block("EC PRIVATE KEY", []byte("canary")), "P-384": block("PRIVATE KEY", p384), "RSA": block("PRIVATE KEY", rsaPKCS8), "another block": block("CANARY", []byte("canary")),
	} {
		if _, err := signed.ParseSigner(content, "wrong"); err == nil || strings.Contains(strings.ToLower(err.Error()), "canary") {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := signed.ParseKeys(content); err == nil {
			t.Errorf("%s is a public key", name)
		}
	}
}

// FuzzParse checks that Parse ends without a panic, and that what it accepts was not signed by a key that signed nothing.
func FuzzParse(f *testing.F) {
	f.Add(sign(f, newSigner(f)))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"eA=="}},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"MEUCIQ=="}]}}`))
	stranger := newSigner(f).Key()
	f.Fuzz(func(t *testing.T, content []byte) {
		envelope, err := signed.Parse(content)
		if err != nil {
			return
		}
		if _, err := envelope.Verify(signed.Verifiers(stranger)); err == nil {
			t.Error("verified by a key that signed nothing")
		}
	})
}
