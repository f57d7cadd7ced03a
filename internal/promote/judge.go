package promote

import (
	"context"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
)

// Judge records what people decide about images.
type Judge interface {
	// Reject records that an image must not enter any environment, and returns the record and whether it is new.
	Reject(ctx context.Context, image release.Image, commit release.Commit, reason, actor string) (record release.Digest, created bool, err error)
	// MayLift returns a *release.Refusal if the key of this run may not lift rejections for an environment.
	MayLift(ctx context.Context, rung policy.Rung) error
	// Lift records that rejections do not count any more for an environment.
	Lift(ctx context.Context, image release.Image, rung policy.Rung, reason, actor string, rejections []policy.Rejection) (release.Digest, error)
}

// judge rejects each image, or lifts what keeps it from the environment. It tags nothing. Everything is checked before the first record is written.
func judge(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	var judgements []promotion
	var refused error
	for _, one := range settings.each() {
		judgement, err := prepareJudgement(ctx, one, deps)
		judgements, refused = append(judgements, judgement), errors.Join(refused, err)
	}
	if refused != nil {
		return newResult(judgements), refused
	}
	for i := range judgements {
		if err := judgements[i].recordJudgement(ctx, deps); err != nil {
			return newResult(judgements), err
		}
	}
	return newResult(judgements), nil
}

// prepareJudgement finds the image and, to lift rejections, what keeps it from the environment.
func prepareJudgement(ctx context.Context, settings Settings, deps Deps) (p promotion, err error) {
	if p.settings, err = resolveImage(ctx, settings, deps); err != nil {
		return p, err
	}
	described, found, err := deps.Registry.Describe(ctx, p.settings.Image)
	if err != nil {
		return p, err
	}
	p.result = Promoted{Name: settings.Name, Outcome: release.Refused, Image: p.settings.Image, Digest: p.settings.Image.Digest}
	if !found {
		return p, &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry", p.settings.Image), Do: "check the repository and the digest"}
	}
	p.result.Commit, _ = release.ParseCommit(described.Revision) // an image of another program may have none
	if settings.LiftRejection == "" {
		return p, nil
	}
	p.result.To = settings.To
	if p.rung, err = deps.Policy.ForPromotion(settings.To, settings.From, settings.MaxAge); err != nil {
		return p, err
	}
	if err := deps.Judge.MayLift(ctx, p.rung); err != nil {
		return p, err
	}
	p.rung.Requires.NotRejected = true
	facts, err := deps.Gate.Facts(ctx, p.settings.Image, p.rung)
	p.against = facts.Against
	return p, err
}

// recordJudgement writes the statement.
func (p *promotion) recordJudgement(ctx context.Context, deps Deps) (err error) {
	image, created := p.settings.Image, false
	switch {
	case p.settings.Reject != "":
		if p.result.Record, created, err = deps.Judge.Reject(ctx, image, p.result.Commit, p.settings.Reject, deps.Actor); err != nil {
			return err
		}
		if created {
			deps.Reporter.Warnf("%s is rejected: no promotion passes it", image.Digest)
		} else {
			deps.Reporter.Infof("unchanged: %s is rejected already, by the record %s", image.Digest, p.result.Record.Short())
		}
	case len(p.against) > 0:
		if p.result.Record, err = deps.Judge.Lift(ctx, image, p.rung, p.settings.LiftRejection, deps.Actor, p.against); err != nil {
			return err
		}
		created = true
		deps.Reporter.Warnf("%d rejections of %s do not count for %q any more", len(p.against), image.Digest, p.settings.To)
	default:
		deps.Reporter.Infof("nothing keeps %s from %q", image.Digest, p.settings.To)
	}
	p.result.Outcome = release.Unchanged
	if created {
		p.result.Outcome = release.Created
	}
	return nil
}
