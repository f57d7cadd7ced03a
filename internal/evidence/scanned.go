package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// scanned is the predicate of a scan. in-toto's own predicate for vulnerabilities (v0.2) has each finding with scores by any method; what a gate asks
// for, the number of findings of each severity after those that do not count, has no field in it.
type scanned struct {
	Scanner struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	} `json:"scanner"`
	Format     string                `json:"format"`
	Results    *descriptor           `json:"results,omitempty"`
	Images     []release.Digest      `json:"images,omitempty"`
	ScannedAt  time.Time             `json:"scannedAt"`
	Unstated   []fact.Unstated       `json:"unstated,omitempty"`
	DatabaseAt time.Time             `json:"databaseAt,omitzero"`
	Counts     map[fact.Severity]int `json:"counts"`
	Findings   []fact.Finding        `json:"findings,omitempty"`
	Excused    []fact.Finding        `json:"excused,omitempty"`
	ExcusedAll int                   `json:"excusedAll,omitempty"`
	run
}

func scannedPredicate(f fact.Fact) any {
	s := f.Scan
	p := scanned{Format: s.Format, Results: described("", s.Results), Images: s.Images, ScannedAt: s.ScannedAt.UTC(), Unstated: s.Unstated, DatabaseAt: s.DatabaseAt, Counts: s.Counts, Findings: s.Findings,
		Excused: s.Excused, ExcusedAll: s.ExcusedAll, run: runOf(f)}
	p.Scanner.Name, p.Scanner.Version = s.Scanner, s.Version
	if p.Counts == nil {
		p.Counts = map[fact.Severity]int{}
	}
	return p
}

func readScanned(predicate json.RawMessage, into *fact.Fact) error {
	var p scanned
	if err := json.Unmarshal(predicate, &p); err != nil {
		return err
	}
	p.addTo(into)
	results, err := optionalDigest("results", p.Results)
	into.Scan = &fact.Scan{Scanner: p.Scanner.Name, Version: p.Scanner.Version, Format: p.Format, Results: results, Images: p.Images, ScannedAt: p.ScannedAt, Unstated: p.Unstated, DatabaseAt: p.DatabaseAt,
		Counts: p.Counts, Findings: p.Findings, Excused: p.Excused, ExcusedAll: p.ExcusedAll}
	return err
}

// checkScanned refuses counts that contradict the findings: a gate reads the counts.
func checkScanned(f fact.Fact) error {
	s := f.Scan
	if f.Environment != "" || f.Commit != "" {
		return errors.New("a scan has no environment and no commit")
	}
	if len(s.Findings) > fact.MaxFindings || len(s.Excused) > fact.MaxFindings || len(s.Images) > maxList || s.ExcusedAll < len(s.Excused) {
		return fmt.Errorf("it lists %d findings, %d of %d excused findings and %d images: more than allowed, or inconsistent", len(s.Findings), len(s.Excused), s.ExcusedAll, len(s.Images))
	}
	if slices.ContainsFunc(s.Images, release.Digest.IsZero) {
		return errors.New("it names an image without a digest")
	}
	for _, each := range s.Unstated {
		if !slices.Contains(fact.AllUnstated, each) {
			return fmt.Errorf("unstated has %s, which is not known", quote(string(each)))
		}
	}
	named := map[fact.Severity]int{}
	for _, each := range s.Findings {
		named[each.Severity]++
		if each.Excuse != "" {
			return fmt.Errorf("finding %s is listed as counting, but has an excuse", quote(each.ID))
		}
	}
	all := 0
	for severity, count := range s.Counts {
		if !slices.Contains(fact.Severities, severity) || count < 1 {
			return fmt.Errorf("its counts have %d findings of severity %s: the number is below 1, or the severity is not known", count, quote(string(severity)))
		}
		all += count
	}
	for severity, count := range named {
		if s.Counts[severity] < count {
			return fmt.Errorf("it lists %d findings of severity %s, but counts %d", count, quote(string(severity)), s.Counts[severity])
		}
	}
	if all < 0 || all != len(s.Findings) && len(s.Findings) < fact.MaxFindings {
		return fmt.Errorf("it counts %d findings, but lists %d", all, len(s.Findings))
	}
	texts := []string{s.Scanner, s.Version, s.Format}
	for _, each := range slices.Concat(s.Findings, s.Excused) {
		texts = append(texts, each.ID, each.Package, each.Excuse)
		if each.ID == "" || !slices.Contains(fact.Severities, each.Severity) {
			return fmt.Errorf("finding %s has severity %s: the ID is empty, or the severity is not known", quote(each.ID), quote(string(each.Severity)))
		}
	}
	return errors.Join(needs(map[string]string{"scanner.name": s.Scanner, "format": s.Format}), checkTexts(texts...), checkTime(s.ScannedAt, false), checkTime(s.DatabaseAt, true))
}
