package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/release/causes"
)

// dryRun reports what the deploy would change and why it would fail, and changes nothing.
func (r request) dryRun(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, r.settings.Timeout)
	defer cancel()
	result := r.result()
	budget := splitTimeout(r.settings, r.settings.Timeout)
	plan, err := r.Chart.Plan(ctx, r.deployment)
	if err != nil {
		return result, err
	}
	if plan.NamespaceMissing && r.settings.CreateNamespace {
		plan.Notes = append(plan.Notes, fmt.Sprintf("namespace %q would be created; it %s", r.settings.Namespace, enforces(r.settings.PodSecurity)))
	}
	result.Outcome, result.Plan = release.Planned, &plan
	r.Reporter.Infof("plan: release %q in namespace %q would be %s", r.settings.Release, r.settings.Namespace, plan.Outcome)
	for _, change := range plan.Changes {
		showChange(r.Reporter, change)
	}
	for _, note := range plan.Notes {
		r.Reporter.Infof("%s", note)
	}
	missing, err := r.missingReferences(ctx, plan.References)
	if err != nil {
		return result, err
	}
	if err := r.compareValues(); err != nil {
		return result, err
	}
	order, refused, err := r.dryCheckOrder(ctx)
	if err != nil {
		return result, err
	}
	result.Previous = previousOf(order.revisions)
	if order.supersededBy != nil {
		result.State, result.NewerRun = r.describeSuperseded(*order.supersededBy), order.supersededBy.RunURL
		r.Reporter.Infof("the deploy would change nothing: release %q in namespace %q %s (--allow-rollback deploys the older commit)",
			r.settings.Release, r.settings.Namespace, result.State)
	}
	r.checkRollback(ctx, budget, order.revisions)
	if problems := slices.Concat(plan.Problems, missing, refused); len(problems) > 0 {
		return result, &release.Failure{What: fmt.Sprintf("the deploy would fail:\n  %s", strings.Join(problems, "\n  "))}
	}
	if ctx.Err() != nil { // a cancelled run keeps no plan, also if its last request was answered
		return result, fmt.Errorf("keeping the plan: %w", context.Cause(ctx))
	}
	if result.PlanDigest, err = r.keepPlan(plan); err != nil {
		return result, err
	}
	r.Reporter.Infof("nothing was changed")
	return result, nil
}

// propose proposes the deploy, if that is asked for and the environment is to run something else so far.
func (r request) propose(ctx context.Context, result *Result, order order) (bool, error) {
	if r.Proposals == nil {
		return false, nil
	}
	proposal, proposed, err := r.Proposals.Propose(ctx, r.deployment, r.proposal(order))
	if !proposed {
		return false, err
	}
	result.Outcome, result.Proposal = release.Proposed, &proposal
	result.State = fmt.Sprintf("proposed on branch %q", proposal.Branch)
	if proposal.URL != "" {
		result.State = "proposed in " + proposal.URL
	}
	r.Reporter.Infof("%s: release %q in namespace %q stays unchanged until that is merged", result.State, r.settings.Release, r.settings.Namespace)
	return true, err
}

// proposal says what the deploy does, one line each.
func (r request) proposal(order order) (lines []string) {
	for _, image := range r.deployment.Images {
		lines = append(lines, fmt.Sprintf("image%s: %s, commit %s", prefixIfSet(" ", image.Name), image.Image, commitOrNone(image.Commit)))
	}
	lines = append(lines, fmt.Sprintf("environment: %s, release %q in namespace %q", r.settings.Environment, r.settings.Release, r.settings.Namespace))
	if live, found := liveRevision(order.revisions); found {
		lines = append(lines, fmt.Sprintf("replaces: %s, commit %s", live.Digest, commitOrNone(live.Commit)))
	}
	if order.deliberateRollback {
		lines = append(lines, "goes back to an older commit, as --allow-rollback allows")
	}
	for _, gate := range r.gates {
		for _, line := range gate.Lines {
			lines = append(lines, fmt.Sprintf("gate: %s", line))
		}
	}
	if r.Holder.URL != "" {
		lines = append(lines, "run: "+r.Holder.URL)
	}
	return lines
}

// dryCheckOrder reports what the pin and the order of commits mean for the deploy; refused says why it would be refused.
func (r request) dryCheckOrder(ctx context.Context) (found order, refused []string, err error) {
	pin, err := r.Cluster.Pin(ctx, r.settings.Namespace, r.settings.Release)
	if err != nil {
		return order{}, nil, err
	}
	var pinErr error
	if pin != nil {
		pinErr = r.checkPin(*pin)
	}
	found, orderErr := r.checkOrder(ctx)
	for _, err := range []error{pinErr, orderErr} {
		var refusal *release.Refusal
		switch {
		case errors.As(err, &refusal):
			refused = append(refused, refusal.Error())
		case err != nil:
			return found, nil, err
		}
	}
	found = r.decidePin(found, pin)
	switch {
	case found.pins:
		r.Reporter.Infof("the deploy would pin the release at commit %s", r.deployment.Commit.Short())
	case found.unpins != nil:
		r.Reporter.Infof("the deploy would remove the pin at commit %s", found.unpins.Commit.Short())
	}
	return found, refused, nil
}

// showChange prints one object as a diff: + created, - deleted, ~ changed, ! changed by somebody else.
func showChange(reporter release.Reporter, change release.Change) {
	marks := map[release.Action]string{release.ActionCreate: "+", release.ActionChange: "~", release.ActionDelete: "-", release.ActionDrift: "!"}
	reporter.Infof("%s %s", marks[change.Action], change.Object)
	for _, field := range change.Fields {
		owner := prefixIfSet("  (set by ", field.Manager)
		if owner != "" {
			owner += ")"
		}
		if field.Hidden {
			reporter.Infof("    %s: %s, value hidden%s", field.Path, hiddenChange(field), owner)
			continue
		}
		reporter.Infof("    %s: %s → %s%s", field.Path, valueOrNone(field.Before), valueOrNone(field.After), owner)
	}
}

// hiddenChange describes the change of a value that is not shown.
func hiddenChange(field release.FieldChange) string {
	switch {
	case field.Before == "":
		return "added"
	case field.After == "":
		return "removed"
	}
	return "changed"
}

func valueOrNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// missingReferences lists the Secrets, ConfigMaps and the like that the pods need and the namespace does not have. It warns of
// those that the credentials may not read.
func (r request) missingReferences(ctx context.Context, references []release.Reference) (problems []string, err error) {
	missing, unchecked, err := r.Cluster.MissingReferences(ctx, r.settings.Namespace, references)
	if err != nil {
		return nil, err
	}
	for _, reference := range missing {
		if reference.MadeBy != "" {
			r.Reporter.Infof("%s is not in namespace %q yet: %s may create it before %s needs it", reference, r.settings.Namespace, reference.MadeBy, reference.By)
			continue
		}
		problems = append(problems, fmt.Sprintf("%s %s is not in namespace %q, and %s references it", causes.ConfigurationAbsent, reference, r.settings.Namespace, reference.By))
	}
	for _, reference := range unchecked {
		r.Reporter.Warnf("not checked, because reading it is forbidden: %s, which %s references", reference, reference.By)
	}
	return problems, nil
}

// compareValues warns of values that the other environment sets and this one does not.
func (r request) compareValues() error {
	if len(r.settings.CompareValues) == 0 {
		return nil
	}
	missing, err := r.Chart.MissingKeys(r.deployment, r.settings.CompareValues)
	if err != nil {
		return err
	}
	for _, key := range missing {
		r.Reporter.Warnf("value %q is set in %s and not for %s", key, strings.Join(r.settings.CompareValues, ", "), r.settings.Environment)
	}
	return nil
}
