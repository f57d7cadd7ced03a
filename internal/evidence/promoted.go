package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// promoted is the predicate of a promotion.
type promoted struct {
	From     release.Environment `json:"from"`
	To       release.Environment `json:"to"`
	Tag      release.Tag         `json:"tag"`
	Commit   release.Commit      `json:"commit,omitempty"`
	Source   release.Commit      `json:"source,omitempty"`
	Proof    *descriptor         `json:"proof,omitempty"`
	ProvedAt time.Time           `json:"provedAt,omitzero"`
	Override string              `json:"override,omitempty"`
	run
}

func promotedPredicate(f fact.Fact) any {
	p := f.Promotion
	return promoted{From: p.From, To: f.Environment, Tag: p.Tag, Commit: f.Commit, Source: p.Source, Proof: described("", p.Proof), ProvedAt: p.ProvedAt.UTC(),
		Override: p.Override, run: runOf(f)}
}

func readPromoted(predicate json.RawMessage, into *fact.Fact) error {
	var p promoted
	if err := json.Unmarshal(predicate, &p); err != nil {
		return err
	}
	into.Environment, into.Commit = p.To, p.Commit
	p.addTo(into)
	proof, err := optionalDigest("proof", p.Proof)
	into.Promotion = &fact.Promotion{From: p.From, Tag: p.Tag, Source: p.Source, Proof: proof, ProvedAt: p.ProvedAt, Override: p.Override}
	return err
}

// checkPromoted refuses a promotion without a proof, unless that rule was overridden.
func checkPromoted(f fact.Fact) error {
	p := f.Promotion
	fields := map[string]string{"from": p.From.String(), "to": f.Environment.String(), "tag": p.Tag.String()}
	if p.Override == "" {
		fields["proof"] = p.Proof.String()
	}
	if err := needs(fields); err != nil {
		return err
	}
	if _, err := release.ParseEnvironment(p.From.String()); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if p.From == f.Environment {
		return fmt.Errorf("it is a promotion from %q to itself", p.From)
	}
	_, err := release.ParseTag(p.Tag.String())
	return errors.Join(err, checkCommit(p.Source), checkTexts(p.Override), checkTime(p.ProvedAt, p.Proof.IsZero()))
}

// rejected is the predicate of a rejection. Without an environment, it is for all.
type rejected struct {
	Environment release.Environment `json:"environment,omitempty"`
	Commit      release.Commit      `json:"commit,omitempty"`
	Reason      string              `json:"reason"`
	Cause       fact.Cause          `json:"cause"`
	run
}

func rejectedPredicate(f fact.Fact) any {
	return rejected{Environment: f.Environment, Commit: f.Commit, Reason: f.Rejection.Reason, Cause: f.Rejection.Cause, run: runOf(f)}
}

func readRejected(predicate json.RawMessage, into *fact.Fact) error {
	var p rejected
	if err := json.Unmarshal(predicate, &p); err != nil {
		return err
	}
	into.Environment, into.Commit = p.Environment, p.Commit
	p.addTo(into)
	into.Rejection = &fact.Rejection{Reason: p.Reason, Cause: p.Cause}
	return nil
}

func checkRejected(f fact.Fact) error {
	if f.Rejection.Cause != fact.ByPerson && f.Rejection.Cause != fact.BySmoke {
		return fmt.Errorf("cause %s is not known", quote(string(f.Rejection.Cause)))
	}
	return errors.Join(needs(map[string]string{"reason": f.Rejection.Reason}), checkTexts(f.Rejection.Reason))
}
