package policy

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/text"
)

// Names of the requirements, as the lines of a gate show them.
const (
	FactBuilt       = "built"
	FactListed      = "listed"
	FactDeployed    = "deployed"
	FactSmoked      = "smoked"
	FactScanned     = "scanned"
	FactNotRejected = "not rejected"
	FactChart       = "chart of the commit"
	FactSource      = "chart was run"
)

// Facts are what is known of an image.
type Facts struct {
	Image    release.Image
	Smoked   Finding[release.Record]
	Deployed Finding[Deploy]
	Source   Finding[Deploy] // of the chart and the values that Requirements.Source asks for
	Built    Finding[Build]
	Listed   Finding[List]
	Scanned  Finding[Scan]
	Against  []Rejection         // those that nobody has lifted, the newest first
	Lifted   []release.Digest    // records of rejections that a statement lifts
	Chart    *release.CheckedOut // of chart and values; nil if there are none
	ChartErr error               // why that is unknown
	Set      []string            // paths of values that are of no commit, because settings set them
	Stored   []string            // paths of values that a store of secrets has
	Commit   release.Commit      // whose chart and values they are compared with, as the image's
	Labelled release.Commit      // commit in the image's label; "" if it has none
	Tagged   release.Commit      // commit of chart and values whose tag the image has too, if Commit is not it; "" if none
}

// Finding is the newest fact of a kind that counts.
type Finding[F any] struct {
	Fact  F
	Found bool
	// Other says why the newest one that was found does not count; "" if none was, or one counts.
	Other string
	// Signed is set if the fact counts only with a signature of a trusted signer.
	Signed bool
	Err    error // a *release.UnreadableRecordError: a newer one that cannot be read says otherwise
}

// Deploy is the fact that an image was deployed.
type Deploy struct {
	Environment release.Environment
	At          time.Time
	Signer      string // "" if none is known
}

// Build is the fact that an image was built from a commit.
type Build struct {
	Commit release.Commit
	At     time.Time
	Signer string // "" if none is known
}

// List is the fact that an SBOM says what an image contains.
type List struct {
	Spec       string // version of CycloneDX
	Components int
	At         time.Time // zero if the SBOM has no time
	Signer     string    // "" if none is known
}

// Scan is the fact that a scanner looked for vulnerabilities in an image.
type Scan struct {
	fact.Scan
	Signer string // "" if none is known
}

// Line is one requirement, and what was found.
type Line struct {
	Fact     string     `json:"fact"`
	Required string     `json:"required"`
	Found    string     `json:"found"`
	By       string     `json:"by,omitempty"` // who signed or wrote it; "" if unknown
	At       *time.Time `json:"at,omitempty"`
	Holds    bool       `json:"holds"`
	Do       string     `json:"do,omitempty"` // what would make it hold
	Final    bool       `json:"-"`            // nobody may override it
}

// String is the line of a log.
func (l Line) String() string {
	word := "ok     "
	if !l.Holds {
		word = "MISSING"
	}
	text := fmt.Sprintf("%s %s: required %s; found %s", word, l.Fact, l.Required, l.Found)
	if l.By != "" {
		text += ", by " + l.By
	}
	if l.Do != "" && !l.Holds {
		text += "; to pass: " + l.Do
	}
	return text
}

// Decision is what the rules say about an image and an environment.
type Decision struct {
	Environment release.Environment `json:"environment"`
	Policy      Source              `json:"policy"`
	Opens       bool                `json:"opens"`
	Lines       []Line              `json:"lines"`
	Overridden  *Overridden         `json:"overridden,omitempty"`
}

// Overridden says who entered an environment although a requirement was not met, and why.
type Overridden struct {
	Reason string         `json:"reason"`
	Actor  string         `json:"actor"`
	Record release.Digest `json:"record"` // the signed statement
}

// Evaluate compares what the rules of an environment ask for with what is known of an image. The lines are in the order of the requirements.
func Evaluate(source Source, rung Rung, facts Facts, now time.Time) Decision {
	decision := Decision{Environment: rung.Environment, Policy: source, Opens: true}
	add := func(lines ...Line) { decision.Lines = append(decision.Lines, lines...) }
	if built := rung.Requires.Built; built != nil {
		add(evaluateBuilt(*built, facts, now))
	}
	if rung.Requires.Listed != nil {
		add(evaluateListed(facts, now))
	}
	if deployed := rung.Requires.Deployed; deployed != nil {
		add(evaluateDeployed(*deployed, facts, now))
	}
	if smoked := rung.Requires.Smoked; smoked != nil {
		add(smoked.evaluate(facts, now)...)
	}
	if scanned := rung.Requires.Scanned; scanned != nil {
		add(scanned.evaluate(facts, now))
	}
	if rung.Requires.NotRejected {
		add(evaluateRejections(rung.Environment, facts))
	}
	if rung.Requires.ChartOfCommit && (facts.Chart != nil || facts.ChartErr != nil) {
		add(evaluateChart(facts))
	}
	if source := rung.Requires.Source; source != nil && (facts.Labelled != "" || !facts.names(source.Commit)) {
		add(source.evaluate(facts, now))
	}
	for _, line := range decision.Lines {
		decision.Opens = decision.Opens && line.Holds
	}
	return decision
}

// Missing returns the lines that do not hold.
func (d Decision) Missing() []Line {
	return slices.DeleteFunc(slices.Clone(d.Lines), func(l Line) bool { return l.Holds })
}

// Refusal returns a *release.Refusal that names every requirement which is not met, and what to do; nil if all are met.
func (d Decision) Refusal() error {
	var whys, dos []string
	for _, line := range d.Missing() {
		whys = append(whys, line.Found)
		if line.Do != "" && !slices.Contains(dos, line.Do) {
			dos = append(dos, line.Do)
		}
	}
	if len(whys) == 0 {
		return nil
	}
	return &release.Refusal{Why: strings.Join(whys, "; "), Do: strings.Join(dos, "; ")}
}

// IsFinal reports whether a line that does not hold cannot be overridden.
func (d Decision) IsFinal() bool {
	return slices.ContainsFunc(d.Missing(), func(l Line) bool { return l.Final })
}

// because says why a statement does not count.
func because(other string) string {
	if other == "" {
		return ""
	}
	return " (one does not count: " + other + ")"
}

func evaluateBuilt(_ Built, facts Facts, now time.Time) Line {
	line := Line{Fact: FactBuilt, Required: "the provenance of the image", Do: "run build --sign-key for the commit (for an image that exists, this works only if the Go builder makes the same one again; for an image that Docker built, only a new commit helps)"}
	found := facts.Built
	switch {
	case found.Err != nil:
		line.Found = found.Err.Error()
	case !found.Found:
		line.Found = fmt.Sprintf("no statement that counts says how %s was built%s", facts.Image.Digest, because(found.Other))
	case isFuture(found.Fact.At, now):
		line.Found = "a statement that is dated " + dated(found.Fact.At) + ", which is in the future"
	default:
		line.Holds, line.By = true, found.Fact.Signer
		line.Found = "built from commit " + found.Fact.Commit.Short()
		if !found.Fact.At.IsZero() { // GitHub's provenance has no time
			line.At = &found.Fact.At
			line.Found += " at " + dated(found.Fact.At)
		}
	}
	return line
}

// evaluateListed returns the line for the requirement that an SBOM says what the image contains.
func evaluateListed(facts Facts, now time.Time) Line {
	line := Line{Fact: FactListed, Required: "an SBOM of the image",
		Do: "run build --sign-key for the commit (for an image that exists, this works only if the Go builder makes the same one again), or let a signer attest an SBOM: cosign attest --type cyclonedx"}
	found := facts.Listed
	switch {
	case !found.Found:
		line.Found = fmt.Sprintf("no statement that counts says what %s contains%s", facts.Image.Digest, because(found.Other))
	case isFuture(found.Fact.At, now):
		line.Found = "an SBOM that is dated " + dated(found.Fact.At) + ", which is in the future"
	default:
		line.Holds, line.By = true, found.Fact.Signer
		line.Found = fmt.Sprintf("CycloneDX %s with %d components", found.Fact.Spec, found.Fact.Components)
		if !found.Fact.At.IsZero() { // an SBOM need not have a time
			line.At = &found.Fact.At
			line.Found += " of " + dated(found.Fact.At)
		}
	}
	return line
}

// evaluateDeployed returns the line for the requirement that the image was deployed to an earlier environment.
func evaluateDeployed(want Deployed, facts Facts, now time.Time) Line {
	line := Line{Fact: FactDeployed, Required: fmt.Sprintf("a deploy to %q%s", want.In, atMost(want.MaxAge)), Do: fmt.Sprintf("deploy it to %q with --sign-key", want.In)}
	found := facts.Deployed
	switch {
	case found.Err != nil:
		line.Found = found.Err.Error()
	case !found.Found:
		line.Found = fmt.Sprintf("no statement that counts says that %s was deployed to %q%s", facts.Image.Digest, want.In, because(found.Other))
	case isFuture(found.Fact.At, now):
		line.Found = "a deploy that is dated " + dated(found.Fact.At) + ", which is in the future"
	case want.MaxAge > 0 && now.Sub(found.Fact.At) > want.MaxAge:
		line.Found = fmt.Sprintf("deployed to %q at %s, longer ago than %s", want.In, dated(found.Fact.At), text.Duration(want.MaxAge))
	default:
		line.Holds, line.By, line.At = true, found.Fact.Signer, &found.Fact.At
		line.Found = fmt.Sprintf("deployed to %q at %s", want.In, dated(found.Fact.At))
	}
	return line
}

// evaluate returns a line for the pass, and one for each further condition if there is a pass.
func (s Smoked) evaluate(facts Facts, now time.Time) []Line {
	line := Line{Fact: FactSmoked, Required: fmt.Sprintf("a pass of smoke in %q%s", s.In, atMost(s.MaxAge))}
	found := facts.Smoked
	proof := release.Proof{Image: facts.Image, By: s.In, MaxAge: s.MaxAge, Signed: found.Signed}
	why, do := proof.Explain(found.Fact, found.Found, found.Err, now)
	if why != "" {
		line.Found, line.Do = why, do
		if found.Found {
			line.By, line.At = found.Fact.Signer, &found.Fact.At
		}
		return []Line{line}
	}
	record := found.Fact
	line.Holds, line.By, line.At = true, record.Signer, &record.At
	line.Found = fmt.Sprintf("a pass at %s: %s, %s", dated(record.At), release.Count(len(record.Checks), "check"), release.Count(record.Rounds, "round"))
	lines := []Line{line}
	again := fmt.Sprintf("run smoke in %q with these checks", s.In)
	if s.Soak > 0 {
		left := s.Soak - now.Sub(record.At)
		lines = append(lines, Line{Fact: FactSmoked, Required: fmt.Sprintf("that the pass is at least %s old, without a later failure", text.Duration(s.Soak)),
			Found: fmt.Sprintf("a pass that is %s old", text.Age(now.Sub(record.At))), Holds: left <= 0, Do: fmt.Sprintf("wait %s", text.Duration(left.Round(time.Second)))})
	}
	if s.Checks > 0 {
		lines = append(lines, Line{Fact: FactSmoked, Required: "at least " + release.Count(s.Checks, "check"), Found: release.Count(len(record.Checks), "check"),
			Holds: len(record.Checks) >= s.Checks, Do: again})
	}
	if len(s.CheckNames) > 0 {
		missing := slices.DeleteFunc(slices.Clone(s.CheckNames), func(name string) bool { return slices.Contains(record.Checks, name) })
		named := Line{Fact: FactSmoked, Required: "the checks " + quoted(s.CheckNames), Found: "all of them", Holds: len(missing) == 0, Do: again}
		if !named.Holds {
			named.Found = "a pass without " + quoted(missing)
		}
		lines = append(lines, named)
	}
	if !s.CheckDigest.IsZero() {
		of := Line{Fact: FactSmoked, Required: "checks with the digest " + s.CheckDigest.String(), Found: "a pass of checks with the digest " + record.CheckSet.String(),
			Holds: record.CheckSet == s.CheckDigest, Do: again}
		if record.CheckSet.IsZero() {
			of.Found = "a pass that does not say what its checks were"
		}
		lines = append(lines, of)
	}
	return lines
}

// maxNamed is how many findings a line names.
const maxNamed = 5

// evaluate compares the newest scan. Its age is counted from the scan, not from the record.
func (s Scanned) evaluate(facts Facts, now time.Time) Line {
	line := Line{Fact: FactScanned, Required: s.String(), Do: fmt.Sprintf("scan it, and record the results: scan --image %s --results FILE%s", facts.Image, signHint(s.Signers))}
	found := facts.Scanned
	if !found.Found {
		line.Found = fmt.Sprintf("no statement that counts says what a scan of %s found%s", facts.Image.Digest, because(found.Other))
		return line
	}
	scan := found.Fact
	line.By, line.At = scan.Signer, &scan.ScannedAt
	named := fmt.Sprintf("%s at %s", strings.TrimSpace(scan.Scanner+" "+scan.Version), dated(scan.ScannedAt))
	count, worst := scan.Above(s.MaxSeverity)
	lacking := slices.DeleteFunc(slices.Clone(scan.Unstated), func(each fact.Unstated) bool { return slices.Contains(s.Unstated, each) })
	switch {
	case len(lacking) > 0:
		line.Found = fmt.Sprintf("a scan by %s whose results leave unsaid: %v", named, lacking)
		line.Do = "record results that say when which image was scanned, of an index its digest or those of all platforms; or accept what is unsaid: accept-unstated in the policy"
	case isFuture(scan.ScannedAt, now):
		line.Found = "a scan that is dated " + dated(scan.ScannedAt) + ", which is in the future"
	case now.Sub(scan.ScannedAt) > s.MaxAge:
		line.Found = fmt.Sprintf("a scan by %s, older than %s", named, text.Duration(s.MaxAge))
	case count > 0:
		line.Found = fmt.Sprintf("%d findings by %s: %s", count, named, listed(worst, count))
		line.Do = "update what they are in, and build, prove and scan that; or record why they do not count: scan --vex FILE"
	default:
		line.Holds, line.Found = true, fmt.Sprintf("%s: %s", named, scan.Scan)
		if !scan.DatabaseAt.IsZero() {
			line.Found += ", by vulnerabilities of " + dated(scan.DatabaseAt)
		}
	}
	return line
}

// String says what is asked for.
func (s Scanned) String() string {
	asked := "a scan"
	if s.Scanner != "" {
		asked += " by " + s.Scanner
	}
	asked += fmt.Sprintf(" that is at most %s old", text.Duration(s.MaxAge))
	switch s.MaxSeverity {
	case fact.NoFindings:
		return asked + ", without findings"
	case fact.Critical:
		return asked
	}
	return asked + fmt.Sprintf(", without findings above %s", s.MaxSeverity)
}

// signHint is the rest of a command that records what signers must sign.
func signHint(signers []Signer) string {
	if len(signers) == 0 {
		return ""
	}
	return " --sign-key KEY"
}

// listed names the worst findings of a number of them.
func listed(worst []fact.Finding, count int) string {
	var names []string
	for _, each := range worst[:min(len(worst), maxNamed)] {
		name := each.ID
		if each.Package != "" {
			name += " in " + each.Package
		}
		names = append(names, fmt.Sprintf("%s (%s)", name, each.Severity))
	}
	if more := count - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// evaluateChart returns the line for the requirement that chart and values are those of the image's commit. Values of a store of secrets can be of no commit: the
// line names them.
func evaluateChart(facts Facts) Line {
	line := Line{Fact: FactChart, Required: "chart and values of the image's commit", Do: "check that commit out and deploy its chart and values"}
	var founds, dos []string
	switch {
	case facts.ChartErr != nil:
		founds = append(founds, "whether chart and values are those of the commit is unknown: "+facts.ChartErr.Error())
	case facts.Chart.Unknown:
		founds = append(founds, fmt.Sprintf("chart and values of commit %s; the work tree's history lacks the image's commit, so that they cannot be compared", facts.Chart.Commit.Short()))
	case len(facts.Chart.Differing) > 0:
		founds = append(founds, fmt.Sprintf("chart and values of commit %s, which differ from those of the image's commit", facts.Chart.Commit.Short()))
	case len(facts.Chart.Uncommitted) > 0:
		founds = append(founds, "files that no commit has: "+describeChange(*facts.Chart))
	}
	var elsewhere *ChartElsewhereError
	switch {
	case errors.As(facts.ChartErr, &elsewhere):
		dos = append(dos, elsewhere.Do())
	case facts.Chart != nil && len(facts.Chart.Differing) > 0 && facts.Tagged != "" && facts.Tagged == facts.Chart.Commit:
		dos = append(dos, fmt.Sprintf("give --commit %s, whose tag the image has too, to deploy the chart and the values of that commit", facts.Tagged))
	case len(founds) > 0:
		dos = append(dos, line.Do)
	}
	if len(facts.Set) > 0 {
		founds = append(founds, "values that no commit has: set or set-json sets "+few(facts.Set))
		dos = append(dos, "commit these values in a values file, and leave out set and set-json")
	}
	if len(founds) > 0 {
		line.Found, line.Do = strings.Join(founds, ", and "), strings.Join(dos, ", and ")
		return line
	}
	if line.Holds, line.Found = true, "the same content"; len(facts.Stored) > 0 {
		line.Found += ", with values of stores of secrets for " + few(facts.Stored)
	}
	switch {
	case facts.Labelled == facts.Commit:
	case facts.names(facts.Commit):
		line.Found += fmt.Sprintf("; a statement that counts says that the image is of commit %s", facts.Commit.Short())
	case facts.Labelled == "":
		line.Holds, line.Found = false, fmt.Sprintf("an image without a revision label, of which no statement that counts says that it is of commit %s: everybody who may push can set that commit's tag", facts.Commit.Short())
		line.Do = "label the image when it is built, or record its commit: build with --sign-key, or smoke with --expect-commit"
	default:
		line.Found += fmt.Sprintf("; the image is labelled with commit %s, and its tag alone says that it is that of commit %s too", facts.Labelled.Short(), facts.Commit.Short())
	}
	return line
}

// describeChange says how the first file that no commit has differs, with the chart that it is a file of.
func describeChange(found release.CheckedOut) string {
	name, change := filepath.Base(found.Uncommitted[0]), found.Change
	if change.Path != "" && change.Path != name {
		name = fmt.Sprintf("%s of %s", change.Path, name)
	}
	text := fmt.Sprintf("%s %s", name, change.Kind)
	if change.Note != "" {
		text += " (" + change.Note + ")"
	}
	return text
}

// few names at most maxNamed of several.
func few(names []string) string {
	if len(names) <= maxNamed {
		return quoted(names)
	}
	return fmt.Sprintf("%s and %d more", quoted(names[:maxNamed]), len(names)-maxNamed)
}

// evaluate returns the line for the requirement that an earlier environment ran the chart and the values of a commit.
func (s SourceRun) evaluate(facts Facts, now time.Time) Line {
	short := s.Commit.Short()
	line := Line{Fact: FactSource, Required: fmt.Sprintf("a deploy of this image with chart and values of commit %s to %q", short, s.In),
		Do: fmt.Sprintf("deploy it to %q from a checkout of commit %s, with --commit %s and --sign-key", s.In, short, s.Commit)}
	if s.Smoked {
		line.Required += ", and a pass of smoke before the next one"
		line.Do += ", and run smoke there with --sign-key while that is live"
	}
	found := facts.Source
	switch {
	case found.Err != nil:
		line.Found = found.Err.Error()
	case !found.Found && found.Other != "":
		line.Found = fmt.Sprintf("nothing that counts says that %q proved chart and values of commit %s, which has the image of commit %s: %s", s.In, short, facts.labelled(), found.Other)
	case !found.Found:
		line.Found = fmt.Sprintf("no statement that counts says that %q ran chart and values of commit %s, which has the image of commit %s", s.In, short, facts.labelled())
	case isFuture(found.Fact.At, now):
		line.Found = "a deploy that is dated " + dated(found.Fact.At) + ", which is in the future"
	default:
		line.Holds, line.By, line.At = true, found.Fact.Signer, &found.Fact.At
		line.Found = fmt.Sprintf("chart and values of commit %s were deployed to %q at %s", short, s.In, dated(found.Fact.At))
	}
	return line
}

// labelled names the commit in the image's label.
func (f Facts) labelled() string {
	if f.Labelled == "" {
		return "no label"
	}
	return f.Labelled.Short()
}

// names reports whether a statement that counts says that the image is of a commit.
func (f Facts) names(commit release.Commit) bool {
	return f.Smoked.Err == nil && f.Smoked.Found && f.Smoked.Fact.Verdict == release.Pass && f.Smoked.Fact.Image == f.Image && f.Smoked.Fact.Commit == commit ||
		f.Built.Err == nil && f.Built.Found && f.Built.Fact.Commit == commit
}

func ofTarget(target release.Target) string {
	if target.IsZero() {
		return ""
	}
	return ", of " + target.String() + ","
}

func isFuture(at, now time.Time) bool { return at.After(now.Add(release.ClockSkew)) }

func dated(at time.Time) string {
	if at.IsZero() {
		return "an unknown time"
	}
	return at.UTC().Format(time.RFC3339)
}

func atMost(age time.Duration) string {
	if age == 0 {
		return ""
	}
	return fmt.Sprintf(" that is at most %s old", text.Duration(age))
}

func quoted(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(all, ", ")
}
