package deploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// plan finds out what the deploy would do and everything that would go wrong with it, and changes nothing.
func (d *deploy) plan(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, d.settings.Timeout)
	defer cancel()
	found, err := d.Chart.Plan(ctx, d.deployment)
	if err != nil {
		return d.result(), err
	}
	d.done.Outcome, d.done.Plan = release.Planned, &found
	d.Reporter.Infof("plan: release %q in namespace %q would be %s", d.settings.Release, d.settings.Namespace, found.Outcome)
	for _, change := range found.Changes {
		tellChange(d.Reporter, change)
	}
	problems := found.Problems
	missing, err := d.preflight(ctx, found.References)
	if err != nil {
		return d.result(), err
	}
	problems = append(problems, missing...)
	if err := d.compare(); err != nil {
		return d.result(), err
	}
	if d.revisions, err = d.Chart.History(ctx, d.settings.Release); err != nil {
		return d.result(), err
	}
	d.foresee(ctx)
	if len(problems) > 0 {
		return d.result(), &release.Failure{What: fmt.Sprintf("the deploy would not go well:\n  %s", strings.Join(problems, "\n  "))}
	}
	d.Reporter.Infof("nothing was changed")
	return d.result(), nil
}

// tellChange shows one object as a diff does: + what comes, - what goes, ~ what changes, ! what somebody else has changed.
func tellChange(account release.Reporter, change release.Change) {
	marks := map[release.Action]string{release.ActionCreate: "+", release.ActionChange: "~", release.ActionDelete: "-", release.ActionDrift: "!"}
	account.Infof("%s %s", marks[change.Action], change.Object)
	for _, field := range change.Fields {
		owner := after("  (set by ", field.Manager)
		if owner != "" {
			owner += ")"
		}
		if field.Hidden {
			account.Infof("    %s: changed, value hidden%s", field.Path, owner)
			continue
		}
		account.Infof("    %s: %s → %s%s", field.Path, orNone(field.Before), orNone(field.After), owner)
	}
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// preflight lists what the pods will look for in vain.
func (d *deploy) preflight(ctx context.Context, references []release.Reference) (problems []string, err error) {
	missing, unchecked, err := d.Cluster.MissingReferences(ctx, d.settings.Namespace, references)
	if err != nil {
		return nil, err
	}
	for _, reference := range missing {
		problems = append(problems, fmt.Sprintf("%s %s is not in namespace %q, and %s names it", causes.ConfigurationAbsent, reference, d.settings.Namespace, reference.By))
	}
	for _, reference := range unchecked {
		d.Reporter.Warnf("not checked, because reading it is forbidden: %s, which %s names", reference, reference.By)
	}
	return problems, nil
}

// compare tells which values the environment below sets and this one does not.
func (d *deploy) compare() error {
	if len(d.settings.CompareValues) == 0 {
		return nil
	}
	lacking, err := d.Chart.MissingKeys(d.deployment, d.settings.CompareValues)
	if err != nil {
		return err
	}
	for _, key := range lacking {
		d.Reporter.Warnf("value %q is set in %s and not for %s", key, strings.Join(d.settings.CompareValues, ", "), d.settings.Environment)
	}
	return nil
}
