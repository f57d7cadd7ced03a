// Package policyfile reads the file that has the rules of promotion, .onedigest.yaml (docs/policy.md).
package policyfile

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/onedigest/onedigest/internal/policy"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/text"
	"go.yaml.in/yaml/v3"
)

// Limits of a file.
const (
	MaxBytes        = 64 << 10
	maxEnvironments = 32
	maxSigners      = 32
	maxActors       = 256
	maxChecks       = 1000 // as in evidence
	maxText         = 2048 // bytes
	maxDuration     = 10 * 365 * 24 * time.Hour
)

// Parse reads a policy. All problems are reported together, with file and line, as a *release.InputError.
func Parse(file string, content []byte) (policy.Policy, error) {
	p := &parser{file: file}
	read := policy.Policy{Source: policy.Source{File: file, Digest: release.DigestOf(content)}}
	if len(content) > MaxBytes {
		return read, release.BadInput(file, fmt.Sprintf("is %d bytes long, limit %d", len(content), MaxBytes), "")
	}
	if root := p.document(content); root != nil {
		read.Ladder, read.TrustedRoot = p.root(root)
	}
	if len(p.problems) > 0 {
		return policy.Policy{}, &release.InputError{Problems: p.problems}
	}
	return read, nil
}

// root reads the root of the file.
func (p *parser) root(root *yaml.Node) (ladder []policy.Rung, trustedRoot string) {
	hasVersion, hasLadder := false, false
	var nodes []*yaml.Node // where each environment says what it requires
	p.mapping(root, "the policy", map[string]func(*yaml.Node){
		"trusted-root": func(node *yaml.Node) { trustedRoot, _ = parsed(p, node, "trusted-root", notEmpty) },
		"version":      func(node *yaml.Node) { hasVersion = true; p.number(node, "version", 1, 1) },
		"environments": func(node *yaml.Node) {
			hasLadder = true
			for _, entry := range p.list(node, "environments", maxEnvironments) {
				if rung, at, ok := p.rung(entry, ladder); ok {
					ladder, nodes = append(ladder, rung), append(nodes, at)
				}
			}
		},
	})
	if root.Kind == yaml.MappingNode && (!hasVersion || !hasLadder) {
		p.problem(root, "write version: 1 and environments: (docs/policy.md)", "the policy has no version or no environments")
	}
	p.checkSigners(ladder, nodes)
	p.checkIdentities(ladder, nodes)
	return ladder, trustedRoot
}

// checkSigners records the problem of a fact that nobody signs although the policy names signers: whoever may push could write it.
func (p *parser) checkSigners(ladder []policy.Rung, nodes []*yaml.Node) {
	read := policy.Policy{Ladder: ladder}
	if !read.HasSigners() {
		return
	}
	for i, rung := range ladder {
		required := rung.Requires
		unsigned := func(what string, in release.Environment) {
			if _, listed := read.Rung(in); listed && len(read.SignersOf(in)) == 0 {
				p.problem(nodes[i], fmt.Sprintf("give %q the signers of its facts", in), "%q requires what %s recorded in %q, which names no signers although the policy names others", rung.Environment, what, in)
			}
		}
		if required.Smoked != nil {
			unsigned("smoke", required.Smoked.In)
		}
		if required.Deployed != nil {
			unsigned("deploy", required.Deployed.In)
		}
		if required.Scanned != nil && len(required.Scanned.Signers) == 0 {
			p.problem(nodes[i], "give scanned its signers", "%q requires scanned, which names no signers although the policy names others", rung.Environment)
		}
		if required.Listed != nil && len(required.Listed.Signers) == 0 {
			p.problem(nodes[i], "give listed its signers", "%q requires listed, which names no signers although the policy names others", rung.Environment)
		}
		if required.Built != nil && len(required.Built.Signers) == 0 {
			p.problem(nodes[i], "give built its signers", "%q requires built, which names no signers although the policy names others", rung.Environment)
		}
	}
}

// checkIdentities records the problem of an identity that signs facts about two environments: a certificate says which workflow signed, and not for which
// environment, so whoever may run it for the first could sign for the second.
func (p *parser) checkIdentities(ladder []policy.Rung, nodes []*yaml.Node) {
	first := map[policy.Signer]release.Environment{}
	for i, rung := range ladder {
		for _, signer := range rung.Signers {
			if other, listed := first[signer]; listed && signer.IsIdentity() {
				p.problem(nodes[i], "give each environment a workflow of its own, or a ref", "%q and %q have the same signer without a key, %s", other, rung.Environment, quote(signer.String()))
				continue
			}
			first[signer] = rung.Environment
		}
	}
}

// rung reads an environment that comes after those before it, and finds where it says what it requires.
func (p *parser) rung(node *yaml.Node, before []policy.Rung) (rung policy.Rung, at *yaml.Node, ok bool) {
	var requires *yaml.Node
	named := false
	p.mapping(node, "an environment", map[string]func(*yaml.Node){
		"name": func(node *yaml.Node) {
			named = true
			if rung.Environment, ok = parsed(p, node, "name", release.ParseOwnEnvironment); !ok {
				return
			}
			if slices.ContainsFunc(before, func(r policy.Rung) bool { return r.Environment == rung.Environment }) {
				p.problem(node, "", "environment %q is listed twice", rung.Environment)
			}
		},
		"signers":  func(node *yaml.Node) { rung.Signers = p.signers(node) },
		"requires": func(node *yaml.Node) { requires = node },
		"override": func(node *yaml.Node) { rung.Override = p.override(node) },
		"beside":   func(node *yaml.Node) { rung.Beside = p.boolean(node, "beside") },
	})
	if !ok {
		if node.Kind == yaml.MappingNode && !named {
			p.problem(node, "write name: and the environment's name", "an environment has no name")
		}
		return rung, node, false
	}
	earlier := slices.DeleteFunc(slices.Clone(before), func(r policy.Rung) bool { return r.Beside })
	if rung.Beside {
		earlier = nil
	}
	rung.Requires = p.requires(requires, earlier)
	if requires == nil {
		return rung, node, true
	}
	return rung, requires, true
}

// requires reads what an environment requires. Unless it asks for smoked, deployed or built, the environment before it must have proved the image.
func (p *parser) requires(node *yaml.Node, before []policy.Rung) policy.Requirements {
	required := policy.Requirements{NotRejected: true}
	var previous release.Environment
	if len(before) > 0 {
		previous = before[len(before)-1].Environment
	}
	if node != nil {
		p.requirements(node, &required, previous, before)
	}
	if previous != "" && required.Smoked == nil && required.Deployed == nil && required.Built == nil {
		required.Smoked = &policy.Smoked{In: previous}
	}
	return required
}

// requirements reads the keys below requires into required. previous is the environment before, "" for the first.
func (p *parser) requirements(node *yaml.Node, required *policy.Requirements, previous release.Environment, before []policy.Rung) {
	p.mapping(node, "requires", map[string]func(*yaml.Node){
		"built":           func(node *yaml.Node) { required.Built = p.built(node) },
		"listed":          func(node *yaml.Node) { required.Listed = p.listed(node) },
		"deployed":        func(node *yaml.Node) { required.Deployed = p.deployed(node, previous, before) },
		"smoked":          func(node *yaml.Node) { required.Smoked = p.smoked(node, previous, before) },
		"scanned":         func(node *yaml.Node) { required.Scanned = p.scanned(node) },
		"not-rejected":    func(node *yaml.Node) { required.NotRejected = p.boolean(node, "not-rejected") },
		"chart-of-commit": func(node *yaml.Node) { required.ChartOfCommit = p.boolean(node, "chart-of-commit") },
	})
}

func (p *parser) built(node *yaml.Node) *policy.Built {
	required := new(policy.Built)
	p.mapping(node, "built", map[string]func(*yaml.Node){
		"signers": func(node *yaml.Node) { required.Signers = p.signers(node) },
	})
	return required
}

func (p *parser) listed(node *yaml.Node) *policy.Listed {
	required := new(policy.Listed)
	p.mapping(node, "listed", map[string]func(*yaml.Node){
		"signers": func(node *yaml.Node) { required.Signers = p.signers(node) },
	})
	return required
}

// The rules of a scan that the file does not give.
const (
	defaultScanAge      = 7 * 24 * time.Hour
	defaultScanSeverity = fact.Medium
)

func (p *parser) scanned(node *yaml.Node) *policy.Scanned {
	required := &policy.Scanned{MaxAge: defaultScanAge, MaxSeverity: defaultScanSeverity}
	p.mapping(node, "scanned", map[string]func(*yaml.Node){
		"signers": func(node *yaml.Node) { required.Signers = p.signers(node) },
		"scanner": func(node *yaml.Node) { required.Scanner, _ = parsed(p, node, "scanner", notEmpty) },
		"max-age": func(node *yaml.Node) { required.MaxAge = p.duration(node, "max-age", fact.ScanFreshFor) },
		"accept-unstated": func(node *yaml.Node) {
			for _, each := range texts(p, node, "accept-unstated", len(fact.AllUnstated), parseUnstated) {
				required.Unstated = append(required.Unstated, fact.Unstated(each))
			}
		},
		"max-severity": func(node *yaml.Node) {
			if severity, ok := parsed(p, node, "max-severity", parseSeverity); ok {
				required.MaxSeverity = severity
			}
		},
	})
	return required
}

// parseUnstated accepts what results of a scan may leave unsaid.
func parseUnstated(given string) (string, error) {
	if slices.Contains(fact.AllUnstated, fact.Unstated(given)) {
		return given, nil
	}
	return "", fmt.Errorf("%s is none of %s", quote(given), fact.AllUnstated)
}

// parseSeverity accepts a limit of severities.
func parseSeverity(given string) (fact.Severity, error) {
	limits := []fact.Severity{fact.NoFindings, fact.Info, fact.Low, fact.Medium, fact.High, fact.Critical}
	if slices.Contains(limits, fact.Severity(given)) {
		return fact.Severity(given), nil
	}
	return "", fmt.Errorf("%s is none of %s", quote(given), limits)
}

func (p *parser) deployed(node *yaml.Node, previous release.Environment, before []policy.Rung) *policy.Deployed {
	required := &policy.Deployed{In: previous}
	p.mapping(node, "deployed", map[string]func(*yaml.Node){
		"in":      func(node *yaml.Node) { required.In = p.earlier(node, before) },
		"max-age": func(node *yaml.Node) { required.MaxAge = p.duration(node, "max-age", time.Minute) },
	})
	p.checkEarlier(node, "deployed", required.In, before)
	return required
}

func (p *parser) smoked(node *yaml.Node, previous release.Environment, before []policy.Rung) *policy.Smoked {
	required := &policy.Smoked{In: previous}
	p.mapping(node, "smoked", map[string]func(*yaml.Node){
		"in":           func(node *yaml.Node) { required.In = p.earlier(node, before) },
		"max-age":      func(node *yaml.Node) { required.MaxAge = p.duration(node, "max-age", release.RecordFreshFor) },
		"soak":         func(node *yaml.Node) { required.Soak = p.duration(node, "soak", time.Second) },
		"checks":       func(node *yaml.Node) { required.Checks = p.number(node, "checks", 1, maxChecks) },
		"check-names":  func(node *yaml.Node) { required.CheckNames = texts(p, node, "check-names", maxChecks, notEmpty) },
		"check-digest": func(node *yaml.Node) { required.CheckDigest, _ = parsed(p, node, "check-digest", release.ParseDigest) },
	})
	p.checkEarlier(node, "smoked", required.In, before)
	if required.MaxAge > 0 && required.Soak >= required.MaxAge {
		p.problem(node, "give a soak that is shorter than max-age", "no pass is at least %s and at most %s old", text.Duration(required.Soak), text.Duration(required.MaxAge))
	}
	return required
}

// checkEarlier records the problem of a fact that is required of an earlier environment if there is none.
func (p *parser) checkEarlier(node *yaml.Node, what string, in release.Environment, before []policy.Rung) {
	if in == "" && len(before) == 0 && node.Kind == yaml.MappingNode {
		p.problem(node, "leave it out", "%s is required by the first environment, which has none before it", what)
	}
}

// earlier reads the name of an environment that comes before.
func (p *parser) earlier(node *yaml.Node, before []policy.Rung) release.Environment {
	name, ok := parsed(p, node, "in", release.ParseEnvironment)
	if ok && !slices.ContainsFunc(before, func(r policy.Rung) bool { return r.Environment == name }) {
		p.problem(node, "name an environment that is listed before", "%q does not come before this environment", name)
	}
	return name
}

// duration reads a duration, such as 30m or 168h.
func (p *parser) duration(node *yaml.Node, what string, least time.Duration) time.Duration {
	value, ok := parsed(p, node, what, setting.Duration)
	if ok && (value < least || value > maxDuration) {
		p.problem(node, "", "%s is %s, not %s to %s", what, text.Duration(value), text.Duration(least), text.Duration(maxDuration))
	}
	return value
}

// override reads who may override the rules, and with which keys.
func (p *parser) override(node *yaml.Node) (override policy.Override) {
	p.mapping(node, "override", map[string]func(*yaml.Node){
		"actors":  func(node *yaml.Node) { override.Actors = texts(p, node, "actors", maxActors, parseActor) },
		"signers": func(node *yaml.Node) { override.Signers = p.signers(node) },
	})
	if node.Kind == yaml.MappingNode && (len(override.Actors) == 0 || len(override.Signers) == 0) {
		p.problem(node, "list both actors and signers", "an override needs somebody who may, and a key that signs it")
	}
	return override
}

// signers reads a list of keys and identities.
func (p *parser) signers(node *yaml.Node) (signers []policy.Signer) {
	for _, entry := range p.list(node, "signers", maxSigners) {
		signer, ok := p.signer(entry)
		switch {
		case !ok:
		case slices.Contains(signers, signer):
			p.problem(entry, "", "signers has %s twice", quote(signer.String()))
		default:
			signers = append(signers, signer)
		}
	}
	return signers
}

// signer reads a key, or identities of keyless signing.
func (p *parser) signer(node *yaml.Node) (signer policy.Signer, ok bool) {
	if node.Kind == yaml.ScalarNode {
		key, ok := parsed(p, node, "signers", parseKey)
		return policy.Signer{Key: key}, ok
	}
	p.mapping(node, "a signer", map[string]func(*yaml.Node){
		"keyless": func(node *yaml.Node) { signer, ok = p.identity(node) },
	})
	if node.Kind != yaml.MappingNode || len(node.Content) == 0 {
		p.problem(node, "", "a signer is FILE, env://NAME, awskms:///KEY, or keyless: with identity or identity-regexp")
	}
	return signer, ok
}

// identity reads which identities of keyless signing count.
func (p *parser) identity(node *yaml.Node) (signer policy.Signer, ok bool) {
	before := len(p.problems)
	signer.Issuer = release.GitHubIssuer
	p.mapping(node, "keyless", map[string]func(*yaml.Node){
		"issuer":          func(node *yaml.Node) { signer.Issuer, _ = parsed(p, node, "issuer", parseIssuer) },
		"identity":        func(node *yaml.Node) { signer.Identity, _ = parsed(p, node, "identity", oneWord) },
		"identity-regexp": func(node *yaml.Node) { signer.IdentityRegexp, _ = parsed(p, node, "identity-regexp", parseRegexp) },
		"repository":      func(node *yaml.Node) { signer.Repository, _ = parsed(p, node, "repository", parseIssuer) },
		"ref":             func(node *yaml.Node) { signer.Ref, _ = parsed(p, node, "ref", oneWord) },
	})
	if len(p.problems) > before || node.Kind != yaml.MappingNode {
		return signer, false
	}
	if (signer.Identity == "") == (signer.IdentityRegexp == "") {
		p.problem(node, "give one of them", "keyless needs either identity or identity-regexp: whose certificates count")
		return signer, false
	}
	return signer, !isGitHub(signer.Issuer) || p.run(node, &signer)
}

// anyRef is the ref of an identity whose runs may be of any ref.
const anyRef = "any"

// run completes of whose run an identity of GitHub is: a workflow that others may call signs with its own identity for their runs too, so the repository
// of the run must be asked for, and its ref unless the identity has the ref of that repository's own workflow.
func (p *parser) run(node *yaml.Node, signer *policy.Signer) bool {
	own := repositoryOf(signer.Identity)
	if signer.Repository == "" {
		signer.Repository = own
	}
	switch {
	case signer.Repository == "":
		p.problem(node, "give repository:, such as https://github.com/OWNER/NAME", "any repository may call the workflow that signs, and no repository is named")
		return false
	case signer.Ref == "" && own != signer.Repository:
		p.problem(node, "give ref:, such as refs/heads/main, or ref: "+anyRef, "any branch of %s may run the workflow that signs, and no ref is named", quote(signer.Repository))
		return false
	case signer.Ref == anyRef:
		signer.Ref = ""
	}
	return true
}

// isGitHub reports whether an issuer is GitHub Actions, for all or for an enterprise. Source: GitHub Docs, "OpenID Connect reference", "Switching to a
// unique token URL".
func isGitHub(issuer string) bool {
	return issuer == release.GitHubIssuer || strings.HasPrefix(issuer, release.GitHubIssuer+"/")
}

// workflowPattern is the identity of a workflow of GitHub. Source: Fulcio, docs/oidc.md, "GitHub".
var workflowPattern = regexp.MustCompile(`^(https://github\.com/[^/@]+/[^/@]+)/\.github/workflows/[^@]+@.+$`)

// repositoryOf returns the repository that has a workflow; "" if the identity is none.
func repositoryOf(identity string) string {
	if found := workflowPattern.FindStringSubmatch(identity); found != nil {
		return found[1]
	}
	return ""
}

// parseRegexp accepts a regular expression in Go's syntax, which must match a whole identity.
func parseRegexp(given string) (string, error) {
	if _, err := oneWord(given); err != nil {
		return "", err
	}
	if _, err := regexp.Compile(given); err != nil {
		return "", fmt.Errorf("%s is not a regular expression: %w", quote(given), err)
	}
	if regexp.MustCompile(policy.Signer{IdentityRegexp: given}.WholeRegexp()).MatchString("") {
		return "", fmt.Errorf("%s also matches the empty string; write an expression that the whole identity must match", quote(given))
	}
	return given, nil
}

// oneWord accepts text without spaces.
func oneWord(given string) (string, error) {
	if given == "" || strings.ContainsFunc(given, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return "", fmt.Errorf("%s is not one word", quote(given))
	}
	return given, nil
}

// parseKey accepts the public key of a signer. A key of the environment is as good as the workflow that sets it.
func parseKey(given string) (string, error) {
	ref, err := setting.ParseKeyRef(given)
	if err == nil && ref.Name == "" {
		err = errors.New("the name of a key is empty")
	}
	return ref.String(), err
}

func parseIssuer(given string) (string, error) {
	parsed, err := url.Parse(given)
	if err != nil || parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return "", fmt.Errorf("%s is not an https address", quote(given))
	}
	return given, nil
}

// actorPattern is a user name of GitHub, or an app's with "[bot]". Source: GitHub Docs, "Username considerations for external authentication".
var actorPattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98})(?:\[bot\])?$`)

func parseActor(given string) (string, error) {
	if !actorPattern.MatchString(given) {
		return "", fmt.Errorf("%s is not a user name of GitHub; teams are not supported, because the token of a job cannot read who is in one", quote(given))
	}
	return strings.ToLower(given), nil
}

func notEmpty(given string) (string, error) {
	if strings.TrimSpace(given) == "" {
		return "", errors.New("is empty")
	}
	return given, nil
}
