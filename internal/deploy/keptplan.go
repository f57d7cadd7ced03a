package deploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/onedigest/onedigest/internal/deploy/planfile"
	"github.com/onedigest/onedigest/internal/release"
)

// newPlan is the advice for a plan that is refused.
const newPlan = "make a new plan with --dry-run --plan-out, and have it approved (in a workflow: re-run all jobs, and not the failed ones only, which keep the plan)"

// keptPlan is the plan that a deploy carries out.
type keptPlan struct {
	planfile.Plan
	digest release.Digest
}

// readPlan reads the plan to carry out; nil if none is given. It refuses a plan that is damaged, too old or not the approved one. For a dry run it
// only checks that the file of its plan can be written.
func (r request) readPlan() (*keptPlan, error) {
	if r.settings.PlanOut != "" {
		return nil, r.Plans.CheckWritable(r.settings.PlanOut)
	}
	if r.settings.Plan == "" {
		return nil, nil
	}
	content, err := r.Plans.Read(r.settings.Plan)
	if err != nil {
		return nil, err
	}
	plan, digest, err := planfile.Decode(content)
	if err != nil {
		return nil, release.BadSetting("plan", fmt.Sprintf("%q cannot be used: %v", r.settings.Plan, err), newPlan)
	}
	if approved := r.settings.PlanDigest; !approved.IsZero() && approved != digest {
		return nil, &release.Refusal{Why: fmt.Sprintf("plan %q has digest %s, and %s was approved", r.settings.Plan, digest, approved), Do: "give the plan that was approved"}
	}
	if why := plan.CheckAge(r.Plans.Now(), r.settings.PlanMaxAge); why != "" {
		return nil, &release.Refusal{Why: fmt.Sprintf("plan %q is out of date: %s", r.settings.Plan, why), Do: newPlan + ", or raise --plan-max-age"}
	}
	return &keptPlan{plan, digest}, nil
}

// subject returns what identifies this deploy in a plan.
func (r request) subject() planfile.Subject {
	subject := planfile.Subject{Environment: r.settings.Environment, Release: r.settings.Release, Namespace: r.settings.Namespace, Commit: r.deployment.Commit,
		Chart: r.chart.Source, ChartDigest: r.chart.Digest, ApplyCRDs: r.settings.ApplyCRDs, PinText: r.settings.PinText}
	for _, image := range r.deployment.Images {
		subject.Images = append(subject.Images, planfile.Image{Name: image.Name, Reference: image.Image.String()})
	}
	return subject
}

// checkPlannedSubject refuses a deploy that is not the planned one.
func (r request) checkPlannedSubject() error {
	if r.plan == nil {
		return nil
	}
	return r.refuseDifferences("for another deploy", "give the settings that the plan was made with, or "+newPlan, r.plan.CompareSubject(r.subject()))
}

// checkPlan plans the deploy again, and refuses it with all differences if the new plan is not the kept one. It must be called under the Lease,
// so that no other run of this tool changes the release afterwards.
func (r request) checkPlan(leaseCtx context.Context) error {
	if r.plan == nil {
		return nil
	}
	current, err := r.Chart.Plan(leaseCtx, r.deployment)
	if err != nil {
		return err
	}
	differences, err := r.plan.CompareBasis(current.Basis)
	if err != nil {
		return release.BadSetting("plan", err.Error(), newPlan)
	}
	if err := r.refuseDifferences("before something changed", newPlan, differences); err != nil {
		return err
	}
	if len(current.Problems) > 0 {
		return &release.Failure{What: fmt.Sprintf("the deploy would fail:\n  %s", strings.Join(current.Problems, "\n  "))}
	}
	r.Reporter.Infof("carrying out plan %s of %s: nothing that it was made against has changed", r.plan.digest.Short(), r.plan.MadeAt.UTC().Format("2006-01-02 15:04:05 MST"))
	return nil
}

func (r request) refuseDifferences(why, do string, differences []string) error {
	if len(differences) == 0 {
		return nil
	}
	return &release.Refusal{Why: fmt.Sprintf("plan %s was made %s:\n  %s", r.plan.digest.Short(), why, strings.Join(differences, "\n  ")), Do: do}
}

// keepPlan writes the plan of a dry run to its file, and returns its digest; zero if it is not kept.
func (r request) keepPlan(plan release.Plan) (release.Digest, error) {
	if r.settings.PlanOut == "" {
		return release.Digest{}, nil
	}
	if why := plan.Basis.NotKeepable; why != "" {
		do := "leave --plan-out out, and deploy without a kept plan"
		if r.deployment.HideSecrets {
			do = "give --lookup-secrets"
		}
		return release.Digest{}, &release.Refusal{Why: "the plan cannot be kept: " + why, Do: do}
	}
	against, err := planfile.NewAgainst(plan.Basis)
	if err != nil {
		return release.Digest{}, err
	}
	kept := planfile.Plan{MadeAt: r.Plans.Now().UTC(), RunURL: r.Holder.URL, Actor: r.Holder.Actor, Subject: r.subject(), Shown: plan, Against: against}
	content, digest, err := planfile.Encode(kept, r.Plans.Redact)
	if err != nil {
		return digest, err
	}
	if err := r.Plans.Write(r.settings.PlanOut, content); err != nil {
		return digest, err
	}
	r.Reporter.Infof("the plan is kept in %s: %s", r.settings.PlanOut, digest)
	return digest, nil
}
