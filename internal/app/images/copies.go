package images

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/onedigest/onedigest/internal/evidence"
	"github.com/onedigest/onedigest/internal/evidence/copied"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/registry"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// maxCopied is the most records of one image that are copied, the newest; other verifiers give up at 50 referrers.
const maxCopied = 200

// CopyEvidence copies the evidence about an image into another repository that has the image, in this order: all rejections and failed verdicts, the
// record that the promotion relied on, the other records and signed bundles. Each keeps its bytes. Last it attaches the statement that the image was
// copied, which lets Newest accept the copied records; the statement is signed if SignWith was called. Records that the target has already stay. A registry that can list no referrers stores none: that is
// reported and is not an error, because the image was promoted on the evidence in its own registry.
func (i *Images) CopyEvidence(ctx context.Context, image release.Image, record release.Digest, to release.Repository, run string) error {
	err := i.copyEvidence(ctx, image, record, to, run)
	if errors.Is(err, registry.ErrNoReferrers) {
		i.reporter.Warnf("the evidence was not copied and is in %s only: %v", image.Repository, err)
		return nil
	}
	return err
}

// copyEvidence is CopyEvidence, except that a target which cannot list referrers is an error.
func (i *Images) copyEvidence(ctx context.Context, image release.Image, record release.Digest, to release.Repository, run string) error {
	if err := i.copyRejections(ctx, image, to); err != nil {
		return err
	}
	if !record.IsZero() { // without a proof, the rules require none or were overridden
		if err := i.registry.CopyReferrer(ctx, image, record, to); err != nil {
			return err
		}
	}
	left, err := i.registry.CopyReferrers(ctx, image, recordTypes, to, maxCopied, func(err error) {
		i.reporter.Warnf("a record of %s is not copied: %v", image.Digest.Short(), err)
	})
	if err != nil {
		return err
	}
	if left > 0 {
		i.reporter.Warnf("%d older records of %s are not copied, only the newest %d", left, image.Digest.Short(), maxCopied)
	}
	return i.recordCopy(ctx, copied.Copy{Digest: image.Digest, From: image.Repository, To: to, At: i.now(), Run: i.secrets.Hide(run)})
}

// copyRejections copies an image's rejections and failed smoke verdicts. If one of them cannot be copied, the error is a *release.Fault, because the
// target would otherwise accept a rejected image.
func (i *Images) copyRejections(ctx context.Context, image release.Image, to release.Repository) error {
	against, err := i.factsWhere(ctx, image, func(kind fact.Kind, annotations map[string]string) bool {
		return kind == fact.Rejected || kind == fact.Smoked && annotations[evidence.AnnotationVerdict] == string(release.Fail)
	})
	if err != nil || len(against) == 0 {
		return err
	}
	present, err := i.registry.ListReferrers(ctx, to.At(image.Digest), recordTypes, nil)
	if err != nil {
		return err
	}
	for _, each := range against {
		if slices.Contains(present, each.Record) {
			continue
		}
		if each.Record.IsZero() {
			return &release.Fault{Side: "registry", Err: fmt.Errorf("a record (%s) of %q has no digest and cannot be copied: %s", each.Fact, image, each.Problem), Do: "remove it from the registry"}
		}
		if err := i.registry.CopyReferrer(ctx, image, each.Record, to); err != nil {
			return err
		}
	}
	return nil
}

// recordCopy attaches the statement about a copy to the image at the target, unless an equal one that would be trusted as much is already there.
func (i *Images) recordCopy(ctx context.Context, of copied.Copy) error {
	var trusted []signed.Verifier
	if i.signer != nil {
		trusted = []signed.Verifier{i.signer.Verifier()}
	}
	known, err := i.readCopies(ctx, of.To.At(of.Digest), trusted)
	if err != nil || slices.ContainsFunc(known, func(each copied.Copy) bool { return each.From == of.From && each.To == of.To }) {
		return err
	}
	content, err := copied.Encode(of)
	if err != nil {
		return err
	}
	_, err = i.attach(ctx, of.To.At(of.Digest), content, copied.PredicateType, map[string]string{signed.AnnotationPredicateType: copied.PredicateType})
	return err
}

// readCopies reads the statements that an image was copied into its repository, directly or over other repositories. If anybody is trusted, only
// statements that one of them signed are returned.
func (i *Images) readCopies(ctx context.Context, image release.Image, trusted []signed.Verifier) (copies []copied.Copy, err error) {
	query := registry.ReferrerQuery{ArtifactTypes: recordTypes,
		// A registry's list may lack annotations; then those of the manifest decide.
		Skip: func(annotations map[string]string) bool {
			return len(annotations) > 0 && annotations[signed.AnnotationPredicateType] != copied.PredicateType
		}}
	for referrer, err := range i.referrers(ctx, image, query) {
		var skipped *registry.SkippedReferrerError
		switch {
		case errors.As(err, &skipped):
			i.reporter.Warnf("skipping a statement about %s that cannot be read: %v", image.Digest.Short(), skipped)
			continue
		case err != nil:
			return nil, err
		}
		read, err := readCopy(referrer, image.Digest, trusted)
		if err != nil {
			i.reporter.Warnf("skipping the statement %s: %v", referrer.Digest, err)
			continue
		}
		copies = append(copies, read)
	}
	return copies, nil
}

// readCopy reads the statement of a referrer about a digest.
func readCopy(referrer registry.Referrer, digest release.Digest, trusted []signed.Verifier) (copied.Copy, error) {
	statement, _, err := openRecord(referrer, trusted)
	if err != nil {
		return copied.Copy{}, err
	}
	read, err := copied.Decode(statement)
	if err == nil && read.Digest != digest {
		err = fmt.Errorf("it is about %s", read.Digest)
	}
	return read, err
}

// origins caches the repositories that an image was copied from; they are read when first needed.
type origins struct {
	read  bool
	known []release.Repository
}

// accepts reports whether evidence about the image in another repository counts for this repository: a trusted statement says that the image was
// copied from there.
func (i *Images) accepts(ctx context.Context, of *origins, image release.Image, in release.Repository) (bool, error) {
	if !of.read {
		trusted := i.trusted
		if len(trusted) > 0 {
			trusted = slices.Concat(trusted, i.copiers)
		}
		copies, err := i.readCopies(ctx, image, trusted)
		if err != nil {
			return false, err
		}
		of.read, of.known = true, copied.Sources(copies, image.Digest, image.Repository)
	}
	return slices.Contains(of.known, in), nil
}

// attributeCopied attributes evidence about the image in another repository to this repository, if a statement says that the image was copied from there.
func (i *Images) attributeCopied(ctx context.Context, of *origins, entry evidence.Entry, image release.Image) (evidence.Entry, error) {
	recorded := entry.Evidence.Image.Repository
	if !entry.Readable || recorded == image.Repository {
		return entry, nil
	}
	accepted, err := i.accepts(ctx, of, image, recorded)
	if err == nil && accepted {
		entry.Evidence.Image, entry.Evidence.Origin = image, recorded
	}
	return entry, err
}

// attributeCopiedFact does for a fact what attributeCopied does for evidence.
func (i *Images) attributeCopiedFact(ctx context.Context, of *origins, f *fact.Fact, image release.Image) error {
	recorded := f.Image.Repository
	if recorded == "" || recorded == image.Repository {
		return nil
	}
	accepted, err := i.accepts(ctx, of, image, recorded)
	if err != nil || !accepted {
		return err
	}
	f.Image = image
	if f.Smoke != nil {
		smoke := *f.Smoke
		smoke.Image, smoke.Origin = image, recorded
		f.Smoke = &smoke
	}
	return nil
}
