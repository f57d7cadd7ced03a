package build

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/evidence/signed/signedtest"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/text"
)

// builtBy runs build in a work tree, and returns the SBOMs beside the image and what was printed.
func builtBy(t *testing.T, dir string, repository release.Repository, key *signed.KeySigner, environ []string, flags ...string) (sboms []fact.Record, code int, printed string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	process := app.Process{Args: append([]string{"--repository", repository.String(), "--output", "json"}, flags...), Environ: append(os.Environ(), environ...), Dir: dir, Stdout: &stdout, Stderr: &stderr, Now: time.Now}
	code = Command().Run(t.Context(), process)
	var result struct {
		Image release.Image `json:"image"`
	}
	if json.Unmarshal(stdout.Bytes(), &result) != nil || result.Image.IsZero() {
		return nil, code, stdout.String() + stderr.String()
	}
	registry, err := images.New(context.WithoutCancel(t.Context()), &app.RunContext{Process: app.Process{Now: time.Now}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)})
	if err != nil {
		t.Fatal(err)
	}
	if sboms, err = registry.Trusting(signed.Verifiers(key.Key())).Facts(t.Context(), result.Image, fact.Listed); err != nil {
		t.Fatal(err)
	}
	return sboms, code, stdout.String() + stderr.String()
}

// TestASignedBuildHasItsSBOM: the same for the same commit, in any repository; once; of one or several platforms.
func TestASignedBuildHasItsSBOM(t *testing.T) {
	t.Parallel()
	key, content, _ := signedtest.New(t)
	environ, sign := []string{"SIGNING_KEY=" + string(content)}, []string{"--sign-key", "env://SIGNING_KEY"}
	files := map[string]string{"go.mod": "module example.com/shop\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n",
		"other.json": `{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"type":"library","name":"of another program"}]}`, "bad.json": `{"spdxVersion":"SPDX-2.3"}`}
	dir := committed(t, files)
	gobuild := append([]string{"--builder", "go"}, sign...)
	first, second := registrytest.Repository(t), registrytest.Repository(t)
	one, code, printed := builtBy(t, dir, first, key, environ, gobuild...)
	if code != 0 || len(one) != 1 || !one[0].Trusted() || !strings.Contains(string(one[0].SBOM.Document), `"name":"example.com/shop"`) || !strings.Contains(printed, "attached an SBOM") {
		t.Fatalf("ended with %d, %+v:\n%s", code, one, printed)
	}
	if again, code, printed := builtBy(t, dir, first, key, environ, gobuild...); code != 0 || len(again) != 1 || again[0].Record != one[0].Record {
		t.Errorf("again: ended with %d, %+v:\n%s", code, again, printed)
	}
	later := registrytest.Repository(t)
	if none, code, printed := builtBy(t, dir, later, key, environ, "--builder", "go"); code != 0 || len(none) != 0 {
		t.Fatalf("without a key: ended with %d, %+v:\n%s", code, none, printed)
	}
	for _, want := range []string{"gives the same digest", "nothing to build"} { // the second run finds the records
		recorded, code, printed := builtBy(t, dir, later, key, environ, gobuild...)
		if code != 0 || len(recorded) != 1 || !bytes.Equal(recorded[0].SBOM.Document, one[0].SBOM.Document) || !strings.Contains(printed, want) || want == "nothing to build" && strings.Contains(printed, "again") {
			t.Errorf("an image that is there: ended with %d, %+v:\n%s", code, recorded, printed)
		}
	}
	if other, code, _ := builtBy(t, dir, second, key, environ, gobuild...); code != 0 || len(other) != 1 || !bytes.Equal(other[0].SBOM.Document, one[0].SBOM.Document) {
		t.Errorf("in another repository: ended with %d, %+v", code, other)
	}
	both, code, printed := builtBy(t, dir, registrytest.Repository(t), key, environ, append([]string{"--platforms", "linux/amd64,linux/arm64"}, gobuild...)...)
	if code != 0 || len(both) != 1 || strings.Count(string(both[0].SBOM.Document), `"type":"container"`) != 3 {
		t.Errorf("two platforms: ended with %d, %+v:\n%s", code, both, printed)
	}
	for name, test := range map[string]struct {
		flags []string
		want  string // of the document; "" for none
		code  int
	}{
		"no key":               {[]string{"--builder", "go"}, "", 0},
		"no key, asked for":    {[]string{"--builder", "go", "--sbom", "on"}, "example.com/shop", 0},
		"not asked for":        {append([]string{"--sbom", "off"}, gobuild...), "", 0},
		"of another program":   {append([]string{"--sbom-file", "other.json"}, gobuild...), "of another program", 0},
		"a file that is none":  {append([]string{"--sbom-file", "bad.json"}, gobuild...), "", release.ExitInput},
		"a file that is gone":  {append([]string{"--sbom-file", "gone.json"}, gobuild...), "", release.ExitInput},
		"a file out of bounds": {append([]string{"--sbom-file", "/etc/hostname"}, gobuild...), "", release.ExitInput},
	} {
		found, code, printed := builtBy(t, dir, registrytest.Repository(t), key, environ, test.flags...)
		if code != test.code || (len(found) > 0) != (test.want != "") || len(found) > 0 && !strings.Contains(string(found[0].SBOM.Document), test.want) {
			t.Errorf("%s: ended with %d, %+v:\n%s", name, code, found, printed)
		}
	}
}
