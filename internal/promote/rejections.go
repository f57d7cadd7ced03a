package promote

import (
	"context"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
)

// Rejections records the decisions of people that an image must not enter an environment, or may enter it again.
type Rejections interface {
	// Reject records that an image must not enter any environment, and returns the record and whether it is new.
	Reject(ctx context.Context, image release.Image, commit release.Commit, reason, actor string) (record release.Digest, created bool, err error)
	// MayLift returns a *release.Refusal if the key of this run may not lift rejections for an environment.
	MayLift(ctx context.Context, rung policy.Rung) error
	// Lift records that rejections do not count any more for an environment.
	Lift(ctx context.Context, image release.Image, rung policy.Rung, reason, actor string, rejections []policy.Rejection) (release.Digest, error)
}

// rejectOrLift records that each image is rejected, or lifts its rejections for the environment, as the settings say. It tags nothing. Everything is checked
// before the first record is written.
func rejectOrLift(ctx context.Context, settings Settings, deps Deps) (Result, error) {
	var statements []promotion
	var refused error
	for _, one := range settings.each() {
		statement, err := prepareStatement(ctx, one, deps)
		statements, refused = append(statements, statement), errors.Join(refused, err)
	}
	if refused != nil {
		return newResult(statements), refused
	}
	for i := range statements {
		if err := statements[i].recordStatement(ctx, deps); err != nil {
			return newResult(statements), err
		}
	}
	return newResult(statements), nil
}

// prepareStatement finds the image and, if rejections are to be lifted, those that apply to the environment.
func prepareStatement(ctx context.Context, settings Settings, deps Deps) (p promotion, err error) {
	if p.settings, _, err = resolveImage(ctx, settings, deps); err != nil {
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
	if deps.Facts != nil {
		if err := deps.Facts.CheckSigning(ctx, p.settings.Image); err != nil {
			return p, err
		}
	}
	p.result.Commit, _ = release.ParseCommit(described.Revision) // an image of another program may have none
	if settings.LiftRejection == "" {
		return p, nil
	}
	p.result.To = settings.To
	if p.rung, err = rungToLift(settings, deps.Policy); err != nil {
		return p, err
	}
	if err := deps.Rejections.MayLift(ctx, p.rung); err != nil {
		return p, err
	}
	p.rung.Requires.NotRejected, p.rung.Lifting = true, true
	facts, err := deps.Gate.Facts(ctx, p.settings.Image, p.rung)
	p.against = facts.Against
	return p, err
}

// liftedWords counts what is lifted.
func liftedWords(against []policy.Rejection) string {
	failures := 0
	for _, each := range against {
		if each.Failed {
			failures++
		}
	}
	rejections := len(against) - failures
	switch {
	case failures == 0:
		return release.Count(rejections, "rejection")
	case rejections == 0:
		return release.Count(failures, "failed verdict")
	}
	return release.Count(rejections, "rejection") + " and " + release.Count(failures, "failed verdict")
}

// rungToLift returns the rules of an environment for which rejections are lifted. Without a file it may be the first, into which nothing is promoted.
func rungToLift(settings Settings, rules policy.Policy) (policy.Rung, error) {
	if _, found := release.DefaultPromotionOrder.Before(settings.To); rules.Source.File == "" && settings.From == "" && !found {
		return policy.Rung{Environment: settings.To}, nil
	}
	return rules.ForPromotion(settings.To, settings.From, settings.MaxAge)
}

// recordStatement writes the rejection, or the statement that lifts rejections.
func (p *promotion) recordStatement(ctx context.Context, deps Deps) (err error) {
	image, created := p.settings.Image, false
	switch {
	case p.settings.Reject != "":
		if p.result.Record, created, err = deps.Rejections.Reject(ctx, image, p.result.Commit, p.settings.Reject, deps.Actor); err != nil {
			return err
		}
		if created {
			deps.Reporter.Warnf("%s is rejected: it can no longer be promoted", image.Digest)
		} else {
			deps.Reporter.Infof("unchanged: %s is rejected already, by the record %s", image.Digest, p.result.Record.Short())
		}
	case len(p.against) > 0:
		if p.result.Record, err = deps.Rejections.Lift(ctx, image, p.rung, p.settings.LiftRejection, deps.Actor, p.against); err != nil {
			return err
		}
		created = true
		limit := ""
		if p.settings.SignKey == (setting.KeyRef{}) {
			limit = ", except where --verify-key or the policy requires signatures, because this statement is not signed"
		}
		deps.Reporter.Warnf("%s of %s do not count for %q any more%s", liftedWords(p.against), image.Digest, p.settings.To, limit)
	default:
		deps.Reporter.Infof("no rejection or failure of %s applies to %q", image.Digest, p.settings.To)
	}
	p.result.Outcome = release.Unchanged
	if created {
		p.result.Outcome = release.Created
	}
	return nil
}
