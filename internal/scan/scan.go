// Package scan is the verb that records beside an image what a scanner found in it.
package scan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/scan/report"
)

// Deps are the adapters that Run works with.
type Deps struct {
	Registry Registry
	Facts    Facts
	Signed   bool // what is recorded has a signature
	Files    Files
	Scanner  Scanner
	Origin   fact.Origin
	Reporter release.Reporter
	Now      func() time.Time
}

// Registry reads images.
type Registry interface {
	// Platforms lists the images of a digest: the digest itself, or the children of an index; false if the repository does not have it.
	Platforms(ctx context.Context, image release.Image) ([]release.PlatformImage, bool, error)
}

// Facts records facts about images.
type Facts interface {
	// RecordFact attaches a fact to its image, unless it is recorded already. It returns the digest of the record, and whether it is new.
	RecordFact(ctx context.Context, f fact.Fact) (record release.Digest, created bool, err error)
}

// Scanner knows what the registry itself found in images.
type Scanner interface {
	// ScanFindings returns what was found in an image, or in those of an index. A scan that is not final after wait is a *release.Refusal, and so is an
	// image that was not scanned; a registry that scans nothing is a *release.InputError.
	ScanFindings(ctx context.Context, image release.Image, platforms []release.PlatformImage, wait time.Duration) (fact.Scan, error)
}

// Files reads the work tree.
type Files interface {
	// ReadUpTo returns a file of at most limit bytes. The error is a *release.InputError about the setting that names the file.
	ReadUpTo(limit int64, setting, path, do string) ([]byte, error)
}

// Result is what scan recorded.
type Result struct {
	Outcome release.Outcome `json:"outcome"` // created or unchanged
	Image   release.Image   `json:"image"`
	Scan    fact.Scan       `json:"scan"`
	Record  release.Digest  `json:"record"`
}

// Run reads the results and records them beside the image. Everything is checked before the record is written.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	statements, err := readVEX(settings, deps)
	if err != nil {
		return Result{}, err
	}
	var found fact.Scan
	if !settings.FromECR {
		if found, err = readResults(settings, statements, deps); err != nil {
			return Result{}, err
		}
	}
	platforms, exists, err := deps.Registry.Platforms(ctx, settings.Image)
	switch {
	case err != nil:
		return Result{}, err
	case !exists:
		return Result{}, &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry", settings.Image), Do: "check the repository and the digest"}
	case len(platforms) == 0:
		return Result{}, &release.Refusal{Why: fmt.Sprintf("%q is no image: it has none that a node can run", settings.Image), Do: "give the digest of the image that was scanned"}
	}
	if settings.FromECR {
		if found, err = deps.Scanner.ScanFindings(ctx, settings.Image, platforms, settings.Wait); err != nil {
			return Result{}, err
		}
		own := report.Report{Findings: slices.Concat(found.Findings, found.Excused)}
		switch {
		case found.All() == len(own.Findings):
			excuse(&own, statements, settings, deps)
			found.AddFindings(own.Findings)
		case len(statements) > 0:
			deps.Reporter.Warnf("the VEX files are not applied: ECR found %d vulnerabilities, and only the first %d are read by name", found.All(), len(own.Findings))
		}
	} else {
		err = checkSubject("results", found.Images, settings.Image, platforms)
		found.Unstated = append(found.Unstated, unstatedOf(found.Images, settings.Image, platforms)...)
	}
	for _, each := range statements {
		err = errors.Join(err, checkSubject("vex", each.Images, settings.Image, platforms))
	}
	if err != nil {
		return Result{}, err
	}
	return record(ctx, found, settings, deps)
}

// readVEX reads the VEX files.
func readVEX(settings Settings, deps Deps) (statements []report.VEX, err error) {
	for _, file := range settings.VEX {
		content, err := deps.Files.ReadUpTo(report.MaxBytes, "vex", file, "name a file with CycloneDX in JSON")
		if err != nil {
			return nil, err
		}
		read, err := report.ParseVEX(content)
		if err != nil {
			return nil, release.BadSetting("vex", fmt.Sprintf("%q has no statements that can be read: %v", file, err), "give CycloneDX in JSON whose vulnerabilities have an analysis")
		}
		statements = append(statements, read)
	}
	return statements, nil
}

// excuse applies the statements of the VEX files, and says how many findings each excuses.
func excuse(found *report.Report, statements []report.VEX, settings Settings, deps Deps) {
	for i, each := range statements {
		deps.Reporter.Infof("%q excuses %d findings", settings.VEX[i], found.Excuse(each))
	}
}

// readResults reads the file of results.
func readResults(settings Settings, statements []report.VEX, deps Deps) (fact.Scan, error) {
	content, err := deps.Files.ReadUpTo(report.MaxBytes, "results", settings.Results, "name the file that the scanner wrote")
	if err != nil {
		return fact.Scan{}, err
	}
	read, err := report.Parse(content)
	if err != nil {
		return fact.Scan{}, release.BadSetting("results", fmt.Sprintf("%q are not results that can be recorded: %v", settings.Results, err), "give SARIF 2.1.0, or CycloneDX with vulnerabilities, in JSON")
	}
	excuse(&read, statements, settings, deps)
	now := deps.Now().UTC()
	var unstated []fact.Unstated
	if read.At.IsZero() {
		unstated = []fact.Unstated{fact.UnstatedTime}
		deps.Reporter.Infof("%q does not say when the image was scanned: the time of this run is recorded", settings.Results)
		read.At = now
	}
	if read.At.After(now.Add(release.ClockSkew)) {
		return fact.Scan{}, release.BadSetting("results", fmt.Sprintf("%q say that the image was scanned at %s, which is in the future", settings.Results, read.At.UTC().Format(time.RFC3339)), "check the clocks, and scan again")
	}
	scan := fact.Scan{Unstated: unstated, Scanner: read.Scanner, Version: read.Version, Format: read.Format, Results: release.DigestOf(content), Images: read.Images, ScannedAt: read.At.UTC()}
	scan.AddFindings(read.Findings)
	return scan, nil
}

// checkSubject refuses a file that names images, none of which is the image or one of its platforms'.
func checkSubject(setting string, named []release.Digest, image release.Image, platforms []release.PlatformImage) error {
	isOurs := func(digest release.Digest) bool {
		return digest == image.Digest || slices.ContainsFunc(platforms, func(p release.PlatformImage) bool { return p.Manifest == digest })
	}
	if len(named) == 0 || slices.ContainsFunc(named, isOurs) {
		return nil
	}
	return release.BadSetting(setting, fmt.Sprintf("are about %s, not about %s or one of its platforms", named[0], image.Digest), "scan this image, by its digest")
}

// unstatedOf returns what results that name these images do not say about the image: that it was scanned, or all of its platforms.
func unstatedOf(named []release.Digest, image release.Image, platforms []release.PlatformImage) []fact.Unstated {
	isLeft := func(p release.PlatformImage) bool { return !slices.Contains(named, p.Manifest) }
	switch {
	case slices.Contains(named, image.Digest):
		return nil
	case len(named) == 0:
		return []fact.Unstated{fact.UnstatedImage}
	case slices.ContainsFunc(platforms, isLeft):
		return []fact.Unstated{fact.UnstatedPlatforms}
	}
	return nil
}

// record writes the record, and says what was found.
func record(ctx context.Context, found fact.Scan, settings Settings, deps Deps) (Result, error) {
	switch {
	case slices.Contains(found.Unstated, fact.UnstatedImage):
		deps.Reporter.Warnf("the results do not say which image was scanned: it is recorded for %s, as --image says", settings.Image.Digest.Short())
	case slices.Contains(found.Unstated, fact.UnstatedPlatforms):
		deps.Reporter.Warnf("the results name neither %s nor all of its platforms", settings.Image.Digest.Short())
	}
	if len(found.Unstated) > 0 {
		deps.Reporter.Warnf("a policy that requires scanned refuses this scan unless its accept-unstated lists %v", found.Unstated)
	}
	deps.Reporter.Infof("%s of %s at %s: %s", scannerOf(found), settings.Image.Digest, found.ScannedAt.Format(time.RFC3339), found)
	for _, each := range found.Excused {
		deps.Reporter.Infof("does not count: %s in %s (%s): %s", each.ID, each.Package, each.Severity, each.Excuse)
	}
	digest, created, err := deps.Facts.RecordFact(ctx, fact.Fact{Kind: fact.Scanned, Image: settings.Image, By: deps.Origin.By, Run: deps.Origin.Run, At: deps.Now().UTC(), Scan: &found})
	if err != nil {
		return Result{}, err
	}
	result := Result{Outcome: release.Unchanged, Image: settings.Image, Scan: found, Record: digest}
	switch {
	case !created:
		deps.Reporter.Infof("unchanged: the same findings are recorded already, by the record %s", digest.Short())
	case deps.Signed:
		result.Outcome = release.Created
		deps.Reporter.Infof("recorded the scan: %s", digest.Short())
	default:
		result.Outcome = release.Created
		deps.Reporter.Infof("recorded the scan without a signature: everybody who may push can write such a record; sign it with --sign-key")
	}
	return result, nil
}

func scannerOf(found fact.Scan) string { return strings.TrimSpace(found.Scanner + " " + found.Version) }
