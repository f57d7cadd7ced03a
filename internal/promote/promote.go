// Package promote is the verb that releases a proven image to the next environment: the same manifest bytes under one
// more tag.
package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/matrix"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Deps are the adapters that Run works with.
type Deps struct {
	Registry   Registry
	Evidence   Evidence
	Facts      Facts // nil: nothing is recorded
	Origin     fact.Origin
	Gate       policy.Gate
	Rejections Rejections
	// KnownRelation returns how a commit relates to an earlier one, by the history that is at hand; false if that does not show it. nil: it never does.
	KnownRelation func(ctx context.Context, earlier, commit release.Commit) (release.Relation, bool)
	Policy        policy.Policy
	Actor         string // who started the run; "" if unknown
	Reporter      release.Reporter
	Now           func() time.Time
	// WarnSigner warns if this run signs with a key by which what it records does not count: what is copied to another repository, "" if nothing is, or else the promotion. nil: no check.
	WarnSigner func(ctx context.Context, rung policy.Rung, copiedTo release.Repository)
	// Settings returns the settings of a repository that decide whether a tag can move; of a registry that does not say, none. nil: not known.
	Settings func(ctx context.Context, repository release.Repository) (release.RepositorySettings, error)
	// WatchExpiry starts to check, while the promotion continues, whether the registry will delete or archive the image in spite of its new tag, or an
	// earlier image of the environment. It is called when the repository has the image. It only warns. nil: no check.
	WatchExpiry func(ctx context.Context, image release.Image, tag release.Tag, to release.Environment)
}

// Facts records facts about images.
type Facts interface {
	// CheckSigning refuses an image that no statement may be signed about, before anything is changed.
	CheckSigning(ctx context.Context, image release.Image) error
	// RecordFact attaches a fact to its image, unless it is recorded already. It returns the digest of the record, and whether it is new.
	RecordFact(ctx context.Context, f fact.Fact) (record release.Digest, created bool, err error)
}

// Evidence copies what is recorded about images.
type Evidence interface {
	// CopyEvidence copies all evidence about an image into another repository that has the image, the given record first, and the statement that it was
	// copied there by a run. What is already there is no error.
	CopyEvidence(ctx context.Context, image release.Image, record release.Digest, to release.Repository, run string) error
}

// Registry reads, tags and copies images without rebuilding them.
type Registry interface {
	// Find returns the image that a tag points to; false if the tag does not exist.
	Find(ctx context.Context, repository release.Repository, tag release.Tag) (release.ImageInfo, bool, error)
	// Describe reads the revision label of an image from its manifest or, failing that, from its configuration.
	Describe(ctx context.Context, image release.Image) (release.ImageInfo, bool, error)
	// Inspect reads an image's manifest and the digest that a tag of the same repository names.
	Inspect(ctx context.Context, repository release.Repository, digest release.Digest, tag release.Tag) (release.TagState, error)
	// Tag pushes the inspected manifest's own bytes under a tag. It returns a *release.TagTakenError if the tag is
	// immutable and names another image.
	Tag(ctx context.Context, repository release.Repository, state release.TagState, digest release.Digest, tag release.Tag) error
	// Copy copies an image into another repository by digest, byte for byte. It sets no tag.
	Copy(ctx context.Context, image release.Image, to release.Repository, progress func(release.Progress)) error
}

// Result is what promote did. The fields of the main image are its own, those of all images are in Images.
type Result struct {
	Promoted
	Images      []Promoted `json:"images,omitempty"` // the main one first
	matrix.Part            // of the matrix, in Services
	Services    []Result   `json:"services,omitempty"` // results of a matrix
}

// Promoted is what promote did with one image.
type Promoted struct {
	Name    string              `json:"name,omitempty"` // "" for the main image
	Outcome release.Outcome     `json:"outcome"`        // created or unchanged
	Image   release.Image       `json:"image"`
	Digest  release.Digest      `json:"digest"`
	Tag     release.Tag         `json:"tag"`
	Commit  release.Commit      `json:"commit"` // the commit that the image was built from
	Source  release.Commit      `json:"source"` // the commit that was asked for, with the chart and values of the promotion; Commit if a digest was asked for
	From    release.Environment `json:"from"`
	To      release.Environment `json:"to"`
	Proved  time.Time           `json:"provedAt,omitzero"` // zero if the rules ask for no proof, or were overridden
	Gate    *policy.Decision    `json:"gate,omitempty"`    // what the rules ask for, and what was found
	Record  release.Digest      `json:"record,omitzero"`   // of the signed record of the promotion, or of the statement that rejects the image or lifts rejections; zero if none was written
}

// Run compares what is known of each image with the rules of the environment, copies image and evidence to the target repository if that is another
// one, tags the images there, and moves the moving tag if there is one. What the rules ask for and is not there, an image of another commit and a tag
// that names another digest are a *release.Refusal; they are found for all images before the first is tagged. A dry run ends there. A tag that can move is written
// once all others are. A second run with the same settings changes nothing.
func Run(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	if settings.Reject != "" || settings.LiftRejection != "" {
		return rejectOrLift(ctx, settings, deps)
	}
	promotions, err := prepareAll(ctx, settings, deps)
	if err == nil && settings.DryRun {
		return planned(promotions, deps), nil
	}
	if err == nil {
		err = writeTags(ctx, promotions, deps)
	}
	if err == nil {
		err = moveTags(ctx, promotions, deps)
	}
	return newResult(promotions), err
}

// planned reports what would be tagged, and tags nothing.
func planned(promotions []promotion, deps Deps) Result {
	for i := range promotions {
		promotions[i].result.Outcome = release.Planned
		deps.Reporter.Infof("tag %s would be set to %s in %s; nothing was tagged", promotions[i].result.Tag, promotions[i].result.Digest, promotions[i].settings.TargetRepository)
	}
	return newResult(promotions)
}

// prepareAll finds what the promotion of each image needs, and joins the refusals. It writes nothing.
func prepareAll(ctx context.Context, settings Settings, deps Deps) (promotions []promotion, refused error) {
	refused = settings.checkTagsOf(deps.Policy)
	for _, one := range settings.each() {
		promotion, err := prepare(ctx, one, deps)
		promotions, refused = append(promotions, promotion), errors.Join(refused, err)
	}
	if refused == nil {
		refused = checkOwnTags(promotions)
	}
	return promotions, refused
}

// checkOwnTags refuses a --tag that names a commit which is none of the promoted images' and not the one that was asked for: it is the tag of another image. The error is a
// *release.InputError.
func checkOwnTags(promotions []promotion) error {
	var own []release.Commit
	for _, p := range promotions {
		own = append(own, p.result.Commit, p.result.Source)
	}
	var problems []release.Problem
	for i := range promotions {
		p := &promotions[i]
		environment, commit, isNamed := p.settings.Tag.Named()
		if !isNamed || slices.Contains(own, commit) {
			continue
		}
		p.result.Outcome = release.Refused
		of := ""
		if environment != "" {
			of = fmt.Sprintf(" for %q", environment)
		}
		problems = append(problems, release.Problem{Setting: "tag", What: fmt.Sprintf("%q is the tag of commit %s%s, and %s is of commit %s", p.settings.Tag, commit.Short(), of, p.settings.Image.Digest.Short(), p.result.Commit.Short()),
			Do: "choose another tag, or leave --tag out"})
	}
	return problemsError(problems)
}

// promotion is one image to be promoted, with what was found about it.
type promotion struct {
	settings Settings
	rung     policy.Rung
	against  []policy.Rejection // that are lifted
	labelled release.Commit     // commit in the label of the image that was found by its commit; "" if it has none
	decision policy.Decision
	evidence release.Record
	source   release.TagState // of the tag in the image's own repository
	target   release.TagState // of the tag in the target repository
	result   Promoted

	furtherTagged bool // the later commit's tag and the moving tag, if they are asked for, name the image
}

// prepare finds what the image's promotion needs, and refuses one that cannot be completed. It writes nothing.
func prepare(ctx context.Context, settings Settings, deps Deps) (p promotion, err error) {
	if p.settings, p.labelled, err = resolveImage(ctx, settings, deps); err != nil {
		return p, err
	}
	var stop func()
	deps.Registry, stop = prefetchInspect(ctx, p.settings, deps.Registry)
	defer stop()
	if err := p.checkRules(ctx, deps); err != nil {
		return p, err
	}
	if p.settings.Tag == "" {
		p.settings.Tag = release.Tag(p.settings.To.String() + "-" + p.evidence.Commit.String())
	}
	p.result = newPromoted(p.settings, p.evidence, p.decision)
	if p.result.Outcome, err = p.inspect(ctx, deps.Registry); err != nil {
		return p, err
	}
	if p.result.Outcome, err = p.inspectFurtherTags(ctx, deps); err != nil {
		return p, err
	}
	err = p.checkSigning(ctx, deps)
	return p, err
}

// checkSigning refuses an image that no statement may be signed about: in the target repository, and in its own if an override is recorded there.
func (p *promotion) checkSigning(ctx context.Context, deps Deps) error {
	if deps.Facts == nil {
		return nil
	}
	err := deps.Facts.CheckSigning(ctx, p.settings.TargetRepository.At(p.settings.Image.Digest))
	if p.decision.Overridden != nil && p.settings.TargetRepository != p.settings.Image.Repository {
		err = errors.Join(err, deps.Facts.CheckSigning(ctx, p.settings.Image))
	}
	if err != nil {
		p.result.Outcome = release.Refused
	}
	return err
}

// writeTags writes the tags that never move, of all images, the main image's last: first the promotion's, then those of a later commit. A failure
// leaves no main image promoted while an image beside it is not. The promotions are recorded once the tags are there.
func writeTags(ctx context.Context, promotions []promotion, deps Deps) error {
	return writeEach(ctx, promotions, deps, (*promotion).writeTag, (*promotion).tagLaterCommit, (*promotion).record)
}

// moveTags moves the tags that move. It is called when all other tags are written.
func moveTags(ctx context.Context, promotions []promotion, deps Deps) error {
	return writeEach(ctx, promotions, deps, (*promotion).moveTag)
}

// writeEach runs the steps one after the other, each for all images, the main image last.
func writeEach(ctx context.Context, promotions []promotion, deps Deps, steps ...func(*promotion, context.Context, Deps) error) error {
	for _, step := range steps {
		for i := len(promotions) - 1; i >= 0; i-- {
			if err := step(&promotions[i], ctx, deps); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeTag tags the image, and reports it.
func (p *promotion) writeTag(ctx context.Context, deps Deps) (err error) {
	if err := p.recordOverride(ctx, deps); err != nil {
		return err
	}
	if p.result.Outcome, err = p.tagImage(ctx, deps); err != nil {
		return err
	}
	deps.Reporter.Infof("%s: %s is %s in %s", p.result.Outcome, p.result.Tag, p.result.Digest, p.settings.TargetRepository)
	return nil
}

// resolveImage fills in the image from the repository and commit, and the target repository from the image. It returns the commit in
// the label of an image that was found by its commit, "" if it has none.
func resolveImage(ctx context.Context, settings Settings, deps Deps) (_ Settings, labelled release.Commit, _ error) {
	if settings.Image.IsZero() {
		tagged, found, err := deps.Registry.Find(ctx, settings.Repository, release.Tag(settings.Commit))
		switch {
		case err != nil:
			return settings, "", err
		case !found:
			return settings, "", &release.Refusal{Why: fmt.Sprintf("%q holds no image of commit %s", settings.Repository, settings.Commit), Do: "build the commit first"}
		case tagged.Revision != settings.Commit.String() && tagged.Revision != "" && !isReused(tagged):
			return settings, "", &release.Refusal{Why: fmt.Sprintf("tag %s in %q names an image labelled with revision %q", settings.Commit, settings.Repository, tagged.Revision),
				Do: "find out who pushed it, then delete the tag or build into another repository; a commit's tag must name that commit's image"}
		}
		labelled = release.Commit(tagged.Revision)
		settings.Image = settings.Repository.At(tagged.Digest)
		if err := checkReuse(ctx, settings, labelled, deps); err != nil {
			return settings, "", err
		}
		deps.Reporter.Infof("commit %s is %s%s", settings.Commit.Short(), tagged.Digest, reusedFrom(tagged, settings.Commit))
	}
	if settings.TargetRepository == "" {
		settings.TargetRepository = settings.Image.Repository
	}
	return settings, labelled, nil
}

// isReused reports whether an image that another commit's tag names may have been tagged by build, because the commit changes nothing that
// enters the image: build tags only images whose inputs are recorded and that are a clean commit's.
func isReused(tagged release.ImageInfo) bool {
	_, err := release.ParseCommit(tagged.Revision)
	return err == nil && tagged.Inputs != ""
}

// checkReuse refuses an image of a later commit that has the given commit's tag, where the history that is at hand shows that.
func checkReuse(ctx context.Context, settings Settings, labelled release.Commit, deps Deps) error {
	if labelled == "" || deps.KnownRelation == nil {
		return nil
	}
	relation, _ := deps.KnownRelation(ctx, labelled, settings.Commit)
	return release.CheckReuse(settings.Image, labelled, settings.Commit, relation)
}

// reusedFrom explains, for a message, why an image without the commit in its label is the commit's: its tag alone says so, or build reused an earlier image.
// It returns "" for an image of the commit itself.
func reusedFrom(tagged release.ImageInfo, commit release.Commit) string {
	switch tagged.Revision {
	case commit.String():
		return ""
	case "":
		return ", by its tag alone: the image has no revision label"
	}
	return fmt.Sprintf(" of commit %s, by its tag: build reuses an image if nothing that enters it was changed", release.Commit(tagged.Revision).Short())
}

func newPromoted(settings Settings, evidence release.Record, decision policy.Decision) Promoted {
	return Promoted{Name: settings.Name, Image: settings.TargetRepository.At(settings.Image.Digest), Digest: settings.Image.Digest, Tag: settings.Tag,
		Commit: evidence.Commit, Source: cmp.Or(settings.Commit, evidence.Commit), From: settings.From, To: settings.To, Proved: evidence.At, Gate: &decision}
}

// newResult returns the result of the promotions, which may not all be done. The outcome is created if one image's tag was, and refused if one
// image was refused.
func newResult(promotions []promotion) Result {
	result := Result{Promoted: promotions[0].result}
	for _, promotion := range promotions {
		result.Images = append(result.Images, promotion.result)
		if outcome := promotion.result.Outcome; outcome == release.Created || outcome == release.Refused {
			result.Outcome = outcome
		}
	}
	return result
}

// record attaches the record of the promotion to the image in the target repository. A repeated run adds what a killed one did not record.
func (p *promotion) record(ctx context.Context, deps Deps) error {
	if deps.Facts == nil {
		return nil
	}
	override := ""
	if p.decision.Overridden != nil {
		override = p.decision.Overridden.Reason
	}
	if p.settings.From == "" || p.evidence.Record.IsZero() && override == "" {
		return nil // the rules ask for no proof, so that there is nothing to rely on
	}
	settings, source := p.settings, p.result.Source
	if source == p.result.Commit {
		source = ""
	}
	record, created, err := deps.Facts.RecordFact(ctx, fact.Fact{Kind: fact.Promoted, Image: p.result.Image, Commit: p.result.Commit, Environment: settings.To, By: deps.Origin.By, Run: deps.Origin.Run, At: deps.Now().UTC(),
		Promotion: &fact.Promotion{From: settings.From, Tag: settings.Tag, Source: source, Proof: p.evidence.Record, ProvedAt: p.evidence.At.UTC(), Override: override}})
	if p.result.Record = record; created {
		deps.Reporter.Infof("recorded the promotion of %s to %q", p.result.Digest, settings.To)
	}
	return err
}
