package promote

import (
	"context"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
)

// checkRules compares what is known of the image with the rules of the environment, and finds the image's commit. A refusal is in the result too.
func (p *promotion) checkRules(ctx context.Context, deps Deps) (err error) {
	if p.rung, err = deps.Policy.ForPromotion(p.settings.To, p.settings.From, p.settings.MaxAge); err != nil {
		return err
	}
	if deps.WarnSigner != nil {
		copiedTo := p.settings.TargetRepository
		if copiedTo == p.settings.Image.Repository {
			copiedTo = ""
		}
		deps.WarnSigner(ctx, p.rung, copiedTo)
	}
	smoked := p.rung.Requires.Smoked
	if smoked != nil {
		p.settings.From = smoked.In
	} else if before, found := deps.Policy.Before(p.settings.To); found {
		p.settings.From = before
	}
	request := policy.Request{Policy: deps.Policy.Source, Rung: p.rung, Image: p.settings.Image, Target: p.settings.TargetRepository, Reason: p.settings.OverrideReason, Actor: deps.Actor, Now: deps.Now(),
		Source: p.settings.Commit, Labelled: p.labelled}
	decision, facts, err := policy.Check(ctx, request, deps.Gate, deps.Reporter)
	p.decision = decision
	p.result = Promoted{Name: p.settings.Name, Outcome: release.Refused, Image: p.settings.Image, Digest: p.settings.Image.Digest, From: p.settings.From, To: p.settings.To, Gate: &p.decision}
	if err != nil {
		return err
	}
	if smoked != nil && facts.Smoked.Found && facts.Smoked.Fact.Proves(p.settings.Image, smoked.In, deps.Now(), 0) == nil {
		p.evidence = facts.Smoked.Fact
		if _, err := release.ParseCommit(p.evidence.Commit.String()); err != nil {
			return &release.Refusal{Why: "the evidence names no commit: " + err.Error(), Do: "run smoke with --expect-commit"}
		}
		deps.Reporter.Infof("%q proved %s at %s: %s, %s", p.settings.From, p.settings.Image.Digest, p.evidence.At.Format(time.RFC3339), release.Count(len(p.evidence.Checks), "check"), release.Count(p.evidence.Rounds, "round"))
		if asked := p.settings.Commit; !p.rung.Requires.ChartOfCommit && asked != "" && (asked != p.evidence.Commit || p.labelled != "" && asked != p.labelled) {
			deps.Reporter.Warnf("the evidence is for commit %s: it does not show that %q ran the chart and values of commit %s, which has the same image; to require that, set chart-of-commit in the policy", p.evidence.Commit.Short(), p.settings.From, asked.Short())
		}
		return nil
	}
	p.evidence = release.Record{}
	p.evidence.Commit, err = labelledCommit(ctx, p.settings.Image, deps.Registry)
	return err
}

// labelledCommit returns the commit that an image is labelled with, where no evidence names it.
func labelledCommit(ctx context.Context, image release.Image, registry Registry) (release.Commit, error) {
	described, found, err := registry.Describe(ctx, image)
	if err != nil {
		return "", err
	}
	if !found {
		return "", &release.Refusal{Why: fmt.Sprintf("image %q is not in its registry", image), Do: "build it first, or check the repository"}
	}
	commit, err := release.ParseCommit(described.Revision)
	if err != nil {
		return "", &release.Refusal{Why: fmt.Sprintf("image %q is labelled with no commit: %v", image, err), Do: "build the commit from a clean work tree"}
	}
	return commit, nil
}

// recordOverride attaches the signed statement that the rules are overridden, before the image gets its first tag.
func (p *promotion) recordOverride(ctx context.Context, deps Deps) error {
	if p.target.TagDigest == p.settings.Image.Digest && p.furtherTagged {
		return nil // the tags are there already, so that the image enters nothing new
	}
	err := p.decision.Record(ctx, p.settings.Image, p.evidence.Commit, deps.Gate)
	p.result.Gate = &p.decision
	return err
}
