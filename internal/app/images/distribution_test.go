package images_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/release"
)

// TestDistribution pushes, proves, tags and copies in a registry without the referrers API, and cosign verifies the proof.
func TestDistribution(t *testing.T) {
	t.Parallel()
	for version, variable := range registrytest.Distributions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			testDistribution(t, variable)
		})
	}
}

func testDistribution(t *testing.T, variable string) {
	host, target := registrytest.Distribution(t, os.Getenv(variable), false), registrytest.Distribution(t, os.Getenv(variable), false)
	signer := newSigner(t)
	connected, told := connect(t, nil)
	connected.SignWith(signer)
	connected.Trust(signed.Verifiers(signer.Key()))
	image := push(t, connected, release.Repository(host+"/team/shop"))
	if _, found, err := connected.Newest(t.Context(), image, "staging"); err != nil || found {
		t.Fatalf("before: %t, %v", found, err)
	}
	for _, verdict := range []release.Verdict{release.Fail, release.Pass} {
		if _, err := connected.Record(t.Context(), record(image, "staging", verdict, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	newest, found, err := connected.Newest(t.Context(), image, "staging")
	if err != nil || !found || newest.Verdict != release.Pass || newest.Signer != signer.Key().ID {
		t.Fatalf("got %+v, %t, %v\n%s", newest, found, err, told)
	}
	state, err := connected.Inspect(t.Context(), image.Repository, image.Digest, "production-one")
	if err != nil {
		t.Fatal(err)
	}
	if err := connected.Tag(t.Context(), image.Repository, state, image.Digest, "production-one"); err != nil {
		t.Fatal(err)
	}
	live := release.Repository(target + "/live/shop")
	if err := connected.Copy(t.Context(), image, live, nil); err != nil {
		t.Fatal(err)
	}
	if err := connected.CopyEvidence(t.Context(), image, newest.Record, live, ""); err != nil {
		t.Fatal(err)
	}
	copied, found, err := connected.Newest(t.Context(), live.At(image.Digest), "staging")
	if err != nil || !found || copied.Record != newest.Record {
		t.Errorf("the copy: got %+v, %t, %v\n%s", copied, found, err, told)
	}
	if cosign := os.Getenv("ONEDIGEST_COSIGN"); cosign != "" {
		public, err := signer.Key().PEM()
		if err != nil {
			t.Fatal(err)
		}
		verifies(t, cosign, public, live.At(image.Digest))
	}
}

// verifies checks that cosign finds and verifies a signed record.
func verifies(t *testing.T, program string, public []byte, image release.Image) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(key, public, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, verification(key, image)...)
	command.Env = []string{"HOME=" + t.TempDir(), "PATH=/usr/bin:/bin"}
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("cosign: %v: %s", err, output)
	}
}
