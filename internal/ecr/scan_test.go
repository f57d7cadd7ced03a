package ecr

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onedigest/onedigest/devenv/localaws"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// TestScanFindings reads basic and enhanced scans, page by page, of several platforms.
func TestScanFindings(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	repo := server.Repository("shop")
	first, second := put(t, c, repo, "1", "one"), put(t, c, repo, "2", "two")
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	var many []localaws.ScanFinding
	for i := range maxFindings + 1 {
		many = append(many, localaws.ScanFinding{ID: fmt.Sprintf("CVE-2026-%05d", i), Severity: "LOW", Package: "zlib", Version: "1"})
	}
	finding := func(id, severity string) localaws.ScanFinding {
		return localaws.ScanFinding{ID: id, Severity: severity, Package: "openssl", Version: "3.0.1", Status: "ACTIVE"}
	}
	suppressed, closed := finding("CVE-2", "HIGH"), finding("CVE-3", "HIGH")
	suppressed.Status, closed.Status = "SUPPRESSED", "CLOSED"
	sameDigest := cmp.Comparer(func(a, b release.Digest) bool { return a == b })
	for _, test := range []struct {
		name  string
		scans []localaws.Scan // of the first and the second
		want  fact.Scan
		count string
	}{
		{name: "basic", scans: []localaws.Scan{{Status: "COMPLETE", CompletedAt: at, SourceAt: at.Add(-time.Hour), Findings: []localaws.ScanFinding{finding("CVE-1", "CRITICAL"), finding("CVE-2", "INFORMATIONAL"), finding("CVE-3", "UNDEFINED")}}},
			want: fact.Scan{Scanner: BasicScanner, Format: "ecr", Images: []release.Digest{first}, ScannedAt: at, DatabaseAt: at.Add(-time.Hour), Counts: map[fact.Severity]int{fact.Unknown: 1, fact.Critical: 1, fact.Info: 1},
				Findings: []fact.Finding{{ID: "CVE-3", Package: "openssl@3.0.1", Severity: fact.Unknown}, {ID: "CVE-1", Package: "openssl@3.0.1", Severity: fact.Critical}, {ID: "CVE-2", Package: "openssl@3.0.1", Severity: fact.Info}}}},
		{name: "enhanced", scans: []localaws.Scan{{Status: "ACTIVE", CompletedAt: at, Enhanced: []localaws.ScanFinding{finding("CVE-1", "MEDIUM"), suppressed, closed, finding("CVE-4", "UNTRIAGED")}}},
			want: fact.Scan{Scanner: EnhancedScanner, Format: "ecr", Images: []release.Digest{first}, ScannedAt: at, Counts: map[fact.Severity]int{fact.Unknown: 1, fact.Medium: 1}, ExcusedAll: 1,
				Findings: []fact.Finding{{ID: "CVE-4", Package: "openssl@3.0.1", Severity: fact.Unknown}, {ID: "CVE-1", Package: "openssl@3.0.1", Severity: fact.Medium}},
				Excused:  []fact.Finding{{ID: "CVE-2", Package: "openssl@3.0.1", Severity: fact.High, Excuse: "suppressed by a rule of Amazon Inspector"}}}},
		{name: "enhanced, without findings", scans: []localaws.Scan{{Status: "ACTIVE", CompletedAt: at}},
			want: fact.Scan{Scanner: EnhancedScanner, Format: "ecr", Images: []release.Digest{first}, ScannedAt: at, Counts: map[fact.Severity]int{}}},
		{name: "two platforms", scans: []localaws.Scan{{Status: "COMPLETE", CompletedAt: at, SourceAt: at, Findings: []localaws.ScanFinding{finding("CVE-1", "LOW")}}, {Status: "COMPLETE", CompletedAt: at.Add(-time.Hour), SourceAt: at.Add(-time.Hour), Findings: []localaws.ScanFinding{finding("CVE-1", "LOW"), finding("CVE-2", "HIGH")}}},
			want: fact.Scan{Scanner: BasicScanner, Format: "ecr", Images: []release.Digest{first, second}, ScannedAt: at.Add(-time.Hour), DatabaseAt: at.Add(-time.Hour), Counts: map[fact.Severity]int{fact.High: 1, fact.Low: 1},
				Findings: []fact.Finding{{ID: "CVE-2", Package: "openssl@3.0.1", Severity: fact.High}, {ID: "CVE-1", Package: "openssl@3.0.1", Severity: fact.Low}}}},
		{name: "several pages", scans: []localaws.Scan{{Status: "COMPLETE", CompletedAt: at, Findings: many}}, count: fmt.Sprintf("%d low", len(many))},
	} {
		digests := []release.Digest{first, second}[:len(test.scans)]
		for i, scan := range test.scans {
			server.SetScan("shop", digests[i], scan)
		}
		got, pending, err := c.ScanFindings(t.Context(), repo, digests)
		if err != nil || pending != "" {
			t.Errorf("%s: got %q, %v", test.name, pending, err)
			continue
		}
		if test.count != "" {
			if got.String() != test.count {
				t.Errorf("%s: got %s", test.name, got)
			}
			continue
		}
		if diff := cmp.Diff(test.want, got, sameDigest); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestScanFindingsOfNoScan: an image that was not scanned is refused, and one that is being scanned is not final.
func TestScanFindingsOfNoScan(t *testing.T) {
	t.Parallel()
	server, c := start(t)
	repo := server.Repository("shop")
	image := put(t, c, repo, "1", "one")
	_, missing := index("missing")
	for _, test := range []struct {
		name    string
		scan    *localaws.Scan
		image   release.Digest
		code    int
		says    string
		pending string
	}{
		{name: "no scan", image: image, code: release.ExitFailed, says: "ECR has not scanned"},
		{name: "no image", image: missing, code: release.ExitFault, says: "ImageNotFoundException"},
		{name: "under way", scan: &localaws.Scan{Status: "IN_PROGRESS"}, image: image, pending: "is IN_PROGRESS"},
		{name: "pending", scan: &localaws.Scan{Status: "PENDING"}, image: image, pending: "is PENDING"},
		{name: "not supported", scan: &localaws.Scan{Status: "UNSUPPORTED_IMAGE", Description: "UnsupportedImageError: \x1b[2J"}, image: image, code: release.ExitFailed, says: "is UNSUPPORTED_IMAGE: UnsupportedImageError"},
		{name: "not watched more", scan: &localaws.Scan{Status: "SCAN_ELIGIBILITY_EXPIRED"}, image: image, code: release.ExitFailed, says: "SCAN_ELIGIBILITY_EXPIRED"},
		{name: "failed", scan: &localaws.Scan{Status: "FAILED"}, image: image, code: release.ExitFailed, says: "is FAILED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.scan != nil {
				server.SetScan("shop", image, *test.scan)
			}
			_, pending, err := c.ScanFindings(t.Context(), repo, []release.Digest{test.image})
			if release.ExitCode(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) || strings.Contains(fmt.Sprint(err), "\x1b") || (pending != "") != (test.pending != "") || !strings.Contains(pending, test.pending) {
				t.Errorf("got %q, %v", pending, err)
			}
		})
	}
	server.Inject(localaws.Fault{Route: localaws.RouteDescribeScanFindings, Do: localaws.APIError(400, "AccessDeniedException", "not authorized")})
	if _, _, err := c.ScanFindings(t.Context(), repo, []release.Digest{image}); err == nil || !strings.Contains(err.Error(), "allow ecr:DescribeImageScanFindings") {
		t.Errorf("got %v", err)
	}
}
