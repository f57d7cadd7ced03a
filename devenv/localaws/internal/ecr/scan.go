package ecr

import (
	"fmt"
	"strconv"
	"time"

	"github.com/onedigest/onedigest/devenv/localaws/internal/awsapi"
	"github.com/onedigest/onedigest/devenv/localaws/internal/store"
)

// Scan is what a scan of an image found. This server scans nothing: it answers with what it was given.
type Scan struct {
	Status      string // as ECR names it: COMPLETE, ACTIVE, IN_PROGRESS, …
	Description string // of the status
	CompletedAt time.Time
	SourceAt    time.Time     // of the vulnerabilities that the scanner knew
	Findings    []ScanFinding // of basic scanning
	Enhanced    []ScanFinding // of enhanced scanning
}

// ScanFinding is a vulnerability in a package.
type ScanFinding struct {
	ID, Severity, Package, Version string
	Status                         string // of enhanced scanning: ACTIVE, SUPPRESSED or CLOSED
}

// SetScan sets what a scan of an image found.
func (a *API) SetScan(repository, digest string, scan Scan) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scans[repository+"@"+digest] = scan
}

type describeImageScanFindingsInput struct {
	inRepository
	paging
	ImageID store.ImageID `json:"imageId"`
}

// describeImageScanFindings returns a page of what a scan found. An image that nobody scanned, such as an index, has no scan.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImageScanFindings.html, with the types ImageScanStatus, ImageScanFindings,
// ImageScanFinding and EnhancedImageScanFinding
func (a *API) describeImageScanFindings(_ string, in describeImageScanFindingsInput) (any, error) {
	found, refusal := a.repository(in.inRepository)
	if refusal != nil {
		return nil, refusal
	}
	image, failure := found.Resolve(in.ImageID)
	if failure != nil {
		return nil, awsapi.BadRequest("ImageNotFoundException", "The image with imageId %s does not exist within the "+
			"repository with name '%s' in the registry with id '%s'", in.ImageID, in.RepositoryName, a.account)
	}
	a.mu.Lock()
	scan, scanned := a.scans[in.RepositoryName+"@"+image.Digest.String()]
	a.mu.Unlock()
	if !scanned {
		return nil, awsapi.BadRequest("ScanNotFoundException", "Image scan does not exist for the image with '%s' in the repository with name '%s' in the registry with id '%s'",
			in.ImageID, in.RepositoryName, a.account)
	}
	out := map[string]any{"registryId": a.account, "repositoryName": in.RepositoryName, "imageId": store.ImageID{ImageDigest: image.Digest.String()},
		"imageScanStatus": map[string]string{"status": scan.Status, "description": scan.Description}}
	if scan.Status != "COMPLETE" && scan.Status != "ACTIVE" {
		return out, nil
	}
	all := append(append([]ScanFinding(nil), scan.Findings...), scan.Enhanced...)
	keys, counts := make([]string, len(all)), map[string]int{}
	for i, each := range all {
		keys[i] = fmt.Sprintf("%06d", i)
		counts[each.Severity]++
	}
	page, next, refusal := takePage(in.paging, keys)
	if refusal != nil {
		return nil, refusal
	}
	basic, enhanced := []map[string]any{}, []map[string]any{}
	for _, key := range page {
		at, err := strconv.Atoi(key)
		if err != nil {
			return nil, err
		}
		each := all[at]
		if at < len(scan.Findings) {
			basic = append(basic, map[string]any{"name": each.ID, "severity": each.Severity,
				"attributes": []map[string]string{{"key": "package_version", "value": each.Version}, {"key": "package_name", "value": each.Package}}})
			continue
		}
		enhanced = append(enhanced, map[string]any{"title": each.ID + " - " + each.Package, "severity": each.Severity, "status": each.Status, "type": "PACKAGE_VULNERABILITY",
			"packageVulnerabilityDetails": map[string]any{"vulnerabilityId": each.ID, "vulnerablePackages": []map[string]string{{"name": each.Package, "version": each.Version}}}})
	}
	findings := map[string]any{"findingSeverityCounts": counts, "imageScanCompletedAt": awsapi.Epoch(scan.CompletedAt)}
	if !scan.SourceAt.IsZero() {
		findings["vulnerabilitySourceUpdatedAt"] = awsapi.Epoch(scan.SourceAt)
	}
	if len(scan.Enhanced) > 0 {
		findings["enhancedFindings"] = enhanced
	} else {
		findings["findings"] = basic
	}
	out["imageScanFindings"] = findings
	return withNext(out, next), nil
}
