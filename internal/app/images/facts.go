package images

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/text"
)

// RecordFact attaches a fact to its image, as a referrer of its digest, signed if there is a signer. A fact that the newest record of its kind and
// environment, and of its cluster, namespace and release if it is a deployment, states already is not written again: if there is a signer, a record
// counts only if that key signed it. A scan is not written again only if the newest by the time of the scan, whoever signed it and of whichever scanner, states it: that is
// the one that a policy reads. A rejection is always written, unless that key signed the same one and nothing lifts it. It returns the digest
// of the record, and whether it is new.
func (i *Images) RecordFact(ctx context.Context, f fact.Fact) (record release.Digest, created bool, err error) {
	f = i.redactFact(f)
	reading := i
	if i.signer != nil {
		reading = i.Trusting([]signed.Verifier{i.signer.Verifier()})
	}
	earlier, err := reading.Facts(ctx, f.Image, f.Kind)
	if err != nil {
		return release.Digest{}, false, err
	}
	if newest, found := i.newestLike(f, earlier); found && f.Repeats(newest.Fact) {
		counts := f.Kind != fact.Rejected
		if !counts && i.signer != nil {
			lifted, err := i.IsLifted(ctx, f.Image, newest.Record)
			if err != nil {
				return release.Digest{}, false, err
			}
			counts = !lifted
		}
		if counts {
			return newest.Record, false, nil
		}
	}
	if f.Kind != fact.Built && f.Kind != fact.Listed {
		f.After = recordsOf(earlier, f.Environment)
	}
	content, err := evidence.EncodeFact(f)
	if err != nil {
		return release.Digest{}, false, err
	}
	annotations := map[string]string{evidence.AnnotationFact: string(f.Kind)}
	if f.Environment != "" {
		annotations[evidence.AnnotationEnvironment] = f.Environment.String()
	}
	record, err = i.attach(ctx, f.Image, content, evidence.TypeOf(f.Kind), annotations)
	return record, err == nil, err
}

// IsRecorded reports whether a fact of a kind is attached to an image that the signer's key signed; without a signer, whether any is.
func (i *Images) IsRecorded(ctx context.Context, image release.Image, kind fact.Kind) (bool, error) {
	reading := i
	if i.signer != nil {
		reading = i.Trusting([]signed.Verifier{i.signer.Verifier()})
	}
	records, err := reading.Facts(ctx, image, kind)
	return slices.ContainsFunc(records, func(record fact.Record) bool {
		return record.Kind == kind && record.Problem == "" && (i.signer == nil || record.Trusted())
	}), err
}

// newestLike returns the newest record that a fact may repeat; false if there is none.
func (i *Images) newestLike(f fact.Fact, records []fact.Record) (newest fact.Record, found bool) {
	isOwn := func(record fact.Record) bool { return i.signer == nil || record.Trusted() }
	if f.Scan != nil {
		newest, found = fact.NewestScan(records, nil)
		return newest, found && isOwn(newest)
	}
	return fact.Newest(records, f.Kind, f.Environment, func(record fact.Record) bool { return isOwn(record) && f.IsOfSameRelease(record.Fact) })
}

// IsLifted reports whether a statement about the image lifts a rejection or a failed verdict. The signature is not checked: any such statement is reason enough to record the rejection again.
func (i *Images) IsLifted(ctx context.Context, image release.Image, record release.Digest) (bool, error) {
	statements, err := i.Facts(ctx, image, fact.Lifted)
	return slices.ContainsFunc(statements, func(r fact.Record) bool {
		return r.Problem == "" && r.Lift != nil && slices.Contains(r.Lift.Rejections, record)
	}), err
}

// DeployedSince reports whether the newest record of a deploy of the image to the verdict's environment, and to its target if it names one, whoever wrote it, is newer than the
// verdict, and of chart and values of another commit than the verdict's.
func (i *Images) DeployedSince(ctx context.Context, verdict release.Record) (bool, error) {
	records, err := i.Trusting(nil).FactsIn(ctx, verdict.Image, verdict.Environment, fact.Deployed)
	newest, found := fact.Newest(records, fact.Deployed, verdict.Environment, func(r fact.Record) bool { return r.Deployment.IsAt(verdict.Target) })
	smoked := fact.Record{Fact: fact.FromEvidence(verdict.Evidence), Record: verdict.Record}
	return found && newest.IsNewerThan(smoked) && newest.Deployment.Source != "" && newest.Deployment.Source != verdict.Commit, err
}

// Signing returns a copy of i whose records are signed by the signer; nil signs nothing.
func (i *Images) Signing(signer signed.Signer) *Images {
	other := *i
	other.signer = signer
	return &other
}

// attach attaches a statement to an image, in a signed bundle if there is a signer. It adds the bundle's annotations to the given ones.
func (i *Images) attach(ctx context.Context, image release.Image, statement []byte, predicateType string, annotations map[string]string) (release.Digest, error) {
	artifactType, mediaType, content := evidence.ArtifactType, evidence.MediaType, statement
	if i.signer != nil {
		err := i.checkLegacy(ctx, image)
		if err != nil {
			return release.Digest{}, err
		}
		if content, err = i.signer.SignStatement(ctx, statement); err != nil {
			return release.Digest{}, err
		}
		artifactType, mediaType = signed.MediaType, signed.MediaType
		annotations[signed.AnnotationContent], annotations[signed.AnnotationPredicateType] = signed.ContentEnvelope, predicateType
	}
	return i.registry.Attach(ctx, image, artifactType, mediaType, content, annotations)
}

// DeleteRecords deletes records about an image. Those that are gone already are no error.
func (i *Images) DeleteRecords(ctx context.Context, image release.Image, records []release.Digest) error {
	owned, err := i.ecr.Owns(ctx, image.Repository.Host())
	if err != nil {
		return err
	}
	if owned {
		return i.ecr.Delete(ctx, image.Repository, records)
	}
	return i.registry.Detach(ctx, image, records, recordTypes)
}

// recordsOf returns the records of an environment, at most maxAfter.
func recordsOf(records []fact.Record, environment release.Environment) (digests []release.Digest) {
	for _, record := range records {
		if record.Environment == environment && !record.Record.IsZero() && len(digests) < maxAfter {
			digests = append(digests, record.Record)
		}
	}
	return digests
}

// Facts reads the records of some kinds about an image, the newest first by their annotations; of all kinds if none is given. Whether a record is
// trusted is in its Signer, as Trust says. A record that cannot be read is among them, with its Problem, if its annotations declare its kind; the
// others are reported and left out. At most 64 MiB are read: more are a *release.Fault, because a part does not show what is the newest.
func (i *Images) Facts(ctx context.Context, image release.Image, kinds ...fact.Kind) ([]fact.Record, error) {
	if len(kinds) == 0 {
		kinds = fact.Kinds
	}
	return i.factsWhere(ctx, image, func(kind fact.Kind, _ map[string]string) bool { return slices.Contains(kinds, kind) })
}

// FactsIn reads the facts of some kinds about an environment, "" for those about none, as Facts does.
func (i *Images) FactsIn(ctx context.Context, image release.Image, environment release.Environment, kinds ...fact.Kind) ([]fact.Record, error) {
	records, err := i.Facts(ctx, image, kinds...)
	return slices.DeleteFunc(records, func(r fact.Record) bool { return r.Environment != environment }), err
}

// FactsAgainst reads the facts of some kinds, as Facts does, and of the verdicts of smoke those that an environment failed.
func (i *Images) FactsAgainst(ctx context.Context, image release.Image, environment release.Environment, kinds ...fact.Kind) ([]fact.Record, error) {
	return i.factsWhere(ctx, image, func(kind fact.Kind, annotations map[string]string) bool {
		return isAgainst(kind, annotations, environment, kinds)
	})
}

// isAgainst reports whether a record is of one of the kinds, or a verdict of smoke that failed in the environment.
func isAgainst(kind fact.Kind, annotations map[string]string, environment release.Environment, kinds []fact.Kind) bool {
	if kind != fact.Smoked {
		return slices.Contains(kinds, kind)
	}
	return annotations[evidence.AnnotationEnvironment] == environment.String() && annotations[evidence.AnnotationVerdict] == string(release.Fail)
}

// factsWhere reads the records whose annotations the function wanted accepts, and those whose annotations declare no kind.
func (i *Images) factsWhere(ctx context.Context, image release.Image, wanted func(fact.Kind, map[string]string) bool) ([]fact.Record, error) {
	query := registry.ReferrerQuery{ArtifactTypes: recordTypes, Skip: func(annotations map[string]string) bool {
		kind, declared := declaredKind(annotations)
		return declared && !wanted(kind, annotations)
	}}
	var from origins
	var records []fact.Record
	var unreadable []string // why records that declare no kind cannot be read
	for referrer, err := range i.referrers(ctx, image, query) {
		record, annotations := fact.Record{Record: referrer.Digest}, referrer.Annotations
		var skipped *registry.SkippedReferrerError
		switch {
		case errors.As(err, &skipped):
			record.Record, _ = release.ParseDigest(skipped.Digest) // zero if the registry lists something else
			record.Problem, annotations = skipped.Err.Error(), skipped.Annotations
			declare(&record, skipped.Annotations, registry.Referrer{Annotations: skipped.Annotations})
		case err != nil:
			return nil, err
		default:
			i.readFact(&record, referrer, image)
			if err := i.attributeCopiedFact(ctx, &from, &record.Fact, image); err != nil {
				return nil, err
			}
		}
		switch {
		case record.Problem != "" && record.Kind == "":
			unreadable = append(unreadable, fmt.Sprintf("%s: %s", record.Record, record.Problem))
		case wanted(record.Kind, annotations):
			records = append(records, record)
		}
	}
	if len(unreadable) > 0 {
		i.reporter.Warnf("skipping %d records of %s that cannot be read, the first: %s", len(unreadable), image.Digest.Short(), unreadable[0])
	}
	return records, nil
}

// readFact reads a record's statement, and verifies its signature if keys are trusted.
func (i *Images) readFact(record *fact.Record, referrer registry.Referrer, image release.Image) {
	record.Signed = referrer.MediaType == signed.MediaType
	statement, by, untrusted := openRecord(referrer, i.trusted)
	var read fact.Fact
	err := untrusted
	if statement != nil {
		read, err = evidence.DecodeFact(statement)
	}
	if err == nil && read.Image.Digest != image.Digest {
		err = fmt.Errorf("it is about %s", read.Image.Digest)
	}
	if err != nil {
		record.Problem = err.Error()
		declare(record, referrer.Annotations, referrer)
		return
	}
	record.Fact, record.Signer = read, by
	if untrusted != nil {
		record.Signer, record.Untrusted = "", text.Line(untrusted.Error(), maxReason)
	}
}

// maxReason is the longest reason why a record does not count, in bytes.
const maxReason = 1000

// declare fills in what the annotations say about a record that cannot be read.
func declare(record *fact.Record, annotations map[string]string, referrer registry.Referrer) {
	record.Kind, _ = declaredKind(annotations)
	record.At = referrer.Created()
	if environment, err := release.ParseEnvironment(annotations[evidence.AnnotationEnvironment]); err == nil {
		record.Environment = environment
	}
}

// declaredKind returns the kind that annotations declare, "" for the kind of another program's statement; false if they declare none.
func declaredKind(annotations map[string]string) (kind fact.Kind, declared bool) {
	if predicateType, isBundle := annotations[signed.AnnotationPredicateType]; isBundle {
		kind, _ = evidence.KindOf(predicateType)
		return kind, true
	}
	if named, isFact := annotations[evidence.AnnotationFact]; isFact {
		return fact.Kind(named), true
	}
	if _, isVerdict := annotations[evidence.AnnotationVerdict]; isVerdict {
		return fact.Smoked, true
	}
	return "", false
}

// redactFact redacts what a fact says in words. What identifies the image, the environment and the release is not secret.
func (i *Images) redactFact(f fact.Fact) fact.Fact {
	redact := i.secrets.Hide
	f.By, f.Run = redact(f.By), redact(f.Run)
	if f.Build != nil {
		build := *f.Build
		build.Source, build.Builder = redact(build.Source), redact(build.Builder)
		f.Build = &build
	}
	if f.SBOM != nil {
		sbom := *f.SBOM
		sbom.Document = []byte(i.secrets.Redact(string(sbom.Document))) // EncodeFact refuses it if that makes it something else
		f.SBOM = &sbom
	}
	if f.Scan != nil {
		scan := *f.Scan
		scan.Scanner, scan.Version = redact(scan.Scanner), redact(scan.Version)
		for _, list := range []*[]fact.Finding{&scan.Findings, &scan.Excused} {
			*list = slices.Clone(*list)
			for at, each := range *list {
				(*list)[at].ID, (*list)[at].Package, (*list)[at].Excuse = redact(each.ID), redact(each.Package), redact(each.Excuse)
			}
		}
		f.Scan = &scan
	}
	if f.Deployment != nil {
		deployment := *f.Deployment
		deployment.Cluster, deployment.Server, deployment.Chart = i.secrets.Pseudonym(deployment.Cluster), i.secrets.Pseudonym(deployment.Server), redact(deployment.Chart)
		deployment.Set = slices.Clone(deployment.Set)
		for at := range deployment.Set {
			deployment.Set[at] = redact(deployment.Set[at])
		}
		f.Deployment = &deployment
	}
	if f.Promotion != nil {
		promotion := *f.Promotion
		promotion.Override = redact(promotion.Override)
		f.Promotion = &promotion
	}
	if f.Rejection != nil {
		rejection := *f.Rejection
		rejection.Reason = redact(rejection.Reason)
		f.Rejection = &rejection
	}
	if f.Lift != nil {
		lift := *f.Lift
		lift.Reason = redact(lift.Reason)
		f.Lift = &lift
	}
	if f.Override != nil {
		override := *f.Override
		override.Reason = redact(override.Reason)
		override.Missing = slices.Clone(override.Missing)
		for at := range override.Missing {
			override.Missing[at] = redact(override.Missing[at])
		}
		f.Override = &override
	}
	if f.Smoke != nil {
		smoke := i.redact(*f.Smoke)
		f.Smoke = &smoke
	}
	return f
}

// Tags lists the tags of a repository.
func (i *Images) Tags(ctx context.Context, repository release.Repository) ([]release.Tag, error) {
	return i.registry.Tags(ctx, repository)
}
