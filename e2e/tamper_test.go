package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/internal/app"
	appbuild "github.com/onedigest/onedigest/internal/app/build"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	apppromote "github.com/onedigest/onedigest/internal/app/promote"
	appsmoke "github.com/onedigest/onedigest/internal/app/smoke"
	"github.com/onedigest/onedigest/internal/ecr"
	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/evidence/signed/signedtest"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// keyPair writes a key and its public part into a checkout, and returns the signer.
func (c checkout) keyPair(name string) *signed.KeySigner {
	c.t.Helper()
	return signedtest.Write(c.t, c.dir, name)
}

// intruder is somebody who may push to the registry, and knows no key.
type intruder struct {
	*registry.Client
	docker string // directory with docker's configuration, for cosign
}

func newIntruder(t *testing.T) intruder {
	t.Helper()
	cloud, err := ecr.New(t.Context(), ecr.Options{Environ: app.Process{Environ: site.aws}.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	username, password, _, err := cloud.Credentials(t.Context(), site.registry)
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"auths": map[string]any{site.registry: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(username + ":" + password))}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	return intruder{registry.New(registry.Options{Credentials: func(context.Context, string) (string, string, error) { return username, password, nil }}), dir}
}

// attach attaches content to an image as a record of a pass.
func (i intruder) attach(t *testing.T, image release.Image, mediaType string, content []byte, environment string) {
	t.Helper()
	annotations := map[string]string{evidence.AnnotationEnvironment: environment, evidence.AnnotationVerdict: string(release.Pass)}
	artifactType := evidence.ArtifactType
	if mediaType == signed.MediaType {
		artifactType = signed.MediaType
		annotations[signed.AnnotationContent], annotations[signed.AnnotationPredicateType] = signed.ContentEnvelope, evidence.PredicateType
	}
	if _, err := i.Attach(t.Context(), image, artifactType, mediaType, content, annotations); err != nil {
		t.Fatal(err)
	}
}

// cosign verifies an image's attestation of a pass with a public key of the checkout.
func (i intruder) cosign(t *testing.T, tree checkout, image release.Image) error {
	t.Helper()
	program := os.Getenv("ONEDIGEST_COSIGN")
	if program == "" {
		t.Skip("SKIPPED: set ONEDIGEST_COSIGN to the path of cosign 3")
	}
	command := exec.CommandContext(t.Context(), program, "verify-attestation", "--key", "evidence.pub", "--type", evidence.PredicateType,
		"--insecure-ignore-tlog=true", "--allow-http-registry", image.String())
	command.Dir, command.Env = tree.dir, []string{"HOME=" + i.docker, "DOCKER_CONFIG=" + i.docker, "PATH=/usr/bin:/bin"}
	text, err := command.CombinedOutput()
	t.Logf("cosign verify-attestation %s: %v\n%s", image.Digest.Short(), err, text)
	return err
}

// TestTampering shows what somebody who may push, but has no key, can make production run: nothing. make demo-tampering prints it.
func TestTampering(t *testing.T) {
	onNode(t)
	beside(t)
	const (
		environment = "tampering"
		noProof     = `refused: the registry holds no evidence that "tampering" proved`
	)
	tree := newCheckout(t)
	tree.keyPair("evidence")
	forger := tree.keyPair("forger")
	pushes := newIntruder(t)
	build := func() release.Image {
		t.Helper()
		built := tree.verb(t.Context(), appbuild.Command(), "--repository", site.registry+"/shop", "--context", "app", "--builder", "go", "--sign-key", "evidence.key", "--output", "json")
		image, err := release.ParseImage(field(t, built, "image"))
		if err != nil {
			t.Fatal(err)
		}
		return image
	}
	tags := func() []release.Tag {
		t.Helper()
		list, err := pushes.Tags(t.Context(), release.Repository(site.registry+"/shop"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	promote := func(args ...string) verbResult {
		t.Helper()
		return tree.verb(t.Context(), apppromote.Command(), append([]string{"--from", environment, "--to", "production", "--verify-key", "evidence.pub"}, args...)...)
	}
	var tampered release.Image
	// refused wants the promotion of the tampered image to be refused, and to leave the tags as they were.
	refused := func(what, why string) {
		t.Helper()
		t.Logf("── %s", what)
		before := tags()
		got := promote("--image", tampered.String())
		if said := got.stdout + got.stderr; got.code != release.ExitFailed || !strings.Contains(said, noProof) || !strings.Contains(said, why) {
			t.Errorf("%s: exit %d, want 1, %q and %q:\n%s", what, got.code, noProof, why, said)
		}
		if diff := cmp.Diff(before, tags()); diff != "" {
			t.Errorf("%s: -before +after:\n%s", what, diff)
		}
		if err := pushes.cosign(t, tree, tampered); err == nil {
			t.Errorf("%s: cosign verified it", what)
		}
	}

	tree.git("add", "--all") // the keys, which the second commit must not have changed
	tree.commit("honest")
	honest := build()
	tree.verb(t.Context(), appdeploy.Command(), "--environment", environment, "--image", honest.String(), "--create-namespace",
		"--values", "terraform/staging/values-staging.yaml", "--set", "config.ENVIRONMENT="+environment).expect(t, release.ExitDone)
	tree.verb(t.Context(), appsmoke.Command(), "--environment", environment, "--image", honest.String(), "--sign-key", "evidence.key").expect(t, release.ExitDone)
	if err := pushes.cosign(t, tree, honest); err != nil {
		t.Errorf("the honest image: %v", err)
	}
	commit := tree.commit("tampered")
	tampered = build()
	if tampered.Digest == honest.Digest {
		t.Fatal("both commits have one image")
	}

	t.Log("── another image under the tag of the honest commit")
	state, err := pushes.Inspect(t.Context(), tampered.Repository, tampered.Digest, release.Tag(commit))
	if err != nil {
		t.Fatal(err)
	}
	info, _, err := pushes.Describe(t.Context(), honest)
	if err != nil {
		t.Fatal(err)
	}
	var taken *release.TagTakenError
	if err := pushes.PutTag(t.Context(), tampered.Repository, state.Manifest, state.MediaType, tampered.Digest, release.Tag(info.Revision)); !errors.As(err, &taken) {
		t.Errorf("the tag of the honest commit: got %v, want that it is taken", err)
	}
	refused("an image that nobody proved", "and that a trusted key signed")

	forged, err := evidence.Encode(release.Evidence{Image: tampered, Commit: release.Commit(commit), Environment: environment, Verdict: release.Pass, Checks: []string{"/"}, Rounds: 3,
		Pods: []string{"shop-1"}, URL: "http://127.0.0.1", At: time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	pushes.attach(t, tampered, evidence.MediaType, forged, environment)
	refused("a forged verdict, not signed", "it is not signed, and only signed records are trusted")

	bundle, err := signed.Sign(t.Context(), forged, forger)
	if err != nil {
		t.Fatal(err)
	}
	pushes.attach(t, tampered, signed.MediaType, bundle, environment)
	refused("a forged verdict, signed by another key", "none of 1 trusted keys signed it")

	replayed := 0
	for record, err := range pushes.Referrers(t.Context(), honest, registry.ReferrerQuery{ArtifactTypes: []string{signed.MediaType}, Annotations: map[string]string{evidence.AnnotationVerdict: string(release.Pass)}}) {
		if err != nil {
			t.Fatal(err)
		}
		if record.Annotations[signed.AnnotationPredicateType] == evidence.PredicateType {
			pushes.attach(t, tampered, signed.MediaType, record.Content, environment)
			replayed++
		}
	}
	if replayed == 0 {
		t.Fatal("the honest image has no signed verdict")
	}
	refused("the honest image's verdict, attached to the tampered one", "it is about "+honest.Digest.String())
	t.Log("── a deploy of what was never promoted")
	got := tree.verb(t.Context(), appdeploy.Command(), "--environment", environment+"-production", "--image", tampered.String(), "--create-namespace", "--proved-in", environment,
		"--verify-key", "evidence.pub", "--values", "terraform/staging/values-staging.yaml")
	if got.code != release.ExitFailed || !strings.Contains(got.stderr, noProof) {
		t.Errorf("exit %d, want 1 and %q:\n%s", got.code, noProof, got.stderr)
	}
	if _, err := client(t).CoreV1().Namespaces().Get(t.Context(), environment+"-production", meta.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace: %v, want that it does not exist", err)
	}

	t.Log("── the honest image")
	promote("--image", honest.String()).expect(t, release.ExitDone)
}
