package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Gate knows the facts about images, and whose signatures count.
type Gate interface {
	// Facts reads what the rules of an environment ask for.
	Facts(ctx context.Context, image release.Image, rung Rung) (Facts, error)
	// Against reads what keeps an image from an environment, and nothing else.
	Against(ctx context.Context, image release.Image, rung Rung) ([]Rejection, error)
	// MayOverride returns a *release.Refusal if the key of this run may not sign an override.
	MayOverride(ctx context.Context, rung Rung) error
	// Override attaches the signed statement that an actor overrode the rules, and returns its record.
	Override(ctx context.Context, image release.Image, overriding Overriding) (release.Digest, error)
}

// Overriding is the statement about an override.
type Overriding struct {
	Environment release.Environment
	Commit      release.Commit // of the image; "" if unknown
	Reason      string
	Actor       string
	Missing     []string // what was required and not found, a line each
	Policy      release.Digest
}

// ChartElsewhereError says that the chart of a deploy is not in the work tree, so that no commit of it has the chart.
type ChartElsewhereError struct {
	Source string // of the chart
}

func (e *ChartElsewhereError) Error() string {
	return fmt.Sprintf("the chart is from %q, not from the work tree", e.Source)
}

// Do is what would put the chart into the commit.
func (e *ChartElsewhereError) Do() string {
	return "commit a chart (charts/service, or --chart DIR) and deploy that, or leave chart-of-commit out of the rules"
}

// Request asks whether an image may enter an environment.
type Request struct {
	Policy   Source
	Rung     Rung
	Image    release.Image
	Target   release.Repository  // that the image is copied to, whose rejections of it count too; "" or the image's own: none
	Chart    *release.CheckedOut // of a deploy's chart and values; nil: there are none
	ChartErr error               // why that is unknown
	Set      []string            // paths of a deploy's values that are of no commit, because its settings set them
	Stored   []string            // paths of a deploy's values that a store of secrets has
	Commit   release.Commit      // whose chart and values they are compared with, as the image's
	Labelled release.Commit      // commit in the image's label; "" if it has none
	Tagged   release.Commit      // commit of chart and values whose tag the image has too, with Commit taken from the label; "" if none
	Source   release.Commit      // whose chart and values enter with the image, in this run or the next; "" if unknown
	Reason   string              // of an override; "": nothing is overridden
	Actor    string              // who started the run; "" if unknown
	Now      time.Time
}

// Check reads the facts, compares them with the rules and reports every line. The error is a *release.Refusal if the gate does not open, and no
// override is allowed. With an override that is allowed, the decision says so and has no record yet: Record attaches it.
func Check(ctx context.Context, request Request, gate Gate, reporter release.Reporter) (Decision, Facts, error) {
	request.Rung = request.Rung.withSource(request.Source, request.Labelled)
	facts, err := gate.Facts(ctx, request.Image, request.Rung)
	if err != nil {
		return Decision{Environment: request.Rung.Environment, Policy: request.Policy}, facts, err
	}
	if facts.Against, err = request.rejectedAtTarget(ctx, facts, gate); err != nil {
		return Decision{Environment: request.Rung.Environment, Policy: request.Policy}, facts, err
	}
	facts.Image, facts.Chart, facts.ChartErr = request.Image, request.Chart, request.ChartErr
	facts.Commit, facts.Labelled, facts.Tagged = request.Commit, request.Labelled, request.Tagged
	facts.Set, facts.Stored = request.Set, request.Stored
	decision := Evaluate(request.Policy, request.Rung, facts, request.Now)
	decision.report(request, reporter)
	if decision.Opens {
		return decision, facts, nil
	}
	if request.Reason == "" {
		return decision, facts, decision.Refusal()
	}
	if err := request.mayOverride(ctx, decision, gate); err != nil {
		return decision, facts, err
	}
	decision.Overridden = &Overridden{Reason: request.Reason, Actor: request.Actor}
	for _, line := range decision.Missing() {
		reporter.Warnf("OVERRIDDEN by %s (%s): %s admits %s although %s is required: %s", request.Actor, request.Reason, request.Rung.Environment, request.Image.Digest.Short(), line.Required, line.Found)
	}
	return decision, facts, nil
}

// rejectedAtTarget returns the rejections in the facts, and those that only the target repository has. One that is lifted for the image in its own repository
// counts nowhere: it is copied with the statement that lifts it.
func (r Request) rejectedAtTarget(ctx context.Context, facts Facts, gate Gate) ([]Rejection, error) {
	if r.Target == "" || r.Target == r.Image.Repository || !r.Rung.Requires.NotRejected {
		return facts.Against, nil
	}
	there, err := gate.Against(ctx, r.Target.At(r.Image.Digest), r.Rung)
	if err != nil {
		return nil, err
	}
	against := slices.Clone(facts.Against)
	for _, each := range there {
		isKnown := !each.Record.IsZero() && slices.ContainsFunc(against, func(one Rejection) bool { return one.Record == each.Record })
		if !isKnown && !slices.Contains(facts.Lifted, each.Record) {
			against = append(against, each)
		}
	}
	return against, nil
}

// report shows every requirement with what was found.
func (d Decision) report(request Request, reporter release.Reporter) {
	reporter.Infof("gate of %q for %s, by %s:", request.Rung.Environment, request.Image.Digest, request.Policy)
	for _, line := range d.Lines {
		reporter.Infof("  %s", line)
	}
	if len(d.Lines) == 0 {
		reporter.Infof("  nothing is required")
	}
}

// mayOverride returns a *release.Refusal if the rules do not allow this override.
func (r Request) mayOverride(ctx context.Context, decision Decision, gate Gate) error {
	refused := decision.Refusal().Error()
	switch {
	case decision.IsFinal():
		return &release.Refusal{Why: "a rejection cannot be overridden: " + strings.TrimPrefix(refused, "refused: ")}
	case !r.Rung.Override.IsAllowed():
		return &release.Refusal{Why: fmt.Sprintf("%s lets nobody override what %q requires: %s", r.Policy, r.Rung.Environment, strings.TrimPrefix(refused, "refused: "))}
	case r.Actor == "" && !r.Rung.Override.May(r.Actor):
		return &release.Refusal{Why: fmt.Sprintf("it is not known who overrides what %q requires, which %s may: %s", r.Rung.Environment, strings.Join(r.Rung.Override.Actors, ", "), strings.TrimPrefix(refused, "refused: ")),
			Do: "override in a workflow of GitHub, which says who started the run"}
	case !r.Rung.Override.May(r.Actor):
		return &release.Refusal{Why: fmt.Sprintf("%q may not override what %q requires, but %s may: %s", r.Actor, r.Rung.Environment, strings.Join(r.Rung.Override.Actors, ", "), strings.TrimPrefix(refused, "refused: "))}
	}
	return gate.MayOverride(ctx, r.Rung)
}

// Record attaches the statement about the override of a decision; without one, it does nothing.
func (d *Decision) Record(ctx context.Context, image release.Image, commit release.Commit, gate Gate) (err error) {
	if d.Overridden == nil {
		return nil
	}
	overriding := Overriding{Environment: d.Environment, Commit: commit, Reason: d.Overridden.Reason, Actor: d.Overridden.Actor, Policy: d.Policy.Digest}
	for _, line := range d.Missing() {
		overriding.Missing = append(overriding.Missing, fmt.Sprintf("%s: required %s; found %s", line.Fact, line.Required, line.Found))
	}
	recorded := *d.Overridden
	if recorded.Record, err = gate.Override(ctx, image, overriding); err != nil {
		return err
	}
	d.Overridden = &recorded
	return nil
}

// ForPromotion returns the rules for a promotion. from is the environment that must have proved the image, "" for the default; maxAge is how old its
// pass may be if the rules do not say. Without a file, the rules are a pass of from, and that nobody rejected the image. The error is a
// *release.InputError.
func (p Policy) ForPromotion(to, from release.Environment, maxAge time.Duration) (Rung, error) {
	if p.Source.File == "" {
		if from == "" {
			before, found := release.DefaultPromotionOrder.Before(to)
			if !found {
				return Rung{}, release.BadSetting("from", fmt.Sprintf("is missing, and no environment is known to come before %q", to), "name the environment that must have proved the image")
			}
			from = before
		}
		return Rung{Environment: to, Requires: Requirements{Smoked: &Smoked{In: from, MaxAge: maxAge}, NotRejected: true}}, nil
	}
	rung, found := p.Rung(to)
	if !found {
		return Rung{}, release.BadSetting("to", fmt.Sprintf("%q is not an environment of %s", to, p.Source.File), "name one of its environments, or add it")
	}
	smoked := rung.Requires.Smoked
	if from != "" && (smoked == nil || smoked.In != from) {
		return Rung{}, release.BadSetting("from", fmt.Sprintf("%q is not what %s requires for %q", from, p.Source.File, to), "leave it out: the file says which environment must have proved the image")
	}
	return rung.withMaxAge(maxAge), nil
}

// ForDeploy returns the rules for a deploy; false if nothing is required. provedIn is the environment in the settings that must have proved the
// images, "" for none. An environment that the file does not list is refused, because nothing would be asked of its images. The error is a
// *release.InputError.
func (p Policy) ForDeploy(to, provedIn release.Environment, maxAge time.Duration) (rung Rung, guarded bool, err error) {
	rung, guarded = p.Rung(to)
	smoked := rung.Requires.Smoked
	switch {
	case !guarded && p.Source.File != "":
		return rung, false, release.BadSetting("environment", fmt.Sprintf("%q is not an environment of %s", to, p.Source.File),
			"add it to the file, whose first environment takes every build, or name another file with --policy")
	case !guarded && provedIn == "":
		return rung, false, nil
	case !guarded:
		return Rung{Environment: to, Requires: Requirements{Smoked: &Smoked{In: provedIn, MaxAge: maxAge}, NotRejected: true}}, true, nil
	case provedIn != "" && smoked == nil && p.HasSigners() && len(p.SignersOf(provedIn)) == 0:
		return rung, true, release.BadSetting("proved-in", fmt.Sprintf("%q has no signers in %s although the file names others, so that everybody who may push could write its proof", provedIn, p.Source.File),
			"give it the signers of its facts in the file")
	case provedIn != "" && smoked == nil:
		rung.Requires.Smoked = &Smoked{In: provedIn}
	case provedIn != "" && smoked.In != provedIn:
		return rung, true, release.BadSetting("proved-in", fmt.Sprintf("%q is not what %s requires for %q, which is %q", provedIn, p.Source.File, to, smoked.In), "leave it out: the file says which environment must have proved the images")
	}
	return rung.withMaxAge(maxAge), true, nil
}

// withMaxAge sets the age of a pass for which the rules have none.
func (r Rung) withMaxAge(maxAge time.Duration) Rung {
	if r.Requires.Smoked != nil && r.Requires.Smoked.MaxAge == 0 {
		smoked := *r.Requires.Smoked
		smoked.MaxAge = maxAge
		r.Requires.Smoked = &smoked
	}
	return r
}

// IsGuarded reports whether the environment takes only what an earlier one proved or ran. In such an environment, a failed smoke rejects the image.
func (r Rung) IsGuarded() bool { return r.Requires.Smoked != nil || r.Requires.Deployed != nil }

// AllSigners returns the signers that count for at least one of the rung's requirements.
func (r Rung) AllSigners(p Policy) (signers []Signer) {
	lists := [][]Signer{r.Signers, r.Override.Signers, r.Requires.ownSigners()}
	if r.Requires.Deployed != nil {
		lists = append(lists, p.SignersOf(r.Requires.Deployed.In))
	}
	if r.Requires.Smoked != nil {
		lists = append(lists, p.SignersOf(r.Requires.Smoked.In))
	}
	for _, signer := range slices.Concat(lists...) {
		if !slices.Contains(signers, signer) {
			signers = append(signers, signer)
		}
	}
	return signers
}
