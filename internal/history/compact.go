package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Compact says what is done with superseded records.
type Compact string

// What is done with them.
const (
	CompactNothing Compact = ""       // they are not looked for
	CompactList    Compact = "list"   // they are named
	CompactDelete  Compact = "delete" // they are named and deleted
)

// Superseded is a record that no rule and no state depends on: it stands between two records of the same signer that say the same.
type Superseded struct {
	Image       release.Image       `json:"image"`
	Record      release.Digest      `json:"record"`
	Kind        fact.Kind           `json:"kind"`
	Environment release.Environment `json:"environment,omitempty"`
	At          time.Time           `json:"at"`
	Deleted     bool                `json:"deleted"`
}

// compact names the superseded records of the result's images, and deletes them if the settings say so.
func (r *Result) compact(ctx context.Context, settings Settings, deps Deps) error {
	r.Superseded = []Superseded{}
	seen := map[release.Digest]bool{}
	for _, entry := range r.Commits {
		if seen[entry.Image.Digest] || entry.Problem != "" {
			continue
		}
		seen[entry.Image.Digest] = true
		all, err := deps.Evidence.AllRecords(ctx, entry.Image)
		if err != nil {
			return err
		}
		found := superseded(all, entry.Image, deps.Now())
		digests := make([]release.Digest, 0, len(found))
		for _, record := range found {
			deps.Reporter.Infof("superseded: %s of %s at %s: %s", record.Fact, entry.Image.Digest.Short(), record.At.UTC().Format(time.RFC3339), record.Record)
			digests = append(digests, record.Record)
		}
		if settings.Compact == CompactDelete && len(digests) > 0 {
			if err := deps.Registry.DeleteRecords(ctx, entry.Image, digests); err != nil {
				return err
			}
		}
		for _, record := range found {
			r.Superseded = append(r.Superseded, Superseded{Image: entry.Image, Record: record.Record, Kind: record.Kind, Environment: record.Environment, At: record.At, Deleted: settings.Compact == CompactDelete})
		}
	}
	switch {
	case len(r.Superseded) == 0:
		deps.Reporter.Infof("no record is superseded")
	case settings.Compact == CompactDelete:
		deps.Reporter.Infof("deleted %d superseded records", len(r.Superseded))
	default:
		deps.Reporter.Infof("%d records are superseded; --compact delete deletes them", len(r.Superseded))
	}
	return nil
}

// lane are the records that a reader puts in an order to find the newest of them.
type lane struct {
	kind        fact.Kind
	environment release.Environment
	target      release.Target
	scanner     string
}

// superseded returns the records about an image that can go without a change of any answer, the oldest first: passes of smoke, and scans, each between two of
// the same signer and target that say the same, with nothing else about the target between them: no other verdict, and no deploy. The first and the last of such a run stay, and so does what a promotion or a lift names.
// Failures, and all other facts, stay. Where a record of the same kind cannot be read, nothing of its kind goes: it may be a failure.
func superseded(records []fact.Record, image release.Image, now time.Time) (gone []fact.Record) {
	lanes, blocked, named := map[lane][]fact.Record{}, map[fact.Kind]bool{}, map[release.Digest]bool{}
	for _, record := range records {
		switch {
		case record.Problem != "":
			blocked[record.Kind] = true
		case record.Promotion != nil:
			named[record.Promotion.Proof] = true
		case record.Lift != nil:
			for _, each := range record.Lift.Rejections {
				named[each] = true
			}
		case record.Smoke != nil:
			of := lane{kind: fact.Smoked, environment: record.Environment, target: record.Smoke.Target.Identity()}
			lanes[of] = append(lanes[of], record)
		case record.Scan != nil:
			of := lane{kind: fact.Scanned, scanner: record.Scan.Scanner}
			lanes[of] = append(lanes[of], record)
		}
	}
	for of, ordered := range lanes {
		for _, record := range records { // that are about all targets, or may be: a verdict that names none, and a deploy, because the pass after it proves its chart and values
			isOfAll := record.Problem == "" && record.Environment == of.environment && of.kind == fact.Smoked
			if isOfAll && (record.Deployment != nil || record.Smoke != nil && !of.target.IsZero() && record.Smoke.Target.IsZero() && record.Smoke.Verdict != release.Pass) {
				ordered = append(ordered, record)
			}
		}
		if blocked[of.kind] || of.kind == fact.Smoked && blocked[fact.Deployed] {
			continue
		}
		slices.SortFunc(ordered, func(a, b fact.Record) int {
			return cmp.Or(timeOf(a).Compare(timeOf(b)), cmp.Compare(a.Record.String(), b.Record.String()))
		})
		for _, run := range runsOf(ordered, image, now) {
			gone = append(gone, middle(run, ordered, named)...)
		}
	}
	slices.SortFunc(gone, func(a, b fact.Record) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Record.String(), b.Record.String()))
	})
	return gone
}

// timeOf returns the time by which readers order a record: of a scan, that of the scan.
func timeOf(record fact.Record) time.Time {
	if record.Scan != nil {
		return record.Scan.ScannedAt
	}
	return record.At
}

// runsOf returns the longest series of records of one signer that say the same, while nothing else is said by anybody.
func runsOf(ordered []fact.Record, image release.Image, now time.Time) (runs [][]fact.Record) {
	open := map[string][]fact.Record{} // by signer
	for _, record := range ordered {
		for signer, run := range open {
			if !record.SaysSameAs(run[0].Fact) {
				runs = append(runs, run)
				delete(open, signer)
			}
		}
		if canGo(record, image, now) {
			open[record.Signer] = append(open[record.Signer], record)
		}
	}
	for _, run := range open {
		runs = append(runs, run)
	}
	return runs
}

// canGo reports whether a record is of a kind of which older ones can go, and counts as its signer's about this image in its own repository. One that is dated in
// the future does not count yet, so nothing is superseded by it.
func canGo(record fact.Record, image release.Image, now time.Time) bool {
	if !record.Trusted() || !record.Counts() || record.Record.IsZero() || record.Image != image || timeOf(record).After(now) {
		return false
	}
	return record.Scan != nil || record.Smoke != nil && record.Smoke.Origin == "" && record.Smoke.Proves(image, record.Environment, now, 0) == nil
}

// middle returns the records of a run that are certainly later than its first and earlier than its last one, by more than clocks may be apart, and that put no
// record before themselves which the last does not.
func middle(run, ordered []fact.Record, named map[release.Digest]bool) (between []fact.Record) {
	first, last := run[0], run[len(run)-1]
	others := map[release.Digest]bool{} // that say something else
	for _, record := range ordered {
		if record.SaysSameAs(first.Fact) {
			continue
		}
		others[record.Record] = true
		if slices.Contains(record.After, last.Record) && !timeOf(record).After(timeOf(last)) {
			return nil // the order of the two is not certain
		}
	}
	for _, record := range run {
		at := timeOf(record)
		isBetween := timeOf(first).Add(release.ClockSkew).Before(at) && at.Add(release.ClockSkew).Before(timeOf(last))
		ordersMore := slices.ContainsFunc(record.After, func(each release.Digest) bool { return others[each] && !slices.Contains(last.After, each) })
		if isBetween && !ordersMore && !named[record.Record] {
			between = append(between, record)
		}
	}
	return between
}

// checkCompact refuses to look for what is superseded where signatures are not checked: anybody who may push could supersede a record.
func checkCompact(what Compact, verified bool) error {
	if what != CompactNothing && !verified {
		return release.BadSetting("compact", fmt.Sprintf("is %s, and no signers are named", what), "give --verify-key, or a --policy with signers")
	}
	return nil
}
