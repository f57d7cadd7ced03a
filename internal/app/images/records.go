package images

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// maxSkippedLogged is how many records that cannot be read are reported one by one.
const maxSkippedLogged = 5

// maxAfter is the most earlier records that a record names, and maxPods the most pods, of which the evidence package accepts no more.
const (
	maxAfter = 100
	maxPods  = 1000
)

// recordTypes are the artifact types of records: signed ones and others.
var recordTypes = []string{evidence.ArtifactType, signed.MediaType}

// SignWith makes Record sign what it attaches; nil signs nothing.
func (i *Images) SignWith(signer signed.Signer) { i.signer = signer }

// Trust makes Newest accept passes that one of the trusted signers signed, and no others; if no signer is named, all.
func (i *Images) Trust(trusted []signed.Verifier) { i.trusted = trusted }

// Trusting returns a copy of i that accepts passes as Trust says.
func (i *Images) Trusting(trusted []signed.Verifier) *Images {
	other := *i
	other.trusted = trusted
	return &other
}

// TrustingCopies returns a copy of i that believes some more signers, besides the trusted ones, that an image was copied from another repository. What is recorded there counts
// only if a trusted one signed it.
func (i *Images) TrustingCopies(copiers []signed.Verifier) *Images {
	other := *i
	other.copiers = copiers
	return &other
}

// Record attaches evidence to the image, as a referrer of its digest. The new record names the environment's records that the registry
// lists already: this proves that they are older, without comparing clocks.
func (i *Images) Record(ctx context.Context, found release.Evidence) (release.Digest, error) {
	environment := map[string]string{evidence.AnnotationEnvironment: found.Environment.String()}
	target := evidence.EncodeTarget(found.Target)
	earlier, err := i.registry.ListReferrers(ctx, found.Image, recordTypes, environment)
	if err != nil {
		return release.Digest{}, err
	}
	found.After = earlier[:min(len(earlier), maxAfter)]
	found.Pods = found.Pods[:min(len(found.Pods), maxPods)]
	content, err := evidence.Encode(i.redact(found))
	if err != nil {
		return release.Digest{}, err
	}
	annotations := map[string]string{
		evidence.AnnotationEnvironment: found.Environment.String(),
		evidence.AnnotationVerdict:     string(found.Verdict),
	}
	if target != "" {
		annotations[evidence.AnnotationTarget] = target
	}
	return i.attach(ctx, found.Image, content, evidence.PredicateType, annotations)
}

// isOther reports whether annotations declare another statement than smoke's verdict.
func isOther(annotations map[string]string) bool {
	kind, declared := declaredKind(annotations)
	return declared && kind != fact.Smoked
}

// Newest returns the record that says whether an environment proved an image, as evidence.Latest decides without the failures that are lifted; false if there is
// none. A record that cannot be read is reported and skipped: it proves nothing, and anybody who may push can attach one. If
// its annotations declare another verdict than a pass, and it may be later than the pass that was found, the error is a
// *release.UnreadableRecordError; if they declare no verdict and the registry may serve the record at another time, it is a *release.Fault.
func (i *Images) Newest(ctx context.Context, image release.Image, environment release.Environment, lifted ...release.Digest) (release.Record, bool, error) {
	entries, unavailable, err := i.readRecords(ctx, image, environment)
	if err != nil {
		return release.Record{}, false, err
	}
	latest, found := evidence.Latest(withoutLifted(entries, lifted), image, environment, i.now())
	return unavailable.newestRecord(latest, found, environment)
}

// NewestAt is Newest for one target of an environment, as evidence.LatestAt decides.
func (i *Images) NewestAt(ctx context.Context, image release.Image, environment release.Environment, target release.Target) (release.Record, bool, error) {
	entries, unavailable, err := i.readRecords(ctx, image, environment)
	if err != nil {
		return release.Record{}, false, err
	}
	latest, found := evidence.LatestAt(entries, image, environment, target, i.now())
	return unavailable.newestRecord(latest, found, environment)
}

// NewestOfEach returns what NewestAt does for each target of an environment of which a verdict is recorded, in the order of release.Target.Compare. Of a record
// that cannot be read it has what its annotations say.
func (i *Images) NewestOfEach(ctx context.Context, image release.Image, environment release.Environment, lifted ...release.Digest) (newest []release.Record, err error) {
	entries, _, err := i.readRecords(ctx, image, environment)
	if err != nil {
		return nil, err
	}
	entries = withoutLifted(entries, lifted)
	var targets []release.Target
	for _, each := range entries {
		if !slices.ContainsFunc(targets, each.Evidence.Target.Is) {
			targets = append(targets, each.Evidence.Target)
		}
	}
	slices.SortFunc(targets, release.Target.Compare)
	for _, target := range targets {
		latest, found := evidence.LatestAt(entries, image, environment, target, i.now())
		if !found {
			continue
		}
		record := release.Record{Evidence: latest.Evidence, Record: latest.Record, Signer: latest.Signer}
		record.Target = target
		if !latest.Readable {
			record.Environment, record.Verdict, record.At = environment, latest.Verdict, latest.At
		}
		newest = append(newest, record)
	}
	return newest, nil
}

// withoutLifted returns the entries without the verdicts that are lifted.
func withoutLifted(entries []evidence.Entry, lifted []release.Digest) []evidence.Entry {
	return slices.DeleteFunc(entries, func(each evidence.Entry) bool {
		return each.Verdict != release.Pass && !each.Record.IsZero() && slices.Contains(lifted, each.Record)
	})
}

// unavailableRecord is a record that the registry failed to serve, and may serve at another time.
type unavailableRecord struct {
	evidence.Entry
	err error
}

// unavailableRecords are those that may be a pass: they declare one, or no verdict.
type unavailableRecords []unavailableRecord

// mayDecide returns why one cannot be read that may say otherwise than what was found; nil if there is none. Beside a pass, that is one that declares no verdict and
// is not certainly older: it may be a failure.
func (u unavailableRecords) mayDecide(latest evidence.Entry, found bool) error {
	for _, each := range u {
		if !found || latest.Readable && latest.Verdict == release.Pass && each.Verdict == "" && each.MayFollow(latest) {
			return each.err
		}
	}
	return nil
}

// newestRecord returns what was found as Newest does.
func (u unavailableRecords) newestRecord(latest evidence.Entry, found bool, environment release.Environment) (release.Record, bool, error) {
	unavailable := u.mayDecide(latest, found)
	switch {
	case unavailable != nil:
		return release.Record{}, false, &release.Fault{Side: "registry", Err: unavailable, Do: "run again; if the registry lost the record, run smoke again, which records a new one"}
	case !found:
		return release.Record{}, false, nil
	case latest.Readable:
		return release.Record{Evidence: latest.Evidence, Record: latest.Record, Signer: latest.Signer}, true, nil
	}
	unreadable := &release.UnreadableRecordError{Record: latest.Listed, Environment: environment, Verdict: latest.Verdict, Target: latest.Evidence.Target}
	if !latest.At.IsZero() {
		unreadable.Created = latest.At.Format(time.RFC3339)
	}
	return release.Record{}, false, unreadable
}

// readRecords reads the records of an environment about an image, the newest first, without those that a pass settles.
// unavailable are the records that may be a pass and that the registry may serve at another time.
func (i *Images) readRecords(ctx context.Context, image release.Image, environment release.Environment) (entries []evidence.Entry, unavailable unavailableRecords, err error) {
	pushedAt, err := i.pushedAt(ctx, image.Repository)
	if err != nil {
		return nil, nil, err
	}
	var passes []evidence.Entry // of the entries: nothing else settles what the rest says
	now := i.now()
	query := registry.ReferrerQuery{
		ArtifactTypes: recordTypes, Annotations: map[string]string{evidence.AnnotationEnvironment: environment.String()}, Skip: isOther, PushedAt: pushedAt,
		Leave: func(next registry.Referrer) bool {
			if next.Annotations[evidence.AnnotationVerdict] == "" && next.Annotations[evidence.AnnotationTarget] == "" {
				return false // another program's, whose statement may name a target
			}
			unread := evidence.Entry{At: next.Created(), PushedAt: next.PushedAt, Evidence: release.Evidence{Target: evidence.DecodeTarget(next.Annotations[evidence.AnnotationTarget])}}
			return slices.ContainsFunc(passes, func(each evidence.Entry) bool { return each.Settles(unread, image, environment, now) })
		},
	}
	var from origins
	skippedCount := 0
	defer func() {
		if more := skippedCount - maxSkippedLogged; more > 0 {
			i.reporter.Warnf("skipping %d more records of %s that cannot be read", more, image.Digest.Short())
		}
	}()
	for referrer, err := range i.referrers(ctx, image, query) {
		var skippedRecord *registry.SkippedReferrerError
		switch {
		case errors.As(err, &skippedRecord):
			if skippedCount++; skippedCount <= maxSkippedLogged {
				i.reporter.Warnf("skipping a record of %s that cannot be read: %v", image.Digest.Short(), skippedRecord)
			}
			skipped, _ := release.ParseDigest(skippedRecord.Digest) // zero if the registry lists something else
			entry := unreadable(evidence.Entry{Listed: skippedRecord.Digest, Record: skipped, At: skippedRecord.Created(), PushedAt: skippedRecord.PushedAt},
				skippedRecord.Annotations, environment)
			if entries = append(entries, entry); skippedRecord.Unavailable && (entry.Verdict == release.Pass || entry.Verdict == "") {
				unavailable = append(unavailable, unavailableRecord{entry, skippedRecord})
			}
		case err != nil:
			return nil, nil, err
		default:
			entry, err := i.attributeCopied(ctx, &from, i.decode(referrer, image, environment), image)
			if err != nil {
				return nil, nil, err
			}
			if entries = append(entries, entry); entry.Readable {
				passes = append(passes, entry)
			}
		}
	}
	return entries, unavailable, nil
}

// pushedAt returns a function that asks a repository's registry when manifests were pushed; nil if the registry is not ECR.
func (i *Images) pushedAt(ctx context.Context, repository release.Repository) (func(context.Context, []release.Digest) map[release.Digest]time.Time, error) {
	owned, err := i.ecr.Owns(ctx, repository.Host())
	if err != nil || !owned {
		return nil, err
	}
	return func(ctx context.Context, digests []release.Digest) map[release.Digest]time.Time {
		pushed, err := i.ecr.PushedAt(ctx, repository, digests)
		if err != nil {
			i.reporter.Warnf("ordering the records of %s by the clocks of their writers: %v", repository, err)
		}
		return pushed
	}, nil
}

// decode reads a record. One that contradicts what it is attached to, or its annotations, is as one that cannot be read, and so is a pass that
// no trusted key signed.
func (i *Images) decode(referrer registry.Referrer, image release.Image, environment release.Environment) evidence.Entry {
	entry := evidence.Entry{Listed: referrer.Digest.String(), Record: referrer.Digest, At: referrer.Created(), PushedAt: referrer.PushedAt}
	statement, by, untrusted := openRecord(referrer, i.trusted)
	if statement == nil {
		i.reporter.Warnf("skipping the record %s: %v", referrer.Digest, untrusted)
		return unreadable(entry, referrer.Annotations, environment)
	}
	read, err := evidence.Decode(statement)
	switch {
	case err != nil:
		i.reporter.Warnf("skipping the record %s: %v", referrer.Digest, err)
	case read.Image.Digest != image.Digest:
		i.reporter.Warnf("skipping the record %s: it is about %s", referrer.Digest, read.Image.Digest)
	case read.Environment != environment:
		i.reporter.Warnf("skipping the record %s: it is from %q", referrer.Digest, read.Environment)
	case untrusted != nil && read.Verdict == release.Pass:
		i.reporter.Warnf("skipping the record %s: %v", referrer.Digest, untrusted)
	default:
		entry.Evidence, entry.Readable, entry.Verdict, entry.At, entry.Signer = read, true, read.Verdict, read.At, by
		return entry
	}
	return unreadable(entry, referrer.Annotations, environment)
}

// errUnsigned is the error of a record without a signature if signers are trusted.
var errUnsigned = errors.New("it is not signed, and only signed records are trusted")

// openRecord returns a record's statement, nil if there is none, and the ID of the key or the identity that signed it. If signers are trusted and none of
// them signed it, openRecord returns the statement with an error: a verdict against the image counts even if it is not trusted.
func openRecord(referrer registry.Referrer, trusted []signed.Verifier) (statement []byte, by string, untrusted error) {
	if referrer.MediaType != signed.MediaType {
		if len(trusted) > 0 {
			untrusted = errUnsigned
		}
		return referrer.Content, "", untrusted
	}
	envelope, err := signed.Parse(referrer.Content)
	if err != nil {
		return nil, "", err
	}
	if len(trusted) == 0 {
		return envelope.Payload, "", nil
	}
	by, err = envelope.Verify(trusted)
	return envelope.Payload, by, err
}

// unreadable completes an entry by what annotations declare. Those that name no verdict, or another environment, declare nothing.
func unreadable(entry evidence.Entry, annotations map[string]string, environment release.Environment) evidence.Entry {
	if annotations[evidence.AnnotationEnvironment] == environment.String() {
		entry.Verdict = release.Verdict(annotations[evidence.AnnotationVerdict])
		entry.Evidence.Target = evidence.DecodeTarget(annotations[evidence.AnnotationTarget])
	}
	return entry
}
