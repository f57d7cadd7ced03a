package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/onedigest/onedigest/internal/app/page"
	"github.com/onedigest/onedigest/internal/pipeline"
	"github.com/onedigest/onedigest/internal/release"
)

// Page is what a pipeline shows on GitHub.
func Page(_ *pipeline.Settings, r pipeline.Result, failed error) page.Page {
	if len(r.Steps) == 0 {
		return page.Page{}
	}
	last := release.DefaultPromotionOrder[len(release.DefaultPromotionOrder)-1].String()
	shown := page.Page{URL: r.Proof.URLs[last], Headline: headline(r, failed)}
	shown.Facts = []page.Fact{{Name: "commit", Value: page.Line(page.Commit(r.Proof.Commit))}}
	if !r.Proof.Built.IsZero() {
		shown.Facts = append(shown.Facts, page.Fact{Name: "digest", Value: page.Line(page.Code(r.Proof.Built.String()))})
	}
	for _, environment := range environments(r) {
		if url := r.Proof.URLs[environment]; url != "" {
			shown.Facts = append(shown.Facts, page.Fact{Name: environment, Value: page.Line(page.Link(url))})
		}
	}
	shown.Sections = []page.Section{{Above: true, Diagram: diagram(r, failed)}}
	var diagnosed release.Diagnosed
	if errors.As(failed, &diagnosed) {
		var sections []page.Section
		shown.Reason, sections = page.Diagnosis(diagnosed.Diagnosis())
		shown.Sections = append(shown.Sections, sections...)
	}
	shown.Sections = append(shown.Sections, page.Section{Title: page.Line("Steps"), Table: steps(r)}, services(r))
	return shown
}

// environments lists the names of the environments that have an address, in the order of promotion where they are of it.
func environments(r pipeline.Result) []string {
	rank := func(name string) int {
		environment, _, _ := strings.Cut(name, "/")
		return slices.Index(release.DefaultPromotionOrder, release.Environment(environment))
	}
	return slices.SortedFunc(maps.Keys(r.Proof.URLs), func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) })
}

// headline is the page's headline.
func headline(r pipeline.Result, failed error) page.Text {
	commit := page.Line("commit", page.Commit(r.Proof.Commit))
	if r.Proof.Commit == "" {
		commit = page.Line("the commit")
	}
	if len(r.Services) > 0 {
		commit = page.Line(page.Count(len(r.Services), "service"))
	}
	last := r.Steps[len(r.Steps)-1]
	switch {
	case failed == nil && len(r.Services) > 0:
		return page.Line(page.Code("production"), "runs what staging proved:", commit)
	case failed == nil:
		return page.Line(page.Code("production"), "runs", commit, "with the digest that staging proved")
	case len(r.Services) > 0:
		return page.Line("Stopped at", page.Code(last.Name))
	}
	return page.Line(commit, "came as far as", page.Code(last.Name))
}

// diagram shows how far the commit came.
func diagram(r pipeline.Result, failed error) []page.Stage {
	commit := page.Stage{Name: "commit", Lines: []string{r.Proof.Commit.Short()}, Status: page.Done}
	if len(r.Services) > 0 {
		commit = page.Stage{Name: "commit", Lines: []string{page.Count(len(r.Services), "service")}, Status: page.Done}
	}
	stages := []page.Stage{commit, {Name: "build"}}
	for _, environment := range release.DefaultPromotionOrder {
		stages = append(stages, page.Stage{Name: environment.String()})
	}
	for i, step := range r.Steps {
		at := stageOf(step.Name)
		if at < 0 || at >= len(stages) {
			continue
		}
		stage := &stages[at]
		outcome := strings.TrimSpace(strings.TrimSuffix(step.Name, stage.Name) + " " + step.Outcome)
		if step.Name == "build" {
			outcome = step.Outcome
		}
		stage.Lines = append(stage.Lines, outcome)
		if step.Outcome == "failed" || failed != nil && i == len(r.Steps)-1 {
			stage.Status = page.Failed
		} else if stage.Status == "" {
			stage.Status = page.Done
		}
		if digest := step.Digest.Short(); digest != "" && !step.Digest.IsZero() && !slices.Contains(stage.Lines, digest) {
			stage.Lines = append(stage.Lines, digest)
		}
	}
	return stages
}

// stageOf returns the index of the box that a step belongs to. A promotion belongs to the environment that it leads to.
func stageOf(step string) int {
	switch {
	case step == "build":
		return 1
	case step == "promote":
		return 1 + len(release.DefaultPromotionOrder)
	}
	_, environment, _ := strings.Cut(step, " ")
	if at := slices.Index(release.DefaultPromotionOrder, release.Environment(environment)); at >= 0 {
		return at + 2
	}
	return -1
}

// steps is the table of the steps.
func steps(r pipeline.Result) page.Table {
	table := page.Table{Head: []string{"", "step", "outcome", "digest", "took"}}
	for _, step := range r.Steps {
		status := page.Done
		if step.Outcome == "failed" {
			status = page.Failed
		}
		digest := page.Text{}
		if !step.Digest.IsZero() {
			digest = page.Line(page.Digest(step.Digest))
		}
		table.Rows = append(table.Rows, []page.Text{{page.Icon(status)}, page.Line(step.Name), page.Line(step.Outcome), digest, page.Line(fmt.Sprintf("%.1f s", step.Seconds))})
	}
	for _, name := range r.NotRun() {
		table.Rows = append(table.Rows, []page.Text{{}, page.Line(name), page.Line("not run"), {}, {}})
	}
	return table
}

// services is the table of a matrix's services.
func services(r pipeline.Result) page.Section {
	table := page.Table{Head: []string{"", "service", "digest", "steps"}}
	for _, service := range r.Services {
		status := page.Done
		for _, step := range service.Steps {
			if step.Error != "" {
				status = page.Failed
			}
		}
		digest := page.Text{}
		if !service.Proof.Built.IsZero() {
			digest = page.Line(page.Digest(service.Proof.Built))
		}
		table.Rows = append(table.Rows, []page.Text{{page.Icon(status)}, {page.Code(service.Service)}, digest, page.Line(outcomes(service))})
	}
	return page.Section{Title: page.Line("Services"), Table: table}
}
