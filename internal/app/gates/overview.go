package gates

import (
	"context"
	"slices"

	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// Overview reads all records about an image, and decides what counts in the environments of a ladder as Facts does. What does not count is not reported: the
// records say why.
func (g *Gate) Overview(ctx context.Context, image release.Image, ladder []policy.Rung) (policy.Overview, error) {
	listed, err := g.images.SnapshotAll(ctx, image)
	if err != nil {
		return policy.Overview{}, err
	}
	overview := policy.Overview{Standings: map[release.Environment]policy.Standing{}}
	var entering []policy.Signer // who may have copied the image for an environment
	for _, rung := range ladder {
		entering = append(entering, rung.Signers...)
	}
	copiers, err := g.verifiersFor(ctx, entering)
	if err != nil {
		return policy.Overview{}, err
	}
	listed = listed.TrustingCopies(copiers)
	if overview.Records, err = g.everyRecord(ctx, listed, image, ladder); err != nil {
		return policy.Overview{}, err
	}
	listed = listed.Quiet()
	for _, rung := range ladder {
		_, trust, err := g.verifiersOf(ctx, rung.AllSigners(g.policy))
		if err != nil {
			return policy.Overview{}, err
		}
		facts, err := g.factsFrom(ctx, listed, image, rung, trust)
		if err != nil {
			return policy.Overview{}, err
		}
		smoked, err := g.smoked(ctx, listed, image, rung.Environment)
		if err != nil {
			return policy.Overview{}, err
		}
		proves := func(record release.Record) bool { // or it is a pass of another image, or one that is dated in the future
			return record.Verdict != release.Pass || record.Proves(image, rung.Environment, g.run.Process.Now(), 0) == nil
		}
		if smoked.Found && !proves(smoked.Fact) {
			smoked.Found = false
		}
		targets, err := g.smokedAt(ctx, listed, image, rung.Environment)
		if err != nil {
			return policy.Overview{}, err
		}
		targets = slices.DeleteFunc(targets, func(each release.Record) bool { return !proves(each) })
		overview.Standings[rung.Environment] = policy.Standing{Smoked: smoked, Targets: targets, Against: facts.Against, Entry: policy.Evaluate(g.policy.Source, rung, facts, g.run.Process.Now())}
	}
	return overview, nil
}

// smokedAt reads the newest verdict of each target of an environment, as smoked does of all.
func (g *Gate) smokedAt(ctx context.Context, listed *images.Images, image release.Image, environment release.Environment) ([]release.Record, error) {
	trusted, trust, err := g.verifiersOf(ctx, g.policy.SignersOf(environment))
	if err != nil {
		return nil, err
	}
	if len(trusted) == 0 {
		if trusted, _, err = g.verifiers(ctx, trust); err != nil {
			return nil, err
		}
	}
	lifted, err := g.liftedIn(ctx, listed, image, environment)
	if err != nil {
		return nil, err
	}
	targets, err := listed.Trusting(trusted).NewestOfEach(ctx, image, environment, lifted...)
	for i := range targets {
		if name, counts := trust.By(g.policy.SignersOf(environment), targets[i].Signer); counts && name != "" {
			targets[i].Signer = name
		}
	}
	return targets, err
}

// AllRecords reads the records of all kinds about an image, also of environments that the rules lack. The signer of each is whoever of all signers of the rules, or
// of the keys of the settings, signed it.
func (g *Gate) AllRecords(ctx context.Context, image release.Image) ([]fact.Record, error) {
	trusted, err := g.verifiersFor(ctx, g.policy.Signers())
	if err != nil {
		return nil, err
	}
	return g.images.Trusting(trusted).Facts(ctx, image)
}

// everyRecord reads the records of all kinds, each verified for the signers of its kind and environment. Those of environments that the ladder lacks are left out.
func (g *Gate) everyRecord(ctx context.Context, listed *images.Images, image release.Image, ladder []policy.Rung) (records []fact.Record, err error) {
	environments := []release.Environment{""}
	for _, rung := range ladder {
		environments = append(environments, rung.Environment)
	}
	for _, environment := range environments {
		for _, group := range g.policy.RecordSigners(environment) {
			trusted, err := g.verifiersFor(ctx, group.Signers)
			if err != nil {
				return nil, err
			}
			found, err := listed.Trusting(trusted).FactsIn(ctx, image, environment, group.Kinds...)
			if err != nil {
				return nil, err
			}
			records, listed = append(records, found...), listed.Quiet() // what cannot be read is reported once
		}
	}
	return records, nil
}

// Named reads the keys of all signers, and returns what they are named by, by their IDs.
func (g *Gate) Named(ctx context.Context) (map[string]string, error) {
	named := map[string]string{}
	for _, signer := range g.policy.Signers() {
		if signer.IsIdentity() {
			continue
		}
		ref, read, err := g.keysOf(ctx, signer)
		if err != nil {
			return nil, err
		}
		for _, key := range read {
			named[key.ID] = ref.String()
		}
	}
	for _, ref := range g.verifyKeys {
		read, err := g.keysAt(ctx, "verify-key", ref)
		if err != nil {
			return nil, err
		}
		for _, key := range read {
			named[key.ID] = ref.String()
		}
	}
	if !slices.ContainsFunc(g.policy.Signers(), policy.Signer.IsIdentity) {
		return named, nil
	}
	_, err := g.certificates(ctx)
	return named, err
}

// TrustedRoot is the path of the trusted root that the policy names, relative to the working directory; "" if it names none.
func (g *Gate) TrustedRoot() string { return g.fromPolicyDir(g.policy.TrustedRoot) }
