// Package fact has the facts about an image that are attached to it in the registry: that it was built, deployed, smoked, promoted or rejected, and what
// it contains. A fact is about one digest. Of several facts of the same kind and environment, the newest counts.
package fact

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/onedigest/onedigest/internal/release"
)

// Kind says what a fact is about.
type Kind string

// The kinds.
const (
	Built    Kind = "built"    // a builder built the image from a commit
	Listed   Kind = "listed"   // an SBOM lists what the image contains
	Scanned  Kind = "scanned"  // a scanner looked for vulnerabilities in the image
	Deployed Kind = "deployed" // an environment runs the image, as its pods report it
	Smoked   Kind = "smoked"   // smoke gave a verdict in an environment
	Promoted Kind = "promoted" // the image was tagged for the next environment
	Rejected Kind = "rejected" // the image must not enter an environment, or none

	Lifted     Kind = "lifted"     // rejections do not count any more
	Overridden Kind = "overridden" // the image entered an environment although a rule was not met
)

// Kinds lists all kinds, in the order of an image's life.
var Kinds = []Kind{Built, Listed, Scanned, Deployed, Smoked, Promoted, Rejected, Lifted, Overridden}

// Fact is what happened to an image, with who says so. Exactly one of its details is set, the one of its kind.
type Fact struct {
	Kind        Kind                `json:"kind"`
	Image       release.Image       `json:"image"`
	Commit      release.Commit      `json:"commit,omitempty"`      // that the image was built from; "" if unknown
	Environment release.Environment `json:"environment,omitempty"` // "" of Built, and of Rejected for all environments; of Promoted, the one it was promoted to
	By          string              `json:"by,omitempty"`          // who started the run; "" if unknown
	Run         string              `json:"run,omitempty"`         // URL of the run; "" if there is none
	At          time.Time           `json:"at"`                    // by the writer's clock; zero only if another program's provenance or SBOM has no time
	After       []release.Digest    `json:"after,omitempty"`       // records that the registry listed before; not of Built and Listed

	Build      *Build            `json:"build,omitempty"`
	SBOM       *SBOM             `json:"sbom,omitempty"`
	Scan       *Scan             `json:"scan,omitempty"`
	Deployment *Deployment       `json:"deployment,omitempty"`
	Smoke      *release.Evidence `json:"smoke,omitempty"`
	Promotion  *Promotion        `json:"promotion,omitempty"`
	Rejection  *Rejection        `json:"rejection,omitempty"`
	Lift       *Lift             `json:"lift,omitempty"`
	Override   *Override         `json:"override,omitempty"`
}

// BuildType is the kind of a build by onedigest: an image of a commit by a recipe (docs/evidence.md).
const BuildType = "https://onedigest.dev/build/v1"

// Build says from what and by whom an image was built.
type Build struct {
	Type      string         `json:"type"`                // URI of the kind of build
	Source    string         `json:"source"`              // URL of the source repository; "" if it has none
	Builder   string         `json:"builder"`             // URI of who is trusted to have run the build as it says
	Recipe    release.Digest `json:"recipe,omitzero"`     // of the build's settings (release.RecipeSettings); zero of another program's build
	Inputs    string         `json:"inputs,omitempty"`    // hash of what else entered the image (release.AnnotationInputs); "" if unknown
	Platforms []string       `json:"platforms,omitempty"` // os/architecture; none if unknown
	StartedAt time.Time      `json:"startedAt,omitzero"`
}

// Deployment says where and with what an image was deployed.
type Deployment struct {
	Cluster      string         `json:"cluster"`          // name of the EKS cluster, or host of the API server
	Server       string         `json:"server,omitempty"` // host of the API server of an EKS cluster; "" of another one, and in a record of an older version
	Namespace    string         `json:"namespace"`
	Release      string         `json:"release"`  // Helm's
	Revision     int            `json:"revision"` // of the release, from 1
	Chart        string         `json:"chart"`    // where the chart is from
	ChartDigest  release.Digest `json:"chartDigest"`
	ValuesDigest release.Digest `json:"valuesDigest"`     // of the values files; without values that are set one by one, which may be secret
	Set          []string       `json:"set,omitempty"`    // paths of the values that are set one by one, sorted; their values are not recorded
	Source       release.Commit `json:"source,omitempty"` // commit that chart and values are checked out from; "" if unknown
	Pods         int            `json:"pods"`             // that run the image
	// RolledBackTo is the revision that a rollback applied again, whose chart and values the release has now; 0 if it was no rollback. Chart and values
	// are not recorded of a rollback: the record of that revision has them.
	RolledBackTo int `json:"rolledBackTo,omitempty"`
}

// Promotion says by what proof an image may enter an environment.
type Promotion struct {
	From     release.Environment `json:"from"`
	Tag      release.Tag         `json:"tag"`
	Source   release.Commit      `json:"source,omitempty"`   // commit whose chart and values belong to the promotion; "" if it is the image's
	Proof    release.Digest      `json:"proof"`              // record of the smoke that was relied on, in the image's first repository
	ProvedAt time.Time           `json:"provedAt"`           // when smoke passed
	Override string              `json:"override,omitempty"` // why a rule of the policy was overridden; "" if none was
}

// Rejection says why an image must not be used.
type Rejection struct {
	Reason string `json:"reason"`
	Cause  Cause  `json:"cause"`
}

// Lift says that rejections of an image were wrong. It counts only if a trusted key signed it, unless nothing names trusted keys.
type Lift struct {
	Reason     string           `json:"reason"`
	Rejections []release.Digest `json:"rejections"` // the records of the rejections and failed verdicts that do not count any more
}

// Override says that an image entered an environment although a rule was not met, and why.
type Override struct {
	Reason  string         `json:"reason"`
	Missing []string       `json:"missing"`         // what was required and not found, a line each
	Policy  release.Digest `json:"policy,omitzero"` // of the file of rules; zero if there was none
}

// Cause says who rejected an image.
type Cause string

// The causes of a rejection.
const (
	ByPerson Cause = "person"
	BySmoke  Cause = "smoke" // failed after the image was deployed
)

// Origin says who records facts in a run.
type Origin struct {
	By      string // who started the run; "" if unknown
	Run     string // URL of the run; "" if there is none
	Builder string // URI of who is trusted to run what the run says: the workflow on GitHub
}

// FromEvidence returns a verdict of smoke as a fact.
func FromEvidence(found release.Evidence) Fact {
	return Fact{Kind: Smoked, Image: found.Image, Commit: found.Commit, Environment: found.Environment, Run: found.Run, At: found.At, After: found.After, Smoke: &found}
}

// String names the fact in a message.
func (f Fact) String() string {
	if f.Environment == "" {
		return string(f.Kind)
	}
	return fmt.Sprintf("%s in %q", f.Kind, f.Environment)
}

// Repeats reports whether a fact says nothing that an earlier one does not say, apart from who ran what and when. A build is repeated
// whatever the earlier one's run, and a promotion under the same tag whatever verdict it relies on.
func (f Fact) Repeats(earlier Fact) bool {
	if f.Kind != earlier.Kind || f.Image != earlier.Image || f.Commit != earlier.Commit || f.Environment != earlier.Environment {
		return false
	}
	switch {
	case f.Build != nil && earlier.Build != nil:
		a, b := *f.Build, *earlier.Build
		return a.Type == b.Type && a.Source == b.Source && a.Builder == b.Builder && a.Recipe == b.Recipe && a.Inputs == b.Inputs && slices.Equal(a.Platforms, b.Platforms)
	case f.SBOM != nil && earlier.SBOM != nil:
		return bytes.Equal(f.SBOM.Document, earlier.SBOM.Document)
	case f.Scan != nil && earlier.Scan != nil:
		return f.Scan.repeats(*earlier.Scan)
	case f.Deployment != nil && earlier.Deployment != nil:
		a, b := *f.Deployment, *earlier.Deployment
		namesServer := a.Server == "" || release.ServerName(a.Server) == release.ServerName(cmp.Or(b.Server, b.Cluster)) // a record of an older version names none
		return namesServer && a.Target().MayBe(b.Target()) && a.Revision == b.Revision && a.Chart == b.Chart && a.ChartDigest == b.ChartDigest &&
			a.ValuesDigest == b.ValuesDigest && slices.Equal(a.Set, b.Set) && a.Source == b.Source && a.RolledBackTo == b.RolledBackTo // pods are not compared: an autoscaler changes their number
	case f.Promotion != nil && earlier.Promotion != nil:
		a, b := *f.Promotion, *earlier.Promotion
		return a.From == b.From && a.Tag == b.Tag && a.Source == b.Source && a.Override == b.Override
	case f.Rejection != nil && earlier.Rejection != nil:
		return *f.Rejection == *earlier.Rejection
	case f.Lift != nil && earlier.Lift != nil:
		return f.Lift.Reason == earlier.Lift.Reason && slices.Equal(f.Lift.Rejections, earlier.Lift.Rejections)
	case f.Smoke != nil && earlier.Smoke != nil:
		return f.Smoke.Repeats(*earlier.Smoke)
	}
	return false
}

// SaysSameAs reports whether a fact says what another one says, apart from who ran what and when, however long ago that was.
func (f Fact) SaysSameAs(other Fact) bool {
	if f.Smoke != nil && other.Smoke != nil {
		smoke := *f.Smoke
		smoke.At, f.Smoke = other.Smoke.At, &smoke
	}
	if f.Scan != nil && other.Scan != nil {
		scan := *f.Scan
		scan.ScannedAt, f.Scan = other.Scan.ScannedAt, &scan
	}
	return f.Repeats(other)
}

// Target returns the release that was deployed.
func (d Deployment) Target() release.Target {
	return release.Target{Cluster: d.Cluster, Server: d.Server, Namespace: d.Namespace, Release: d.Release}
}

// IsAt reports whether a deployment is one to a target; true if that is zero.
func (d Deployment) IsAt(target release.Target) bool {
	return target.IsZero() || d.Target().MayBe(target)
}

// IsOfSameRelease reports whether facts are about the same cluster, namespace and release; true if both are about none.
func (f Fact) IsOfSameRelease(other Fact) bool {
	if f.Deployment == nil || other.Deployment == nil {
		return f.Deployment == other.Deployment
	}
	return f.Deployment.Target().MayBe(other.Deployment.Target())
}

// Record is a fact as a registry stores it. Nothing in it is trusted unless Signer names a key.
type Record struct {
	Fact
	Record release.Digest `json:"record"`           // digest of the manifest that contains it
	Signed bool           `json:"signed"`           // it has a signature, by whomever
	Signer string         `json:"signer,omitempty"` // ID of the trusted key, or the trusted identity, that signed it; "" if none did
	// Untrusted says why nobody who is trusted signed it; "" if somebody did, or nobody is named.
	Untrusted string `json:"untrusted,omitempty"`
	// Problem says why the record cannot be read; "" if it can. Only its kind and environment are known then, as its annotations declare them,
	// and its time.
	Problem string `json:"problem,omitempty"`
}

// Trusted reports whether the record can be read and a trusted key signed it.
func (r Record) Trusted() bool { return r.Problem == "" && r.Signer != "" }

// Counts reports whether the record can be read and is signed by somebody who is trusted, if anybody is named.
func (r Record) Counts() bool { return r.Problem == "" && r.Untrusted == "" }

// Newest returns the newest of the records that have a kind and an environment and that accept takes; false if there is none. Records that
// cannot be read are not among them. Of two with the same time, the one that names the other counts as newer, and else the first.
func Newest(records []Record, kind Kind, environment release.Environment, accept func(Record) bool) (newest Record, found bool) {
	for _, record := range records {
		if record.Problem != "" || record.Kind != kind || record.Environment != environment || accept != nil && !accept(record) {
			continue
		}
		if !found || record.IsNewerThan(newest) {
			newest, found = record, true
		}
	}
	return newest, found
}

// NewestScan returns the scan with the latest time of the scan, of the records that accept takes; false if there is none. Records that cannot be read are
// not among them. Of two with the same time, the order of the records decides, as in Newest.
func NewestScan(records []Record, accept func(Record) bool) (newest Record, found bool) {
	for _, record := range records {
		if record.Problem != "" || record.Scan == nil || accept != nil && !accept(record) {
			continue
		}
		if !found || record.Scan.ScannedAt.After(newest.Scan.ScannedAt) || record.Scan.ScannedAt.Equal(newest.Scan.ScannedAt) && record.IsNewerThan(newest) {
			newest, found = record, true
		}
	}
	return newest, found
}

// IsNewerThan reports whether a record is newer than another: it names the other among the records before it, or else its time is later.
func (r Record) IsNewerThan(other Record) bool {
	switch {
	case slices.Contains(r.After, other.Record):
		return true
	case slices.Contains(other.After, r.Record):
		return false
	}
	return r.At.After(other.At)
}
