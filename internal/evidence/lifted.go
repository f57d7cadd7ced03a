package evidence

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/fact"
)

// lifted is the predicate of a statement that rejections were wrong. Without an environment, it is for those of all environments.
type lifted struct {
	Environment release.Environment `json:"environment,omitempty"`
	Commit      release.Commit      `json:"commit,omitempty"`
	Reason      string              `json:"reason"`
	Rejections  []release.Digest    `json:"rejections"`
	run
}

func liftedPredicate(f fact.Fact) any {
	return lifted{Environment: f.Environment, Commit: f.Commit, Reason: f.Lift.Reason, Rejections: f.Lift.Rejections, run: runOf(f)}
}

func readLifted(predicate json.RawMessage, into *fact.Fact) error {
	var p lifted
	if err := json.Unmarshal(predicate, &p); err != nil {
		return err
	}
	into.Environment, into.Commit = p.Environment, p.Commit
	p.addTo(into)
	into.Lift = &fact.Lift{Reason: p.Reason, Rejections: p.Rejections}
	return nil
}

func checkLifted(f fact.Fact) error {
	if len(f.Lift.Rejections) == 0 || len(f.Lift.Rejections) > maxList {
		return fmt.Errorf("it names %d rejections, want 1 to %d", len(f.Lift.Rejections), maxList)
	}
	for _, each := range f.Lift.Rejections {
		if each.IsZero() {
			return errors.New("it names a rejection without a digest")
		}
	}
	return errors.Join(needs(map[string]string{"reason": f.Lift.Reason}), checkTexts(f.Lift.Reason))
}

// overridden is the predicate of an override.
type overridden struct {
	Environment release.Environment `json:"environment"`
	Commit      release.Commit      `json:"commit,omitempty"`
	Reason      string              `json:"reason"`
	Missing     []string            `json:"missing"`
	Policy      *descriptor         `json:"policy,omitempty"`
	run
}

func overriddenPredicate(f fact.Fact) any {
	return overridden{Environment: f.Environment, Commit: f.Commit, Reason: f.Override.Reason, Missing: f.Override.Missing, Policy: described("", f.Override.Policy), run: runOf(f)}
}

func readOverridden(predicate json.RawMessage, into *fact.Fact) error {
	var p overridden
	if err := json.Unmarshal(predicate, &p); err != nil {
		return err
	}
	into.Environment, into.Commit = p.Environment, p.Commit
	p.addTo(into)
	policy, err := optionalDigest("policy", p.Policy)
	into.Override = &fact.Override{Reason: p.Reason, Missing: p.Missing, Policy: policy}
	return err
}

func checkOverridden(f fact.Fact) error {
	if len(f.Override.Missing) == 0 || len(f.Override.Missing) > maxList {
		return fmt.Errorf("it names %d rules, want 1 to %d", len(f.Override.Missing), maxList)
	}
	return errors.Join(needs(map[string]string{"environment": f.Environment.String(), "reason": f.Override.Reason, "by": f.By}),
		checkTexts(f.Override.Reason), checkTexts(f.Override.Missing...))
}
