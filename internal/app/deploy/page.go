package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/app/gates"
	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/release"
)

// Page is what a deploy shows on GitHub.
func Page(settings *deploy.Settings, r deploy.Result, failed error) page.Page {
	if len(r.Deploys) > 0 {
		return matrixPage(r, failed)
	}
	shown := page.Page{Headline: headline(settings, r, failed), URL: r.URL, Hidden: settings.Heal && r.Outcome == release.Unchanged}
	if failed == nil && (r.Outcome == release.Planned || r.Outcome == release.Proposed) {
		shown.Status = page.Planned
	}
	shown.Facts = facts(settings, r)
	if r.Diagnosis != nil && failed != nil {
		shown.Reason, shown.Sections = page.Diagnosis(*r.Diagnosis)
		shown.Reason = append(shown.Reason, page.Line(stateOf(r)))
	}
	for _, gate := range r.Gates {
		shown.Sections = append(shown.Sections, gates.Section(imageName(r, gate.Image), &gate.Decision)...)
	}
	if r.Plan != nil {
		shown.Sections = append(shown.Sections, planned(*r.Plan)...)
	}
	if back, found := goBack(settings, r); found && failed == nil {
		shown.Sections = append(shown.Sections, back)
	}
	return shown
}

// what names what was to be deployed: its commit, or else its digest.
func what(r deploy.Result) page.Text {
	if r.Commit != "" {
		return page.Line("commit", page.Commit(r.Commit))
	}
	return page.Line(page.Digest(r.Image.Digest))
}

// headline is the page's headline; empty where the error says it all.
func headline(settings *deploy.Settings, r deploy.Result, failed error) page.Text {
	environment := page.Code(cmp.Or(r.Environment, settings.Environment).String())
	switch {
	case r.Outcome == release.RolledBack && r.Restored != nil:
		if failed != nil {
			return page.Line(environment, ":", what(r), "failed and was rolled back to", restored(*r.Restored))
		}
		return page.Line(environment, "is rolled back to", restored(*r.Restored))
	case failed != nil && r.Diagnosis != nil:
		return page.Line(what(r), "did not become ready in", environment)
	case failed != nil && (r.Environment == "" || r.Commit == "" && r.Image.IsZero()):
		return nil
	case failed != nil:
		return failureHeadline(failed, environment, r)
	}
	switch r.Outcome {
	case release.Planned:
		return page.Line("Plan for", environment, ":", summarize(r.Plan))
	case release.Proposed:
		return page.Line(what(r), "is proposed for", environment, ", and waits for the merge")
	case release.Superseded:
		return page.Line(environment, "runs a newer commit than", page.Commit(r.Commit), "and is left as it is")
	case release.OutcomeHealed:
		return page.Line("The release", page.Code(r.Release), "of", environment, "is healed")
	case release.Unchanged:
		if settings.RollbackFailedSmoke {
			return page.Line(environment, "has", "nothing to roll back")
		}
		return page.Line(environment, "runs", what(r), "already")
	}
	return page.Line(environment, "runs", what(r))
}

// failureHeadline is the headline of a deploy that failed without a diagnosis of its rollout.
func failureHeadline(failed error, environment page.Part, r deploy.Result) page.Text {
	switch {
	case release.ExitCode(failed) == release.ExitInput:
		return page.Line("deploy to", environment, ": bad input, nothing was changed")
	case errors.Is(failed, context.Canceled):
		return page.Line("The deploy of", what(r), "to", environment, "was stopped")
	case r.Outcome == release.Planned:
		return page.Line("A deploy of", what(r), "to", environment, "would fail")
	case isRefusal(failed):
		return page.Line(environment, "does not take", what(r))
	}
	return page.Line("The deploy of", what(r), "to", environment, "did not succeed")
}

func restored(past deploy.PastRevision) page.Text {
	if past.Commit != "" {
		return page.Line("commit", page.Commit(past.Commit))
	}
	return page.Line(fmt.Sprintf("revision %d", past.Revision))
}

// stateOf is the state of the cluster as a sentence; "" if the outcome says it all.
func stateOf(r deploy.Result) string {
	if r.State == "" || r.State == "failed" {
		return ""
	}
	return strings.ToUpper(r.State[:1]) + r.State[1:] + "."
}

// facts are the rows of the table.
func facts(settings *deploy.Settings, r deploy.Result) []page.Fact {
	if r.Environment == "" {
		return nil
	}
	facts := []page.Fact{{Name: "environment", Value: page.Text{page.Code(r.Environment.String())}}}
	add := func(name string, parts ...page.Part) {
		facts = append(facts, page.Fact{Name: name, Value: parts})
	}
	add("release", page.Code(r.Release), page.Words("in namespace"), page.Code(r.Namespace))
	if r.Revision > 0 {
		add("live revision", page.Words("%d", r.Revision))
	}
	if cluster := cmp.Or(settings.Cluster, settings.Context, r.Cluster); cluster != "" {
		add("cluster", page.Code(cluster))
	}
	commit := "commit"
	if r.Outcome == release.RolledBack && r.Restored != nil && r.Restored.Commit != r.Commit {
		add("live commit", page.Commit(r.Restored.Commit))
		commit = "attempted commit"
	}
	add(commit, page.Commit(r.Commit))
	add("attempted digest", page.Code(r.Image.Digest.String()))
	switch {
	case !r.Digest.IsZero() && r.Digest == r.Image.Digest:
		add("live digest", page.Code(r.Digest.String()), page.Icon(page.Done))
	case !r.Digest.IsZero():
		add("live digest", page.Code(r.Digest.String()))
	case r.Outcome == release.Planned || r.Outcome == release.Proposed || r.Outcome == release.Superseded:
		if r.Previous != nil && !r.Previous.Digest.IsZero() {
			add("live digest", page.Code(r.Previous.Digest.String()))
		}
	case r.Diagnosis != nil:
		what := "unknown: not all pods run the same"
		if r.Previous == nil {
			what = "not known: the rollout did not complete"
		}
		add("live digest", page.Words("%s", what))
	}
	if past := r.Previous; past != nil && past.Revision != r.Revision {
		parts := []page.Part{page.Words("revision %d", past.Revision)}
		if past.Commit != "" {
			parts = append(parts, page.Words(", commit"), page.Commit(past.Commit))
		}
		if !past.Digest.IsZero() {
			parts = append(parts, page.Words(","), page.Digest(past.Digest))
		}
		name := "previous"
		if r.Outcome == release.Planned || r.Outcome == release.Proposed {
			name = "live revision"
		}
		add(name, parts...)
	}
	if r.Seconds > 0 {
		add("ready after", page.Words("%.1f s", r.Seconds))
	}
	if len(r.Pods) > 0 {
		add("pods", page.Words("%d", len(r.Pods)))
	}
	switch {
	case r.Pinned:
		add("pinned", page.Words("at this commit: others are refused until a deploy has"), page.Code("unpin"))
	case r.Unpinned != "":
		add("unpinned", page.Words("from commit"), page.Commit(r.Unpinned))
	}
	if r.Diagnosis == nil {
		add("state", page.Words("%s", r.State))
	}
	if r.NewerRun != "" {
		add("deployed by", page.Link(r.NewerRun))
	}
	if r.Healed != nil {
		add("healed", page.Words("revision %d had been left %s", r.Healed.Revision, r.Healed.Status))
	}
	if url := pullRequest(r); url != "" {
		add("pull request", page.Link(url))
	}
	if r.ConfigCommit != "" {
		add("configuration commit", page.Code(r.ConfigCommit.String()))
	}
	if !r.PlanDigest.IsZero() {
		add("plan", page.Code(r.PlanDigest.String()))
	}
	return facts
}

// summarize counts the changes of a plan.
func summarize(plan *release.Plan) string {
	if plan == nil {
		return "nothing is known"
	}
	counts := map[release.Action]int{}
	for _, change := range plan.Changes {
		counts[change.Action]++
	}
	var parts []string
	for _, action := range []release.Action{release.ActionCreate, release.ActionChange, release.ActionDelete, release.ActionDrift} {
		if counts[action] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", counts[action], action))
		}
	}
	if len(parts) == 0 {
		return "nothing would change"
	}
	return strings.Join(parts, ", ")
}

// planned shows what a deploy would change, and what stands in its way.
func planned(plan release.Plan) (sections []page.Section) {
	if len(plan.Problems) > 0 {
		problems := page.Section{Title: page.Text{page.Words("The cluster would refuse it")}}
		for _, problem := range plan.Problems {
			problems.Lines = append(problems.Lines, page.Text{page.Words("%s", problem)})
		}
		sections = append(sections, problems)
	}
	var diff strings.Builder
	for _, change := range plan.Changes {
		diff.WriteString(diffOf(change))
	}
	if diff.Len() > 0 {
		sections = append(sections, page.Section{Title: page.Text{page.Words("What would change in %s", page.Count(len(plan.Changes), "object"))}, Folded: true, Block: diff.String(), Syntax: "diff"})
	}
	if len(plan.Notes) > 0 {
		sections = append(sections, page.Section{Title: page.Text{page.Words("%s", page.Count(len(plan.Notes), "remark"))}, Folded: true, Block: strings.Join(plan.Notes, "\n")})
	}
	return sections
}

// diffOf writes a change as a diff: + created, - deleted, and for a field the line before and the line after. ! is a field that somebody else has changed.
func diffOf(change release.Change) string {
	marks := map[release.Action]string{release.ActionCreate: "+ ", release.ActionDelete: "- ", release.ActionDrift: "! "}
	lines := marks[change.Action] + change.Object.String() + "\n"
	if change.Action == release.ActionChange {
		lines = "  " + change.Object.String() + "\n"
	}
	for _, field := range change.Fields {
		owner := ""
		if field.Manager != "" {
			owner = "  (set by " + field.Manager + ")"
		}
		if field.Before != "" {
			lines += "-   " + field.Path + ": " + field.Before + owner + "\n"
		}
		if field.After != "" {
			lines += "+   " + field.Path + ": " + field.After + "\n"
		}
	}
	return lines
}

// goBack is the command that deploys what was live before this deploy; false if that is not known, nothing was replaced, the deploy itself went back, or the command would do something
// else than this deploy.
func goBack(settings *deploy.Settings, r deploy.Result) (page.Section, bool) {
	past := r.Previous
	if r.Outcome != release.Changed || r.Pinned || past == nil || past.Digest.IsZero() || past.Commit == "" || past.Commit == r.Commit || !isRepeatable(settings) {
		return page.Section{}, false
	}
	command := "git switch --detach " + past.Commit.String() + "\n" + "onedigest deploy --allow-rollback"
	flag := func(name string, values ...string) {
		for _, value := range values {
			if value != "" {
				command += " \\\n  --" + name + " " + quote(value)
			}
		}
	}
	flag("environment", r.Environment.String())
	flag("image", r.Image.Repository.At(past.Digest).String())
	flag("proved-in", settings.ProvedIn.String())
	if settings.ProvedIn != "" {
		for _, key := range settings.VerifyKeys {
			flag("verify-key", key.String())
		}
	}
	flag("policy", settings.Policy)
	flag("chart", inCheckout(settings.Chart))
	flag("chart-repo", settings.ChartRepo)
	flag("chart-version", settings.ChartVersion)
	for _, file := range settings.Values {
		flag("values", inCheckout(file))
	}
	flag("set", settings.Set...)
	flag("set-json", settings.SetJSON...)
	flag("release", r.Release)
	flag("namespace", r.Namespace)
	flag("cluster", settings.Cluster)
	flag("region", settings.Region)
	flag("kube-context", settings.Context)
	return page.Section{Title: page.Text{page.Words("Go back to commit"), page.Code(past.Commit.Short())}, Folded: true, Syntax: "sh", Block: command, Verbatim: true,
		Lines: []page.Text{{page.Words("In a checkout of the repository, with the rights of this deploy. The release is then pinned there until a deploy unpins it.")}}}, true
}

// promotedCheckout is where pipeline.yaml checks a promoted commit out, beside the work tree.
const promotedCheckout = "promoted/"

// inCheckout returns a path of a promotion's second checkout as a checkout of that commit has it.
func inCheckout(path string) string { return strings.TrimPrefix(path, promotedCheckout) }

// isRepeatable reports whether a command of a line or two says all that the settings say of one image, its chart and its values.
func isRepeatable(settings *deploy.Settings) bool {
	if settings.GitOps.GitOps() || settings.PinText || len(settings.SecretValues)+len(settings.ChartHosts)+len(settings.SchemaHosts)+len(settings.ChartLogins) > 0 || len(settings.Images) > 1 {
		return false
	}
	return !slices.ContainsFunc(settings.Images, func(image release.BuiltImage) bool { return len(image.Values)+len(image.Aliases) > 0 })
}

// quote quotes a word for a shell.
func quote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@=,+%") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// matrixPage shows the deploys of a matrix.
func matrixPage(r deploy.Result, failed error) page.Page {
	succeeded, proposed, commit := 0, 0, r.Deploys[0].Commit
	table := page.Table{Head: []string{"", "deploy", "outcome", "live digest", "ready after", "address"}}
	var sections []page.Section
	for _, one := range r.Deploys {
		status, address := page.Done, one.URL
		switch {
		case one.Error != "":
			status = page.Failed
		case one.Outcome == release.Proposed:
			status, address = page.Planned, pullRequest(one)
			proposed++
		default:
			succeeded++
		}
		if one.Commit != commit {
			commit = ""
		}
		name := strings.TrimPrefix(one.Cluster+"/"+one.Namespace+"/"+one.Release, "/")
		ready, url := page.Text{}, page.Text{}
		if one.Seconds > 0 {
			ready = page.Text{page.Words("%.1f s", one.Seconds)}
		}
		if address != "" {
			url = page.Text{page.Link(address)}
		}
		outcome := one.Part.State(string(one.Outcome))
		table.Rows = append(table.Rows, []page.Text{{page.Icon(status)}, {page.Code(name)}, {page.Words("%s", outcome)}, {page.Digest(one.Digest)}, ready, url})
		why := page.Section{Title: page.Line("Why", page.Code(name), "failed")}
		if one.Diagnosis != nil {
			why.Lines, _ = page.Diagnosis(*one.Diagnosis)
			why.Lines = append(why.Lines, page.Line(stateOf(one)))
			why.Block, why.Tail = strings.Join(one.Diagnosis.Logs, "\n"), true
		} else if one.Error != "" {
			why.Lines = []page.Text{page.Explained(one.Error)}
		}
		sections = append(sections, why)
	}
	shown := page.Page{Headline: page.Text{page.Words("%d of %d deploys succeeded", succeeded, len(r.Deploys)+r.Skipped)}}
	if proposed > 0 {
		shown.Headline = append(shown.Headline, page.Words("; %d proposed, waiting for the merge", proposed))
	}
	if failed == nil && proposed > 0 {
		shown.Status = page.Planned
	}
	if failed == nil && r.Outcome == release.Planned {
		shown.Status, shown.Headline = page.Planned, page.Text{page.Words("Plan of %s", page.Count(len(r.Deploys), "deploy"))}
	}
	shown.Facts = []page.Fact{{Name: "commit", Value: page.Line(page.Commit(commit))}}
	if r.Skipped > 0 {
		shown.Headline = append(shown.Headline, page.Words("; %d of later waves were not started", r.Skipped))
	}
	if failed != nil {
		shown.Reason = []page.Text{{page.Words("%s failed. The others are as the table says.", page.Count(len(r.Deploys)-succeeded-proposed, "deploy"))}}
	}
	shown.Sections = append([]page.Section{{Table: table}}, sections...)
	return shown
}

// isRefusal reports whether a rule says no.
func isRefusal(err error) bool { return errors.As(err, new(*release.Refusal)) }

// imageName names an image of a release that has several.
func imageName(r deploy.Result, image release.Image) string {
	for _, one := range r.Images {
		if one.Image == image && len(r.Images) > 1 {
			return cmp.Or(one.Name, image.Repository.String())
		}
	}
	return ""
}
