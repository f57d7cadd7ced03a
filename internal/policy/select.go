package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Trust has the IDs of the keys of signers.
type Trust map[Signer][]string

// By returns the signer whose key, or an identity of whom, signed a record, with the ID of the key if the signer is an alias. id is what the verification
// returned. It returns false if that is none of the signers. Without signers, every record counts, signed or not.
func (t Trust) By(signers []Signer, id string) (name string, counts bool) {
	if len(signers) == 0 {
		return "", true
	}
	identity, isIdentity := release.ParseIdentity(id)
	for _, signer := range signers {
		switch {
		case id == "":
		case isIdentity && signer.Matches(identity):
			return id, true
		case slices.Contains(t[signer], id) && signer.IsAlias():
			return fmt.Sprintf("%s (key %s)", signer, id), true
		case slices.Contains(t[signer], id):
			return signer.String(), true
		}
	}
	return "", false
}

// Select returns, from the records of a registry, the facts that the rules of an environment ask for and whose signatures count. signersOf returns who signs
// facts about an environment. A build, an SBOM or a deploy counts only if it is about the image in its own repository.
func Select(records []fact.Record, image release.Image, rung Rung, signersOf func(release.Environment) []Signer, trust Trust) (facts Facts) {
	facts.Image = image
	if built := rung.Requires.Built; built != nil {
		newest, name, found := newestBy(records, image, fact.Built, "", built.Signers, trust)
		facts.Built = Finding[Build]{Found: found, Other: other(found, records, image, fact.Built, ""), Signed: len(built.Signers) > 0, Fact: Build{Commit: newest.Commit, At: newest.At, Signer: name}}
	}
	if listed := rung.Requires.Listed; listed != nil {
		newest, name, found := newestBy(records, image, fact.Listed, "", listed.Signers, trust)
		facts.Listed = Finding[List]{Found: found, Other: other(found, records, image, fact.Listed, ""), Signed: len(listed.Signers) > 0}
		if found {
			facts.Listed.Fact = List{Spec: newest.SBOM.Spec, Components: newest.SBOM.Components, At: newest.At, Signer: name}
		}
	}
	if deployed := rung.Requires.Deployed; deployed != nil {
		newest, name, found := newestBy(records, image, fact.Deployed, deployed.In, signersOf(deployed.In), trust)
		facts.Deployed = Finding[Deploy]{Found: found, Other: other(found, records, image, fact.Deployed, deployed.In), Signed: len(signersOf(deployed.In)) > 0, Fact: Deploy{Environment: newest.Environment, At: newest.At, Signer: name}}
	}
	if scanned := rung.Requires.Scanned; scanned != nil {
		newest, name, found := newestScan(records, image, *scanned, trust)
		facts.Scanned = Finding[Scan]{Found: found, Other: other(found, scansBy(records, scanned.Scanner), image, fact.Scanned, ""), Signed: len(scanned.Signers) > 0}
		if unread, lost := newestUnread(records, fact.Scanned, "", newest); found && lost {
			facts.Scanned.Found, facts.Scanned.Other = false, "the newest scan, of "+dated(unread.At)+", cannot be read: "+unread.Problem
		} else if found {
			facts.Scanned.Fact = Scan{Scan: *newest.Scan, Signer: name}
		}
	}
	if rung.Requires.NotRejected {
		facts.Against, facts.Lifted = Against(records, image, rung, trust)
	}
	return facts
}

// newestUnread returns the newest record of a kind and an environment that cannot be read and may be newer than a known one; false if there is none. It is not known
// what it says, so that the known one does not say the last. A record without a time may be newer than all.
func newestUnread(records []fact.Record, kind fact.Kind, environment release.Environment, known fact.Record) (newest fact.Record, found bool) {
	for _, record := range records {
		if record.Problem == "" || record.Kind != kind || record.Environment != environment || slices.Contains(known.After, record.Record) || !record.At.IsZero() && record.At.Before(known.At) {
			continue
		}
		if !found || record.At.After(newest.At) {
			newest, found = record, true
		}
	}
	return newest, found
}

// Ran returns the newest deploy to an environment of the image with the chart and the values of a commit, from all records of deploys and smoke. If smoke has to
// have passed, the last verdict of that release while that was live, which is until the next deploy of the release with others, has to be a pass. Only what one of the signers signed counts.
func Ran(records []fact.Record, image release.Image, source SourceRun, signers []Signer, trust Trust) (found Finding[Deploy]) {
	found.Signed = len(signers) > 0
	ofSource := func(r fact.Record) bool {
		return r.Deployment.Source == source.Commit && r.Deployment.RolledBackTo == 0
	}
	var deploys, verdicts []fact.Record
	var newest fact.Record
	for _, record := range records {
		_, counts := trust.By(signers, record.Signer)
		isOf := record.Environment == source.In && record.Image == image && record.Problem == ""
		switch {
		case isOf && counts && record.Deployment != nil:
			deploys = append(deploys, record)
		case isOf && counts && record.Smoke != nil:
			verdicts = append(verdicts, record)
		case isOf && record.Deployment != nil && ofSource(record):
			found.Other = "its deploy is signed by " + cmp.Or(record.Signer, "nobody") + ", who is not one of its signers"
		}
	}
	for _, deploy := range deploys {
		if !ofSource(deploy) || found.Found && !deploy.IsNewerThan(newest) {
			continue
		}
		isLast := func(verdict fact.Record) bool {
			return verdict.IsNewerThan(deploy) && !slices.ContainsFunc(deploys, func(next fact.Record) bool {
				return !ofSource(next) && next.IsOfSameRelease(deploy.Fact) && next.IsNewerThan(deploy) && verdict.IsNewerThan(next)
			})
		}
		last, proved := lastVerdict(verdicts, source.In, deploy, isLast)
		if source.Smoked && (!proved || last.Smoke.Verdict != release.Pass) {
			if found.Other = "it was deployed at " + dated(deploy.At) + ", and no smoke passed while it was live"; proved {
				found.Other = fmt.Sprintf("it was deployed at %s, and the verdict of smoke was %q", dated(deploy.At), last.Smoke.Verdict)
			}
			continue
		}
		if unread, lost := newestUnread(records, fact.Smoked, source.In, last); source.Smoked && lost && isLast(unread) {
			found.Other = fmt.Sprintf("it was deployed at %s, and a verdict of smoke at %s cannot be read: %s", dated(deploy.At), dated(unread.At), unread.Problem)
			continue
		}
		name, _ := trust.By(signers, deploy.Signer)
		found.Found, newest, found.Fact = true, deploy, Deploy{Environment: deploy.Environment, At: deploy.At, Signer: name}
	}
	return found
}

// lastVerdict returns the newest verdict about what a deploy deployed, of those that isLast takes: of its target, or about no target. A pass about no target does not
// supersede a failure of the target.
func lastVerdict(verdicts []fact.Record, in release.Environment, deploy fact.Record, isLast func(fact.Record) bool) (last fact.Record, found bool) {
	own, hasOwn := fact.Newest(verdicts, fact.Smoked, in, func(r fact.Record) bool {
		return !r.Smoke.Target.IsZero() && deploy.Deployment.IsAt(r.Smoke.Target) && isLast(r)
	})
	if hasOwn && own.Smoke.Verdict != release.Pass {
		return own, true
	}
	unnamed, found := fact.Newest(verdicts, fact.Smoked, in, func(r fact.Record) bool { return r.Smoke.Target.IsZero() && isLast(r) })
	if hasOwn && (!found || own.IsNewerThan(unnamed)) {
		return own, true
	}
	return unnamed, found
}

// newestBy returns the newest record of a kind and an environment that one of the signers signed.
func newestBy(records []fact.Record, image release.Image, kind fact.Kind, environment release.Environment, signers []Signer, trust Trust) (newest fact.Record, name string, found bool) {
	newest, found = fact.Newest(records, kind, environment, func(r fact.Record) bool {
		_, counts := trust.By(signers, r.Signer)
		return counts && r.Image == image
	})
	name, _ = trust.By(signers, newest.Signer)
	return newest, name, found
}

// other says why the newest record of a kind and an environment does not count; "" if one was found that does, or there is none.
func other(found bool, records []fact.Record, image release.Image, kind fact.Kind, environment release.Environment) (why string) {
	var newest fact.Record
	for _, record := range records {
		if found || record.Kind != kind || record.Environment != environment || why != "" && !record.At.After(newest.At) {
			continue
		}
		switch newest = record; {
		case record.Problem != "":
			why = record.Problem
		case record.Untrusted != "":
			why = record.Untrusted
		case record.Image.Repository != image.Repository:
			why = "it is about the image in " + record.Image.Repository.String()
		default:
			why = "it is signed by " + cmp.Or(record.Signer, "nobody") + ", who is not one of its signers"
		}
	}
	return why
}

// newestScan returns the newest scan that one of the signers signed, by the time of the scan: one that is recorded late is not newer.
func newestScan(records []fact.Record, image release.Image, wanted Scanned, trust Trust) (newest fact.Record, name string, found bool) {
	newest, found = fact.NewestScan(scansBy(records, wanted.Scanner), func(r fact.Record) bool {
		_, counts := trust.By(wanted.Signers, r.Signer)
		return counts && r.Image == image
	})
	name, _ = trust.By(wanted.Signers, newest.Signer)
	return newest, name, found
}

// scansBy returns the records without the scans by other scanners than the one that is wanted; "" is any.
func scansBy(records []fact.Record, scanner string) []fact.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r fact.Record) bool {
		return scanner != "" && r.Scan != nil && !strings.EqualFold(scanner, r.Scan.Scanner)
	})
}
