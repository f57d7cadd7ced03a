// Package signedtest makes keys for tests of what is signed.
package signedtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/onedigest/onedigest/internal/evidence/signed"
)

// New makes a key of P-256, and returns its private part (PKCS #8) and its public part (PKIX) in PEM.
func New(tb testing.TB) (signer *signed.KeySigner, private, public []byte) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
	if signer, err = signed.ParseSigner(private, ""); err != nil {
		tb.Fatal(err)
	}
	if public, err = signer.Key().PEM(); err != nil {
		tb.Fatal(err)
	}
	return signer, private, public
}

// Write makes a key, and writes NAME.key and NAME.pub into a directory, which it makes.
func Write(tb testing.TB, dir, name string) *signed.KeySigner {
	tb.Helper()
	signer, private, public := New(tb)
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path+".key", private, 0o600), os.WriteFile(path+".pub", public, 0o600)); err != nil {
		tb.Fatal(err)
	}
	return signer
}
