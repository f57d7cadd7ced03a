// Package policy decides by rules whether an image may enter an environment: which facts about it are required, who must have signed them, and
// how old they may be. It reads nothing: the rules and the facts are handed over.
package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// DefaultFile is the file that has the rules of a repository, in the working directory.
const DefaultFile = ".onedigest.yaml"

// Policy is the ladder of environments, with the rules for each.
type Policy struct {
	Source      Source
	Ladder      []Rung // from the first environment to the last
	TrustedRoot string // file beside the policy by which certificates are verified; "": that of the public instance of Sigstore
}

// Source says where a policy is from.
type Source struct {
	File   string         `json:"file,omitempty"`  // "" if there is no file, so that the settings are the rules
	Digest release.Digest `json:"digest,omitzero"` // of the file's content
}

// String names the file and its digest.
func (s Source) String() string {
	if s.File == "" {
		return "the settings"
	}
	return fmt.Sprintf("%s (%s)", s.File, s.Digest.Short())
}

// Rung is one environment of the ladder, with its rules.
type Rung struct {
	Environment release.Environment
	Beside      bool     // no step of the ladder: what enters it comes from no environment, and enters none, as that of previews
	Signers     []Signer // who signs facts about this environment; none: a signature is not asked for
	Requires    Requirements
	Override    Override
	// UnsignedLifts reports that neither a policy nor the settings name signers of facts, so that a statement lifts rejections also without a signature.
	UnsignedLifts bool
	// Lifting reports that rejections are about to be lifted: a failed smoke counts as one also if the environment is the first.
	Lifting bool
}

// Signer is somebody whose signature is trusted: the holder of a key, or the identities of keyless signing that match. It is comparable.
type Signer struct {
	Key            string // FILE, env://NAME or awskms:///KEY; "" for identities
	Issuer         string // of the identity's tokens
	Identity       string // the certificate's subject alternative name; "" if IdentityRegexp is given
	IdentityRegexp string // which the whole subject alternative name matches, in Go's syntax
	Repository     string // URL of the repository whose run signs; "": any
	Ref            string // of that repository; "": any
}

// IsIdentity reports whether the signer has no key.
func (s Signer) IsIdentity() bool { return s.Key == "" }

// Matches reports whether an identity is the signer's. A regular expression that is none matches nothing.
func (s Signer) Matches(identity release.Identity) bool {
	if !s.IsIdentity() || s.Issuer == "" || identity.Issuer != s.Issuer ||
		s.Repository != "" && identity.Repository != s.Repository || s.Ref != "" && identity.Ref != s.Ref {
		return false
	}
	if s.Identity != "" {
		return identity.Subject == s.Identity
	}
	pattern, err := regexp.Compile(s.WholeRegexp())
	return err == nil && s.IdentityRegexp != "" && pattern.MatchString(identity.Subject)
}

// WholeRegexp returns the regular expression for a whole subject alternative name.
func (s Signer) WholeRegexp() string { return "^(?:" + s.IdentityRegexp + ")$" }

// String names the signer.
func (s Signer) String() string {
	if !s.IsIdentity() {
		return s.Key
	}
	return release.Identity{Issuer: s.Issuer, Subject: cmp.Or(s.Identity, s.IdentityRegexp), Repository: s.Repository, Ref: s.Ref}.String()
}

// IsAlias reports whether the signer is named by an alias of AWS KMS, which may name another key tomorrow.
func (s Signer) IsAlias() bool {
	_, name, isKMS := strings.Cut(s.Key, "awskms:///")
	return isKMS && strings.Contains(name, "alias/")
}

// Requirements are what an image needs to enter an environment.
type Requirements struct {
	Built         *Built
	Listed        *Listed
	Deployed      *Deployed
	Smoked        *Smoked
	Scanned       *Scanned
	NotRejected   bool       // that nobody rejected the image, and that it never failed in the environment
	ChartOfCommit bool       // that chart and values are those of the image's commit, and that the environment before ran those of a later one
	Source        *SourceRun // of a run, not of a file: set by Check
}

// SourceRun asks that an earlier environment ran the chart and the values of a commit, with an image that is labelled with another one.
type SourceRun struct {
	In     release.Environment
	Commit release.Commit
	Smoked bool // that smoke passed there then
}

// withSource returns the rules with what they ask of the chart and the values of a commit: nothing unless it is another one than the image's, which its pass
// is about, and an earlier environment has to have run the image.
func (r Rung) withSource(source, labelled release.Commit) Rung {
	if !r.Requires.ChartOfCommit || source == "" || source == labelled {
		return r
	}
	switch {
	case r.Requires.Smoked != nil:
		r.Requires.Source = &SourceRun{In: r.Requires.Smoked.In, Commit: source, Smoked: true}
	case r.Requires.Deployed != nil:
		r.Requires.Source = &SourceRun{In: r.Requires.Deployed.In, Commit: source}
	}
	return r
}

// Built asks for the provenance of the image.
type Built struct {
	Signers []Signer // none: a signature is not asked for
}

// Listed asks for an SBOM of the image.
type Listed struct {
	Signers []Signer // none: a signature is not asked for
}

// Deployed asks that the image was deployed to an earlier environment.
type Deployed struct {
	In     release.Environment
	MaxAge time.Duration // 0: any
}

// Smoked asks that the newest verdict of an earlier environment is a pass.
type Smoked struct {
	In          release.Environment
	MaxAge      time.Duration  // of the pass; 0: any
	Soak        time.Duration  // that must have passed since the verdict, without a later failure
	Checks      int            // least number of checks
	CheckNames  []string       // that must be among them
	CheckDigest release.Digest // of the contents of all checks; zero: any
}

// Scanned asks for the newest scan of the image.
type Scanned struct {
	Signers     []Signer // none: a signature is not asked for
	Scanner     string   // "": any
	MaxAge      time.Duration
	Unstated    []fact.Unstated // what the results need not say
	MaxSeverity fact.Severity   // of the findings that count; fact.NoFindings: there must be none
}

// Override says who may enter an environment although a requirement is not met. Without actors, nobody may.
type Override struct {
	Actors  []string // GitHub users
	Signers []Signer // of the statement about the override
}

// IsAllowed reports whether anybody may override.
func (o Override) IsAllowed() bool { return len(o.Actors) > 0 }

// May reports whether an actor is among those who may override. GitHub's user names ignore case.
func (o Override) May(actor string) bool {
	return actor != "" && slices.ContainsFunc(o.Actors, func(one string) bool { return strings.EqualFold(one, actor) })
}

// Rung returns the rules of an environment; false if it is not on the ladder.
func (p Policy) Rung(environment release.Environment) (Rung, bool) {
	at := slices.IndexFunc(p.Ladder, func(r Rung) bool { return r.Environment == environment })
	if at < 0 {
		return Rung{}, false
	}
	return p.Ladder[at], true
}

// Before returns the environment that comes before another on the ladder; false if there is none.
func (p Policy) Before(environment release.Environment) (release.Environment, bool) {
	return p.Order().Before(environment)
}

// Order returns the environments of the ladder, without those beside it.
func (p Policy) Order() release.PromotionOrder {
	order := make(release.PromotionOrder, 0, len(p.Ladder))
	for _, rung := range p.Ladder {
		if !rung.Beside {
			order = append(order, rung.Environment)
		}
	}
	return order
}

// HasSigners reports whether the policy says whose signatures count for facts.
func (p Policy) HasSigners() bool {
	return slices.ContainsFunc(p.Ladder, func(r Rung) bool {
		return len(r.Signers) > 0 || len(r.Requires.ownSigners()) > 0
	})
}

// AsksOfTheImage reports whether something is required of the image itself, whatever happened to it in an environment: how it was built, what it contains, or
// what a scan found.
func (r Requirements) AsksOfTheImage() bool {
	return r.Built != nil || r.Listed != nil || r.Scanned != nil
}

// ownSigners returns the signers that only these requirements name.
func (r Requirements) ownSigners() (signers []Signer) {
	if r.Built != nil {
		signers = append(signers, r.Built.Signers...)
	}
	if r.Listed != nil {
		signers = append(signers, r.Listed.Signers...)
	}
	if r.Scanned != nil {
		signers = append(signers, r.Scanned.Signers...)
	}
	return signers
}

// WithSigners returns the requirements with signers of what is required of the image itself.
func (r Requirements) WithSigners(signers []Signer) Requirements {
	if r.Built != nil {
		r.Built = &Built{Signers: signers}
	}
	if r.Listed != nil {
		r.Listed = &Listed{Signers: signers}
	}
	if r.Scanned != nil {
		scanned := *r.Scanned
		scanned.Signers, r.Scanned = signers, &scanned
	}
	return r
}

// SignersOf returns who signs facts about an environment.
func (p Policy) SignersOf(environment release.Environment) []Signer {
	rung, _ := p.Rung(environment)
	return rung.Signers
}
