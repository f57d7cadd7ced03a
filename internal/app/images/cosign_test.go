package images_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// verification are cosign's arguments that verify a signed record.
func verification(key string, image release.Image) []string {
	return verificationOf(evidence.PredicateType, key, image)
}

// verificationOf are cosign's arguments that verify a signed record of a type.
func verificationOf(predicateType, key string, image release.Image) []string {
	return []string{"verify-attestation", "--key", key, "--type", predicateType, "--insecure-ignore-tlog=true", "--allow-http-registry", image.String()}
}

// documented returns cosign's arguments as docs/evidence.md gives them, for a type that the page lists.
func documented(t *testing.T, predicateType string, image release.Image) []string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "`"+predicateType+"`") {
		t.Errorf("docs/evidence.md does not list %s", predicateType)
	}
	_, command, _ := strings.Cut(string(page), "```bash\ncosign ")
	command, _, _ = strings.Cut(command, "```")
	command = strings.NewReplacer("\\\n", "", evidence.PredicateType, predicateType, `"$IMAGE"`, image.String()).Replace(command)
	return append(strings.Fields(command), "--allow-http-registry")
}

// TestCosign: cosign itself verifies what Record signs, and Newest accepts what cosign attests. ONEDIGEST_COSIGN names the program, which
// make test builds.
func TestCosign(t *testing.T) {
	t.Parallel()
	program := os.Getenv("ONEDIGEST_COSIGN")
	if program == "" {
		t.Skip("SKIPPED: set ONEDIGEST_COSIGN to the path of cosign 3")
	}
	dir := t.TempDir()
	cosign := func(arguments ...string) (string, error) {
		command := exec.CommandContext(t.Context(), program, arguments...)
		command.Dir, command.Env = dir, []string{"HOME=" + dir, "COSIGN_PASSWORD=open", "PATH=/usr/bin:/bin"}
		output, err := command.CombinedOutput()
		return string(output), err
	}
	if output, err := cosign("generate-key-pair"); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	signer, err := signed.ParseSigner(read("cosign.key"), "open")
	if err != nil {
		t.Fatal(err)
	}
	public, err := signer.Key().PEM()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(public), bytes.TrimSpace(read("cosign.pub"))) {
		t.Errorf("the public key of cosign's private key is\n%s, want\n%s", public, read("cosign.pub"))
	}
	connected, told := connect(t, nil)
	connected.Trust(signed.Verifiers(signer.Key()))
	verify := func(image release.Image, key string) (string, error) {
		return cosign(verification(key, image)...)
	}

	t.Run("ours by theirs", func(t *testing.T) {
		image := push(t, connected, registrytest.Repository(t))
		connected.SignWith(signer)
		defer connected.SignWith(nil)
		if output, err := verify(image, "cosign.pub"); err == nil {
			t.Errorf("cosign verified an image without attestations: %s", output)
		}
		if _, err := connected.Record(t.Context(), record(image, "staging", release.Pass, time.Now())); err != nil {
			t.Fatal(err)
		}
		if output, err := verify(image, "cosign.pub"); err != nil {
			t.Errorf("cosign: %v: %s", err, output)
		}
		stranger, err := newSigner(t).Key().PEM()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "stranger.pub"), stranger, 0o600); err != nil {
			t.Fatal(err)
		}
		if output, err := verify(image, "stranger.pub"); err == nil {
			t.Errorf("cosign verified with another key: %s", output)
		}
	})
	t.Run("theirs by ours", func(t *testing.T) {
		image := push(t, connected, registrytest.Repository(t))
		statement := encoded(t, record(image, "staging", release.Pass, time.Now()))
		_, predicate, _ := strings.Cut(string(statement), `"predicate":`)
		if err := os.WriteFile(filepath.Join(dir, "predicate.json"), []byte(strings.TrimSuffix(predicate, "}")), 0o600); err != nil {
			t.Fatal(err)
		}
		if output, err := cosign("attest", "--key", "cosign.key", "--type", evidence.PredicateType, "--predicate", "predicate.json", "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry", "--yes", image.String()); err != nil {
			t.Fatalf("cosign: %v: %s", err, output)
		}
		newest, found, err := connected.Newest(t.Context(), image, "staging")
		if err != nil || !found || newest.Signer != signer.Key().ID || newest.Proves(image, "staging", time.Now(), 0) != nil {
			t.Errorf("got %+v, %t, %v\n%s", newest, found, err, told)
		}
	})
	t.Run("every fact, both ways", func(t *testing.T) {
		stranger, err := newSigner(t).Key().PEM()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "another.pub"), stranger, 0o600); err != nil {
			t.Fatal(err)
		}
		signing := connected.Signing(signer)
		for kind := range factsAbout(t, release.Image{}) {
			ours, theirs := push(t, connected, registrytest.Repository(t)), push(t, connected, registrytest.Repository(t))
			if _, _, err := signing.RecordFact(t.Context(), factsAbout(t, ours)[kind]); err != nil {
				t.Fatal(err)
			}
			if output, err := cosign(documented(t, evidence.TypeOf(kind), ours)...); err != nil {
				t.Errorf("%s: cosign: %v: %s", kind, err, output)
			}
			if output, err := cosign(verificationOf(evidence.TypeOf(kind), "another.pub", ours)...); err == nil {
				t.Errorf("%s: cosign verified with another key: %s", kind, output)
			}
			statement, err := evidence.EncodeFact(factsAbout(t, theirs)[kind])
			if err != nil {
				t.Fatal(err)
			}
			_, predicate, _ := strings.Cut(string(statement), `"predicate":`)
			if err := os.WriteFile(filepath.Join(dir, "fact.json"), []byte(strings.TrimSuffix(predicate, "}")), 0o600); err != nil {
				t.Fatal(err)
			}
			if output, err := cosign("attest", "--key", "cosign.key", "--type", evidence.TypeOf(kind), "--predicate", "fact.json", "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry", "--yes", theirs.String()); err != nil {
				t.Fatalf("%s: cosign: %v: %s", kind, err, output)
			}
			if read, err := connected.Facts(t.Context(), theirs, kind); err != nil || len(read) != 1 || read[0].Signer != signer.Key().ID {
				t.Errorf("%s of cosign: got %+v, %v", kind, read, err)
			}
		}
	})
	t.Run("an SBOM by cosign's own name of it", func(t *testing.T) {
		image := push(t, connected, registrytest.Repository(t))
		if output, err := cosign(verificationOf("cyclonedx", "cosign.pub", image)...); err == nil {
			t.Errorf("cosign verified an image without an SBOM: %s", output)
		}
		if _, created, err := connected.Signing(signer).RecordFact(t.Context(), factsAbout(t, image)[fact.Listed]); err != nil || !created {
			t.Fatalf("%t, %v", created, err)
		}
		if output, err := cosign(verificationOf("cyclonedx", "cosign.pub", image)...); err != nil {
			t.Errorf("cosign: %v: %s", err, output)
		}
	})
	t.Run("a signature of cosign 2 stays valid beside them", func(t *testing.T) {
		image := push(t, connected, registrytest.Repository(t))
		if output, err := cosign("sign", "--key", "cosign.key", "--new-bundle-format=false", "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry", "--yes", image.String()); err != nil {
			t.Fatalf("cosign: %v: %s", err, output)
		}
		legacy := []string{"verify", "--key", "cosign.pub", "--new-bundle-format=false", "--insecure-ignore-tlog=true", "--allow-http-registry", image.String()}
		if output, err := cosign(legacy...); err != nil {
			t.Fatalf("cosign before: %v: %s", err, output)
		}
		refusing := connected.Signing(signer)
		refusing.RefuseLegacy(true)
		if _, err := refusing.Record(t.Context(), record(image, "staging", release.Pass, time.Now())); release.ExitCode(err) != release.ExitFailed || !strings.Contains(err.Error(), "cosign 2") {
			t.Errorf("got %v, want a refusal", err)
		}
		told.Reset()
		for _, verdict := range []release.Verdict{release.Fail, release.Pass} {
			if _, err := connected.Signing(signer).Record(t.Context(), record(image, "staging", verdict, time.Now())); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Count(told.String(), "--new-bundle-format=false") != 1 {
			t.Errorf("told %q, want one warning, before the first bundle", told)
		}
		if output, err := cosign(legacy...); err != nil {
			t.Errorf("cosign after: %v: %s", err, output)
		}
	})
}
