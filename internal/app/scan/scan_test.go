package scan_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/devenv/localaws/localawstest"
	"github.com/onedigest/onedigest/devenv/registrytest"
	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/scan"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/release/releasetest"
	"github.com/onedigest/onedigest/internal/text"
)

// TestScanOfECR: what ECR found is recorded once; a scan under way is waited for; what ECR did not scan, and another registry, is refused.
func TestScanOfECR(t *testing.T) {
	t.Parallel()
	server := localawstest.Start(t)
	repository := server.Repository("shop")
	connected, err := images.New(t.Context(), &app.RunContext{Process: app.Process{Environ: server.Env(), Now: time.Now}, Reporter: releasetest.DiscardReporter{}, Secrets: new(text.Secrets)})
	if err != nil {
		t.Fatal(err)
	}
	layout := registrytest.Layout(t, nil)
	if err := connected.Push(t.Context(), layout, repository, "one", nil); err != nil {
		t.Fatal(err)
	}
	image, dir := repository.At(layout.Digest), t.TempDir()
	vex := `{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[{"id":"CVE-2026-0001","analysis":{"state":"not_affected"}}]}`
	if err := os.WriteFile(filepath.Join(dir, "vex.json"), []byte(vex), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := scan.Command().Run(t.Context(), app.Process{Args: args, Environ: append(os.Environ(), server.Env()...), Dir: dir, Stdout: &out, Stderr: &out, Now: time.Now})
		return code, out.String()
	}
	from := []string{"--image", image.String(), "--from-ecr"}
	if code, said := run(from...); code != release.ExitFailed || !strings.Contains(said, "ECR has not scanned") {
		t.Errorf("not scanned: ended with %d:\n%s", code, said)
	}
	server.SetScan("shop", image.Digest, localaws.Scan{Status: "IN_PROGRESS"})
	if code, said := run(append(from, "--wait", "1s")...); code != release.ExitFailed || !strings.Contains(said, "is IN_PROGRESS") {
		t.Errorf("under way: ended with %d:\n%s", code, said)
	}
	server.SetScan("shop", image.Digest, localaws.Scan{Status: "COMPLETE", CompletedAt: time.Now().Add(-time.Hour), Findings: []localaws.ScanFinding{
		{ID: "CVE-2026-0001", Severity: "CRITICAL", Package: "zlib", Version: "1"}, {ID: "CVE-2026-0002", Severity: "LOW", Package: "zlib", Version: "1"}}})
	for _, want := range []string{"recorded the scan without a signature", "unchanged: the same findings"} {
		if code, said := run(append(from, "--vex", "vex.json")...); code != 0 || !strings.Contains(said, want) || !strings.Contains(said, "does not count: CVE-2026-0001 in zlib@1 (critical): not_affected") {
			t.Errorf("ended with %d, want %q:\n%s", code, want, said)
		}
	}
	records, err := connected.Facts(t.Context(), image, fact.Scanned)
	if err != nil || len(records) != 1 || records[0].Scan.String() != "1 low, 1 do not count" || records[0].Scan.Scanner != "Amazon ECR" {
		t.Errorf("got %+v, %v", records, err)
	}
	many := localaws.Scan{Status: "COMPLETE", CompletedAt: time.Now()}
	for i := range 150 {
		many.Findings = append(many.Findings, localaws.ScanFinding{ID: fmt.Sprintf("CVE-2026-%04d", i), Severity: "LOW", Package: "zlib", Version: "1"})
	}
	server.SetScan("shop", image.Digest, many)
	if code, said := run(append(from, "--vex", "vex.json")...); code != 0 || !strings.Contains(said, "the VEX files are not applied: ECR found 150 vulnerabilities") {
		t.Errorf("more findings than are named: ended with %d:\n%s", code, said)
	}
	for name, args := range map[string][]string{
		"another registry": {"--image", registrytest.Repository(t).At(layout.Digest).String(), "--from-ecr"},
		"both":             append([]string{"--results", "vex.json"}, from...),
		"neither":          {"--image", image.String()},
	} {
		want := release.ExitInput
		if name == "another registry" { // which lacks the image
			want = release.ExitFailed
		}
		if code, said := run(args...); code != want {
			t.Errorf("%s: ended with %d:\n%s", name, code, said)
		}
	}
}
