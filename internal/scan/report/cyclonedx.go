package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/package-url/packageurl-go"

	"github.com/onedigest/onedigest/internal/evidence/strictjson"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// propertyRepoDigest is Trivy's, on the component that was scanned: REPOSITORY@DIGEST. Source: Trivy docs, "CycloneDX", properties.
const propertyRepoDigest = "aquasecurity:trivy:RepoDigest"

// excusing are the states of an analysis with which a vulnerability does not count. Source: CycloneDX 1.6, vulnerability.analysis.state.
var excusing = []cdx.ImpactAnalysisState{cdx.IASNotAffected, cdx.IASResolved, cdx.IASResolvedWithPedigree, cdx.IASFalsePositive}

func parseCycloneDX(content []byte) (read Report, err error) {
	bom, err := decode(content)
	if err != nil {
		return Report{}, err
	}
	if bom.Vulnerabilities == nil || len(*bom.Vulnerabilities) == 0 {
		return Report{}, errors.New("the document names no vulnerability, and an SBOM that nobody scanned looks the same (Trivy without --scanners vuln): give SARIF, which says that it was scanned")
	}
	read.Format = CycloneDX
	packages := map[string]string{}
	if metadata := bom.Metadata; metadata != nil {
		if metadata.Timestamp != "" {
			if read.At, err = time.Parse(time.RFC3339, metadata.Timestamp); err != nil {
				return Report{}, fmt.Errorf("the document's timestamp is not a time: %.40q", metadata.Timestamp)
			}
		}
		if metadata.Component != nil {
			read.addSubject(*metadata.Component)
			packages[metadata.Component.BOMRef] = metadata.Component.Name
		}
	}
	read.setScanner(toolOf(bom))
	addPackages(packages, bom.Components, 0)
	for _, vulnerability := range *bom.Vulnerabilities {
		affected := []string{""}
		if vulnerability.Affects != nil && len(*vulnerability.Affects) > 0 {
			affected = nil
			for _, each := range *vulnerability.Affects {
				affected = append(affected, packageOf(packages, each.Ref))
			}
		}
		for _, of := range affected {
			if err := read.add(vulnerability.ID, of, worstOf(vulnerability.Ratings), excuseOf(vulnerability.Analysis)); err != nil {
				return Report{}, err
			}
		}
	}
	return read, nil
}

// decode decodes a document in JSON.
func decode(content []byte) (*cdx.BOM, error) {
	var bom cdx.BOM
	if err := json.Unmarshal(content, &bom); err != nil {
		return nil, err
	}
	if bom.SpecVersion < cdx.SpecVersion1_4 {
		return nil, fmt.Errorf("version %s of CycloneDX has no vulnerabilities, want 1.4 or newer", bom.SpecVersion)
	}
	return &bom, nil
}

// addSubject adds the digests by which a component names an image.
func (r *Report) addSubject(subject cdx.Component) {
	r.addImage(subject.Version)
	if purl, err := packageurl.FromString(subject.PackageURL); err == nil && purl.Type == packageurl.TypeOCI {
		r.addImage(purl.Version)
	}
	if subject.Properties == nil {
		return
	}
	for _, property := range *subject.Properties {
		if property.Name == propertyRepoDigest {
			r.addImage(property.Value)
		}
	}
}

// toolOf returns the name and the version of the first tool.
func toolOf(bom *cdx.BOM) (name, version string) {
	if bom.Metadata == nil || bom.Metadata.Tools == nil {
		return "", ""
	}
	tools := bom.Metadata.Tools
	if tools.Components != nil && len(*tools.Components) > 0 {
		return (*tools.Components)[0].Name, (*tools.Components)[0].Version
	}
	if tools.Tools != nil && len(*tools.Tools) > 0 {
		return (*tools.Tools)[0].Name, (*tools.Tools)[0].Version
	}
	return "", ""
}

// addPackages adds the names and versions of components by their references; a component may contain others.
func addPackages(packages map[string]string, components *[]cdx.Component, depth int) {
	if components == nil || depth > 10 {
		return
	}
	for _, component := range *components {
		packages[component.BOMRef] = strings.TrimSuffix(component.Name+"@"+component.Version, "@")
		addPackages(packages, component.Components, depth+1)
	}
}

// packageOf names the component of a reference, which may be one of another document.
// Source: CycloneDX, "BOM-Link": urn:cdx:SERIAL/VERSION#REF.
func packageOf(packages map[string]string, reference string) string {
	if known, found := packages[reference]; found {
		return known
	}
	if _, inside, isLink := strings.Cut(reference, "#"); isLink {
		reference = inside
	}
	if purl, err := packageurl.FromString(reference); err == nil {
		return strings.TrimSuffix(strings.TrimPrefix(purl.Namespace+"/"+purl.Name, "/")+"@"+purl.Version, "@")
	}
	return reference
}

// worstOf returns the worst severity of ratings, which may be of several sources; unknown if there is none.
func worstOf(ratings *[]cdx.VulnerabilityRating) fact.Severity {
	worst := fact.Unknown
	if ratings == nil {
		return worst
	}
	for _, rating := range *ratings {
		severity := fact.Unknown
		switch rating.Severity {
		case cdx.SeverityCritical, cdx.SeverityHigh, cdx.SeverityMedium, cdx.SeverityLow, cdx.SeverityInfo:
			severity = fact.Severity(rating.Severity)
		case cdx.SeverityNone:
			severity = fact.Info
		default:
			if rating.Score != nil {
				severity = severityOf(*rating.Score)
			}
		}
		if severity != fact.Unknown && (worst == fact.Unknown || severity.IsAbove(worst)) {
			worst = severity
		}
	}
	return worst
}

// excuseOf returns the state with which a vulnerability does not count, and why; "" if it counts.
func excuseOf(analysis *cdx.VulnerabilityAnalysis) string {
	if analysis == nil || !slices.Contains(excusing, analysis.State) {
		return ""
	}
	excuse := string(analysis.State)
	if analysis.Justification != "" {
		excuse += " (" + string(analysis.Justification) + ")"
	}
	return excuse
}

// VEX are statements about vulnerabilities: why those that they name do not count.
type VEX struct {
	Images     []release.Digest // that the document is about; none if it does not say it
	statements []statement
}

// statement excuses a vulnerability, in one package or in all.
type statement struct{ id, of, excuse string }

// ParseVEX reads statements of a document of at most MaxBytes: the vulnerabilities whose analysis says that the image is not affected, or that they are
// resolved or were no findings. A statement that names packages excuses a vulnerability in these only.
func ParseVEX(content []byte) (VEX, error) {
	if len(content) > MaxBytes {
		return VEX{}, fmt.Errorf("it is %d bytes long, limit %d", len(content), MaxBytes)
	}
	if err := strictjson.Check(content); err != nil {
		return VEX{}, err
	}
	bom, err := decode(content)
	if err != nil {
		return VEX{}, err
	}
	if bom.BOMFormat != cdx.BOMFormat || bom.Vulnerabilities == nil {
		return VEX{}, errors.New("it is not CycloneDX with vulnerabilities in JSON")
	}
	packages := map[string]string{}
	addPackages(packages, bom.Components, 0)
	var subject string
	var read VEX
	if bom.Metadata != nil && bom.Metadata.Component != nil {
		var about Report
		about.addSubject(*bom.Metadata.Component)
		subject, read.Images = bom.Metadata.Component.BOMRef, about.Images
	}
	for _, vulnerability := range *bom.Vulnerabilities {
		excuse := excuseOf(vulnerability.Analysis)
		if excuse == "" {
			continue
		}
		affected := []string{""}
		if vulnerability.Affects != nil && len(*vulnerability.Affects) > 0 {
			affected = nil
			for _, each := range *vulnerability.Affects {
				if each.Ref == subject && subject != "" { // the image as a whole
					affected = append(affected, "")
					continue
				}
				of := name(packageOf(packages, each.Ref))
				if of == "" { // "" is every package
					return VEX{}, fmt.Errorf("what %.40q affects has no name: %.40q", vulnerability.ID, each.Ref)
				}
				affected = append(affected, of)
			}
		}
		for _, of := range affected {
			if len(read.statements) >= maxFindings {
				return VEX{}, fmt.Errorf("it has more than %d statements", maxFindings)
			}
			read.statements = append(read.statements, statement{id: name(vulnerability.ID), of: of, excuse: name(excuse)})
		}
	}
	return read, nil
}

// Excuse excuses the findings that the statements name, and returns how many.
func (r *Report) Excuse(by VEX) (excused int) {
	statements := map[string][]statement{}
	for _, each := range by.statements {
		statements[each.id] = append(statements[each.id], each)
	}
	for i, finding := range r.Findings {
		if finding.Excuse != "" {
			continue
		}
		for _, each := range statements[finding.ID] {
			if each.of == "" || each.of == finding.Package {
				r.Findings[i].Excuse = each.excuse
				excused++
				break
			}
		}
	}
	return excused
}
