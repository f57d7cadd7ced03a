// Package gates reads the rules of promotion and the facts that they ask for.
package gates

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/onedigest/onedigest/internal/app"
	"github.com/onedigest/onedigest/internal/app/images"
	"github.com/onedigest/onedigest/internal/app/keys"
	"github.com/onedigest/onedigest/internal/evidence/signed"
	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/policy/policyfile"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/setting"
)

// Load reads the rules: the given file of the work tree, or else the nearest DefaultFile in the working directory or above it in the work tree. Without
// a file, the policy is empty.
func Load(run *app.RunContext, file string) (policy.Policy, error) {
	read, err := readPolicy(run, file)
	if err == nil && read.Source.File != "" {
		run.Reporter.Infof("the rules are those of %s", read.Source)
	}
	return read, err
}

func readPolicy(run *app.RunContext, file string) (policy.Policy, error) {
	if file == "" {
		var err error
		if file, err = find(run.Process.Dir, run.Workspace().Root()); file == "" || err != nil {
			return policy.Policy{}, err
		}
	}
	content, err := run.Workspace().Read("policy", file, "name the file of rules (docs/policy.md)")
	if err != nil {
		return policy.Policy{}, err
	}
	return policyfile.Parse(file, content)
}

// find returns the path of the nearest DefaultFile, relative to the directory; "" if there is none up to the root. A file with the other ending of YAML
// is an error, because it looks as if its rules counted.
func find(dir, root string) (string, error) {
	if actual, err := filepath.EvalSymlinks(dir); err == nil {
		dir = actual // as root is
	}
	misnamed := strings.TrimSuffix(policy.DefaultFile, ".yaml") + ".yml"
	for at := "."; ; at = filepath.Join(at, "..") {
		if _, err := os.Lstat(filepath.Join(dir, at, misnamed)); err == nil {
			return "", release.BadSetting("policy", fmt.Sprintf("%s is not read", filepath.Join(at, misnamed)), "name it "+policy.DefaultFile)
		}
		_, err := os.Lstat(filepath.Join(dir, at, policy.DefaultFile))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return filepath.Join(at, policy.DefaultFile), nil // reading it says what is wrong with it
		}
		inside, err := filepath.Rel(root, filepath.Join(dir, at))
		if err != nil || inside == "." || inside == ".." || strings.HasPrefix(inside, "../") {
			return "", nil
		}
	}
}

// Warnings are those that a run gives once, however many gates it has.
type Warnings struct {
	unsigned  sync.Once // that a proof needs no signature
	unsigning sync.Map  // by signatory: that its signature does not count
}

// signatory is who signs what is recorded about an environment.
type signatory struct {
	environment release.Environment
	id          string // of the key or the identity; "" without one
	copies      bool   // that an image was copied for the environment, and not what is recorded about it
}

// Gate reads facts about images for the rules of a policy.
type Gate struct {
	run        *app.RunContext
	images     *images.Images
	policy     policy.Policy
	verifyKeys []setting.KeyRef // of the settings, for rules without signers
	signer     signed.Signer    // of this run; nil if it signs nothing

	warnings *Warnings

	mu    sync.Mutex
	read  map[setting.KeyRef][]signed.Key                          // by keysAt
	trust func(counts func(release.Identity) bool) signed.Verifier // by certificates; nil: not read yet
}

// New returns the gate of a policy. verifyKeys are the keys in the settings, which count where the rules name no signers; signer is the key of this
// run, nil if there is none.
func New(run *app.RunContext, images *images.Images, rules policy.Policy, verifyKeys []setting.KeyRef, signer signed.Signer) (*Gate, error) {
	if rules.HasSigners() && len(verifyKeys) > 0 {
		return nil, release.BadSetting("verify-key", fmt.Sprintf("is given although %s names the signers", rules.Source.File), "leave it out, or add the key to the file")
	}
	return &Gate{run: run, images: images, policy: rules, verifyKeys: verifyKeys, signer: signer, warnings: new(Warnings), read: map[setting.KeyRef][]signed.Key{}}, nil
}

// verifiersOf returns who verifies the signatures of signers, and the IDs of their keys.
func (g *Gate) verifiersOf(ctx context.Context, signers []policy.Signer) (trusted []signed.Verifier, trust policy.Trust, err error) {
	trust = policy.Trust{}
	var identities []policy.Signer
	for _, signer := range signers {
		if signer.IsIdentity() {
			identities = append(identities, signer)
			continue
		}
		_, read, err := g.keysOf(ctx, signer)
		if err != nil {
			return nil, nil, err
		}
		for _, key := range read {
			trust[signer] = append(trust[signer], key.ID)
		}
		trusted = append(trusted, signed.Verifiers(read...)...)
	}
	if len(identities) == 0 {
		return trusted, trust, nil
	}
	certificates, err := g.certificates(ctx)
	if err != nil {
		return nil, nil, err
	}
	return append(trusted, certificates(func(by release.Identity) bool {
		return slices.ContainsFunc(identities, func(each policy.Signer) bool { return each.Matches(by) })
	})), trust, nil
}

// fromPolicyDir returns the path of a file that the policy file names: a relative one is relative to the policy file's directory.
func (g *Gate) fromPolicyDir(file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(filepath.Dir(g.policy.Source.File), file)
}

// certificates reads the trusted root of the policy once, and returns how to verify certificates of the identities that count.
func (g *Gate) certificates(ctx context.Context) (func(counts func(release.Identity) bool) signed.Verifier, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.trust == nil {
		read, err := keys.Certificates(ctx, g.run, "policy", g.fromPolicyDir(g.policy.TrustedRoot))
		if err != nil {
			return nil, err
		}
		g.trust = read
	}
	return g.trust, nil
}

// keysOf reads the public keys of a signer that the policy names, and returns where they are.
func (g *Gate) keysOf(ctx context.Context, signer policy.Signer) (setting.KeyRef, []signed.Key, error) {
	ref, err := setting.ParseKeyRef(signer.Key)
	if err != nil {
		return ref, nil, err
	}
	if ref.Source == setting.KeyFile {
		ref.Name = g.fromPolicyDir(ref.Name)
	}
	read, err := g.keysAt(ctx, "policy", ref)
	return ref, read, err
}

// keysAt reads the public keys at a place once. Several images may be asked about at once.
func (g *Gate) keysAt(ctx context.Context, name string, ref setting.KeyRef) ([]signed.Key, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if known, found := g.read[ref]; found {
		return known, nil
	}
	read, err := keys.Trusted(ctx, g.run, name, []setting.KeyRef{ref})
	if err == nil {
		g.read[ref] = read
	}
	return read, err
}

// Facts reads what the rules of an environment ask for.
func (g *Gate) Facts(ctx context.Context, image release.Image, rung policy.Rung) (facts policy.Facts, err error) {
	if !rung.Requires.NotRejected && !rung.Requires.AsksOfTheImage() && rung.Requires.Deployed == nil && rung.Requires.Smoked == nil {
		return policy.Facts{Image: image}, nil
	}
	g.warnUnsigned(rung)
	kinds, provedIn := asked(rung)
	snapshots := make(chan snapshot, 1)
	go func() { // beside the reading of keys, which may be in KMS
		listed, err := g.images.Snapshot(ctx, image, rung.Environment, provedIn, kinds...)
		snapshots <- snapshot{listed, err}
	}()
	_, trust, err := g.verifiersOf(ctx, rung.AllSigners(g.policy))
	listed := <-snapshots
	if err := cmp.Or(err, listed.err); err != nil {
		return facts, err
	}
	return g.factsFrom(ctx, listed.images, image, rung, trust)
}

// factsFrom returns, from what the registry lists about an image, what the rules of an environment ask for.
func (g *Gate) factsFrom(ctx context.Context, listed *images.Images, image release.Image, rung policy.Rung, trust policy.Trust) (facts policy.Facts, err error) {
	required, signersOf, err := g.withSigners(ctx, rung, trust)
	if err != nil {
		return facts, err
	}
	copiers, err := g.verifiersFor(ctx, rung.Signers)
	if err != nil {
		return facts, err
	}
	listed = listed.TrustingCopies(copiers) // who signs for the environment that is entered verified the facts when it copied them
	records, err := g.recordsOf(ctx, listed, image, required, signersOf)
	if err != nil {
		return facts, err
	}
	facts = policy.Select(records, image, required, signersOf, trust)
	if smoked := rung.Requires.Smoked; smoked != nil {
		facts.Smoked, err = g.smoked(ctx, listed, image, smoked.In)
	}
	if source := rung.Requires.Source; source != nil && err == nil {
		facts.Source, err = g.ran(ctx, listed, image, *source, signersOf(source.In), trust)
	}
	return facts, err
}

// ran finds the deploy to an earlier environment of an image with the chart and the values of a commit.
func (g *Gate) ran(ctx context.Context, listed *images.Images, image release.Image, source policy.SourceRun, signers []policy.Signer, trust policy.Trust) (policy.Finding[policy.Deploy], error) {
	trusted, err := g.verifiersFor(ctx, signers)
	if err != nil {
		return policy.Finding[policy.Deploy]{}, err
	}
	records, err := listed.Trusting(trusted).FactsIn(ctx, image, source.In, fact.Deployed, fact.Smoked)
	return policy.Ran(records, image, source, signers, trust), err
}

// Against reads the rejections and failures that keep an image from an environment.
func (g *Gate) Against(ctx context.Context, image release.Image, rung policy.Rung) ([]policy.Rejection, error) {
	_, trust, err := g.verifiersOf(ctx, slices.Concat(rung.Signers, rung.Override.Signers))
	if err != nil {
		return nil, err
	}
	required, _, err := g.withSigners(ctx, rung, trust)
	if err != nil {
		return nil, err
	}
	records, err := g.rejections(ctx, g.images, image, required)
	against, _ := policy.Against(records, image, required, trust)
	return against, err
}

// rejections reads the records against an image, and those that lift them.
func (g *Gate) rejections(ctx context.Context, listed *images.Images, image release.Image, rung policy.Rung) ([]fact.Record, error) {
	trusted, err := g.verifiersFor(ctx, slices.Concat(rung.Signers, rung.Override.Signers))
	if err != nil {
		return nil, err
	}
	return listed.Trusting(trusted).FactsAgainst(ctx, image, rung.Environment, fact.Rejected, fact.Lifted)
}

// withSigners returns the rules of an environment with the keys of the settings as signers, whose IDs are added to trust, if the policy names none; and who
// signs facts about an environment.
func (g *Gate) withSigners(ctx context.Context, rung policy.Rung, trust policy.Trust) (required policy.Rung, signersOf func(release.Environment) []policy.Signer, err error) {
	required, signersOf = rung, g.policy.SignersOf
	required.UnsignedLifts = !g.policy.HasSigners() && len(g.verifyKeys) == 0
	if !g.policy.HasSigners() && len(g.verifyKeys) > 0 {
		_, signers, err := g.verifiers(ctx, trust)
		if err != nil {
			return required, nil, err
		}
		signersOf = func(release.Environment) []policy.Signer { return signers }
		required.Signers = signers
		required.Requires = required.Requires.WithSigners(signers)
	}
	return required, signersOf, nil
}

// recordsOf reads the records that the rules of an environment ask for, apart from the verdict of the environment before. Each kind is read with its own
// signers, because a statement that the image was copied lets the facts of another repository count: one by the signer of another fact must not, unless that is a signer of the
// environment that is entered.
func (g *Gate) recordsOf(ctx context.Context, listed *images.Images, image release.Image, rung policy.Rung, signersOf func(release.Environment) []policy.Signer) (records []fact.Record, err error) {
	read := func(signers []policy.Signer, kinds ...fact.Kind) {
		if err != nil {
			return
		}
		var trusted []signed.Verifier
		if trusted, err = g.verifiersFor(ctx, signers); err != nil {
			return
		}
		var found []fact.Record
		found, err = listed.Trusting(trusted).Facts(ctx, image, kinds...)
		records = append(records, found...)
	}
	if rung.Requires.NotRejected {
		records, err = g.rejections(ctx, listed, image, rung)
	}
	if built := rung.Requires.Built; built != nil {
		read(built.Signers, fact.Built)
	}
	if listed := rung.Requires.Listed; listed != nil {
		read(listed.Signers, fact.Listed)
	}
	if deployed := rung.Requires.Deployed; deployed != nil {
		read(signersOf(deployed.In), fact.Deployed)
	}
	if scanned := rung.Requires.Scanned; scanned != nil {
		read(scanned.Signers, fact.Scanned)
	}
	return records, err
}

// verifiersFor returns who verifies the signatures of signers: of the policy, and the keys of the settings where it names no signers of facts.
func (g *Gate) verifiersFor(ctx context.Context, signers []policy.Signer) (trusted []signed.Verifier, err error) {
	if !g.policy.HasSigners() {
		var given []policy.Signer
		if trusted, given, err = g.verifiers(ctx, policy.Trust{}); err != nil {
			return nil, err
		}
		signers = slices.DeleteFunc(slices.Clone(signers), func(signer policy.Signer) bool { return slices.Contains(given, signer) })
	}
	more, _, err := g.verifiersOf(ctx, signers)
	return append(trusted, more...), err
}

// Sharing makes the gate give the warnings that were not given yet.
func (g *Gate) Sharing(warnings *Warnings) { g.warnings = warnings }

// warnUnsigned warns once if a proof is asked for and a signature is not: a variable of a workflow that is not set gives no --verify-key.
func (g *Gate) warnUnsigned(rung policy.Rung) {
	if g.policy.HasSigners() || len(g.verifyKeys) > 0 || !rung.IsGuarded() && !rung.Requires.AsksOfTheImage() {
		return
	}
	g.warnings.unsigned.Do(func() {
		g.run.Reporter.Warnf("what %q requires needs no signature: everybody who may push to the repository of the image can write it; give --verify-key (sign-key of the environment before, for pipeline.yaml), or name signers in %s", rung.Environment, policy.DefaultFile)
	})
}

// WarnUnsigned warns if the rules name signers of an environment and this run signs with the key or the identity of none of them, or with none: what it
// records about the environment does not count. Keys that cannot be read are left to what asks for them.
func (g *Gate) WarnUnsigned(ctx context.Context, environment release.Environment) {
	signers := g.policy.SignersOf(environment)
	by := signatory{environment: environment}
	if g.signer != nil {
		by.id = g.signer.ID()
	}
	if _, warned := g.warnings.unsigning.LoadOrStore(by, true); warned || len(signers) == 0 {
		return
	}
	if g.signer == nil {
		g.run.Reporter.Warnf("%s names signers of %q, and this run has no --sign-key: what it records does not count", g.policy.Source.File, environment)
		return
	}
	rung, _ := g.policy.Rung(environment)
	counts, err := g.counts(ctx, by.id, slices.Concat(signers, rung.Override.Signers))
	if err == nil && !counts {
		g.run.Reporter.Warnf("%s names signers of %q, and what this run signs with is none of them (%s): what it records does not count", g.policy.Source.File, environment, by.id)
	}
}

// WarnSigner returns what warns of a promotion: WarnCopy of one into another repository, WarnUnsigned of any other, which a dry run leaves out.
func (g *Gate) WarnSigner(dryRun bool) func(ctx context.Context, rung policy.Rung, copiedTo release.Repository) {
	return func(ctx context.Context, rung policy.Rung, copiedTo release.Repository) {
		if copiedTo != "" {
			g.WarnCopy(ctx, rung, copiedTo)
		} else if !dryRun {
			g.WarnUnsigned(ctx, rung.Environment)
		}
	}
}

// WarnCopy warns if the rules name signers of what an environment asks for, and this run signs with the key or the identity of none who makes it count in another
// repository: of the environment's signers, or of those of each fact. Keys that cannot be read are left to what asks for them.
func (g *Gate) WarnCopy(ctx context.Context, rung policy.Rung, to release.Repository) {
	by := signatory{environment: rung.Environment, copies: true}
	if g.signer != nil {
		by.id = g.signer.ID()
	}
	if _, warned := g.warnings.unsigning.LoadOrStore(by, true); warned || !g.policy.HasSigners() {
		return
	}
	own := g.policy.SignersOf(rung.Environment)
	var uncounted []string
	for _, each := range g.requiredOf(rung) {
		counts := false
		if g.signer != nil {
			var err error
			if counts, err = g.counts(ctx, by.id, slices.Concat(each.signers, own)); err != nil {
				return
			}
		}
		if len(each.signers) > 0 && !counts {
			uncounted = append(uncounted, each.fact)
		}
	}
	if len(uncounted) == 0 {
		return
	}
	has := "has no --sign-key"
	if g.signer != nil {
		has = fmt.Sprintf("signs with another (%s)", by.id)
	}
	g.run.Reporter.Warnf("evidence that %q requires will not count in %s (%s): a signer of %q, or one of each of these facts, has to sign the copy, and this run %s", rung.Environment, to, strings.Join(uncounted, ", "), rung.Environment, has)
}

// requiredFact is what an environment requires, with those who sign it.
type requiredFact struct {
	fact    string
	signers []policy.Signer
}

// requiredOf returns what an environment requires that somebody signs.
func (g *Gate) requiredOf(rung policy.Rung) (required []requiredFact) {
	if built := rung.Requires.Built; built != nil {
		required = append(required, requiredFact{policy.FactBuilt, built.Signers})
	}
	if listed := rung.Requires.Listed; listed != nil {
		required = append(required, requiredFact{policy.FactListed, listed.Signers})
	}
	if deployed := rung.Requires.Deployed; deployed != nil {
		required = append(required, requiredFact{policy.FactDeployed, g.policy.SignersOf(deployed.In)})
	}
	if smoked := rung.Requires.Smoked; smoked != nil {
		required = append(required, requiredFact{policy.FactSmoked, g.policy.SignersOf(smoked.In)})
	}
	if scanned := rung.Requires.Scanned; scanned != nil {
		required = append(required, requiredFact{policy.FactScanned, scanned.Signers})
	}
	return required
}

// counts reports whether a key or an identity, by its ID, is that of one of the signers.
func (g *Gate) counts(ctx context.Context, id string, signers []policy.Signer) (bool, error) {
	trust := policy.Trust{}
	if _, isIdentity := release.ParseIdentity(id); !isIdentity { // an identity is compared without any key
		var err error
		signers = slices.DeleteFunc(slices.Clone(signers), policy.Signer.IsIdentity)
		if _, trust, err = g.verifiersOf(ctx, signers); err != nil {
			return false, err
		}
	}
	if len(signers) == 0 {
		return false, nil
	}
	_, counts := trust.By(signers, id)
	return counts, nil
}

// WarnUnsigned warns, as Gate.WarnUnsigned does, for a run that asks no gate, by the default file of rules; signer is nil without a key. A file that cannot be
// read is left to the verbs that ask the gate.
func WarnUnsigned(ctx context.Context, run *app.RunContext, environment release.Environment, signer signed.Signer, warnings *Warnings) {
	silent := *run
	silent.Reporter = quiet{run.Reporter}
	rules, err := Load(&silent, "")
	if err != nil {
		return
	}
	gate := Gate{run: &silent, policy: rules, signer: signer, warnings: warnings, read: map[setting.KeyRef][]signed.Key{}}
	gate.WarnUnsigned(ctx, environment)
}

// quiet is a reporter that drops lines.
type quiet struct{ release.Reporter }

func (quiet) Infof(string, ...any) {}

// snapshot is what a registry lists about an image.
type snapshot struct {
	images *images.Images
	err    error
}

// asked returns the kinds of facts that the rules of an environment ask for, apart from verdicts of smoke, and the environment that must have proved
// the image; "" if none must.
func asked(rung policy.Rung) (kinds []fact.Kind, provedIn release.Environment) {
	kinds = []fact.Kind{fact.Rejected, fact.Lifted}
	if rung.Requires.Built != nil {
		kinds = append(kinds, fact.Built)
	}
	if rung.Requires.Listed != nil {
		kinds = append(kinds, fact.Listed)
	}
	if rung.Requires.Deployed != nil || rung.Requires.Source != nil {
		kinds = append(kinds, fact.Deployed)
	}
	if rung.Requires.Scanned != nil {
		kinds = append(kinds, fact.Scanned)
	}
	if rung.Requires.Smoked != nil {
		provedIn = rung.Requires.Smoked.In
	}
	return kinds, provedIn
}

// verifiers returns the keys of the settings, as signers whose IDs are added to trust.
func (g *Gate) verifiers(ctx context.Context, trust policy.Trust) (trusted []signed.Verifier, signers []policy.Signer, err error) {
	for _, ref := range g.verifyKeys {
		read, err := g.keysAt(ctx, "verify-key", ref)
		if err != nil {
			return nil, nil, err
		}
		signer := policy.Signer{Key: "--verify-key " + ref.String()}
		for _, key := range read {
			trust[signer] = append(trust[signer], key.ID)
		}
		trusted, signers = append(trusted, signed.Verifiers(read...)...), append(signers, signer)
	}
	return trusted, signers, nil
}

// liftedIn returns the records of failures that a statement lifts for an environment.
func (g *Gate) liftedIn(ctx context.Context, listed *images.Images, image release.Image, environment release.Environment) ([]release.Digest, error) {
	rung, _ := g.policy.Rung(environment)
	rung.Environment = environment
	signers := slices.Concat(rung.Signers, rung.Override.Signers)
	_, trust, err := g.verifiersOf(ctx, signers)
	if err != nil {
		return nil, err
	}
	required, _, err := g.withSigners(ctx, rung, trust)
	if err != nil {
		return nil, err
	}
	trusted, err := g.verifiersFor(ctx, signers)
	if err != nil {
		return nil, err
	}
	records, err := listed.Trusting(trusted).Facts(ctx, image, fact.Lifted)
	_, lifted := policy.Against(records, image, required, trust)
	return lifted, err
}

// smoked reads the newest verdict of an environment that counts: a failure that is not superseded, and that no statement lifts, or else the newest pass.
func (g *Gate) smoked(ctx context.Context, listed *images.Images, image release.Image, environment release.Environment) (found policy.Finding[release.Record], err error) {
	trusted, trust, err := g.verifiersOf(ctx, g.policy.SignersOf(environment))
	if err != nil {
		return found, err
	}
	if len(trusted) == 0 {
		if trusted, _, err = g.verifiers(ctx, trust); err != nil {
			return found, err
		}
	}
	found.Signed = len(trusted) > 0
	reading := listed.Trusting(trusted)
	newest := func(lifted ...release.Digest) error {
		var err error
		found.Fact, found.Found, err = reading.Newest(ctx, image, environment, lifted...)
		found.Err = nil
		if unreadable := new(release.UnreadableRecordError); errors.As(err, &unreadable) {
			found.Err, err = unreadable, nil
		}
		return err
	}
	err = newest()
	if err == nil && (found.Err != nil || found.Found && found.Fact.Verdict != release.Pass) {
		var lifted []release.Digest
		if lifted, err = g.liftedIn(ctx, listed, image, environment); err == nil && len(lifted) > 0 {
			reading = reading.Quiet() // what cannot be read is reported once
			err = newest(lifted...)
		}
	}
	if name, counts := trust.By(g.policy.SignersOf(environment), found.Fact.Signer); counts && name != "" {
		found.Fact.Signer = name
	}
	return found, err
}

// MayOverride returns a *release.Refusal if the key of this run may not sign an override.
func (g *Gate) MayOverride(ctx context.Context, rung policy.Rung) error {
	return g.mustSign(ctx, "an override", rung.Environment, rung.Override.Signers)
}

// mustSign returns a *release.Refusal unless the key of this run is that of one of the signers, which a policy names.
func (g *Gate) mustSign(ctx context.Context, what string, environment release.Environment, signers []policy.Signer) (err error) {
	if len(signers) == 0 {
		return &release.Refusal{Why: fmt.Sprintf("%s must be signed, and no policy names signers of %q", what, environment), Do: "name them in " + policy.DefaultFile}
	}
	var trust policy.Trust
	if g.signer != nil {
		if _, trust, err = g.verifiersOf(ctx, signers); err != nil {
			return err
		}
	}
	return g.checkSigner(what, environment, signers, trust)
}

// checkSigner returns a *release.Refusal unless the key of this run is that of one of the signers.
func (g *Gate) checkSigner(what string, environment release.Environment, signers []policy.Signer, trust policy.Trust) error {
	var names []string
	for _, signer := range signers {
		names = append(names, signer.String())
	}
	do := "give the --sign-key of one of: " + strings.Join(names, ", ")
	if g.signer == nil {
		return &release.Refusal{Why: what + " must be signed, and this run has no key", Do: do}
	}
	if _, counts := trust.By(signers, g.signer.ID()); !counts {
		return &release.Refusal{Why: fmt.Sprintf("the key of this run may not sign %s for %q", what, environment), Do: do}
	}
	return nil
}

// Reject records that an image must not enter any environment. The statement is signed if this run has a key, and counts without.
func (g *Gate) Reject(ctx context.Context, image release.Image, commit release.Commit, reason, actor string) (release.Digest, bool, error) {
	return g.images.RecordFact(ctx, fact.Fact{Kind: fact.Rejected, Image: image, Commit: commit, By: actor, Run: g.run.RunURL(), At: g.run.Process.Now().UTC(),
		Rejection: &fact.Rejection{Reason: reason, Cause: fact.ByPerson}})
}

// MayLift returns a *release.Refusal if the key of this run may not lift rejections for an environment. Where neither the policy nor the settings name
// signers, a pass counts without a signature, and so does this statement, with a warning.
func (g *Gate) MayLift(ctx context.Context, rung policy.Rung) error {
	const what = "the statement that lifts a rejection"
	signers := slices.Concat(rung.Signers, rung.Override.Signers)
	if g.policy.HasSigners() {
		return g.mustSign(ctx, what, rung.Environment, signers)
	}
	_, trust, err := g.verifiersOf(ctx, signers)
	if err != nil {
		return err
	}
	_, given, err := g.verifiers(ctx, trust)
	if err != nil {
		return err
	}
	if signers = append(signers, given...); len(signers) > 0 {
		return g.checkSigner(what, rung.Environment, signers, trust)
	}
	g.run.Reporter.Warnf("%s for %q needs no signature: everybody who may push to the repository of the image can write it; give --verify-key (sign-key of the environment before, for pipeline.yaml), or name signers in %s", what, rung.Environment, policy.DefaultFile)
	return nil
}

// Lift records that rejections do not count any more for an environment.
func (g *Gate) Lift(ctx context.Context, image release.Image, rung policy.Rung, reason, actor string, rejections []policy.Rejection) (release.Digest, error) {
	var records []release.Digest
	for _, each := range rejections {
		if !each.Record.IsZero() && !slices.Contains(records, each.Record) {
			records = append(records, each.Record)
		}
	}
	record, _, err := g.images.RecordFact(ctx, fact.Fact{Kind: fact.Lifted, Image: image, Environment: rung.Environment, By: actor, Run: g.run.RunURL(), At: g.run.Process.Now().UTC(),
		Lift: &fact.Lift{Reason: reason, Rejections: records}})
	return record, err
}

// Override attaches the signed statement that an actor overrode the rules.
func (g *Gate) Override(ctx context.Context, image release.Image, overriding policy.Overriding) (release.Digest, error) {
	record, _, err := g.images.RecordFact(ctx, fact.Fact{Kind: fact.Overridden, Image: image, Commit: overriding.Commit, Environment: overriding.Environment,
		By: overriding.Actor, Run: g.run.RunURL(), At: g.run.Process.Now().UTC(),
		Override: &fact.Override{Reason: overriding.Reason, Missing: overriding.Missing, Policy: overriding.Policy}})
	return record, err
}
