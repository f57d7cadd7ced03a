package sigstore_test

import (
	"crypto"
	"crypto/ed25519"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/onedigest/onedigest/internal/sigstore"
	"github.com/onedigest/onedigest/internal/sigstore/sigstoretest"
)

// tufRepository is a TUF repository with files as targets. Source: TUF specification 1.0, with consistent snapshots.
type tufRepository struct {
	url, root string
	requests  *atomic.Int32
	files     map[string][]byte // by path
}

// signable is metadata of a role.
type signable interface {
	ToBytes(pretty bool) ([]byte, error)
}

func newTUF(t *testing.T, targets map[string][]byte, expires time.Time) tufRepository {
	t.Helper()
	root, listed, snapshot, timestamp := metadata.Root(expires), metadata.Targets(expires), metadata.Snapshot(expires), metadata.Timestamp(expires)
	repository := tufRepository{requests: new(atomic.Int32), files: map[string][]byte{}}
	for name, content := range targets {
		file, err := metadata.TargetFile().FromBytes(name, content, "sha256")
		if err != nil {
			t.Fatal(err)
		}
		listed.Signed.Targets[name] = file
		repository.files[fmt.Sprintf("/targets/%s.%s", file.Hashes["sha256"], name)] = content
	}
	signers := map[string]signature.Signer{}
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		key, err := metadata.KeyFromPublicKey(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		if err := root.Signed.AddKey(key, role); err != nil {
			t.Fatal(err)
		}
		if signers[role], err = signature.LoadSigner(private, crypto.Hash(0)); err != nil {
			t.Fatal(err)
		}
	}
	for role, sign := range map[string]func(signature.Signer) (*metadata.Signature, error){"root": root.Sign, "targets": listed.Sign, "snapshot": snapshot.Sign, "timestamp": timestamp.Sign} {
		if _, err := sign(signers[role]); err != nil {
			t.Fatal(err)
		}
	}
	for name, role := range map[string]signable{"/1.root.json": root, "/1.targets.json": listed, "/1.snapshot.json": snapshot, "/timestamp.json": timestamp} {
		encoded, err := role.ToBytes(false)
		if err != nil {
			t.Fatal(err)
		}
		repository.files[name] = encoded
	}
	repository.root = string(repository.files["/1.root.json"])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repository.requests.Add(1)
		content, found := repository.files[path.Clean(r.URL.Path)]
		if !found {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(server.Close)
	repository.url = server.URL
	return repository
}

// TestTheTrustedRootIsFetched: by TUF, with the signing configuration; what is kept is used again for a day.
func TestTheTrustedRootIsFetched(t *testing.T) {
	t.Parallel()
	instance := sigstoretest.Start(t)
	served := newTUF(t, map[string][]byte{"trusted_root.json": instance.TrustedRoot(true), "signing_config.v0.2.json": instance.SigningConfig(true, true)}, time.Now().Add(time.Hour))
	cache := t.TempDir()
	for name, repository := range map[string]sigstore.Repository{"kept": {URL: served.url, Root: []byte(served.root), Cache: cache}, "not kept": {URL: served.url, Root: []byte(served.root)}} {
		trust, _, err := repository.Instance(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := trust.Verify(sign(t, instance, instance.TrustedRoot(true), instance.SigningConfig(true, true))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	before := served.requests.Load()
	if _, err := (sigstore.Repository{URL: served.url, Root: []byte(served.root), Cache: cache}).Trust(t.Context()); err != nil || served.requests.Load() != before {
		t.Errorf("%d requests for what is kept, %v", served.requests.Load()-before, err)
	}
}

// TestTheRepositoryIsOpenedOnce: the trusted root and the signing configuration need the same metadata.
func TestTheRepositoryIsOpenedOnce(t *testing.T) {
	t.Parallel()
	instance := sigstoretest.Start(t)
	served := newTUF(t, map[string][]byte{"trusted_root.json": instance.TrustedRoot(true), "signing_config.v0.2.json": instance.SigningConfig(true, true)}, time.Now().Add(time.Hour))
	repository := sigstore.Repository{URL: served.url, Root: []byte(served.root)}
	if _, err := repository.Trust(t.Context()); err != nil {
		t.Fatal(err)
	}
	alone := served.requests.Load()
	if _, _, err := repository.Instance(t.Context()); err != nil || served.requests.Load()-alone != alone+1 {
		t.Errorf("%d requests for both, %d for the trusted root, %v", served.requests.Load()-alone, alone, err)
	}
}

// TestAForgedRepositoryIsRefused: what the root's keys did not sign, or what has expired, is not trusted.
func TestAForgedRepositoryIsRefused(t *testing.T) {
	t.Parallel()
	instance, stranger := sigstoretest.Start(t), sigstoretest.Start(t)
	targets := map[string][]byte{"trusted_root.json": instance.TrustedRoot(true)}
	genuine := newTUF(t, targets, time.Now().Add(time.Hour))
	another := newTUF(t, map[string][]byte{"trusted_root.json": stranger.TrustedRoot(true)}, time.Now().Add(time.Hour))
	changed := newTUF(t, targets, time.Now().Add(time.Hour))
	for name := range maps.Clone(changed.files) {
		if strings.HasPrefix(name, "/targets/") {
			changed.files[name] = stranger.TrustedRoot(true)
		}
	}
	expired := newTUF(t, targets, time.Now().Add(-time.Hour))
	for name, repository := range map[string]sigstore.Repository{
		"another root's": {URL: another.url, Root: []byte(genuine.root)},
		"changed":        {URL: changed.url, Root: []byte(changed.root)},
		"expired":        {URL: expired.url, Root: []byte(expired.root)},
		"absent":         {URL: genuine.url + "/absent", Root: []byte(genuine.root)},
	} {
		if _, err := repository.Trust(t.Context()); err == nil {
			t.Errorf("%s: trusted", name)
		}
	}
}
