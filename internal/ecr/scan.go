package ecr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/text"
)

// The scanners of ECR. Source: Amazon ECR User Guide, "Scan images for software vulnerabilities".
const (
	BasicScanner    = "Amazon ECR"       // of packages of operating systems
	EnhancedScanner = "Amazon Inspector" // also of programming languages
)

const (
	maxFindings     = 1000 // of a page. Source: Amazon ECR API Reference, DescribeImageScanFindings, "maxResults".
	maxFindingPages = 100
	maxFindingName  = 200 // bytes
)

// ScanFindings returns what ECR's own scans found in manifests of a repository, as one scan: its time is that of the oldest. Pending says which state
// of which manifest is not final yet, "" if all are. A manifest that ECR did not or cannot scan is a *release.Refusal. ECR scans the images of an index,
// not the index.
func (c *Client) ScanFindings(ctx context.Context, repo release.Repository, manifests []release.Digest) (found fact.Scan, pending string, err error) {
	found.Format, found.Images = "ecr", manifests
	var findings []fact.Finding
	for _, manifest := range manifests {
		one, state, err := c.scanFindings(ctx, repo.At(manifest))
		if err != nil || state != "" {
			return fact.Scan{}, state, err
		}
		findings = append(findings, one.Findings...)
		if found.Scanner == "" || one.ScannedAt.Before(found.ScannedAt) {
			found.ScannedAt = one.ScannedAt
		}
		if found.Scanner == "" || one.DatabaseAt.Before(found.DatabaseAt) {
			found.DatabaseAt = one.DatabaseAt
		}
		found.Scanner = one.Scanner
	}
	found.AddFindings(findings)
	return found, "", nil
}

// scanFindings returns what was found in one manifest; its findings are neither sorted nor cut.
func (c *Client) scanFindings(ctx context.Context, image release.Image) (found fact.Scan, pending string, err error) {
	doing := fmt.Sprintf("reading the scan of %q", image)
	api, err := c.api(c.locate(image.Repository.Host()))
	if err != nil {
		return found, "", fault(err, doing, "")
	}
	input := &ecr.DescribeImageScanFindingsInput{RegistryId: accountOf(image.Repository), RepositoryName: aws.String(image.Repository.Path()),
		ImageId: &types.ImageIdentifier{ImageDigest: aws.String(image.Digest.String())}, MaxResults: aws.Int32(maxFindings)}
	for range maxFindingPages {
		page, err := api.DescribeImageScanFindings(ctx, input)
		var none *types.ScanNotFoundException
		switch {
		case errors.As(err, &none):
			return found, "", &release.Refusal{Why: fmt.Sprintf("ECR has not scanned %s", image.Digest), Do: "switch scanning on for the repository (scan on push, or enhanced scanning), and push or scan the image again"}
		case err != nil:
			return found, "", fault(err, doing, "ecr:DescribeImageScanFindings")
		}
		if pending, err = stateOf(page.ImageScanStatus, image.Digest); pending != "" || err != nil {
			return found, pending, err
		}
		if page.ImageScanFindings == nil {
			return found, "", fault(errors.New("the answer has no findings"), doing, "")
		}
		addPage(&found, *page.ImageScanFindings)
		if page.ImageScanStatus.Status == types.ScanStatusActive { // of enhanced scanning only
			found.Scanner = EnhancedScanner
		}
		if input.NextToken = page.NextToken; input.NextToken == nil {
			if found.ScannedAt.IsZero() {
				return found, "", &release.Refusal{Why: fmt.Sprintf("ECR does not say when it scanned %s", image.Digest), Do: "scan the image again"}
			}
			return found, "", nil
		}
	}
	return found, "", fault(fmt.Errorf("there are more than %d findings", maxFindings*maxFindingPages), doing, "")
}

// stateOf returns the state of a scan that is not final, and refuses one that has no findings.
// Source: Amazon ECR API Reference, ImageScanStatus.
func stateOf(status *types.ImageScanStatus, digest release.Digest) (pending string, err error) {
	if status == nil {
		return "", &release.Refusal{Why: fmt.Sprintf("ECR does not say whether it has scanned %s", digest), Do: "scan the image again"}
	}
	switch status.Status {
	case types.ScanStatusComplete, types.ScanStatusActive:
		return "", nil
	case types.ScanStatusInProgress, types.ScanStatusPending:
		return fmt.Sprintf("the scan of %s is %s", digest.Short(), status.Status), nil
	}
	return "", &release.Refusal{Why: fmt.Sprintf("ECR's scan of %s is %s: %s", digest, text.Line(string(status.Status), 100), text.Line(aws.ToString(status.Description), maxMessage)),
		Do: "scan it with a scanner that supports it, and give its results (scan --results); basic scanning supports images of some operating systems only"}
}

// addPage adds the findings of a page: of basic or of enhanced scanning.
func addPage(found *fact.Scan, page types.ImageScanFindings) {
	if found.ScannedAt.IsZero() {
		found.ScannedAt, found.DatabaseAt = aws.ToTime(page.ImageScanCompletedAt).UTC(), aws.ToTime(page.VulnerabilitySourceUpdatedAt).UTC()
		found.Scanner = BasicScanner
	}
	for _, each := range page.Findings {
		attribute := func(key string) string {
			at := slices.IndexFunc(each.Attributes, func(a types.Attribute) bool { return aws.ToString(a.Key) == key })
			if at < 0 {
				return ""
			}
			return aws.ToString(each.Attributes[at].Value)
		}
		found.Findings = append(found.Findings, finding(aws.ToString(each.Name), attribute("package_name"), attribute("package_version"), string(each.Severity), ""))
	}
	for _, each := range page.EnhancedFindings {
		found.Scanner = EnhancedScanner
		excuse := ""
		switch aws.ToString(each.Status) {
		case "CLOSED":
			continue
		case "SUPPRESSED":
			excuse = "suppressed by a rule of Amazon Inspector"
		}
		id, packages := aws.ToString(each.Title), []types.VulnerablePackage{{}}
		if details := each.PackageVulnerabilityDetails; details != nil {
			id = aws.ToString(details.VulnerabilityId)
			if len(details.VulnerablePackages) > 0 {
				packages = details.VulnerablePackages
			}
		}
		for _, of := range packages {
			found.Findings = append(found.Findings, finding(id, aws.ToString(of.Name), aws.ToString(of.Version), aws.ToString(each.Severity), excuse))
		}
	}
}

// finding makes what ECR names printable. A severity that is not known is unknown, which the rules count as the worst.
func finding(id, of, version, severity, excuse string) fact.Finding {
	known := map[string]fact.Severity{"CRITICAL": fact.Critical, "HIGH": fact.High, "MEDIUM": fact.Medium, "LOW": fact.Low, "INFORMATIONAL": fact.Info}
	found := fact.Finding{ID: text.Line(id, maxFindingName), Package: text.Line(strings.Trim(of+"@"+version, "@"), maxFindingName), Severity: fact.Unknown, Excuse: excuse}
	if found.ID == "" {
		found.ID = "unnamed"
	}
	if named, isKnown := known[severity]; isKnown {
		found.Severity = named
	}
	return found
}
