package fact

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Severity of a finding, in CycloneDX's words.
type Severity string

// The severities.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
	Unknown  Severity = "unknown" // the scanner does not say it, or has no score
)

// Severities lists the severities, the worst first. An unknown one may be any, so it comes first.
var Severities = []Severity{Unknown, Critical, High, Medium, Low, Info}

// NoFindings is a limit that no finding is within.
const NoFindings Severity = "none"

// IsAbove reports whether a finding of the severity is above a limit. An unknown severity is above every limit but Critical, which all are within.
func (s Severity) IsAbove(limit Severity) bool {
	if limit == NoFindings {
		return true
	}
	return limit != Critical && s.rank() < limit.rank()
}

func (s Severity) rank() int {
	if at := slices.Index(Severities, s); at >= 0 {
		return at
	}
	return 0
}

// Finding is a vulnerability in a package of an image.
type Finding struct {
	ID       string   `json:"id"`
	Package  string   `json:"package,omitempty"` // with its version, as the scanner names it; "" if it does not
	Severity Severity `json:"severity"`
	Excuse   string   `json:"excuse,omitempty"` // why it does not count: the state of a VEX statement, or the suppression of the results; "" if it counts
}

// MaxFindings is the most findings that a fact names, of those that count and of the excused ones.
const MaxFindings = 100

// ScanFreshFor is how long a scan with the same findings is not recorded again.
const ScanFreshFor = 24 * time.Hour

// Unstated is what results of a scan do not say.
type Unstated string

// What results may leave unsaid.
const (
	UnstatedTime      Unstated = "time"      // when the image was scanned: the time of the record is taken
	UnstatedImage     Unstated = "image"     // which image was scanned
	UnstatedPlatforms Unstated = "platforms" // that all images of an index were: they name one or some of them
)

// AllUnstated lists what results may leave unsaid.
var AllUnstated = []Unstated{UnstatedTime, UnstatedImage, UnstatedPlatforms}

// Scan is what a scanner found in an image.
type Scan struct {
	Scanner    string           `json:"scanner"`
	Version    string           `json:"version,omitempty"`
	Format     string           `json:"format"`               // of the results: sarif, cyclonedx, or ecr if they are ECR's own
	Results    release.Digest   `json:"results,omitzero"`     // of their file; zero if they are ECR's own
	Images     []release.Digest `json:"images,omitempty"`     // that the results name, of an index also its platforms'; none if they name none
	ScannedAt  time.Time        `json:"scannedAt"`            // as the results say, or else when they were recorded
	Unstated   []Unstated       `json:"unstated,omitempty"`   // what the results do not say, so that scan took it as given
	DatabaseAt time.Time        `json:"databaseAt,omitzero"`  // of the vulnerabilities that the scanner knew; zero if unknown
	Counts     map[Severity]int `json:"counts"`               // of the findings that count; without zeros
	Findings   []Finding        `json:"findings,omitempty"`   // that count, the worst first, at most MaxFindings
	Excused    []Finding        `json:"excused,omitempty"`    // that do not count, at most MaxFindings
	ExcusedAll int              `json:"excusedAll,omitempty"` // number of those that do not count
}

// AddFindings sets the findings and their counts. One that is there twice counts once, and counts unless each is excused.
func (s *Scan) AddFindings(findings []Finding) {
	s.Counts, s.Findings, s.Excused, s.ExcusedAll = map[Severity]int{}, nil, nil, 0
	sorted := slices.Clone(findings)
	slices.SortStableFunc(sorted, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Package, b.Package), boolCompare(a.Excuse != "", b.Excuse != ""), cmp.Compare(a.Severity.rank(), b.Severity.rank()), cmp.Compare(a.Excuse, b.Excuse))
	})
	sorted = slices.CompactFunc(sorted, func(a, b Finding) bool { return a.ID == b.ID && a.Package == b.Package })
	slices.SortStableFunc(sorted, func(a, b Finding) int { return cmp.Compare(a.Severity.rank(), b.Severity.rank()) })
	for _, each := range sorted {
		switch {
		case each.Excuse != "":
			if s.ExcusedAll++; len(s.Excused) < MaxFindings {
				s.Excused = append(s.Excused, each)
			}
		default:
			if s.Counts[each.Severity]++; len(s.Findings) < MaxFindings {
				s.Findings = append(s.Findings, each)
			}
		}
	}
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// String says how many findings there are, the worst first.
func (s Scan) String() string {
	var counts []string
	for _, severity := range Severities {
		if count := s.Counts[severity]; count > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", count, severity))
		}
	}
	if len(counts) == 0 {
		counts = []string{"no findings that count"}
	}
	if s.ExcusedAll > 0 {
		counts = append(counts, fmt.Sprintf("%d do not count", s.ExcusedAll))
	}
	return strings.Join(counts, ", ")
}

// All is the number of findings, with those that do not count.
func (s Scan) All() int {
	all := s.ExcusedAll
	for _, count := range s.Counts {
		all += count
	}
	return all
}

// Above counts the findings above a limit, and returns the worst of them that are named.
func (s Scan) Above(limit Severity) (count int, worst []Finding) {
	for severity, found := range s.Counts {
		if severity.IsAbove(limit) {
			count += found
		}
	}
	for _, each := range s.Findings {
		if each.Severity.IsAbove(limit) {
			worst = append(worst, each)
		}
	}
	return count, worst
}

// repeats reports whether the findings are an earlier scan's by the same scanner, which is not too long ago.
func (s Scan) repeats(earlier Scan) bool {
	return s.Scanner == earlier.Scanner && s.Format == earlier.Format && maps.Equal(s.Counts, earlier.Counts) && slices.Equal(s.Findings, earlier.Findings) &&
		slices.Equal(s.Excused, earlier.Excused) && s.ExcusedAll == earlier.ExcusedAll && slices.Equal(s.Images, earlier.Images) && slices.Equal(s.Unstated, earlier.Unstated) && s.ScannedAt.Sub(earlier.ScannedAt) < ScanFreshFor
}
