// Package report reads the results of scanners: SARIF, and CycloneDX with vulnerabilities. What it reads is an outsider's.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/evidence/strictjson"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/text"
)

// Limits of results.
const (
	MaxBytes    = 16 << 20
	maxFindings = 100_000
	maxName     = 200 // bytes of an identifier, a package or a scanner; longer ones are cut
)

// The formats.
const (
	SARIF     = "sarif"
	CycloneDX = "cyclonedx"
)

// Report is what a file of results says.
type Report struct {
	Scanner  string // "unknown" if the file does not say it
	Version  string
	Format   string
	At       time.Time        // when the image was scanned; zero if the file does not say it
	Images   []release.Digest // that were scanned; none if the file does not say it
	Findings []fact.Finding
}

// Parse reads results of at most MaxBytes. What is neither SARIF 2.1.0 nor CycloneDX with vulnerabilities in JSON is an error, and so are a scan
// that failed and CycloneDX without any vulnerability: an SBOM that nobody scanned looks the same.
func Parse(content []byte) (Report, error) {
	if len(content) > MaxBytes {
		return Report{}, fmt.Errorf("they are %d bytes long, limit %d", len(content), MaxBytes)
	}
	if err := strictjson.Check(content); err != nil {
		return Report{}, err
	}
	var kind struct {
		BOMFormat string          `json:"bomFormat"`
		Version   json.RawMessage `json:"version"`
		Runs      json.RawMessage `json:"runs"`
	}
	if err := json.Unmarshal(content, &kind); err != nil {
		return Report{}, err
	}
	switch {
	case kind.BOMFormat == "CycloneDX":
		return parseCycloneDX(content)
	case len(kind.Runs) > 0:
		return parseSARIF(content)
	}
	return Report{}, errors.New("they are neither SARIF nor CycloneDX; give the scanner its option for one of these formats")
}

// add adds a finding with what a person may read of it.
func (r *Report) add(id, of string, severity fact.Severity, excuse string) error {
	if len(r.Findings) >= maxFindings {
		return fmt.Errorf("they have more than %d findings", maxFindings)
	}
	if id = name(id); id == "" {
		return errors.New("a finding has no identifier")
	}
	r.Findings = append(r.Findings, fact.Finding{ID: id, Package: name(of), Severity: severity, Excuse: name(excuse)})
	return nil
}

// setScanner sets the name and the version of the scanner.
func (r *Report) setScanner(scanner, version string) {
	if r.Scanner = name(scanner); r.Scanner == "" {
		r.Scanner = "unknown"
	}
	r.Version = name(version)
}

// addImage adds a digest that the results name, if it is one.
func (r *Report) addImage(named string) {
	_, digest, found := strings.Cut(named, "@")
	if !found {
		digest = named
	}
	parsed, err := release.ParseDigest(digest)
	if err != nil {
		return
	}
	for _, known := range r.Images {
		if known == parsed {
			return
		}
	}
	r.Images = append(r.Images, parsed)
}

// name makes what an outsider named printable and short.
func name(of string) string { return strings.TrimSpace(text.Line(of, maxName)) }

// severityOf returns the severity of a score of CVSS; unknown if it is 0, with which scanners also say that they know none.
// Source: CVSS v3.1 specification, section 5, "Qualitative Severity Rating Scale"; GitHub Docs, "SARIF support for code scanning", has the same limits.
func severityOf(score float64) fact.Severity {
	switch {
	case score >= 9:
		return fact.Critical
	case score >= 7:
		return fact.High
	case score >= 4:
		return fact.Medium
	case score > 0:
		return fact.Low
	}
	return fact.Unknown
}
